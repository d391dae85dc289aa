"""Writing to the log and reading from it: the recorders behind eventsourcing's repository and notification log.

The tables are those of eventsourcing_sqlalchemy, whose recorders could read and write them too. Ours take part in a
transaction that is already open, so that an aggregate is read, changed and appended under one lock, and they keep no
state outside that transaction.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    Notification,
    StoredEvent,
    Subscription,
)
from typing_extensions import override

from worker.errors import HistoryConflict
from worker.history.tables import worker_snapshot, workflowtracker_events
from worker.history.upsert import upsert

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from uuid import UUID

    from sqlalchemy.orm import Session

EVENTS = workflowtracker_events

SNAPSHOT_FORMAT = 5
"""Number of the aggregates' attributes as a whole; snapshots of any other format are not read. Raise it with every
change of an attribute of `WorkflowRun`, `Task` or `StepState`."""


def lock_log(session: Session) -> None:
    """Make this transaction the only writer of the log until it ends; readers are not disturbed.

    Events become visible in the order of their positions only if they are committed in that order, so there is one
    writer at a time. In SQLite the transaction has taken that lock at its start.

    Parameters
    ----------
    session : Session
        The transaction.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.text(f"LOCK TABLE {EVENTS.name} IN EXCLUSIVE MODE"))


class EventRecorder(ApplicationRecorder):
    """The log of events.

    Parameters
    ----------
    transaction : callable
        Gives the session to work in: the one that is open already, or a new one for each call.
    """

    def __init__(self, transaction: Callable[[], AbstractContextManager[Session]]) -> None:
        self._transaction = transaction

    @override
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append events; `lock_log` must have been called in the same transaction.

        Parameters
        ----------
        stored_events : sequence of StoredEvent
            The events, in their order.
        **kwargs : Any
            Not used.

        Returns
        -------
        sequence of int
            Their positions.

        Raises
        ------
        HistoryConflict
            If an event's place in its aggregate is taken.
        """
        if not stored_events:
            return []
        rows = [asdict(event) for event in stored_events]
        with self._transaction() as session:
            statement = sa.insert(EVENTS).returning(EVENTS.c.id, sort_by_parameter_order=True)
            return list(session.execute(statement, rows).scalars())

    def check_versions(self, stored_events: Sequence[StoredEvent]) -> None:
        """Make sure that events continue their aggregates, before a position is spent on them.

        Parameters
        ----------
        stored_events : sequence of StoredEvent
            The events that are to be appended.

        Raises
        ------
        HistoryConflict
            If somebody has appended to one of the aggregates since it was read.
        """
        first: dict[Any, int] = {}
        for event in stored_events:
            first.setdefault(event.originator_id, event.originator_version)
        with self._transaction() as session:
            last = session.execute(
                sa.select(EVENTS.c.originator_id, sa.func.max(EVENTS.c.originator_version))
                .where(EVENTS.c.originator_id.in_(first))
                .group_by(EVENTS.c.originator_id)
            )
            for originator_id, version in last:
                if version >= first[originator_id]:
                    raise HistoryConflict(
                        f"Somebody else has written to {originator_id} in between: it is at version {version}, "
                        f"not {first[originator_id] - 1}.",
                        remedy="Read it again, then retry.",
                    )

    @override
    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Read the events of an aggregate.

        Parameters
        ----------
        originator_id : UUID
            The aggregate.
        gt : int, optional
            Only later versions than this.
        lte : int, optional
            Only up to this version, inclusive.
        desc : bool
            Latest first.
        limit : int, optional
            At most so many.

        Returns
        -------
        sequence of StoredEvent
            The events.
        """
        version = EVENTS.c.originator_version
        query = sa.select(EVENTS).where(EVENTS.c.originator_id == originator_id)
        if gt is not None:
            query = query.where(version > gt)
        if lte is not None:
            query = query.where(version <= lte)
        query = query.order_by(version.desc() if desc else version).limit(limit)
        with self._transaction() as session:
            return [
                StoredEvent(row.originator_id, row.originator_version, row.topic, bytes(row.state))
                for row in session.execute(query)
            ]

    @override
    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Read a part of the log.

        Parameters
        ----------
        start : int or None
            First position; None: from the beginning.
        limit : int
            At most so many.
        stop : int, optional
            Last position, inclusive.
        topics : sequence of str
            Only events of these kinds; empty: all.
        inclusive_of_start : bool
            Whether `start` itself belongs to the part.

        Returns
        -------
        sequence of Notification
            The events with their positions.
        """
        query = sa.select(EVENTS)
        if start is not None:
            query = query.where(EVENTS.c.id >= start if inclusive_of_start else EVENTS.c.id > start)
        if stop is not None:
            query = query.where(EVENTS.c.id <= stop)
        if topics:
            query = query.where(EVENTS.c.topic.in_(topics))
        with self._transaction() as session:
            return [
                Notification(row.originator_id, row.originator_version, row.topic, bytes(row.state), row.id)
                for row in session.execute(query.order_by(EVENTS.c.id).limit(limit))
            ]

    @override
    def max_notification_id(self) -> int | None:
        """Read the position of the last event.

        Returns
        -------
        int or None
            The position, or None if nothing ever happened.
        """
        with self._transaction() as session:
            position: int | None = session.execute(sa.select(sa.func.max(EVENTS.c.id))).scalar_one()
            return position

    @override
    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """Refuse: followers here pull.

        Parameters
        ----------
        gt : int, optional
            Not used.
        topics : sequence of str
            Not used.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError("followers of this log pull; see worker.history.projection")


class SnapshotRecorder(AggregateRecorder):
    """The latest snapshot of each aggregate.

    Parameters
    ----------
    transaction : callable
        Gives the session to work in.
    """

    def __init__(self, transaction: Callable[[], AbstractContextManager[Session]]) -> None:
        self._transaction = transaction

    @override
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        """Replace the snapshots of aggregates.

        Parameters
        ----------
        stored_events : sequence of StoredEvent
            The new snapshots.
        **kwargs : Any
            Not used.
        """
        with self._transaction() as session:
            for event in stored_events:
                upsert(
                    session,
                    worker_snapshot,
                    {"originator_id": event.originator_id},
                    originator_version=event.originator_version,
                    format=SNAPSHOT_FORMAT,
                    topic=event.topic,
                    state=event.state,
                )

    @override
    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Read the snapshot of an aggregate.

        Parameters
        ----------
        originator_id : UUID
            The aggregate.
        gt : int, optional
            Not used.
        lte : int, optional
            Only if it is not of a later version than this.
        desc : bool
            Not used: there is at most one.
        limit : int, optional
            Not used: there is at most one.

        Returns
        -------
        sequence of StoredEvent
            The snapshot, or nothing.
        """
        table = worker_snapshot
        query = sa.select(table).where(table.c.originator_id == originator_id, table.c.format == SNAPSHOT_FORMAT)
        if lte is not None:
            query = query.where(table.c.originator_version <= lte)
        with self._transaction() as session:
            return [
                StoredEvent(row.originator_id, row.originator_version, row.topic, bytes(row.state))
                for row in session.execute(query)
            ]
