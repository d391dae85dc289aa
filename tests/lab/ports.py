"""The ports of a lab: one block of 60, in which every port has its fixed place."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BLOCK_SIZE = 60
"""Ports in a block."""

FIRST_BLOCK = 22000
"""Where the search for a free block begins."""

LAST_PORT = 32767
"""The kernel hands out the ports above this one to clients."""

OFFSETS: Mapping[str, int] = MappingProxyType(
    {
        "slurmctld": 1,
        "slurmdbd": 2,
        "mariadb": 3,
        "postgres": 4,
        "slurmd1": 11,
        "slurmd2": 12,
        "slurmd3": 13,
        "sshd": 22,
        "sshd_strange": 23,
        "omero": 34,
        "omero_insecure": 35,
        "grid": 36,
        "web": 40,
    }
)
"""Place of each port in its block."""


class NoFreeBlock(RuntimeError):
    """Every block of ports has a port that somebody listens on."""


@dataclass(frozen=True, slots=True)
class PortBlock:
    """A block of ports.

    Parameters
    ----------
    start : int
        First port of the block.
    """

    start: int

    def __getitem__(self, name: str) -> int:
        return self.start + OFFSETS[name]

    @classmethod
    def of(cls, ports: Mapping[str, int]) -> PortBlock:
        """Return the block that named ports are part of."""
        name, port = next(iter(ports.items()))
        return cls(port - OFFSETS[name])

    def as_mapping(self) -> dict[str, int]:
        """Return every port by its name."""
        return {name: self[name] for name in OFFSETS}

    def is_free(self, free: Callable[[int], bool]) -> bool:
        """Whether nobody listens on any named port, as far as *free* can tell."""
        return all(free(self[name]) for name in OFFSETS)


def can_listen(port: int) -> bool:
    """Whether a server could listen on a TCP port of the loopback address now."""
    with socket.socket() as listener:
        # Connections of a stopped lab that are still in TIME_WAIT do not matter: our daemons set this too.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether a server on the loopback address accepts connections on a TCP port."""
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0


def find_block(preferred: PortBlock | None = None, *, free: Callable[[int], bool] = can_listen) -> PortBlock:
    """Find a block of which every named port is free.

    Parameters
    ----------
    preferred : PortBlock, optional
        The block that was used last time; taken again if it is free.
    free : callable
        Says whether one port is free.

    Returns
    -------
    PortBlock
        The first free block.

    Raises
    ------
    NoFreeBlock
        If there is none.
    """
    blocks = [PortBlock(start) for start in range(FIRST_BLOCK, LAST_PORT - BLOCK_SIZE, BLOCK_SIZE)]
    for block in [preferred, *blocks] if preferred else blocks:
        if block.is_free(free):
            return block
    raise NoFreeBlock(f"no block of {BLOCK_SIZE} free ports between {FIRST_BLOCK} and {LAST_PORT}")
