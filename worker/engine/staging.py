"""The local directory in which results of a run wait between being fetched and being imported."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from worker.errors import LocalDiskError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID


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
