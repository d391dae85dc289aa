"""Disks that fill up: a small file system of its own, which only root can mount."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BALLAST = ".ballast"


@contextmanager
def small_disk(folder: Path, *, mode: int = 0o777, size: str = "8m") -> Iterator[Path]:
    """Mount a small file system on a folder while the block runs.

    Parameters
    ----------
    folder : Path
        Where; made if need be. What it contains is hidden meanwhile.
    mode : int
        Who may write.
    size : str
        How small.

    Yields
    ------
    Path
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode={mode:o}", "tmpfs", str(folder)],
        check=True,
        capture_output=True,
    )
    try:
        yield folder
    finally:
        # Lazily: a job of a failed case may still write there.
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave no room on the file system of a folder while the block runs."""
    ballast = folder / BALLAST
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    os.write(file.fileno(), bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    try:
        yield
    finally:
        ballast.unlink()
