"""Changing the history: one transaction reads aggregates, lets them decide, and appends their events.

The transaction takes the log's writer lock before it reads. What it decides on is therefore the present state, and a
command never meets a conflict: it waits for its turn, a few milliseconds. Only `save`, which is given an aggregate
that was read earlier, can find that somebody else has written to it since.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar, cast

import structlog
import tenacity
from eventsourcing.application import AggregateNotFoundError, LocalNotificationLog, Repository, project_aggregate
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import EventStore, Mapper

from worker.errors import HistoryUnavailable, RunNotFound
from worker.history import codec
from worker.history.database import Interrupted
from worker.history.recent import Recent
from worker.history.recorder import EventRecorder, SnapshotRecorder, lock_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from uuid import UUID

    from eventsourcing.domain import AggregateEvent, CanMutateAggregate
    from eventsourcing.persistence import StoredEvent
    from sqlalchemy.orm import Session

    from worker.history.database import Database

log = structlog.get_logger(__name__)

SNAPSHOT_INTERVAL = 50
"""A snapshot is taken when an aggregate passes a multiple of so many events."""

SECTION_SIZE = 1000
"""Most notifications that one `select` of the notification log gives."""

RECENT = 2000
"""How many runs and tasks a process keeps in memory between two commands on them."""

ATTEMPTS = 4
"""How often a transaction is begun anew when it is interrupted."""

T = TypeVar("T")
A = TypeVar("A", bound=Aggregate)


def _repository(transaction: Callable[[], AbstractContextManager[Session]], mapper: Mapper[UUID]) -> Repository[UUID]:
    return Repository(
        EventStore(mapper, EventRecorder(transaction)),
        snapshot_store=EventStore(Mapper(mapper.transcoder), SnapshotRecorder(transaction)),
    )


def load(repository: Repository[UUID], kind: type[A], aggregate_id: UUID) -> A:
    """Read an aggregate.

    Parameters
    ----------
    repository : Repository
        Where to read it.
    kind : type
        `WorkflowRun` or `Task`.
    aggregate_id : UUID
        Its id.

    Returns
    -------
    WorkflowRun or Task
        The aggregate in its present state.

    Raises
    ------
    RunNotFound
        If there is none of that kind.
    """
    noun = "task" if kind.__name__ == "Task" else "run"
    try:
        aggregate: Aggregate = repository.get(aggregate_id)
    except AggregateNotFoundError as error:
        raise RunNotFound(f"There is no {noun} {aggregate_id}.", remedy="Check the uuid.") from error
    return _checked(aggregate, kind)


def _checked(aggregate: Aggregate, kind: type[A]) -> A:
    if not isinstance(aggregate, kind):
        noun = "task" if kind.__name__ == "Task" else "run"
        raise RunNotFound(f"{aggregate.id} is not a {noun}.", remedy="Check the uuid.")
    return aggregate


class Changes:
    """What one transaction reads and is going to append.

    Parameters
    ----------
    repository : Repository
        Reads inside the transaction.
    recent : Recent
        What this process has read before.
    """

    def __init__(self, repository: Repository[UUID], recent: Recent) -> None:
        self._repository = repository
        self._recent = recent
        self.events: list[CanMutateAggregate[UUID]] = []
        self.aggregates: dict[UUID, Aggregate] = {}
        self.loaded: list[Aggregate] = []

    def load(self, kind: type[A], aggregate_id: UUID) -> A:
        """Read an aggregate, as `load` does."""
        recent = self._brought_up_to_date(aggregate_id)
        aggregate = load(self._repository, kind, aggregate_id) if recent is None else _checked(recent, kind)
        self.loaded.append(aggregate)
        return aggregate

    def _brought_up_to_date(self, aggregate_id: UUID) -> Aggregate | None:
        recent = self._recent.take(aggregate_id)
        if recent is None:
            return None
        # Its own last event is read too: if that is not there, this is another history than the one it was read from.
        events = cast(
            "list[AggregateEvent]", list(self._repository.event_store.get(aggregate_id, gt=recent.version - 1))
        )
        found = [(event.originator_version, event.timestamp) for event in events[:1]]
        return project_aggregate(recent, events[1:]) if found == [(recent.version, recent.modified_on)] else None

    def has(self, kind: type[A], aggregate_id: UUID) -> bool:
        """Whether an aggregate is there.

        Raises
        ------
        RunNotFound
            If it is one of another kind.
        """
        return aggregate_id in self._repository and bool(self.load(kind, aggregate_id))

    def add(self, aggregate: Aggregate) -> None:
        """Append what has happened to an aggregate since it was read, or since it was last added."""
        self.events.extend(aggregate.collect_events())
        self.aggregates[aggregate.id] = aggregate


class EventLog:
    """The log of one database.

    Parameters
    ----------
    database : Database
        Where it is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mapper = codec.mapper()
        self.repository = _repository(database.reading, self._mapper)
        self._reader = EventRecorder(database.reading)
        self.notification_log = LocalNotificationLog(self._reader, section_size=SECTION_SIZE)
        self._recent = Recent(RECENT)
        self._checks: tuple[Callable[[Session], None], ...] = ()

    def fenced(self, check: Callable[[Session], None]) -> EventLog:
        """Make the same log with a further check, which each transaction calls before it reads anything."""
        fenced = copy.copy(self)
        fenced._checks = (*self._checks, check)  # noqa: SLF001 - our own copy
        return fenced

    def transact(self, decide: Callable[[Changes], T]) -> tuple[T, bool]:
        """Change the history in one transaction.

        A transaction that is interrupted is begun anew as a whole, so that `decide` may be called more than once and
        must not have effects of its own. If the connection is lost while committing, it is looked up whether the
        events were kept before anything is repeated.

        Parameters
        ----------
        decide : callable
            Reads aggregates through the `Changes` that it is given, changes them, and adds them there.

        Returns
        -------
        tuple
            What `decide` returned, and whether anything was appended.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        """
        return self._again(lambda: self._transact_once(decide, check_versions=False))

    def save(self, *aggregates: Aggregate) -> bool:
        """Append what has happened to aggregates since they were read, whenever that was.

        Parameters
        ----------
        *aggregates : Aggregate
            The aggregates.

        Returns
        -------
        bool
            Whether anything was appended.

        Raises
        ------
        HistoryConflict
            If somebody else has written to one of them in between; nothing is kept then.
        HistoryUnavailable
            If the database does not answer.
        """

        def decide(changes: Changes) -> None:
            for aggregate in aggregates:
                changes.events.extend(aggregate.pending_events)
                changes.aggregates[aggregate.id] = aggregate

        _, appended = self._again(lambda: self._transact_once(decide, check_versions=True))
        for aggregate in aggregates:
            aggregate.collect_events()
        return appended

    def _again(self, transaction: Callable[[], tuple[T, bool]]) -> tuple[T, bool]:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Interrupted),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=1.0),
            before_sleep=lambda state: log.warning("transaction_interrupted", attempt=state.attempt_number),
            reraise=True,
        )(transaction)

    def _transact_once(self, decide: Callable[[Changes], T], *, check_versions: bool) -> tuple[T, bool]:
        committing: StoredEvent | None = None
        try:
            with self._database.session() as session:
                lock_log(session)
                for check in self._checks:
                    check(session)
                inside = lambda: nullcontext(session)  # noqa: E731 - a name for the argument of three recorders
                changes = Changes(_repository(inside, self._mapper), self._recent)
                result = decide(changes)
                if not changes.events:
                    self._keep(changes)
                    return result, False
                recorder = EventRecorder(inside)
                stored = [self._mapper.to_stored_event(event) for event in changes.events]
                if check_versions:
                    recorder.check_versions(stored)
                recorder.insert_events(stored)
                self._take_snapshots(changes, inside)
                committing = stored[-1]
                session.commit()
        except Interrupted:
            if committing is None or not self._kept(committing):
                raise
        self._keep(changes)
        return result, True

    def _keep(self, changes: Changes) -> None:
        # Only what came from the database: what was made here may share its values with the caller.
        for aggregate in changes.loaded:
            if not aggregate.pending_events:
                self._recent.keep(aggregate)

    def _take_snapshots(self, changes: Changes, inside: Callable[[], AbstractContextManager[Session]]) -> None:
        """Snapshot the aggregates that have passed a multiple of the interval."""
        due = {
            event.originator_id
            for event in changes.events
            if event.originator_version and event.originator_version % SNAPSHOT_INTERVAL == 0
        }
        store: EventStore[UUID] = EventStore(Mapper(self._mapper.transcoder), SnapshotRecorder(inside))
        store.put([Aggregate.Snapshot.take(changes.aggregates[aggregate_id]) for aggregate_id in due])

    def _kept(self, event: StoredEvent) -> bool:
        """Look up whether the transaction that ended in this event was committed."""
        try:
            found = self._reader.select_events(
                event.originator_id, gt=event.originator_version - 1, lte=event.originator_version
            )
        except HistoryUnavailable as error:
            raise HistoryUnavailable(
                f"The connection to the history was lost while recording {event.topic} of {event.originator_id}, "
                "and it is not known whether it was kept.",
                remedy="Read it again before recording it once more.",
            ) from error
        return list(found) == [event]
