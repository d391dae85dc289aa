"""The managed repository: files are put into it, or linked from it, and become images."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import omero
import omero.cmd
import omero.grid
import omero.model
from omero.rtypes import rstring

from tests.lab.omero.files import sha1_of
from tests.lab.omero.imagefiles import UnknownImage, read
from tests.lab.omero.model.decode import Decoder
from tests.lab.omero.model.encode import encode
from tests.lab.omero.model.rows import Quantity
from tests.lab.omero.services.base import Service, now_ms
from tests.lab.omero.services.commands import Handle
from tests.lab.omero.services.files import RawFileService, RepositoryService
from tests.lab.omero.services.pixels import pixels_object
from tests.lab.omero.serving.dispatch import log, servant, unlocked, writes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.lab.omero.imagefiles import FileImage
    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.security.call import Call

_REPOSITORY = "ManagedRepository"

_REPLACED = str.maketrans('"*:<>?\\|', "'x;[]%/!")
"""Characters that file systems may not know, and what stands for them in the repository."""

_SHA1, _SIZE = "SHA1-160", "File-Size-64"


@servant(omero.grid.ManagedRepository)
class ManagedRepositoryService(RepositoryService):
    """Where importers put files: each import has a directory of its own."""

    repository = _REPOSITORY

    @writes
    def importFileset(self, fileset: Any, settings: Any, current: Any = None) -> Any:
        call = self.call(current)
        entries = [entry for entry in fileset.copyUsedFiles() if entry is not None]
        if not entries:
            raise omero.ApiUsageException("", "", "a fileset without files cannot be imported")
        prefix = self._new_directory(call)
        fileset.setTemplatePrefix(rstring(prefix))
        paths = _shared_names([entry.clientPath.val for entry in entries])
        for entry, path in zip(entries, paths, strict=True):
            entry.setOriginalFile(self._file(call, prefix, path))
        row = Decoder(self.store, call, self.event(call)).save(fileset)
        for link in self.store.collection(row, "jobLinks"):
            self._begin(link["child"])
        process = ImportProcessService(self.blitz, self.session, row, settings)
        proxy = self.blitz.switchboard.publish(self.session, process, f"{uuid.uuid4()}omero.grid.ImportProcess")
        return omero.grid.ImportProcessPrx.uncheckedCast(proxy)

    def _new_directory(self, call: Call) -> str:
        """Return a new directory of the repository, named after user, day and time as OMERO's template has it."""
        user, now = call.user, time.time()
        day = time.strftime("%Y-%m/%d/%H-%M-%S", time.localtime(now))
        return f"{user['omeName']}_{user.id}/{day}.{int(now * 1000) % 1000:03d}-{uuid.uuid4().hex[:6]}/"

    def _file(self, call: Call, prefix: str, path: PurePosixPath) -> Any:
        parent = "" if path.parent == PurePosixPath() else f"{path.parent}/"
        owner, group = call.owner_and_group(None)
        row = self.store.new("OriginalFile", owner, group, self.event(call), name=path.name, path=prefix + parent)
        self.store.set(row, mimetype="application/octet-stream", size=0, hash="")
        self.store.set_extra(row, place=f"{_REPOSITORY}/{prefix}{path}")
        return omero.model.OriginalFileI(row.id, False)

    def _begin(self, job: Row) -> None:
        self.store.set(job, status=self.store.enumerated("JobStatus", "Running"), submitted=now_ms(), started=now_ms())


@servant(omero.grid.ImportProcess)
class ImportProcessService(Service):
    """One import: its files come in, are compared with what the client has, and are made images of.

    Parameters
    ----------
    blitz, session
        As for every service.
    fileset : Row
        What is imported.
    settings : ImportSettings
        What the client asks for.
    """

    stateful = True

    def __init__(self, blitz: Any, session: Any, fileset: Row, settings: Any) -> None:
        super().__init__(blitz, session)
        self._fileset = fileset
        self._settings = settings
        self._handle: Any = None

    def getImportSettings(self, current: Any = None) -> Any:
        return self._settings

    def getUploadOffset(self, index: int, current: Any = None) -> int:
        return self._path(index).stat().st_size

    def getHandle(self, current: Any = None) -> Any:
        return self._handle

    def _files(self) -> list[Row]:
        return [entry["originalFile"] for entry in self.store.collection(self._fileset, "usedFiles")]

    def _path(self, index: int) -> Path:
        return self.blitz.files.path_of(self._files()[index])

    def getUploader(self, index: int, current: Any = None) -> Any:
        """Return what writes one of the files. It is there already, and empty: importers in place replace it."""
        path = self._path(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        store = RawFileService(self.blitz, self.session)
        store.setFileId(self._files()[index].id, current)
        proxy = self.blitz.switchboard.publish(self.session, store, f"{uuid.uuid4()}omero.api.RawFileStore")
        return omero.api.RawFileStorePrx.uncheckedCast(proxy)

    @unlocked
    def verifyUpload(self, hashes: Sequence[str], current: Any = None) -> Any:
        with self.store.lock:
            files = self._files()
        if len(hashes) != len(files):
            raise omero.ApiUsageException("", "", f"{len(hashes)} checksums for {len(files)} files")
        algorithm = self._settings.checksumAlgorithm.value.val if self._settings.checksumAlgorithm else _SHA1
        found = [checksum(self.blitz.files.path_of(file), algorithm) for file in files]
        wrong = {index: is_ for index, (is_, said) in enumerate(zip(found, hashes, strict=True)) if is_ != said}
        if wrong:
            raise omero.ChecksumValidationException("", "", "what came in is not what was sent", wrong)
        response = self._import(current, dict(zip(files, found, strict=True)), algorithm)
        handle = Handle(self.blitz, self.session, omero.grid.ImportRequest(), response)
        proxy = self.blitz.switchboard.publish(self.session, handle, f"Handle-{uuid.uuid4()}")
        self._handle = omero.cmd.HandlePrx.uncheckedCast(proxy)
        return self._handle

    def _import(self, current: Any, checksums: dict[Row, str], algorithm: str) -> Any:
        """Make images of the files: all that they hold, or nothing."""
        try:
            with self.store.transaction():
                call = self.call(current)
                hasher = self.store.enumerated("ChecksumAlgorithm", algorithm)
                for file, digest in checksums.items():
                    size_bytes = self.blitz.files.path_of(file).stat().st_size
                    self.store.set(file, hash=digest, hasher=hasher, size=size_bytes, mtime=now_ms())
            with self.store.transaction():
                pixels = [row for file in checksums for row in self._images_of(call, file)]
                self._link(call, [row["image"] for row in pixels])
                for job in self.store.collection(self._fileset, "jobLinks"):
                    finished = self.store.enumerated("JobStatus", "Finished")
                    self.store.set(job["child"], status=finished, finished=now_ms())
                response = omero.grid.ImportResponse()
                response.pixels = [pixels_object(self.store, call, row) for row in pixels]
                response.objects = [encode(call, row["image"]) for row in pixels]
                return response
        except (UnknownImage, omero.ServerError) as error:
            log.warning("%s was not imported: %s", self._fileset, error)
            message = error.message if isinstance(error, omero.ServerError) else str(error)
            return omero.cmd.ERR("::omero::grid::ImportRequest", type(error).__name__, {"message": message})

    def _images_of(self, call: Call, file: Row) -> list[Row]:
        images = read(self.blitz.files.own(self.blitz.files.path_of(file)))
        wanted = self._settings.userSpecifiedName
        name = wanted.val if wanted is not None else file["name"]
        return [
            self._image(call, file, series, image, name if len(images) == 1 else f"{name} [{image.name}]")
            for series, image in enumerate(images)
        ]

    def _image(self, call: Call, file: Row, series: int, image: FileImage, name: str) -> Row:
        owner, group = call.owner_and_group(None)
        description = self._settings.userSpecifiedDescription
        row = self.blitz.imaging.new_image(
            owner,
            group,
            self.event(call),
            name,
            image.sizes,
            image.pixel_type,
            description.val if description is not None else None,
        )
        self.store.set(row, fileset=self._fileset, series=series)
        pixels = self.store.collection(row, "pixels")[0]
        for axis, size_um in image.pixel_sizes_um.items():
            self.store.set(pixels, **{f"physicalSize{axis}": Quantity("Length", size_um, "MICROMETER")})
        channels = self.store.collection(pixels, "channels")
        for channel, channel_name in zip(channels, image.channel_names, strict=False):
            self.store.set(channel["logicalChannel"], name=channel_name)
        place = os.path.relpath(self.blitz.files.path_of(file), self.blitz.files.data)
        self.store.set_extra(pixels, file=place, series=series)
        if not _is_true(self._settings.noStatsInfo):
            buffer = self.blitz.files.pixels(pixels)
            for index, channel in enumerate(channels):
                low, high = buffer.range_of(index)
                self.store.set(channel["statsInfo"], globalMin=low, globalMax=high)
        if _is_true(self._settings.doThumbnails):
            self.blitz.imaging.reset_settings(pixels, owner, self.event(call))
        return pixels

    def _link(self, call: Call, images: list[Row]) -> None:
        """Put images into the dataset that was asked for; a screen takes plates alone."""
        target = self._settings.userSpecifiedTarget
        if not isinstance(target, omero.model.Dataset):
            return
        decoder = Decoder(self.store, call, self.event(call))
        for image in images:
            link = omero.model.DatasetImageLinkI()
            link.setParent(omero.model.DatasetI(target.id.val, False))
            link.setChild(omero.model.ImageI(image.id, False))
            decoder.save(link)


def checksum(path: Path, algorithm: str) -> str:
    """Return the checksum of a file in hexadecimal.

    Parameters
    ----------
    path : Path
        The file.
    algorithm : str
        A value of the enumeration ChecksumAlgorithm: ``SHA1-160`` or ``File-Size-64``.

    Returns
    -------
    str
        What OMERO's clients and server compare.
    """
    if algorithm == _SIZE:
        return f"{path.stat().st_size:016x}"
    if algorithm == _SHA1:
        return sha1_of(path)
    raise omero.ApiUsageException("", "", f"the checksum {algorithm} is not known here")


def _shared_names(client_paths: Sequence[str]) -> list[PurePosixPath]:
    """Return where files go below the directory of their import: as they lie below the folder that they share."""
    paths = [PurePosixPath(path.translate(_REPLACED)) for path in client_paths]
    shared = os.path.commonpath([str(path.parent) for path in paths]) if len(paths) > 1 else str(paths[0].parent)
    names = [path.relative_to(shared) for path in paths]
    if any(".." in name.parts or not name.name for name in names):
        raise omero.ApiUsageException("", "", f"these are no paths of files: {', '.join(client_paths)}")
    return names


def _is_true(value: Any) -> bool:
    return value is not None and bool(value.val)
