"""Lists from and for our scripts, with a NUL after each entry: no name of a file has one in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster.layout import shown
from worker.errors import TransferDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from worker.cluster.transport import Transport

_ENTRY_BYTES = 1024 * 1024
"""Longer than any entry of a list."""


def entries(
    transport: Transport,
    command: list[str],
    follow: Callable[[], None],
    stdin: Iterable[bytes] | None = None,
    timeout_s: float | None = None,
) -> Iterator[str]:
    """Read what a command says, an entry up to each NUL.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    command : list of str
        The command.
    follow : callable
        Called at least twice a second.
    stdin : iterable of bytes, optional
        The command's standard input.
    timeout_s : float, optional
        For how long it may be silent.

    Yields
    ------
    str
        The entries.
    """
    rest = b""
    with transport.stream(command, stdin=stdin, timeout_s=timeout_s) as pieces:
        for piece in pieces:
            *whole, rest = (rest + piece).split(b"\0")
            if len(rest) > _ENTRY_BYTES:
                raise TransferDamaged(f"The cluster sent no list: {shown(rest[:80].decode('utf-8', 'replace'))}.")
            for entry in whole:
                yield entry.decode("utf-8", "surrogateescape")
            follow()


def names(paths: Iterable[str]) -> bytes:
    """Write names for a script that reads them with a NUL after each."""
    return "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
