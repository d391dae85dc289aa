"""The local directory in which results of a run wait between being fetched and being imported."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import UUID

from worker.errors import LocalDiskError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def folder_of(state_dir: Path, run_id: UUID) -> Path:
    """Locate the directory of a run.

    Parameters
    ----------
    state_dir : Path
        Where this process keeps its state.
    run_id : UUID
        The run.

    Returns
    -------
    Path
        Its directory, private to it.
    """
    return state_dir / "runs" / str(run_id)


def runs_in(state_dir: Path) -> list[UUID]:
    """List the runs that have a directory.

    Parameters
    ----------
    state_dir : Path
        Where this process keeps its state.

    Returns
    -------
    list of UUID
        The runs.

    Raises
    ------
    LocalDiskError
        If the directory cannot be read.
    """
    folder = state_dir / "runs"
    with local_disk(folder):
        names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    found = []
    for name in names:
        with suppress(ValueError):
            found.append(UUID(name))
    return found


@contextmanager
def local_disk(path: Path) -> Iterator[None]:
    """Say whose disk it is when the operating system refuses something in the block.

    Parameters
    ----------
    path : Path
        The directory that is used.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    LocalDiskError
        If the directory cannot be used.
    """
    try:
        yield
    except OSError as error:
        raise LocalDiskError(path, error) from error


def size_bytes(path: Path) -> int:
    """Add up the sizes of all files in a directory; nothing where there is none.

    Parameters
    ----------
    path : Path
        The directory.

    Returns
    -------
    int
        How large they are together.

    Raises
    ------
    LocalDiskError
        If it cannot be read.
    """
    with local_disk(path):
        return sum(file.lstat().st_size for file in path.rglob("*"))


def remove(path: Path) -> None:
    """Remove a directory with everything in it; if it is gone already, that is fine.

    Parameters
    ----------
    path : Path
        The directory.

    Raises
    ------
    LocalDiskError
        If it cannot be removed.
    """
    with local_disk(path):
        if path.exists():
            shutil.rmtree(path)
