"""What an analysis wrote: its files and OME-Zarr folders, checked and sorted by what becomes of them."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from worker.errors import ResultsError
from worker.results.columns import TABLE_SUFFIXES
from worker.results.readers.opening import IMAGE_SUFFIXES, ZARR_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Digest:
    """What is known of a file without reading it, because it was verified when it was fetched.

    Parameters
    ----------
    size_bytes : int
        Its size.
    sha256 : str
        Digest of its content.
    """

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Output:
    """One result: a file, or an OME-Zarr folder with all that is in it.

    Parameters
    ----------
    path : str
        Its path below the output folder, with ``/``.
    file : Path
        Where it is on this machine.
    sha256 : str
        Digest of its content; of a folder, of the paths and contents of its members.
    members : tuple of Output
        The files of a folder, by path; none if it is a file.
    """

    path: str
    file: Path
    sha256: str
    members: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class Outputs:
    """All results, each under one heading, in the order of their paths.

    Parameters
    ----------
    images : tuple of Output
        Image files.
    tables : tuple of Output
        CSV, TSV and Parquet files.
    others : tuple of Output
        Other files.
    zarrs : tuple of Output
        OME-Zarr folders.
    """

    images: tuple[Output, ...] = ()
    tables: tuple[Output, ...] = ()
    others: tuple[Output, ...] = ()
    zarrs: tuple[Output, ...] = ()

    @property
    def pictures(self) -> tuple[Output, ...]:
        """Everything that has images in it: image files and OME-Zarr folders, by path."""
        return _by_path((*self.images, *self.zarrs))

    @property
    def all(self) -> tuple[Output, ...]:
        """Every file, by path."""
        members = (member for zarr in self.zarrs for member in zarr.members)
        return _by_path((*self.images, *self.tables, *self.others, *members))

    @property
    def sha256(self) -> str:
        """Digest of all paths and contents together."""
        return _digest(self.all)


def read_outputs(folder: Path, files: Iterable[str], known: Mapping[str, Digest] | None = None) -> Outputs:
    """Check and sort result files.

    Parameters
    ----------
    folder : Path
        Where the output of the analysis lies on this machine.
    files : Iterable of str
        Paths of its files below ``folder``.
    known : Mapping, optional
        Digests of files, by path, that nobody can have written to since they were verified. A file is read only if its
        own is missing; its size is always looked at, for a machine that lost power may have lost the end of a file.

    Returns
    -------
    Outputs
        The results.

    Raises
    ------
    ResultsError
        If there is no file; or one is missing, lies outside of ``folder``, is no plain file (a link, a device, a pipe:
        they are not opened), or has another size than it had.
    """
    reader = _Reader(folder, known or {})
    found = [reader.read(path) for path in sorted(set(files))]
    if not found:
        raise ResultsError(
            "The analysis wrote no results.", remedy="The log of its job, attached in OMERO, may say why."
        )
    headings: dict[str, list[Output]] = {"images": [], "tables": [], "others": []}
    zarrs: dict[str, list[Output]] = {}
    for output in found:
        zarr = _zarr_folder(output.path)
        if zarr:
            zarrs.setdefault(zarr, []).append(output)
        else:
            headings[_heading(output.path)].append(output)
    return Outputs(
        **{name: _legible(outputs) for name, outputs in headings.items()},
        zarrs=_by_path(
            _legible(
                [Output(path, folder / path, _digest(members), _legible(members)) for path, members in zarrs.items()]
            )
        ),
    )


class _Reader:
    """Looks at files below one folder, at each folder on the way to them once."""

    def __init__(self, folder: Path, known: Mapping[str, Digest]) -> None:
        self._folder = folder
        self._known = known
        self._folders = {PurePosixPath(), PurePosixPath(".")}

    def read(self, path: str) -> Output:
        place = PurePosixPath(path)
        if place.is_absolute() or ".." in place.parts or "\0" in path or not place.parts:
            raise _outside(path)
        file = self._folder / place
        try:
            self._walk(path, place.parent)
            status = file.lstat()
            if not stat.S_ISREG(status.st_mode):
                raise _outside(path)
            known = self._known.get(path)
            if known is None:
                return Output(path, file, _sha256(file))
        except OSError as error:
            raise ResultsError(f"The result {path!r} cannot be read: {error.strerror}.") from error
        if status.st_size != known.size_bytes:
            raise ResultsError(
                f"The result {path!r} is damaged on this machine: it has {status.st_size} bytes, and was fetched with"
                f" {known.size_bytes}.",
                remedy="Have it fetched again: omero-worker runs retry.",
            )
        return Output(path, file, known.sha256)

    def _walk(self, path: str, folder: PurePosixPath) -> None:
        """Make sure that no folder on the way is a link to somewhere else."""
        if folder in self._folders:
            return
        self._walk(path, folder.parent)
        if not stat.S_ISDIR((self._folder / folder).lstat().st_mode):
            raise _outside(path)
        self._folders.add(folder)


def _outside(path: str) -> ResultsError:
    return ResultsError(f"The result {path!r} is no file in the folder of the results, and is not touched.")


def _sha256(file: Path) -> str:
    # Should it have become a link or a pipe since it was looked at, it is not followed, and nobody waits for it.
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest(outputs: Iterable[Output]) -> str:
    digest = hashlib.sha256()
    for output in outputs:
        digest.update(f"{output.path}\0{output.sha256}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _legible(outputs: Sequence[Output]) -> tuple[Output, ...]:
    """Write bytes of names that are not UTF-8 out: such names can neither be sent to OMERO nor shown to anybody."""
    return tuple(
        replace(output, path=output.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
        for output in outputs
    )


def _by_path(outputs: Iterable[Output]) -> tuple[Output, ...]:
    return tuple(sorted(outputs, key=lambda output: output.path))


def _zarr_folder(path: str) -> str:
    """Give the outermost OME-Zarr folder that a file lies in; empty if it lies in none."""
    folders = PurePosixPath(path).parts[:-1]
    ends = (index for index, folder in enumerate(folders, start=1) if folder.lower().endswith(ZARR_SUFFIX))
    return "/".join(folders[: next(ends, 0)])


def _heading(path: str) -> str:
    name = path.lower()
    if name.endswith(IMAGE_SUFFIXES):
        return "images"
    return "tables" if name.endswith(TABLE_SUFFIXES) else "others"
