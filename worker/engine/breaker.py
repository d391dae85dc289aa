"""Leaves alone what does not answer: circuit breakers for the cluster and for OMERO.

After some failures in a row the circuit opens: nobody asks any more, whoever wants to gets `CircuitOpen` at once.
After a pause one caller may try. If that goes well, the circuit closes; else the next pause is twice as long.

::

    closed ──── so many failures in a row ───> open <───────┐
      ^                                          │          │ it fails
      │                                 the pause is over   │
      └────────── it goes well ───────────── half-open ─────┘   one caller tries, all others are turned away
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from worker.errors import (
    CircuitOpen,
    ConnectionLost,
    ConnectionsBusy,
    NotPermitted,
    NotSent,
    OmeroError,
    OmeroUnavailable,
    Refused,
    SessionEnded,
    WorkerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from worker.cluster.transport import Completed, Transport
    from worker.engine.context import OmeroAccess

PROBE_LIMIT_S = 120.0
"""After so long without an outcome of its try, a caller is not waited for: another one may try."""

PROBE_SILENCE_S = 20.0
"""How long the command that tries the cluster may be silent."""


class Circuit(StrEnum):
    """State of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class CircuitState:
    """What is known of a circuit."""

    name: str
    """``cluster`` or ``OMERO``."""
    state: Circuit
    since: datetime
    """Closed: when it was closed. Otherwise: the first of the failures."""
    retry_at: datetime | None
    """When a caller may try again; None if it is closed."""
    problem: str
    """Why the last try failed."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What errors say about a resource. Errors of neither kind say nothing."""

    failures: tuple[type[WorkerError], ...]
    """It does not answer."""
    answers: tuple[type[WorkerError], ...]
    """It has answered, if only to say no."""
    silent: tuple[type[WorkerError], ...] = ()
    """Of the failures, those that say nothing about it after all."""


CLUSTER = Verdicts((NotSent, ConnectionLost), (Refused,), (ConnectionsBusy,))
OMERO = Verdicts((OmeroUnavailable,), (OmeroError, NotPermitted), (SessionEnded,))


class Breaker:
    """A circuit breaker for one resource, shared by all threads of a process.

    Parameters
    ----------
    name : str
        The resource, as persons call it.
    verdicts : Verdicts
        What errors say about it.
    threshold : int
        Failures in a row that open the circuit.
    first_pause_s, max_pause_s : float
        Pause after it has opened, which doubles each time a try fails, and the longest pause. Each is shortened at
        random, to no less than half, so that several processes do not try at the same moment.
    clock : callable
        Monotonic time in seconds.
    now : callable
        The time of day, with time zone; only shown to persons.
    spread : callable
        Gives numbers in [0, 1).
    on_change : callable
        Is told of each new state, one after the other, by the thread that has brought it about.
    """

    def __init__(
        self,
        name: str,
        verdicts: Verdicts = CLUSTER,
        *,
        threshold: int = 3,
        first_pause_s: float = 5.0,
        max_pause_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        spread: Callable[[], float] = random.random,
        on_change: Callable[[CircuitState], object] = lambda _: None,
    ) -> None:
        self.name = name
        self._verdicts = verdicts
        self._threshold = threshold
        self._first_pause_s = first_pause_s
        self._max_pause_s = max_pause_s
        self._clock = clock
        self._now = now
        self._spread = spread
        self._on_change = on_change
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._circuit = Circuit.CLOSED
        self._since = now()
        self._problem = ""
        self._failures = 0
        self._openings = 0
        """How often it was opened since it was last closed."""
        self._epoch = 0
        """Counts states; what was begun in an earlier one says nothing of this."""
        self._retry_at = 0.0
        self._told_epoch = 0
        self._first_failure = self._since

    @property
    def state(self) -> CircuitState:
        """The present state."""
        with self._lock:
            return self._state()

    @contextmanager
    def guarded(self, *, harmless: bool = False) -> Iterator[None]:
        """Ask the resource in the block, or do not.

        Parameters
        ----------
        harmless : bool
            Whether the block has no effect. While the circuit is not closed, it does nothing but try then, and its
            failure is nobody's failed attempt: it is told as `CircuitOpen`.

        Yields
        ------
        None
            Nothing.

        Raises
        ------
        CircuitOpen
            If the resource is to be left alone, and the block was not run; or if it was a try that failed.
        """
        epoch, trying = self._admit()
        try:
            yield
        except self._verdicts.silent:
            self._judge(epoch, None)
            raise
        except self._verdicts.failures as error:
            self._judge(epoch, False, error.message)
            if trying and harmless:
                state = self.state
                raise CircuitOpen(self.name, state.since, state.retry_at or state.since, error.message) from error
            raise
        except self._verdicts.answers:
            self._judge(epoch, True)
            raise
        except BaseException:
            self._judge(epoch, None)
            raise
        self._judge(epoch, True)

    def _admit(self) -> tuple[int, bool]:
        """Let a caller in, or turn it away; return the epoch in which it was let in, and whether it is to try."""
        with self._lock:
            trying = self._circuit is not Circuit.CLOSED
            if trying:
                if self._clock() < self._retry_at:
                    state = self._state()
                    raise CircuitOpen(self.name, state.since, state.retry_at or state.since, self._problem)
                # This caller tries; whoever comes before it is back is turned away.
                self._circuit = Circuit.HALF_OPEN
                self._retry_at = self._clock() + PROBE_LIMIT_S
                self._epoch += 1
            epoch = self._epoch
        self._tell()
        return epoch, trying

    def _judge(self, epoch: int, answered: bool | None, problem: str = "") -> None:
        """Take in what came of it; None: nothing is known."""
        with self._lock:
            if epoch != self._epoch:
                return
            if answered:
                self._failures = 0
                if self._circuit is not Circuit.CLOSED:
                    self._enter(Circuit.CLOSED)
                    self._since, self._openings, self._problem = self._now(), 0, ""
            elif answered is None:
                if self._circuit is Circuit.HALF_OPEN:
                    self._enter(Circuit.OPEN)
                    self._retry_at = self._clock()
            else:
                self._fail(problem)
        self._tell()

    def _fail(self, problem: str) -> None:
        """Count a failure. The caller holds the lock."""
        self._problem = problem
        self._failures += 1
        if self._circuit is Circuit.CLOSED:
            if self._failures == 1:
                self._first_failure = self._now()
            if self._failures < self._threshold:
                return
            self._since = self._first_failure
        pause_s = min(self._first_pause_s * 2.0 ** min(self._openings, 60), self._max_pause_s)
        self._openings += 1
        self._enter(Circuit.OPEN)
        self._retry_at = self._clock() + pause_s * (0.5 + 0.5 * self._spread())

    def _enter(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._epoch += 1

    def _state(self) -> CircuitState:
        """Give the state. The caller holds the lock."""
        closed = self._circuit is Circuit.CLOSED
        left_s = max(0.0, self._retry_at - self._clock())
        retry_at = None if closed else self._now() + timedelta(seconds=left_s)
        return CircuitState(self.name, self._circuit, self._since, retry_at, "" if closed else self._problem)

    def _tell(self) -> None:
        """Tell of the present state, if it is another than was told last."""
        with self._lock:
            if self._epoch == self._told_epoch:
                return
        with self._telling:  # in order, and outside of the lock that every caller needs
            with self._lock:
                epoch, state = self._epoch, self._state()
            if epoch != self._told_epoch:
                self._told_epoch = epoch
                self._on_change(state)


class GuardedTransport:
    """A transport that leaves the cluster alone while its circuit is open.

    Parameters
    ----------
    inner : Transport
        The way to the cluster.
    breaker : Breaker
        Its circuit.
    """

    def __init__(self, inner: Transport, breaker: Breaker) -> None:
        self._inner = inner
        self._breaker = breaker

    def run(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Completed:
        """Run a program to its end; see `worker.cluster.transport.Transport.run`."""
        with self._guarded():
            return self._inner.run(argv, stdin=stdin, timeout_s=timeout_s)

    @contextmanager
    def stream(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Run a program and read what it writes; see `worker.cluster.transport.Transport.stream`."""
        with self._guarded(), self._inner.stream(argv, stdin=stdin, timeout_s=timeout_s) as pieces:
            yield pieces

    def close(self) -> None:
        """End all connections; see `worker.cluster.transport.Transport.close`."""
        self._inner.close()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if self._breaker.state.state is not Circuit.CLOSED:
            # Tried with a command that takes no time and has no effect: a transfer of hours would keep all others
            # waiting for its outcome.
            with self._breaker.guarded(harmless=True):
                self._inner.run(["true"], timeout_s=PROBE_SILENCE_S)
        with self._breaker.guarded():
            yield


class GuardedOmero:
    """Opens OMERO, or leaves it alone while its circuit is open.

    Parameters
    ----------
    inner : OmeroAccess
        Opens OMERO.
    breaker : Breaker
        Its circuit, with the verdicts `OMERO`.
    """

    def __init__(self, inner: OmeroAccess, breaker: Breaker) -> None:
        self._inner = inner
        self._breaker = breaker

    @contextmanager
    def session(self, *, user_name: str, group_id: int) -> Iterator[Any]:
        """Open OMERO as that user in that group; see `worker.engine.context.OmeroAccess`."""
        with ExitStack() as stack:
            with self._breaker.guarded(harmless=True):
                gateway = stack.enter_context(self._inner.session(user_name=user_name, group_id=group_id))
            # A session that ends in the middle counts as well.
            with self._breaker.guarded():
                yield gateway
