"""Keeping the views up to date with the log, exactly once, from any process.

All views follow together. One transaction takes the projection's lock, reads the events after the last position,
changes the rows of every view and of our overview, and writes the position: either all of it is kept, or nothing.
Two processes can therefore neither skip an event nor follow it twice, and a view is never ahead of the overview from
which it takes its context. After a command, one process follows for all that are recording; the others do not wait.

This is simpler than a follower application of eventsourcing for each view: those would each have a transaction and a
context of their own. What others see is the same: a ``*_tracking`` table for each view, with the position in it.

A history that was written by another tool has positions for the four views but not for our overview. It is taken over
by computing everything anew, once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from eventsourcing.persistence import StoredEvent

from worker.history import codec, copies, overview, usage
from worker.history.recorder import EVENTS, EventRecorder
from worker.history.rows import Rows
from worker.history.tables import LEADER, worker_job_usage, worker_run_tracking
from worker.history.views import VIEWS

if TYPE_CHECKING:
    from datetime import datetime

    from eventsourcing.domain import AggregateEvent
    from sqlalchemy.orm import Session

    from worker.history.copies import Difference
    from worker.history.database import Database

BATCH = 200
"""Events that one transaction follows."""

FOLLOW_FOR_OTHERS_S = 0.25
"""How long a command follows what others record meanwhile."""

GIVE_OVER_S = 0.01
"""How long it then waits for another to take over."""

LOCK_KEY = 0x6F6D_776B_0002
"""Advisory lock under which the views are computed ("omwk", 2)."""

OWN_TABLES = (*overview.TABLES, worker_job_usage)
"""What is computed from the log besides the views."""

TRACKING = (*(view.tracking for view in VIEWS), worker_run_tracking)

AS_LEADER = {"leader": LEADER}
POSITION = sa.select(worker_run_tracking.c.notification_id).where(
    worker_run_tracking.c.application_name == sa.bindparam("leader")
)
BEGIN_AT_POSITION = EVENTS.c.id > POSITION.scalar_subquery()
LAST_EVENT = sa.select(sa.func.max(EVENTS.c.id))
LOCK = sa.select(sa.func.pg_advisory_xact_lock(sa.literal_column(str(LOCK_KEY))))
TRY_LOCK = sa.select(sa.func.pg_try_advisory_xact_lock(sa.literal_column(str(LOCK_KEY))))

POSITIONS = [
    f"INSERT INTO {table.name} (application_name, notification_id) VALUES (:leader, :position) "  # noqa: S608 - our names
    "ON CONFLICT (application_name) DO UPDATE SET notification_id = excluded.notification_id"
    for table in TRACKING
]
POSITIONS_AT_ONCE = f"WITH {', '.join(f'w{n} AS ({text})' for n, text in enumerate(POSITIONS[1:]))} {POSITIONS[0]}"
"""The same as one statement, which PostgreSQL understands."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events that were followed together."""

    last: int
    """Position of the last one; where there is none, of the last one before."""
    count: int


class Projection:
    """Computes the views of one database.

    Parameters
    ----------
    database : Database
        The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mapper = codec.mapper()
        self._views = tuple(view for view in VIEWS if view.name not in database.left_out)
        self._tables = (*(view.table for view in self._views), *OWN_TABLES)

    def pull(self) -> int:
        """Follow all events that have not been followed yet.

        Returns
        -------
        int
            How many there were.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer; the views are as they were after the last batch.
        """
        total = 0
        while True:
            with self._database.session() as session:
                self._lock(session)
                batch = self._follow_next(session)
                if batch is None:
                    break
                total += batch.count
                done = batch.count < BATCH
                if done and self._nothing_came(session, batch):
                    return total
            if done:
                self.keep_up()
                return total
        return total + self._rebuild(start=1, only_if_missing=True) + self.pull()

    def keep_up(self) -> None:
        """See to it that what has been recorded is followed soon: by this process, or by the one that is at it.

        Does not wait for others, so that many can record while one follows for all of them. Whoever follows looks
        again after it has let go of the lock, so that nothing is left that came while it held it; only if it dies in
        between, the last events wait for the next command or `pull`.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        """
        if not self._database.is_postgresql:
            # Here everybody waits for the lock.
            self.pull()
            return
        give_over_at = time.monotonic() + FOLLOW_FOR_OTHERS_S
        while True:
            with self._database.session() as session:
                if not session.execute(TRY_LOCK).scalar_one():
                    return
                batch = self._follow_next(session)
                if batch is None:
                    break
                if self._nothing_came(session, batch):
                    return
            if time.monotonic() >= give_over_at:
                # Others are recording all the time. One of them takes over, unless they have all just stopped.
                time.sleep(GIVE_OVER_S)
                if self.position() > batch.last:
                    return
        self.pull()

    def rebuild(self, *, start: int = 1) -> int:
        """Compute all views anew while work goes on.

        They are computed on a copy, which takes their place in one short transaction: readers see either the old
        rows or the new ones, and what is appended meanwhile is not lost.

        Parameters
        ----------
        start : int
            Position of the first event that the views follow, inclusive. Later than 1, they leave out runs that
            began before it; what the worker itself knows of runs stays complete.

        Returns
        -------
        int
            How many events were followed.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer; the views are as they were.
        """
        count = self._rebuild(start=start)
        # What was written meanwhile.
        return count + self.pull()

    def first_since(self, moment: datetime) -> int:
        """Find the first event that was recorded at some time, or later.

        Parameters
        ----------
        moment : datetime
            The time, with time zone.

        Returns
        -------
        int
            Its position; one after the last event if there is none.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        """
        with self._database.reading() as session:
            low, high = 1, (session.execute(LAST_EVENT).scalar_one() or 0) + 1
            # Events are recorded in the order of time, so that few have to be read.
            while low < high:
                middle = (low + high) // 2
                query = sa.select(EVENTS).where(EVENTS.c.id >= middle).order_by(EVENTS.c.id).limit(1)
                row = session.execute(query).one()
                event = cast("AggregateEvent", self._mapper.to_domain_event(_stored(row)))
                if event.timestamp < moment:
                    low = row.id + 1
                else:
                    high = middle
        return low

    def check(self) -> list[Difference]:
        """Compare the views with what they would be if they were computed anew; nothing is changed.

        Returns
        -------
        list of Difference
            How the views differ; empty if they are right.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        """
        self.pull()
        with copies.made(self._database, self._tables) as made:
            position, _ = self._follow_onto(made, 1)
            with made.session(writing=True) as session:
                self._lock(session)
                last = self._position(session) or 0
                self._follow_all(Rows(session, made.tables), position, last)
                differences = made.differences(session)
        # What was written meanwhile, and nobody could follow.
        self.pull()
        return differences

    def position(self) -> int:
        """Read how far the views have followed.

        Returns
        -------
        int
            Position of the last event that was followed; 0 if there is none.
        """
        with self._database.reading() as session:
            return self._position(session) or 0

    def lag(self) -> int:
        """Tell by how many positions the views are behind the log.

        Returns
        -------
        int
            The difference; 0 when they are up to date.
        """
        return (EventRecorder(self._database.reading).max_notification_id() or 0) - self.position()

    def _lock(self, session: Session) -> None:
        # SQLite: the transaction itself holds the lock.
        if self._database.is_postgresql:
            session.execute(LOCK)

    def _nothing_came(self, session: Session, batch: Batch) -> bool:
        """Look again after the commit: whoever records something later than this finds the lock free."""
        return not self._database.is_postgresql or (session.execute(LAST_EVENT).scalar_one() or 0) <= batch.last

    @staticmethod
    def _position(session: Session) -> int | None:
        """Read how far the views have followed; None if they must be computed anew."""
        return session.execute(POSITION, AS_LEADER).scalar_one_or_none()

    def _follow_next(self, session: Session) -> Batch | None:
        """Follow the next events, with the lock, and commit; None if the views must be computed anew."""
        batch = self._follow(Rows(session), BEGIN_AT_POSITION)
        if batch.count:
            self._write_position(session, batch.last)
            session.commit()
            return batch
        position = self._position(session)
        session.commit()
        return None if position is None else Batch(position, 0)

    def _write_position(self, session: Session, position: int) -> None:
        statements = [POSITIONS_AT_ONCE] if self._database.is_postgresql else POSITIONS
        for statement in statements:
            session.execute(sa.text(statement), {"leader": LEADER, "position": position})

    def _rebuild(self, *, start: int, only_if_missing: bool = False) -> int:
        with copies.made(self._database, self._tables) as made:
            position, total = self._follow_onto(made, start)
            with made.session(writing=True) as session:
                self._lock(session)
                if only_if_missing and self._position(session) is not None:
                    return 0
                position, count = self._follow_all(Rows(session, made.tables), position, start=start)
                made.replace(session)
                self._write_position(session, position)
                session.commit()
        return total + count

    def _follow_onto(self, made: copies.Copies, start: int) -> tuple[int, int]:
        """Follow everything onto copies, the views from `start` on, in transactions that hold up nobody."""
        total, batch = 0, Batch(0, BATCH)
        while batch.count == BATCH:
            with made.session() as session:
                batch = self._follow(Rows(session, made.tables), EVENTS.c.id > batch.last, batch.last, start)
                session.commit()
            total += batch.count
        return batch.last, total

    def _follow_all(self, rows: Rows, position: int, stop: int | None = None, *, start: int = 1) -> tuple[int, int]:
        total, batch = 0, Batch(position, BATCH)
        while batch.count == BATCH:
            later = EVENTS.c.id > batch.last
            which = later if stop is None else sa.and_(later, EVENTS.c.id <= stop)
            batch = self._follow(rows, which, batch.last, start)
            total += batch.count
        return batch.last, total

    def _follow(self, rows: Rows, which: sa.ColumnElement[bool], position: int = 0, start: int = 1) -> Batch:
        """Follow the first of the events that fulfil a condition; the views only those from `start` on."""
        query = sa.select(EVENTS).where(which).order_by(EVENTS.c.id).limit(BATCH)
        found = rows.session.execute(query, AS_LEADER).all()
        events = [cast("AggregateEvent", self._mapper.to_domain_event(_stored(row))) for row in found]
        overview.expect(rows, events)
        for row, event in zip(found, events, strict=True):
            task = overview.follow(rows, event)
            usage.follow(rows, event, task)
            for view in self._views if row.id >= start else ():
                view.follow(rows, event, task)
        rows.flush()
        return Batch(found[-1].id if found else position, len(found))


def _stored(row: Any) -> StoredEvent:
    return StoredEvent(row.originator_id, row.originator_version, row.topic, bytes(row.state))
