"""The moment by which something has to have ended, and a way not to wait longer for what cannot be ended."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from worker.errors import RepositoryUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which several things together must have ended.

    Parameters
    ----------
    timeout_s : float
        The time that they were given, in seconds.
    ends_at_s : float
        The moment, on the monotonic clock, in seconds.
    """

    timeout_s: float
    ends_at_s: float

    @classmethod
    def after(cls, timeout_s: float) -> Deadline:
        """Make one that begins now.

        Parameters
        ----------
        timeout_s : float
            The time from now, in seconds.

        Returns
        -------
        Deadline
            The deadline.
        """
        return cls(timeout_s, time.monotonic() + timeout_s)

    @property
    def left_s(self) -> float:
        """The time that is left, in seconds; never negative."""
        return max(0.0, self.ends_at_s - time.monotonic())


def wait_for(work: Callable[[], T], deadline: Deadline, what: str) -> T:
    """Do something in a thread of its own, and wait for it no longer than the deadline allows.

    A name server, a server that sends a byte every few seconds, and a network drive can hold a call for ever, and
    Python has no way to end it. The thread is left behind then; it keeps no process from ending.

    Parameters
    ----------
    work : Callable[[], T]
        What to do.
    deadline : Deadline
        How long to wait.
    what : str
        What it is, for the message.

    Returns
    -------
    T
        What it returned; what it raises is raised here.

    Raises
    ------
    RepositoryUnreachable
        It has not ended in time.
    """
    outcome: SimpleQueue[T | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put(work())
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread that waits
            outcome.put(error)

    threading.Thread(target=run, daemon=True, name=f"waiting for {what}").start()
    try:
        result = outcome.get(timeout=deadline.left_s)
    except Empty:
        raise RepositoryUnreachable(f"{what} took more than {deadline.timeout_s:g} s.") from None
    if isinstance(result, BaseException):
        raise result
    return result
