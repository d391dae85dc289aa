"""Where the files of a run are on the cluster; the one place that knows remote paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from uuid import UUID

from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

RUN_FOLDER = re.compile(r"biomero_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""What the folder of a run is called."""

_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class RunLayout:
    """Paths of one run.

    ::

        <data_path>/biomero_<uuid>/
            data/in  data/out  data/gt     what the analysis reads and writes
            status/<job>[_<task>].json     exit files, written by the job script itself
            status/manifest                what a job has produced, as it was when it was listed
            job_<task uuid>.sh             job scripts
            job_<task uuid>.body.sh        ... what they run, where that is the site's own script or template
            biomero_job_env_<task uuid>.sh ... their variables, where those are kept apart
            task_<task uuid>/data          what a site's script sees, if it must not write to data/out itself
            omero-<job>.log                logs; omero-<array>_<task>.log for arrays

    Parameters
    ----------
    data_path : PurePosixPath or str
        ``slurm_data_path`` of the settings; a relative one starts at the login's home.
    run_id : UUID
        The run.
    folder : str, optional
        Another folder than ``biomero_<uuid>``: that of an earlier run, or one that a person has named.

    Raises
    ------
    SettingsError
        If the path or the folder could be somebody else's.
    """

    data_path: PurePosixPath
    run_id: UUID
    folder: str

    def __init__(self, data_path: PurePosixPath | str, run_id: UUID | str, folder: str | None = None) -> None:
        text = str(data_path)
        path = PurePosixPath(text.removeprefix("~/"))
        nothing = str(path) in (".", "/", "~")
        if nothing or ".." in path.parts or not text.isprintable() or text.startswith("-"):
            raise SettingsError(
                f"slurm_data_path {text!r} is not a folder for data.",
                remedy="Name one below a home or scratch directory, without '..'.",
            )
        if folder is not None and not _FOLDER.fullmatch(folder):
            raise SettingsError(
                f"{folder!r} cannot be the name of a folder.",
                remedy="Use up to 128 letters, digits, '.', '-' and '_', and begin with a letter or digit.",
            )
        object.__setattr__(self, "data_path", path)
        object.__setattr__(self, "run_id", UUID(str(run_id)))
        object.__setattr__(self, "folder", folder or f"biomero_{self.run_id}")

    @property
    def root(self) -> PurePosixPath:
        """Everything of this run, and nothing else."""
        return self.data_path / self.folder

    @property
    def input(self) -> PurePosixPath:
        """What the analysis reads."""
        return self.root / "data" / "in"

    @property
    def output(self) -> PurePosixPath:
        """What the analysis writes."""
        return self.root / "data" / "out"

    @property
    def ground_truth(self) -> PurePosixPath:
        """What the analysis compares its results with."""
        return self.root / "data" / "gt"

    @property
    def status(self) -> PurePosixPath:
        """Exit files."""
        return self.root / "status"

    @property
    def fence(self) -> PurePosixPath:
        """Number of the latest who has driven the run; see ``scripts/fence.sh``."""
        # The numbers of another run whose folder this is say nothing about ours.
        return self.status / ("fence" if self.folder == f"biomero_{self.run_id}" else f"fence_{self.run_id}")

    def manifest(self, output: PurePosixPath) -> PurePosixPath:
        """Locate the list of what a job has produced.

        Parameters
        ----------
        output : PurePosixPath
            Where the job writes: `output`, or a folder below that.

        Returns
        -------
        PurePosixPath
            Its path.
        """
        return self.status / "-".join(("manifest", *output.relative_to(self.output).parts))

    @property
    def folders(self) -> tuple[PurePosixPath, ...]:
        """The folders that must be there before a job starts."""
        return (self.input, self.output, self.ground_truth, self.status)

    def script(self, task_id: UUID | str) -> PurePosixPath:
        """Locate the job script of a task.

        Parameters
        ----------
        task_id : UUID or str
            The task.

        Returns
        -------
        PurePosixPath
            Its path.
        """
        return self.root / f"job_{UUID(str(task_id))}.sh"

    def body(self, task_id: UUID | str) -> PurePosixPath:
        """Locate the site's own script, as it was when the job was submitted.

        Parameters
        ----------
        task_id : UUID or str
            The task.

        Returns
        -------
        PurePosixPath
            Its path.
        """
        return self.root / f"job_{UUID(str(task_id))}.body.sh"

    def variables(self, task_id: UUID | str) -> PurePosixPath:
        """Locate the variables of a job, where they are kept in a file.

        Parameters
        ----------
        task_id : UUID or str
            The task.

        Returns
        -------
        PurePosixPath
            Its path.
        """
        return self.root / f"biomero_job_env_{UUID(str(task_id))}.sh"

    def log(self, job_id: int, array_task: int | None = None) -> PurePosixPath:
        """Locate the log of a job.

        Parameters
        ----------
        job_id : int
            The job; of an array, the array.
        array_task : int, optional
            The task of an array.

        Returns
        -------
        PurePosixPath
            Its path.
        """
        return self.root / f"omero-{_job(job_id, array_task)}.log"

    def exit_file(self, job_id: int, array_task: int | None = None) -> PurePosixPath:
        """Locate the exit file of a job.

        Parameters
        ----------
        job_id : int
            The job; of an array, the array.
        array_task : int, optional
            The task of an array.

        Returns
        -------
        PurePosixPath
            Its path.
        """
        return self.status / f"{_job(job_id, array_task)}.json"


def log_beside(exit_file: PurePosixPath) -> PurePosixPath:
    """Find the log of a job by its exit file.

    Parameters
    ----------
    exit_file : PurePosixPath
        As `RunLayout.exit_file` gives it.

    Returns
    -------
    PurePosixPath
        As `RunLayout.log` gives it.
    """
    return exit_file.parent.parent / f"omero-{exit_file.stem}.log"


def confined(path: str) -> str:
    """Insist that a path from elsewhere stays below the folder that it is joined to.

    Parameters
    ----------
    path : str
        A relative POSIX path.

    Returns
    -------
    str
        The path, without needless parts such as ``./``.

    Raises
    ------
    ValueError
        If it is absolute, empty, has a part ``..`` or a NUL.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or not pure.parts or ".." in pure.parts or "\0" in path:
        raise ValueError(f"{path!r} is not a path below a folder.")
    return str(pure)


def shown(path: str) -> str:
    r"""Write a path from elsewhere for persons, and for whoever takes nothing but text.

    Parameters
    ----------
    path : str
        A path; bytes of it that are not UTF-8 are surrogates, as `os.fsdecode` makes them.

    Returns
    -------
    str
        The path with whatever cannot be printed as ``\n``, ``\x1b`` or ``\udcff``.
    """
    return path if path.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in path)


def lines_of(paths: Iterable[PurePosixPath]) -> list[str]:
    """Write paths for a script that reads one in each line.

    Parameters
    ----------
    paths : Iterable[PurePosixPath]
        The paths.

    Returns
    -------
    list[str]
        The paths as text.

    Raises
    ------
    ValueError
        If a path contains a new line or a tab.
    """
    lines = [str(path) for path in paths]
    for line in lines:
        if "\n" in line or "\t" in line:
            raise ValueError(f"{line!r} has a new line or a tab in it.")
    return lines


def _job(job_id: int, array_task: int | None) -> str:
    return f"{job_id:d}" if array_task is None else f"{job_id:d}_{array_task:d}"
