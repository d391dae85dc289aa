"""A network that can be broken: a TCP proxy between an engine and a server."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Literal

CHUNK = 65536
RESET = struct.pack("ii", 1, 0)
"""Value of SO_LINGER with which closing sends RST."""

Direction = Literal["up", "down"]


@dataclass(eq=False, slots=True)
class _Pair:
    """A connection of a client, and ours to the server."""

    client: socket.socket
    server: socket.socket
    deaf: bool = False
    """Whether its bytes get lost from now on, for good: the ends do not learn of it."""
    passed: dict[Direction, int] = field(default_factory=lambda: {"up": 0, "down": 0})


class Proxy:
    """Listens on a port of its own and passes on what comes, until told otherwise.

    Parameters
    ----------
    port : int
        Where the server listens, on the loopback address.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        """Where new connections are led."""
        self.struck = 0
        """How many connections have been broken."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._pairs: dict[socket.socket, _Pair] = {}
        self._lock = threading.RLock()
        self._refusing = False
        self._stalled = False
        self._limit: tuple[Direction, int] | None = None
        self._closed = False
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()

    def cut(self, *, refuse: bool = False) -> None:
        """Reset every connection; refuse new ones until `heal` if so wished."""
        with self._lock:
            self._refusing = refuse
            for pair in set(self._pairs.values()):
                self._reset(pair)

    def stall(self) -> None:
        """Lose every byte from now on; the present connections are dead for good, and nobody is told."""
        with self._lock:
            self._stalled = True
            for pair in set(self._pairs.values()):
                pair.deaf = True
                self.struck += 1

    def cut_after(self, direction: Direction, size_bytes: int) -> None:
        """Reset the first connection that has passed so many bytes from now on, in the middle of what it passes."""
        with self._lock:
            self._limit = (direction, size_bytes)
            for pair in self._pairs.values():
                pair.passed = {"up": 0, "down": 0}

    def lead_to(self, port: int) -> None:
        """Lead connections to another server, and end those to the present one."""
        with self._lock:
            self.target = port
        self.cut()

    def heal(self) -> None:
        """Let new connections pass again."""
        with self._lock:
            self._refusing = self._stalled = False
            self._limit = None

    def close(self) -> None:
        """End everything."""
        with self._lock:
            self._closed = True
        # Wakes the thread.
        with socket.socket() as waker:
            waker.connect_ex(("127.0.0.1", self.port))
        self._thread.join(5)
        for pair in set(self._pairs.values()):
            pair.client.close()
            pair.server.close()
        self._listener.close()
        self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                with self._lock:
                    if self._closed:
                        return
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._pairs:
                        self._pass(key.fileobj, self._pairs[key.fileobj])

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._refusing:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.close()
            self.struck += 1
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
        except OSError:
            client.close()
            return
        pair = _Pair(client, server, deaf=self._stalled)
        self.struck += self._stalled
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._pairs[end] = pair
            self._selector.register(end, selectors.EVENT_READ)

    def _pass(self, end: socket.socket, pair: _Pair) -> None:
        direction: Direction = "up" if end is pair.client else "down"
        other = pair.server if direction == "up" else pair.client
        try:
            data = end.recv(CHUNK)
        except OSError:
            data = b""
        if pair.deaf:
            if not data:
                self._leave(end)  # the other end is not told
            return
        if not data:
            self._drop(pair)
            return
        left = len(data)
        if self._limit is not None and self._limit[0] == direction:
            left = self._limit[1] - pair.passed[direction]
        pair.passed[direction] += len(data)
        try:
            other.sendall(data[:left])
        except OSError:
            self._drop(pair)
            return
        if left < len(data):
            self._limit = None
            # What was passed on must arrive: only the end that has sent too much is reset.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.struck += 1
            self._drop(pair)

    def _reset(self, pair: _Pair) -> None:
        for end in (pair.client, pair.server):
            if end in self._pairs:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.struck += 1
        self._drop(pair)

    def _drop(self, pair: _Pair) -> None:
        self._leave(pair.client)
        self._leave(pair.server)

    def _leave(self, end: socket.socket) -> None:
        if self._pairs.pop(end, None) is not None:
            self._selector.unregister(end)
            end.close()
