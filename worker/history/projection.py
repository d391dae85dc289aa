"""Keeping the views up to date with the log, exactly once, from any process.

All views follow together. One transaction takes the projection's lock, reads the events after the last position,
changes the rows of every view and of our overview, and writes the position: either all of it is kept, or nothing.
Two processes can therefore neither skip an event nor follow it twice, and a view is never ahead of the overview from
which it takes its context.

This is simpler than a follower application of eventsourcing for each view: those would each have a transaction and a
context of their own. What others see is the same: a ``*_tracking`` table for each view, with the position in it.

A history that was written by another tool has positions for the four views but not for our overview. It is taken over
by computing everything anew, once.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, cast

import sqlalchemy as sa

from worker.history import codec, overview
from worker.history.recorder import EventRecorder
from worker.history.tables import LEADER, worker_run_tracking
from worker.history.upsert import upsert
from worker.history.views import VIEWS

if TYPE_CHECKING:
    from eventsourcing.domain import AggregateEvent
    from sqlalchemy.orm import Session

    from worker.history.database import Database

BATCH = 200
"""Events that one transaction follows."""

LOCK_KEY = 0x6F6D_776B_0002
"""Advisory lock under which the views are computed ("omwk", 2)."""

TRACKING = (*(view.tracking for view in VIEWS), worker_run_tracking)


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
                position = self._position(session)
                if position is None:
                    count = self._rebuild(session, start=1)
                else:
                    last, count = self._follow(session, position)
                    if count:
                        self._write_position(session, last)
                session.commit()
            total += count
            if position is None or count < BATCH:
                return total

    def rebuild(self, *, start: int = 1) -> int:
        """Compute all views anew; readers see the old rows until it is done.

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
        with self._database.session() as session:
            self._lock(session)
            count = self._rebuild(session, start=start)
            session.commit()
        # What was written meanwhile.
        return count + self.pull()

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
            session.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_KEY)))

    @staticmethod
    def _position(session: Session) -> int | None:
        tracking = worker_run_tracking
        position: int | None = session.execute(
            sa.select(tracking.c.notification_id).where(tracking.c.application_name == LEADER)
        ).scalar_one_or_none()
        return position

    @staticmethod
    def _write_position(session: Session, position: int) -> None:
        for tracking in TRACKING:
            upsert(session, tracking, {"application_name": LEADER}, notification_id=position)

    def _rebuild(self, session: Session, *, start: int) -> int:
        for table in (*(view.table for view in VIEWS), *overview.TABLES):
            session.execute(sa.delete(table))
        position, total, count = start - 1, 0, BATCH
        while count == BATCH:
            position, count = self._follow(session, position)
            total += count
        self._write_position(session, position)
        return total

    def _follow(self, session: Session, position: int) -> tuple[int, int]:
        """Follow the next events after a position; gives the new position and their number."""
        recorder = EventRecorder(lambda: nullcontext(session))
        notifications = recorder.select_notifications(position, BATCH, inclusive_of_start=False)
        for notification in notifications:
            event = cast("AggregateEvent", self._mapper.to_domain_event(notification))
            task = overview.follow(session, event)
            for view in VIEWS:
                view.follow(session, event, task)
        return (notifications[-1].id if notifications else position), len(notifications)
