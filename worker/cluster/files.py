"""Small files on the cluster, written and read as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster.scripts import script

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from worker.cluster.transport import Transport

_NO_FILE = 66


def put_file(transport: Transport, path: PurePosixPath, data: bytes) -> None:
    """Write a file, whole or not at all; the folders above it are made as well.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    path : PurePosixPath
        The file, which is replaced.
    data : bytes
        What it says.

    Raises
    ------
    ClusterFull
        If there is no space left.
    CommandFailed
        If it cannot be written.
    """
    transport.run(script("put_file", str(path), str(len(data))), stdin=[data]).check()


def read_file(transport: Transport, path: PurePosixPath, most_bytes: int) -> bytes | None:
    """Read a file.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    path : PurePosixPath
        The file.
    most_bytes : int
        How much of it at most.

    Returns
    -------
    bytes or None
        What it says; None if there is no such file.

    Raises
    ------
    CommandFailed
        If it cannot be read.
    """
    answer = transport.run(script("read_script", str(path), str(most_bytes)))
    return None if answer.exit_status == _NO_FILE else answer.check().stdout
