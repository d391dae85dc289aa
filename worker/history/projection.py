"""Keeping the views up to date with the log, exactly once, from any process.

All views follow together. One transaction takes the projection's lock, reads the events after the last position,
changes the rows of every view and of our overview, and writes the position: either all of it is kept, or nothing.
Two processes can therefore neither skip an event nor follow it twice, and a view is never ahead of the overview from
which it takes its context. Whoever follows does so for all: those who wait for their turn find their own events
followed already.

This is simpler than a follower application of eventsourcing for each view: those would each have a transaction and a
context of their own. What others see is the same: a ``*_tracking`` table for each view, with the position in it.

A history that was written by another tool has positions for the four views but not for our overview. It is taken over
by computing everything anew, once.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, cast

import sqlalchemy as sa

from worker.history import codec, copies, overview, usage
from worker.history.recorder import EventRecorder
from worker.history.rows import Rows
from worker.history.tables import LEADER, worker_job_usage, worker_run_tracking
from worker.history.views import VIEWS

if TYPE_CHECKING:
    from eventsourcing.domain import AggregateEvent
    from sqlalchemy.orm import Session

    from worker.history.copies import Difference
    from worker.history.database import Database

BATCH = 200
"""Events that one transaction follows."""

LOCK_KEY = 0x6F6D_776B_0002
"""Advisory lock under which the views are computed ("omwk", 2)."""

TABLES = (*(view.table for view in VIEWS), *overview.TABLES, worker_job_usage)
"""Everything that is computed from the log."""

TRACKING = (*(view.tracking for view in VIEWS), worker_run_tracking)

AS_LEADER = {"leader": LEADER}
POSITION = "SELECT (SELECT notification_id FROM worker_run_tracking WHERE application_name = :leader)"
POSITIONS = [
    f"INSERT INTO {table.name} (application_name, notification_id) VALUES (:leader, :position) "  # noqa: S608 - our names
    "ON CONFLICT (application_name) DO UPDATE SET notification_id = excluded.notification_id"
    for table in TRACKING
]
POSITIONS_AT_ONCE = f"WITH {', '.join(f'w{n} AS ({text})' for n, text in enumerate(POSITIONS[1:]))} {POSITIONS[0]}"
"""The same as one statement, which PostgreSQL understands."""


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

    def pull(self, *, upto: int | None = None) -> int:
        """Follow all events that have not been followed yet.

        Parameters
        ----------
        upto : int, optional
            Position of the last event that matters: nothing is done if somebody else has followed it already.

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
                position = self._locked_position(session)
                if position is not None and upto is not None and position >= upto:
                    return total
                if position is not None:
                    last, count = self._follow(Rows(session), position)
                    if count:
                        self._write_position(session, last)
                        session.commit()
            if position is None:
                return total + self._rebuild(start=1, only_if_missing=True) + self.pull()
            total += count
            if count < BATCH:
                return total

    def rebuild(self, *, start: int = 1) -> int:
        """Compute all views anew while work goes on.

        They are computed on a copy, which takes their place in one short transaction: readers see either the old
        rows or the new ones, and what is appended meanwhile is not lost.

        Parameters
        ----------
        start : int
            Position of the first event to follow, inclusive. Later than 1, runs that began before it are left out.

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
        with copies.made(self._database, TABLES) as made:
            position, _ = self._follow_onto(made, 0)
            with made.session(writing=True) as session:
                last = self._locked_position(session) or 0
                self._follow_all(Rows(session, made.tables), position, last)
                return made.differences(session)

    def position(self) -> int:
        """Read how far the views have followed.

        Returns
        -------
        int
            Position of the last event that was followed; 0 if there is none.
        """
        with self._database.reading() as session:
            return session.execute(sa.text(POSITION), AS_LEADER).scalar_one() or 0

    def lag(self) -> int:
        """Tell by how many positions the views are behind the log.

        Returns
        -------
        int
            The difference; 0 when they are up to date.
        """
        return (EventRecorder(self._database.reading).max_notification_id() or 0) - self.position()

    def _locked_position(self, session: Session) -> int | None:
        """Take the lock, and read how far the views have followed; None if they must be computed anew."""
        # SQLite: the transaction itself holds the lock. PostgreSQL: a statement sees what was there when it began, and
        # the position is wanted as it is with the lock; hence two, which are sent together.
        lock = f"SELECT pg_advisory_xact_lock({LOCK_KEY}); " if self._database.is_postgresql else ""
        position: int | None = session.execute(sa.text(f"{lock}{POSITION}"), AS_LEADER).scalar_one()
        return position

    def _write_position(self, session: Session, position: int) -> None:
        statements = [POSITIONS_AT_ONCE] if self._database.is_postgresql else POSITIONS
        for statement in statements:
            session.execute(sa.text(statement), {"leader": LEADER, "position": position})

    def _rebuild(self, *, start: int, only_if_missing: bool = False) -> int:
        with copies.made(self._database, TABLES) as made:
            position, total = self._follow_onto(made, start - 1)
            with made.session(writing=True) as session:
                if self._locked_position(session) is not None and only_if_missing:
                    return 0
                position, count = self._follow_all(Rows(session, made.tables), position)
                made.replace(session)
                self._write_position(session, position)
                session.commit()
        return total + count

    def _follow_onto(self, made: copies.Copies, position: int) -> tuple[int, int]:
        """Follow everything after a position onto copies, in transactions that hold up nobody."""
        total, count = 0, BATCH
        while count == BATCH:
            with made.session() as session:
                position, count = self._follow(Rows(session, made.tables), position)
                session.commit()
            total += count
        return position, total

    def _follow_all(self, rows: Rows, position: int, last: int | None = None) -> tuple[int, int]:
        total, count = 0, BATCH
        while count == BATCH:
            position, count = self._follow(rows, position, last)
            total += count
        return position, total

    def _follow(self, rows: Rows, position: int, last: int | None = None) -> tuple[int, int]:
        """Follow the next events after a position; gives the new position and their number."""
        recorder = EventRecorder(lambda: nullcontext(rows.session))
        notifications = recorder.select_notifications(position, BATCH, last, inclusive_of_start=False)
        events = [cast("AggregateEvent", self._mapper.to_domain_event(notification)) for notification in notifications]
        overview.expect(rows, events)
        for event in events:
            task = overview.follow(rows, event)
            usage.follow(rows, event, task)
            for view in VIEWS:
                view.follow(rows, event, task)
        rows.flush()
        return (notifications[-1].id if notifications else position), len(notifications)
