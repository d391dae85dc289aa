"""The archive of a job's results on the storage of its group, where OMERO reads them for good.

::

    <folder of the group>/.analyzed/<run uuid>/<YYYYMMDD_HHMMSS>/
        <job>_out.zip             all results, where a person wants the zip
        <job>_out/data/out/...    the results
        <job>_out/metadata.csv    where they come from
        omero-<job>.log           the job's log

A folder is written under a temporary name beside its place, every file flushed to the disk and compared with the
manifest of what the job wrote, and then renamed: it is there as a whole or not at all. What is there is never changed
and never removed by us, as images in OMERO live from it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from worker.errors import ResultsError, SettingsError, StorageUnavailable, TransferDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

ARCHIVE: Final = ".analyzed"
"""The hidden folder of a group that holds what analyses have made."""

STAMP: Final = "%Y%m%d_%H%M%S"

FILE_MODE: Final = 0o644
FOLDER_MODE: Final = 0o755
"""Importer and OMERO server run as other users than we do. We alone may change what is there."""

SPARE_BYTES: Final = 64 * 2**20
"""Space that must be left over on the storage."""

PIECE_BYTES: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A result that goes into the archive.

    Parameters
    ----------
    path : str
        Path below the output folder of the job.
    size_bytes : int
        Its size.
    sha256 : str
        Digest of its content.
    """

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ArchiveLayout:
    """Where everything is in the folder of one job.

    Parameters
    ----------
    folder : Path
        ``<folder of the group>/.analyzed/<run uuid>/<YYYYMMDD_HHMMSS>``.
    job_id : int
        Slurm's id of the job.
    """

    folder: Path
    job_id: int

    @property
    def contents(self) -> Path:
        """The unpacked results and what describes them."""
        return self.folder / f"{self.job_id}_out"

    @property
    def results(self) -> Path:
        """The results themselves."""
        return self.contents / "data" / "out"

    @property
    def metadata(self) -> Path:
        """Where they come from."""
        return self.contents / "metadata.csv"

    @property
    def zip_file(self) -> Path:
        """All results in one file."""
        return self.folder / f"{self.job_id}_out.zip"

    @property
    def log(self) -> Path:
        """The log of the job."""
        return self.folder / f"omero-{self.job_id}.log"

    @property
    def marker(self) -> str:
        """The end of its path, which no other folder has; OMERO may know what comes before it by another name."""
        return "/".join(self.folder.parts[-3:])


def choose_folder(group_folder: Path, run_id: object, now: datetime, taken: Iterable[str] = ()) -> Path:
    """Choose the folder for the results of one job; each job of a run has its own.

    Parameters
    ----------
    group_folder : Path
        Folder of the group.
    run_id : object
        UUID of the run.
    now : datetime
        The time, as people there read it.
    taken : iterable of str
        Folders that were chosen for other jobs of the run and may not be there yet.

    Returns
    -------
    Path
        A folder that is not there. To be recorded before it is written.
    """
    parent = group_folder / ARCHIVE / str(run_id)
    others = set(taken)
    moment = now
    while (folder := parent / moment.strftime(STAMP)).exists() or str(folder) in others:
        moment += timedelta(seconds=1)
    return folder


def write_archive(
    layout: ArchiveLayout,
    base_dir: Path,
    source: Path,
    files: Sequence[ArchivedFile],
    *,
    metadata: bytes,
    log_file: Path | None = None,
    zip_chunks: Callable[[], Iterable[bytes]] | None = None,
    beside: Iterable[str] = (),
    guard: Callable[[], None] = lambda: None,
) -> None:
    """Write the folder of one job, unless it is there already.

    Parameters
    ----------
    layout : ArchiveLayout
        Where.
    base_dir : Path
        Where the storage is mounted.
    source : Path
        Where the results are on this machine; they are copied, and stay there.
    files : Sequence of ArchivedFile
        The results, as the cluster has listed them.
    metadata : bytes
        Content of ``metadata.csv``.
    log_file : Path, optional
        The job's log.
    zip_chunks : callable, optional
        Gives the zip, where one is wanted.
    beside : iterable of str
        Folders of results (below the output folder) that get a copy of ``metadata.csv`` as well: the importer looks
        for it beside the files that it imports. One that the job has written itself is left as it is.
    guard : callable
        Called before each file; raises to stop.

    Raises
    ------
    SettingsError
        If we may not write there.
    StorageUnavailable
        If the storage is full, or does not work.
    TransferDamaged
        If a file is not what the cluster has listed.
    """
    if layout.folder.is_dir():
        return
    parent = layout.folder.parent
    part = parent / f".{layout.folder.name}.{uuid4().hex[:8]}.part"
    check_mounted(base_dir)
    if not layout.folder.is_relative_to(base_dir):
        raise SettingsError(f"The folder {layout.folder} lies outside base_dir ({base_dir}), which was another before.")
    with storage(parent):
        _make_folders(parent)
        _sweep(parent, layout.folder.name)
        _demand_space(parent, files, zipped=zip_chunks is not None)
    written = ArchiveLayout(part, layout.job_id)
    try:
        with storage(parent):
            for path in (written.results, part):
                _make_folders(path)
            for file in files:
                guard()
                _copy(source / file.path, _inside(written.results, file.path), file)
            _write(written.metadata, (metadata,))
            for folder in sorted(set(beside)):
                place = _inside(written.results, str(PurePosixPath(folder) / "metadata.csv"))
                if not place.exists():
                    _write(place, (metadata,))
            if log_file is not None and log_file.is_file():
                _write(written.log, _pieces(log_file))
            if zip_chunks is not None:
                guard()
                _write(written.zip_file, zip_chunks())
            guard()
            _flush_folders(part)
            _rename(part, layout.folder)
    except StorageUnavailable:
        # Whoever was held up for longer than its lease finds its part swept, and the archive written.
        if not layout.folder.is_dir():
            raise
    finally:
        # Ours alone: it bears a name that nobody else uses.
        shutil.rmtree(part, ignore_errors=True)


def check_writable(base_dir: Path, group_folder: Path, group_name: str) -> None:
    """Check that archives can be written for a group, and leave nothing behind.

    Parameters
    ----------
    base_dir : Path
        Where the storage is mounted.
    group_folder : Path
        Folder of the group below it; it need not be there yet.
    group_name : str
        Name of the group, for the message.

    Raises
    ------
    SettingsError
        If we may not write there, or the storage is not mounted.
    StorageUnavailable
        If the storage does not work.
    """
    check_mounted(base_dir)
    made: list[Path] = []
    archive = group_folder / ARCHIVE
    wanted = (
        *(each for each in reversed(archive.parents) if each != base_dir and each.is_relative_to(base_dir)),
        archive,
    )
    with storage(group_folder, group_name):
        try:
            # What is not there yet is made and removed again: no look at modes tells what a file server allows.
            for folder in wanted:
                if not folder.is_dir():
                    folder.mkdir(FOLDER_MODE)
                    made.append(folder)
            probe = archive / f".probe-{uuid4().hex[:8]}"
            probe.mkdir(FOLDER_MODE)
            made.append(probe)
            (probe / "file").touch()
            (probe / "file").unlink()
        finally:
            for folder in reversed(made):
                _remove_if_empty(folder)


def check_mounted(base_dir: Path) -> None:
    """Check that the storage is there: made by us, it would be a folder of this container, and seen by nobody else.

    Parameters
    ----------
    base_dir : Path
        Where the storage is mounted.

    Raises
    ------
    SettingsError
        If it is not.
    """
    with storage(base_dir):
        mounted = base_dir.is_dir()
    if not mounted:
        raise SettingsError(
            f"The storage for results is not mounted: there is no folder {base_dir}.",
            remedy="Mount it here at the path at which importer and OMERO server have it (base_dir in settings.yml).",
        )


@contextmanager
def storage(path: Path, group_name: str = "") -> Iterator[None]:
    """Say whose storage it is when the operating system refuses something in the block.

    Parameters
    ----------
    path : Path
        The folder that is used.
    group_name : str
        Whose it is, for the message.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    SettingsError
        If we may not do it.
    StorageUnavailable
        If the storage cannot do it now.
    """
    whose = f" of group {group_name!r}" if group_name else ""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise SettingsError(
                f"The worker may not write to the storage{whose} ({path}): {error.strerror}.",
                remedy=f"Give user id {os.geteuid()} write permission on the folder of the group, or on the folder in "
                "which it is to be made.",
            ) from error
        raise StorageUnavailable(path, error) from error


def plain_path(path: str) -> bool:
    """Say whether the importer, Bio-Formats and OMERO all know a file by this path.

    OMERO's client replaces characters that some file systems do not take, so that a file would not be found again; and
    the importer takes everything with ``.zarr`` in its path for OME-Zarr.

    Parameters
    ----------
    path : str
        Path of a result below the output folder.

    Returns
    -------
    bool
        False for control characters, ``"*:<>?|`` and backslash, for names that end in a dot or a space, and for names
        that are not text.
    """
    return (
        path.isprintable()
        and not set(path) & set('"*:<>?|\\')
        and not any(part.endswith((".", " ")) for part in PurePosixPath(path).parts)
    )


def _inside(root: Path, path: str) -> Path:
    """Join a path that was told by somebody else; it cannot lead out of the root."""
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or "\0" in path:
        raise ResultsError(f"The result {path!r} lies outside the folder of the results and is not touched.")
    return root / relative


def _make_folders(folder: Path) -> None:
    """Make folders that others can read, whatever our umask is; those that are there stay as they are."""
    for each in (*reversed(folder.parents), folder):
        if each.is_dir():
            continue
        with suppress(FileExistsError):
            each.mkdir()
            _open_to_others(each, FOLDER_MODE)


def _open_to_others(path: Path | int, mode: int) -> None:
    """Set the mode of what we have made, keeping the bit that hands its group down."""
    try:
        os.chmod(path, mode | os.stat(path).st_mode & stat.S_ISGID)  # noqa: PTH101, PTH116  # a handle has no Path
    except OSError as error:
        # A file server may have modes of its own, and not let anybody set them.
        if error.errno not in (errno.EPERM, errno.ENOTSUP):
            raise


def _copy(source: Path, target: Path, file: ArchivedFile) -> None:
    _make_folders(target.parent)
    _write(target, _pieces(source))
    digest = hashlib.sha256()
    size_bytes = 0
    with target.open("rb") as stream:
        # Read from the disk, not from the memory that we have just filled.
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
            size_bytes += len(piece)
    if (size_bytes, digest.hexdigest()) != (file.size_bytes, file.sha256):
        raise TransferDamaged(
            f"The result {file.path!r} is not in the archive as the job has written it: {size_bytes} bytes instead of "
            f"{file.size_bytes}, or another checksum."
        )


def _write(target: Path, pieces: Iterable[bytes]) -> None:
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(handle, "wb") as stream:
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        _open_to_others(stream.fileno(), FILE_MODE)
        os.fsync(stream.fileno())


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            yield piece


def _flush_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        _flush_folder(Path(folder))


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file servers know no flushing of folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _rename(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError as error:
        # A process that was held up and came to life again has been quicker; it has written the same.
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) or not folder.is_dir():
            raise
    _flush_folder(folder.parent)


def _sweep(parent: Path, name: str) -> None:
    """Remove what an attempt of ours has left that was killed."""
    for left in parent.glob(f".{name}.*.part"):
        shutil.rmtree(left, ignore_errors=True)


def _demand_space(parent: Path, files: Sequence[ArchivedFile], *, zipped: bool) -> None:
    wanted = sum(file.size_bytes for file in files) * (2 if zipped else 1) + SPARE_BYTES
    free = shutil.disk_usage(parent).free
    if free < wanted:
        raise OSError(
            errno.ENOSPC, f"{wanted / 2**20:.0f} MiB are needed, and {free / 2**20:.0f} MiB are free", str(parent)
        )


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError as error:
        # Somebody else has put something there in the meantime.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise
