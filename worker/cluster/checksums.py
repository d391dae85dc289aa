"""Checksums of files on the cluster, computed there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster.entries import entries, names
from worker.cluster.scripts import script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from worker.cluster.transport import Transport

LARGE_BYTES = 16 * 1024 * 1024
"""From this size on, a program of its own is worth its start."""

SLOWEST_HASH_BYTES_PER_S = 10 * 1024 * 1024
"""How slow the file system of a cluster may be: a single file is hashed in silence."""


def checksums(
    transport: Transport, folder: tuple[str, str], sizes: Mapping[str, int], follow: Callable[[], None]
) -> Iterator[tuple[str, str]]:
    """Compute the checksums of files.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    folder : tuple of str
        The folder, as `worker.cluster.listing.in_folder` says it.
    sizes : mapping of str to int
        The files, by their paths below the folder, and their sizes.
    follow : callable
        Called at least twice a second.

    Yields
    ------
    path : str
        A file.
    sha256 : str
        Its checksum.

    Raises
    ------
    CommandFailed
        If a file cannot be read.
    """
    small = {path: size for path, size in sizes.items() if size < LARGE_BYTES}
    large = {path: size for path, size in sizes.items() if size >= LARGE_BYTES}
    for kind, files in (("small", small), ("large", large)):
        if not files:
            continue
        command = script("list_checksums", *folder, kind)
        for entry in entries(transport, command, follow, [names(files)], hashing_s(sum(files.values()))):
            digest, _, path = entry.partition("  ./")
            yield path, digest


def hashing_s(size_bytes: int) -> float:
    """Say how long the far side may be silent while it hashes.

    Parameters
    ----------
    size_bytes : int
        What it hashes before it says anything.

    Returns
    -------
    float
        Seconds.
    """
    # Checksums come in blocks when the far side's buffer is full: its silence is bounded by all bytes, not by one file.
    return 120.0 + size_bytes / SLOWEST_HASH_BYTES_PER_S
