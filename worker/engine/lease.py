"""Who drives a run: a row per run with holder and expiry, taken by compare-and-set.

A lease is never unlocked by hand: it expires. Its token grows with every change of holder and is never reset, so that
a holder that was paused (a stopped process, a suspended machine) and comes back can be told from the present one: by
the record, which checks `Leases.fence` in the transaction that appends, and on the cluster, which is told the token.

A lease says which step its holder is taking. It forgets that when it is given back, so that whoever takes a lease that
has run out instead knows what its predecessor was lost in: `worker.engine.losses` counts that.

Times are the database's own where it has a clock for us (PostgreSQL), so that holders on machines with different
clocks agree.
"""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import func, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from worker.errors import HistoryUnavailable, LeaseLost
from worker.history import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from worker.history.database import Database

log = structlog.get_logger(__name__)

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
"""Expiry of a lease that was given back."""

IMPLAUSIBLE = 10
"""A lease that lives so many times longer than ours is left from before somebody set the clock back."""

NUMBERS_PER_TOKEN = 10**9
"""Numbers that may be given out under one token."""

TURN_LOOK_S = 0.1
"""How long whoever waits for a turn waits before asking again; turns take tenths of a second."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to drive one run for a while."""

    run_id: UUID
    holder: str
    token: int
    lost_in: str | None = None
    """The step in which the holder before was lost; None if it gave the lease back, or was at no step."""


class Leases:
    """Takes, renews and gives back the leases of one process.

    Parameters
    ----------
    database : Database
        Where the leases are kept.
    holder : str
        Name of this process, unique among all that drive runs.
    duration_s : float
        How long a lease lives without renewal.
    """

    def __init__(self, database: Database, holder: str, *, duration_s: float = 30.0) -> None:
        self._database = database
        self.holder = holder
        self.duration_s = duration_s
        self._valid_until: dict[UUID, float] = {}
        self._tokens: dict[UUID, int] = {}
        self._doing: dict[UUID, str | None] = {}
        self._not_given_back: dict[UUID, int] = {}
        """Tokens of leases that could not be given back, as the database was away: their holder is not lost."""
        self._ending = False
        self._lock = threading.Lock()
        self._surrendered = False
        self._count = itertools.count(1)

    def take(self, run_id: UUID, step: str | None = None) -> Lease | None:
        """Take the lease of a run, or None if it is somebody's (this process's own included).

        Parameters
        ----------
        run_id : UUID
            The run.
        step : str, optional
            The step that is going to be taken.

        Returns
        -------
        Lease or None
            The lease.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        """
        lease = tables.lease
        asked_at = time.monotonic()
        step = None if self._ending else step
        dialect = postgresql if self._database.is_postgresql else sqlite
        free = or_(lease.c.expires_at < self._in(0), lease.c.expires_at > self._in(self.duration_s * IMPLAUSIBLE))
        taking = (
            dialect.insert(lease)
            .values(run_id=run_id, holder=self.holder, token=1, expires_at=self._in(self.duration_s), step=step)
            .on_conflict_do_update(
                index_elements=[lease.c.run_id],
                set_={
                    "holder": self.holder,
                    "token": lease.c.token + 1,
                    "expires_at": self._in(self.duration_s),
                    "step": step,
                    "lost_in": lease.c.step,
                },
                where=free,
            )
            .returning(lease.c.token, lease.c.lost_in)
        )
        with self._database.session() as session:
            taken = session.execute(taking).one_or_none()
            session.commit()
        if taken is None:
            return None
        with self._lock:
            self._valid_until[run_id] = asked_at + self.duration_s
            self._tokens[run_id] = taken.token
            self._doing[run_id] = step
            was_ours = self._not_given_back.pop(run_id, None) == taken.token - 1
        return Lease(run_id, self.holder, taken.token, None if was_ours else taken.lost_in)

    def doing(self, run_id: UUID, step: str) -> None:
        """Say which step is taken now under a lease of this process, if that is another one than before.

        Parameters
        ----------
        run_id : UUID
            The run.
        step : str
            The step.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        """
        with self._lock:
            if self._ending or self._doing.get(run_id) == step:
                return
            token = self._tokens.get(run_id)
        with self._database.session() as session:
            self._change(session, run_id, token, step=step)
            session.commit()
        with self._lock:
            self._doing[run_id] = step

    def end(self) -> None:
        """Say that this process is about to end, as it was asked to: no step is to blame for that.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        """
        with self._lock:
            self._ending = True
            held = tuple(self._tokens.items())
        with self._database.session() as session:
            for run_id, token in held:
                self._change(session, run_id, token, step=None)
            session.commit()

    def renew_all(self) -> None:
        """Renew every lease of this process; one that has meanwhile gone to another holder is dropped.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        """
        with self._lock:
            held = dict(self._tokens)
        if not held:
            return
        lease = tables.lease
        asked_at = time.monotonic()
        with self._database.session() as session:
            renewed = session.execute(
                update(lease)
                .where(lease.c.holder == self.holder, lease.c.run_id.in_(held))
                .values(expires_at=self._in(self.duration_s))
                .returning(lease.c.run_id, lease.c.token)
            ).all()
            session.commit()
        ours = {row.run_id: row.token for row in renewed}
        with self._lock:
            for run_id, token in held.items():
                if self._tokens.get(run_id) != token:
                    continue  # given back meanwhile
                if ours.get(run_id) == token:
                    self._valid_until[run_id] = asked_at + self.duration_s
                else:
                    log.warning("lease_lost", run=str(run_id))
                    self._valid_until[run_id] = 0.0

    def check(self, run_id: UUID) -> None:
        """Make sure that this process still drives a run; called before every outside effect.

        Parameters
        ----------
        run_id : UUID
            The run.

        Raises
        ------
        LeaseLost
            If the lease may have expired, is another's, or this process is about to end.
        """
        with self._lock:
            valid_until = self._valid_until.get(run_id, 0.0)
            surrendered = self._surrendered
        if surrendered:
            raise LeaseLost(f"This process ({self.holder}) is about to end; the next one goes on with run {run_id}.")
        if time.monotonic() >= valid_until:
            raise LeaseLost(f"The lease of run {run_id} has run out in this process ({self.holder}).")

    def number(self, run_id: UUID) -> int:
        """Give a number for the cluster, which does nothing for smaller ones any more.

        Parameters
        ----------
        run_id : UUID
            The run.

        Returns
        -------
        int
            Greater than every number that was given out for this run before, by any process.

        Raises
        ------
        LeaseLost
            If the lease may have expired, or is another's.
        """
        self.check(run_id)
        with self._lock:
            return self._tokens[run_id] * NUMBERS_PER_TOKEN + next(self._count) % NUMBERS_PER_TOKEN

    def fence(self, run_id: UUID) -> Callable[[Session], None]:
        """Make a check for `WorkflowTracker.fenced`: that the lease is ours at the moment of the transaction.

        The lease's row is locked until the transaction ends, so that nobody takes the run between check and commit.

        Parameters
        ----------
        run_id : UUID
            The run.

        Returns
        -------
        callable
            Raises `LeaseLost` in a transaction that must not be.
        """

        def check(session: Session) -> None:
            lease = tables.lease
            with self._lock:
                token = self._tokens.get(run_id)
            ours = session.execute(
                select(lease.c.token)
                .where(
                    lease.c.run_id == run_id,
                    lease.c.holder == self.holder,
                    lease.c.token == token,
                    lease.c.expires_at >= self._in(0),
                )
                .with_for_update(read=True)
            ).one_or_none()
            if ours is None:
                raise LeaseLost(f"The lease of run {run_id} is not this process's any more ({self.holder}).")

        return check

    def give_back(self, run_id: UUID) -> None:
        """Give a lease back, so that the next holder need not wait for its expiry.

        Parameters
        ----------
        run_id : UUID
            The run.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer; the lease then expires by itself.
        """
        with self._lock:
            token = self._tokens.pop(run_id, None)
            self._valid_until.pop(run_id, None)
            self._doing.pop(run_id, None)
            if token is None:
                return
            self._not_given_back[run_id] = token
        with self._database.session() as session:
            # Expired rather than deleted: the token must go on growing, as the cluster remembers it.
            self._change(session, run_id, token, expires_at=LONG_AGO, step=None)
            session.commit()
        with self._lock:
            if self._not_given_back.get(run_id) == token:
                del self._not_given_back[run_id]

    @contextmanager
    def turn(self, lease_id: UUID, guard: Callable[[], object]) -> Iterator[None]:
        """Hold a lease while the block runs, and wait for it before: for short things that are done one at a time.

        The turn of a process that was killed runs out with its lease.

        Parameters
        ----------
        lease_id : UUID
            What takes turns.
        guard : callable
            Called while waiting; what it raises ends the wait.

        Yields
        ------
        None
            While nobody else has the turn.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        """
        while self.take(lease_id) is None:
            guard()
            time.sleep(TURN_LOOK_S)
        try:
            yield
        finally:
            self.give_back(lease_id)

    def _change(self, session: Session, run_id: UUID, token: int | None, **values: Any) -> None:
        """Change the row of a lease, if it is ours still."""
        lease = tables.lease
        ours = (lease.c.run_id == run_id, lease.c.token == token, lease.c.holder == self.holder)
        session.execute(update(lease).where(*ours).values(**values))

    def surrender(self) -> None:
        """Let every `check` fail from now on: steps in flight stop at their next safe point."""
        with self._lock:
            self._surrendered = True

    def _in(self, seconds: float) -> ColumnElement[datetime] | datetime:
        """So many seconds from now, on the clock that all holders share."""
        if not self._database.is_postgresql:
            return datetime.now(UTC) + timedelta(seconds=seconds)
        now: ColumnElement[datetime] = func.clock_timestamp(type_=tables.UtcDateTime)
        return now + literal(timedelta(seconds=seconds))

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Renew the leases in the background while the block runs."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self.duration_s / 3):
                try:
                    self.renew_all()
                except HistoryUnavailable as error:
                    # The leases run out by themselves if this goes on; `check` then stops the steps.
                    log.warning("lease_not_renewed", problem=str(error))

        thread = threading.Thread(target=beat, name="lease-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
