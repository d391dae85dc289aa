"""RawFileStore and the repositories."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import omero
from omero.rtypes import rlong

from tests.lab.omero.files import sha1_of
from tests.lab.omero.model.encode import encode
from tests.lab.omero.services.base import Service, now_ms
from tests.lab.omero.serving.dispatch import servant, unlocked

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.omero.model.rows import Row


@servant(omero.api.RawFileStore)
class RawFileService(Service):
    """The bytes of an OriginalFile."""

    stateful = True
    file: Row | None = None
    changed = False

    def setFileId(self, file_id: int, current: Any = None) -> None:
        call = self.call(current)
        row = self.store.get("OriginalFile", file_id)
        if row is None or not call.may_see(row):
            raise omero.ResourceError("", "", f"Cannot read file with id={file_id}")
        self.file = row

    def _row(self) -> Row:
        if self.file is None:
            raise omero.ApiUsageException("", "", "no file was chosen")
        return self.file

    @property
    def path(self) -> Path:
        """The file on disk."""
        return self.blitz.files.path_of(self._row())

    def getFileId(self, current: Any = None) -> Any:
        return rlong(self.file.id) if self.file is not None else None

    def exists(self, current: Any = None) -> bool:
        return self.path.exists()

    def size(self, current: Any = None) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @unlocked
    def read(self, position: int, length: int, current: Any = None) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(position)
                return file.read(length)
        except FileNotFoundError as error:
            raise omero.ResourceError("", "", f"{self._row()} has no content") from error

    def _check_write(self, current: Any) -> None:
        with self.store.lock:
            self.call(current).check_update(self._row())

    @unlocked
    def write(self, data: bytes, position: int, length: int, current: Any = None) -> None:
        self._check_write(current)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            file.seek(position)
            file.write(data[:length])
        self.changed = True

    @unlocked
    def truncate(self, length: int, current: Any = None) -> bool:
        self._check_write(current)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.truncate(length)
        self.changed = True
        return True

    @unlocked
    def save(self, current: Any = None) -> Any:
        self._check_write(current)
        row = self._row()
        digest = sha1_of(self.path) if self.path.exists() else None
        with self.store.transaction():
            if digest is not None:
                hasher = self.store.enumerated("ChecksumAlgorithm", "SHA1-160")
                self.store.set(row, size=self.path.stat().st_size, hash=digest, hasher=hasher, mtime=now_ms())
            self.changed = False
            return encode(self.call(current), row)

    @unlocked
    def close(self, current: Any = None) -> None:
        if self.changed:
            self.save(current)
        super().close(current)


class RepositoryService(Service):
    """A directory of files that OMERO knows."""

    repository = ""

    def _root(self) -> Row:
        return self.blitz.repository(self.repository)

    def root(self, current: Any = None) -> Any:
        return encode(self.call(current), self._root())

    def fileById(self, file_id: int, current: Any = None) -> Any:
        store = RawFileService(self.blitz, self.session)
        store.setFileId(file_id, current)
        proxy = self.blitz.switchboard.publish(self.session, store, f"{uuid.uuid4()}omero.api.RawFileStore")
        return omero.api.RawFileStorePrx.uncheckedCast(proxy)


@servant(omero.grid.Repository)
class ScriptRepositoryService(RepositoryService):
    """Where the official scripts are."""

    repository = "scripts"
