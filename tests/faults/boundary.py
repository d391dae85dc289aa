"""Places in a run at which a process of the engine can be stopped: before and after each event, command and session.

Every event of a run and of its tasks is appended by `EventLog`. *Before* an event is inside its transaction, when all
has been decided and nothing is kept; *after* it is when the transaction has been committed. What happens outside lies
between two events, and has boundaries of its own: commands on the cluster (``Command:submit``), sessions in OMERO
(``Omero:import/0``, only *after* it was opened), the archive of results in place (``Archive:verify``,
``Archive:rename``) and orders to the importer (``Orders:place``). Where a run comes to the same place again, it is
another one: that of the second time is called ``Omero:import/0#2``.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from tests.faults.transport import FaultyTransport, name_of
from worker.engine.context import StepContext
from worker.history.event_log import EventLog
from worker.results.inplace import archive
from worker.results.inplace.book import OrderBook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from worker.cluster.transport import Completed
    from worker.history.event_log import Changes

Side = Literal["before", "after"]

COMMAND = "Command:"
OMERO = "Omero:"
ARCHIVE = "Archive:"
ORDERS = "Orders:"


@dataclass(frozen=True, slots=True, order=True)
class Boundary:
    """A place in a run."""

    side: Side
    what: str
    """An event, such as ``StepIntended:submit/0``, or something that is done outside."""

    def __str__(self) -> str:
        return f"{self.side}-{self.what}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gives."""
        side, dash, what = text.partition("-")
        if side not in ("before", "after") or not dash or not what:
            raise ValueError(f"{text!r} is no boundary; write before-EVENT or after-EVENT")
        return cls("before" if side == "before" else "after", what)


def label(event: object, tasks: Mapping[UUID, str]) -> str:
    """Name an event of a run.

    Parameters
    ----------
    event : object
        The event.
    tasks : mapping of UUID to str
        Names of the run's tasks.

    Returns
    -------
    str
        Its class and what tells it from others of that class: step, task, state.
    """
    parts = [type(event).__name__]
    task = tasks.get(getattr(event, "originator_id", None))  # type: ignore[arg-type]  # None is nobody's task
    parts += [task] if task else []
    parts += [str(value) for name in ("step", "status") if (value := getattr(event, name, None))]
    return ":".join(parts)


class Stop:
    """Stops the thread that comes to a boundary, once.

    Parameters
    ----------
    boundary : Boundary or None
        Where; None never stops.
    tasks : mapping of UUID to str
        Names of the run's tasks.
    halt : callable
        Called by the thread that has come there; it goes on when this returns. Given the place, and the session in
        OMERO if it is one.
    passed : callable
        Is told of every place that is passed.
    """

    def __init__(
        self,
        boundary: Boundary | None,
        tasks: Mapping[UUID, str],
        halt: Callable[[Boundary, str], None],
        passed: Callable[[Boundary], None] = lambda _: None,
    ) -> None:
        self._boundary = boundary
        self._tasks = tasks
        self._halt = halt
        self._passed = passed
        self._lock = threading.Lock()
        self._times: Counter[Boundary] = Counter()

    def at(self, side: Side, *what: str, session: str = "") -> None:
        """Halt if this is the place."""
        with self._lock:
            places = [self._numbered(Boundary(side, name)) for name in what]
            for place in places:
                self._passed(place)
            boundary = self._boundary
            if boundary is None or boundary not in places:
                return
            self._boundary = None
        self._halt(boundary, session)

    def _numbered(self, place: Boundary) -> Boundary:
        """Tell a place from those of the same name that were passed before."""
        self._times[place] += 1
        times = self._times[place]
        return place if times == 1 else Boundary(place.side, f"{place.what}#{times}")

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        """Have a place before and one after what is done in the block."""
        self.at("before", name)
        yield
        self.at("after", name)

    def install(self) -> None:
        """Hook into this process; there is no way back."""
        stop, tasks, transact = self, self._tasks, EventLog._transact_once

        def transact_once(log: EventLog, decide: Callable[[Changes], Any], *, check_versions: bool) -> tuple[Any, bool]:
            labels: list[str] = []

            def looked_at(changes: Changes) -> Any:
                decided = decide(changes)
                labels[:] = [label(event, tasks) for event in changes.events]
                stop.at("before", *labels)
                return decided

            answer = transact(log, looked_at, check_versions=check_versions)
            if answer[1]:
                stop.at("after", *labels)
            return answer

        opened = StepContext.omero

        @contextmanager
        def omero(context: StepContext) -> Iterator[Any]:
            with opened(context) as gateway:
                stop.at("after", OMERO + context.step, session=str(gateway.getSession().getUuid().getValue()))
                yield gateway

        for module, name, place in (
            (archive, "_verify_all", ARCHIVE + "verify"),
            (archive, "_rename", ARCHIVE + "rename"),
            (OrderBook, "place", ORDERS + "place"),
        ):
            setattr(module, name, stop._between(place, getattr(module, name)))
        EventLog._transact_once = transact_once  # type: ignore[assignment]  # a function for a method, which mypy keeps apart
        StepContext.omero = omero  # type: ignore[method-assign,assignment]  # likewise

    def _between(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give a function a place before and one after it."""

        def called(*arguments: Any, **named: Any) -> Any:
            with self.around(name):
                return function(*arguments, **named)

        return called


class StoppingTransport(FaultyTransport):
    """A way to the cluster with a boundary before and after each command.

    Parameters
    ----------
    inner : Transport
        The real one.
    stop : Stop
        What stops.
    """

    def __init__(self, inner: Any, stop: Stop) -> None:
        super().__init__(inner)
        self._stop = stop

    def run(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Completed:
        """Run a command between its boundaries."""
        with self._stop.around(COMMAND + name_of(argv)):
            return super().run(argv, stdin=stdin, timeout_s=timeout_s)

    @contextmanager
    def stream(
        self, argv: Sequence[str], *, stdin: Iterable[bytes] | None = None, timeout_s: float | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Run a command between its boundaries."""
        with (
            self._stop.around(COMMAND + name_of(argv)),
            super().stream(argv, stdin=stdin, timeout_s=timeout_s) as pieces,
        ):
            yield pieces
