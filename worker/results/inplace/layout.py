"""The archive of a job's results on the storage of its group: where everything is in it.

::

    <folder of the group>/.analyzed/<run uuid>/<YYYYMMDD_HHMMSS>/
        <job>_out.zip             all results, where a person wants the zip
        <job>_out/data/out/...    the results
        <job>_out/metadata.csv    where they come from
        <job>_out/ro-crate-metadata.json, descriptor_<analysis>.json    the same for programs
        omero-<job>.log           the job's log
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ARCHIVE: Final = ".analyzed"
"""The hidden folder of a group that holds what analyses have made."""

STAMP: Final = "%Y%m%d_%H%M%S"


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
