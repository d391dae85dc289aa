"""Transports that fail or count; each wraps a real one.

A command is named after its script (``submit``, ``query``, ``unpack``) or, if it is none, after its program.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.errors import HostUnreachable, OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from worker.cluster.transport import Completed, Transport
    from worker.errors import TransportError

SCRIPT_PREFIX = "omero-worker-"


def name_of(argv: Sequence[str]) -> str:
    """Name a command: its script, or its program."""
    if len(argv) > 3 and argv[:2] == ["sh", "-c"] and argv[3].startswith(SCRIPT_PREFIX):
        return argv[3].removeprefix(SCRIPT_PREFIX)
    return argv[0]


@dataclass(slots=True)
class Fault:
    """Something that goes wrong some times, and then no more.

    Parameters
    ----------
    command : str
        Name of the command that it meets; empty for any.
    error : TransportError
        What is raised.
    takes_effect : bool
        Whether the command runs all the same, and only its reply is lost.
    times : int
        How often it happens.
    skip : int
        How many such commands go well before.
    """

    command: str
    error: TransportError
    takes_effect: bool
    times: int = 1
    skip: int = 0

    def happens(self, argv: Sequence[str]) -> bool:
        """Whether it happens to this command; counts."""
        if self.times == 0 or self.command not in ("", name_of(argv)):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class FaultyTransport:
    """Loses requests and replies.

    Parameters
    ----------
    inner : Transport
        The real one.
    """

    def __init__(self, inner: Transport) -> None:
        self.faults: list[Fault] = []
        self._inner = inner
        self._lock = threading.Lock()

    def lose_request(self, command: str = "", *, times: int = 1, skip: int = 0) -> None:
        """Let a command fail before it is sent: it has no effect, and we know that."""
        error = HostUnreachable("The network is down (a fault of the test).")
        self.faults.append(Fault(command, error, takes_effect=False, times=times, skip=skip))

    def lose_reply(self, command: str = "", *, times: int = 1, skip: int = 0) -> None:
        """Let a command run, but tell nobody."""
        error = OutcomeUnknown("The reply was lost (a fault of the test).")
        self.faults.append(Fault(command, error, takes_effect=True, times=times, skip=skip))

    def lose_both(self, command: str = "", *, times: int = 1, skip: int = 0) -> None:
        """Let a command not run, but so that nobody can tell."""
        error = OutcomeUnknown("The connection was lost (a fault of the test).")
        self.faults.append(Fault(command, error, takes_effect=False, times=times, skip=skip))

    def run(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Completed:
        """Run a command, if nothing goes wrong."""
        fault = self._fault(argv)
        if fault is None:
            return self._inner.run(argv, stdin=stdin, timeout_s=timeout_s)
        if fault.takes_effect:
            self._inner.run(argv, stdin=stdin, timeout_s=timeout_s)
        raise fault.error

    @contextmanager
    def stream(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Run a command; if something goes wrong, its output ends in the middle of the first piece."""
        fault = self._fault(argv)
        if fault is not None and not fault.takes_effect:
            raise fault.error
        with self._inner.stream(argv, stdin=stdin, timeout_s=timeout_s) as pieces:
            yield pieces if fault is None else self._cut(pieces, fault)

    def close(self) -> None:
        """Close the real one."""
        self._inner.close()

    def _fault(self, argv: Sequence[str]) -> Fault | None:
        with self._lock:
            return next((fault for fault in self.faults if fault.happens(argv)), None)

    @staticmethod
    def _cut(pieces: Iterator[bytes], fault: Fault) -> Iterator[bytes]:
        first = next((piece for piece in pieces if piece), b"")
        yield first[: len(first) // 2]
        raise fault.error


@dataclass
class CountingTransport:
    """Counts commands, to show how many round trips something takes.

    Parameters
    ----------
    inner : Transport
        The real one.
    commands : Counter
        How often each command was run, by name.
    """

    inner: Transport
    commands: Counter[str] = field(default_factory=Counter)

    def run(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Completed:
        """Run a command and count it."""
        self.commands[name_of(argv)] += 1
        return self.inner.run(argv, stdin=stdin, timeout_s=timeout_s)

    def stream(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Run a command and count it."""
        self.commands[name_of(argv)] += 1
        return self.inner.stream(argv, stdin=stdin, timeout_s=timeout_s)

    def close(self) -> None:
        """Close the real one."""
        self.inner.close()
