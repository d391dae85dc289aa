"""Ends what has been silent for too long.

Several calls of paramiko wait without a limit: for the answer to a request, or for a full socket. Where the far side
hangs they would wait for ever, so that somebody else must close the connection under them.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Watchdog:
    """Calls a function once when nobody has said `alive` for too long; used in a ``with``.

    Parameters
    ----------
    limit_s : float
        Longest silence.
    bark : callable
        What to do then; called from another thread.
    """

    def __init__(self, limit_s: float, bark: Callable[[], object]) -> None:
        self.limit_s = limit_s
        self.expired = False
        """Whether it has come to that."""
        self._bark = bark
        self._stop = threading.Event()
        self._deadline = time.monotonic() + limit_s
        self._asleep = False
        self._thread = threading.Thread(target=self._watch, name="cluster-watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def alive(self) -> None:
        """Begin to wait anew."""
        self._deadline = time.monotonic() + self.limit_s

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """Do not count the time in which it is us who are slow.

        Yields
        ------
        None
            Nothing.
        """
        since = time.monotonic()
        self._asleep = True
        try:
            yield
        finally:
            self._deadline += time.monotonic() - since
            self._asleep = False

    def _watch(self) -> None:
        wait_s = self.limit_s
        while not self._stop.wait(wait_s):
            wait_s = self._deadline - time.monotonic()
            if self._asleep:
                wait_s = max(wait_s, self.limit_s / 4)
            elif wait_s <= 0:
                self.expired = True
                self._bark()
                return
