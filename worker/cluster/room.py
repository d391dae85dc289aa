"""What the disk of this worker can take of what lies on the cluster: which names, and how much."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from worker.errors import LocalDiskError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATH_BYTES = 4096
"""Longest path that Linux takes (PATH_MAX of limits.h), with the NUL at its end."""

MOST_FOLDERS = 200
"""How deep a result may lie. Python's own functions for trees call themselves for each folder."""


def unfit(destination: Path) -> Callable[[str], str]:
    """Tell which names the disk below a folder cannot hold.

    Parameters
    ----------
    destination : Path
        The local folder, which is there.

    Returns
    -------
    callable
        Says of a path, relative to the folder, what is wrong with it; empty if nothing is.

    Raises
    ------
    LocalDiskError
        If the folder cannot be used.
    """
    try:
        name_bytes = os.pathconf(destination, "PC_NAME_MAX")
    except OSError as error:
        raise LocalDiskError(destination, error) from error
    room_bytes = PATH_BYTES - len(os.fsencode(destination)) - 2

    def why(path: str) -> str:
        encoded = os.fsencode(path)
        parts = encoded.split(b"/")
        if len(encoded) > room_bytes or any(len(part) > name_bytes for part in parts):
            return "a file whose name is too long for the disk of this worker"
        if len(parts) > MOST_FOLDERS:
            return f"a file in more than {MOST_FOLDERS} folders, one in the other"
        return ""

    return why


def unfit_there(path: str) -> str:
    """Say what is wrong with a path for the programs of a cluster themselves, which open it from the folder on."""
    return "a file whose name is too long" if len(os.fsencode(path)) > PATH_BYTES - len("./") - 1 else ""


def lying_in(destination: Path) -> tuple[int, int]:
    """Count what an earlier attempt has brought.

    Parameters
    ----------
    destination : Path
        The local folder; what has not got its name yet lies in one beside it.

    Returns
    -------
    tuple of int
        Bytes, and files.

    Raises
    ------
    LocalDiskError
        If the folder cannot be read.
    """
    try:
        sizes = [
            os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - a Path for each of a million takes seconds
            for folder in (destination, parts_of(destination))
            for place, _, names in os.walk(folder)
            for name in names
        ]
    except OSError as error:
        raise LocalDiskError(destination, error) from error
    return sum(sizes), len(sizes)


def parts_of(destination: Path) -> Path:
    """Locate the folder in which files are until they are verified: on the same disk, as they are moved then."""
    return destination.with_name(f"{destination.name}.parts")


def check_room(destination: Path, size_bytes: int, files: int) -> None:
    """Make sure that everything fits, before the first byte comes.

    Parameters
    ----------
    destination : Path
        The local folder, which is there.
    size_bytes : int
        How much is to come.
    files : int
        As how many files.

    Raises
    ------
    LocalDiskError
        If it does not fit.
    """
    try:
        disk = os.statvfs(destination)
    except OSError as error:
        raise LocalDiskError(destination, error) from error
    free = disk.f_bavail * disk.f_frsize
    why = ""
    if size_bytes > free:
        why = f"the results need {size_bytes / 2**20:,.0f} MiB more, and {free / 2**20:,.0f} MiB are free"
    elif disk.f_files and files > disk.f_favail:
        why = f"the results are {files:,} files, and there is room for {disk.f_favail:,}"
    if why:
        raise LocalDiskError(destination, OSError(errno.ENOSPC, why))
