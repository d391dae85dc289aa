"""Official scripts: files in directories, which are looked through again and again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import omero

from tests.lab.omero.files import sha1_of
from tests.lab.omero.security.people import ROOT_USER, USER_GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.model.store import Store

log = logging.getLogger("omero.standin")

MIMETYPE = "text/x-python"


class ScriptFiles:
    """The scripts that everybody sees.

    Parameters
    ----------
    store : Store
        Where each is an OriginalFile.
    own : Path
        The directory of this server, into which official scripts are uploaded.
    mounted : mapping
        Further directories by the path under which they appear, such as ``biomero``.
    """

    def __init__(self, store: Store, own: Path, mounted: Mapping[str, Path]) -> None:
        self._store = store
        self.own = own
        self._mounted = dict(mounted)

    def rows(self) -> list[Row]:
        """Return the official scripts as they were at the last look."""
        return [row for row in self._store.all("OriginalFile") if is_official(row)]

    def look(self) -> None:
        """Look through the directories; a script that has changed gets a new id, as in OMERO."""
        found = self._found()
        known = {path_in_repository(row): row for row in self.rows()}
        gone = [row for path, row in known.items() if path not in found or row["hash"] != sha1_of(found[path])]
        new = [path for path in found if path not in known or known[path] in gone]
        if not gone and not new:
            return
        with self._store.transaction():
            for row in gone:
                self.retire(row)
            for path in new:
                self.register(path, found[path])

    def _found(self) -> dict[str, Path]:
        found = {}
        for prefix, directory in [("", self.own), *self._mounted.items()]:
            for file in sorted(directory.rglob("*.py")):
                relative = file.relative_to(directory)
                hidden = any(part.startswith((".", "__pycache__")) for part in relative.parts)
                if not hidden and file.is_file() and file.stat().st_size:
                    found["/".join(["", *([prefix] if prefix else []), *relative.parts])] = file
        return found

    def register(self, path: str, file: Path) -> Row:
        """Make an official script of a file; *path* is where it appears, such as ``/biomero/Run.py``."""
        store, (directory, _, name) = self._store, path.rpartition("/")
        who = (store.get("Experimenter", ROOT_USER), store.get("ExperimenterGroup", USER_GROUP), store.get("Event", 1))
        row = store.new("OriginalFile", *who, name=name, path=f"{directory}/", mimetype=MIMETYPE)
        store.set_extra(row, official=True, place=str(file))
        self.measure(row, file)
        return row

    def check_own(self, row: Row) -> None:
        """Raise an ApiUsageException for a script of a mounted directory: that is somebody's working tree."""
        place = row.extra.get("place")
        if place is not None and not Path(place).is_relative_to(self.own):
            raise omero.ApiUsageException("", "", f"{path_in_repository(row)} is served from a directory of others")

    def measure(self, row: Row, file: Path) -> None:
        """Note size and hash of a script."""
        hasher = self._store.enumerated("ChecksumAlgorithm", "SHA1-160")
        self._store.set(row, size=file.stat().st_size, hash=sha1_of(file), hasher=hasher)

    def retire(self, row: Row) -> None:
        """Make no script of a file whose text is gone or different now."""
        if self._store.referrers(row):
            # Jobs keep what they ran; it is no script any more.
            self._store.set_extra(row, official=False)
            self._store.set(row, mimetype="text/plain")
        else:
            self._store.delete(row)


def is_official(row: Row) -> bool:
    """Whether a file is a script that everybody sees."""
    return bool(row.extra.get("official"))


def is_script(row: Row) -> bool:
    """Whether a file is a script."""
    return bool(row["mimetype"] == MIMETYPE)


def path_in_repository(row: Row) -> str:
    """Return path and name of a script, beginning with a slash."""
    return f"{row['path']}{row['name']}"
