"""What an analysis wrote: its files, checked and sorted by what becomes of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from worker.errors import ResultsError
from worker.results.columns import TABLE_SUFFIXES
from worker.results.readers.opening import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Output:
    """One result file.

    Parameters
    ----------
    path : str
        Its path below the output folder, with ``/``.
    file : Path
        Where it is on this machine.
    sha256 : str
        Digest of its content.
    """

    path: str
    file: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Outputs:
    """All result files, each under one heading, in the order of their paths.

    Parameters
    ----------
    images : tuple of Output
        Image files.
    tables : tuple of Output
        CSV and TSV files.
    others : tuple of Output
        Other files.
    zarr_members : tuple of Output
        Files inside OME-Zarr folders; they go into the zip only.
    """

    images: tuple[Output, ...]
    tables: tuple[Output, ...]
    others: tuple[Output, ...]
    zarr_members: tuple[Output, ...]

    @property
    def all(self) -> tuple[Output, ...]:
        """Every file, by path."""
        return tuple(
            sorted((*self.images, *self.tables, *self.others, *self.zarr_members), key=lambda output: output.path)
        )

    @property
    def sha256(self) -> str:
        """Digest of all paths and contents together."""
        digest = hashlib.sha256()
        for output in self.all:
            digest.update(f"{output.path}\0{output.sha256}\n".encode())
        return digest.hexdigest()


def read_outputs(folder: Path, files: Iterable[str]) -> Outputs:
    """Check and sort result files.

    Parameters
    ----------
    folder : Path
        Where the output of the analysis lies on this machine.
    files : Iterable of str
        Paths of its files below ``folder``.

    Returns
    -------
    Outputs
        The files.

    Raises
    ------
    ResultsError
        If there is no file, or one is missing or lies outside ``folder``.
    """
    root = folder.resolve()
    outputs = []
    for path in sorted(set(files)):
        file = (folder / path).resolve()
        if not file.is_relative_to(root):
            raise ResultsError(f"The result {path!r} lies outside the folder of the results and is not touched.")
        try:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise ResultsError(f"The result {path!r} cannot be read: {error.strerror}.") from error
        outputs.append(Output(path, file, digest))
    if not outputs:
        raise ResultsError(
            "The analysis wrote no results.", remedy="The log of its job, attached in OMERO, may say why."
        )
    headings: dict[str, list[Output]] = {"images": [], "tables": [], "others": [], "zarr_members": []}
    for output in outputs:
        headings[_heading(output.path)].append(output)
    return Outputs(**{name: tuple(found) for name, found in headings.items()})


def _heading(path: str) -> str:
    *folders, name = PurePosixPath(path.lower()).parts
    if any(folder.endswith(".zarr") for folder in folders):
        return "zarr_members"
    if name.endswith(IMAGE_SUFFIXES):
        return "images"
    return "tables" if name.endswith(TABLE_SUFFIXES) else "others"
