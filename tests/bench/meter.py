"""Counts what goes over a transport, and how long it takes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.cluster.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from worker.cluster.transport import Completed, Transport


@dataclass(slots=True)
class MeteredTransport:
    """Counts round trips, bytes and seconds.

    Parameters
    ----------
    inner : Transport
        The real one.
    round_trips : int
        Commands so far.
    bytes_sent, bytes_received : int
        Command lines and standard input; standard output and error.
    seconds : float
        Time spent in them.
    """

    inner: Transport
    round_trips: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0

    def run(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Completed:
        """Run a command and meter it."""
        pieces = list(stdin or ())
        start = time.perf_counter()
        completed = self.inner.run(argv, stdin=pieces or None, timeout_s=timeout_s)
        self.seconds += time.perf_counter() - start
        self.round_trips += 1
        self.bytes_sent += len(quote(argv).encode()) + sum(map(len, pieces))
        self.bytes_received += len(completed.stdout) + len(completed.stderr)
        return completed

    @contextmanager
    def stream(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Run a command; only that it was run is counted."""
        self.round_trips += 1
        with self.inner.stream(argv, stdin=stdin, timeout_s=timeout_s) as pieces:
            yield pieces

    def close(self) -> None:
        """Close the real one."""
        self.inner.close()

    def take(self) -> tuple[int, int, float]:
        """Round trips, bytes both ways and seconds since the last time."""
        taken = (self.round_trips, self.bytes_sent + self.bytes_received, self.seconds)
        self.round_trips = self.bytes_sent = self.bytes_received = 0
        self.seconds = 0.0
        return taken
