"""Who drives a run: a row per run with holder and expiry, taken by compare-and-set.

A lease is never unlocked by hand: it expires. Its token grows with every change of holder, so that a holder that was
paused (a stopped process, a suspended machine) and comes back can be told from the present one.

Times are the database's own where it has a clock for us (PostgreSQL's ``now()``), so that holders on machines with
different clocks agree.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import structlog
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from worker.errors import HistoryUnavailable, LeaseLost
from worker.history import tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy import CursorResult, Result

    from worker.history.database import Database

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to drive one run for a while."""

    run_id: UUID
    holder: str
    token: int


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
        self._lock = threading.Lock()

    def take(self, run_id: UUID) -> Lease | None:
        """Take the lease of a run, or None if another holder has it."""
        lease = tables.lease
        asked_at = time.monotonic()
        with self._database.session() as session:
            now = self._database.now(session)
            expiry = self._database.after(now, self.duration_s)
            row = session.execute(select(lease).where(lease.c.run_id == run_id)).one_or_none()
            if row is None:
                token = 1
                try:
                    session.execute(
                        insert(lease).values(run_id=run_id, holder=self.holder, token=token, expires_at=expiry)
                    )
                except IntegrityError:
                    session.rollback()
                    return None
            else:
                token = row.token + 1
                taken = session.execute(
                    update(lease)
                    .where(
                        lease.c.run_id == run_id,
                        lease.c.token == row.token,
                        lease.c.expires_at < now,
                    )
                    .values(holder=self.holder, token=token, expires_at=expiry)
                )
                if _changed(taken) != 1:
                    return None
            session.commit()
        with self._lock:
            self._valid_until[run_id] = asked_at + self.duration_s
            self._tokens[run_id] = token
        return Lease(run_id, self.holder, token)

    def renew_all(self) -> None:
        """Renew every lease of this process; one that has meanwhile gone to another holder is dropped."""
        with self._lock:
            held = dict(self._tokens)
        for run_id, token in held.items():
            asked_at = time.monotonic()
            lease = tables.lease
            with self._database.session() as session:
                now = self._database.now(session)
                renewed = session.execute(
                    update(lease)
                    .where(lease.c.run_id == run_id, lease.c.token == token, lease.c.holder == self.holder)
                    .values(expires_at=self._database.after(now, self.duration_s))
                )
                session.commit()
            with self._lock:
                if self._tokens.get(run_id) != token:
                    continue
                if _changed(renewed) == 1:
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
            If the lease may have expired, or is another's.
        """
        with self._lock:
            valid_until = self._valid_until.get(run_id, 0.0)
        if time.monotonic() >= valid_until:
            raise LeaseLost(f"The lease of run {run_id} has run out in this process ({self.holder}).")

    def give_back(self, run_id: UUID) -> None:
        """Give a lease back, so that the next holder need not wait for its expiry."""
        with self._lock:
            token = self._tokens.pop(run_id, None)
            self._valid_until.pop(run_id, None)
        if token is None:
            return
        lease = tables.lease
        with self._database.session() as session:
            # Expired rather than deleted: the token must go on growing.
            session.execute(
                update(lease)
                .where(lease.c.run_id == run_id, lease.c.token == token, lease.c.holder == self.holder)
                .values(expires_at=self._database.after(self._database.now(session), -1.0))
            )
            session.commit()

    def forget(self, run_id: UUID) -> None:
        """Delete the row of a run that has ended for good."""
        with self._lock:
            self._tokens.pop(run_id, None)
            self._valid_until.pop(run_id, None)
        with self._database.session() as session:
            session.execute(delete(tables.lease).where(tables.lease.c.run_id == run_id))
            session.commit()

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


def _changed(result: Result[Any]) -> int:
    """How many rows a statement has changed."""
    return cast("CursorResult[Any]", result).rowcount


class EngineBeat:
    """Tells scripts whether an engine service is alive, so that they need not drive their runs themselves.

    Parameters
    ----------
    database : Database
        Where the beats are kept.
    holder : str
        Name of the service's process.
    """

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self.holder = holder

    def beat(self) -> None:
        """Record that this service is alive now."""
        table = tables.engine_heartbeat
        with self._database.session() as session:
            now = self._database.now(session)
            changed = session.execute(update(table).where(table.c.holder == self.holder).values(beat_at=now))
            if _changed(changed) == 0:
                session.execute(insert(table).values(holder=self.holder, beat_at=now))
            session.commit()

    def stop(self) -> None:
        """Record that this service has stopped."""
        with self._database.session() as session:
            session.execute(delete(tables.engine_heartbeat).where(tables.engine_heartbeat.c.holder == self.holder))
            session.commit()


def service_alive(database: Database, *, within_s: float = 15.0) -> bool:
    """Whether any engine service has beaten within the last seconds."""
    table = tables.engine_heartbeat
    with database.session() as session:
        limit = database.after(database.now(session), -within_s)
        beats = session.execute(select(func.count()).select_from(table).where(table.c.beat_at >= limit)).scalar_one()
    return bool(beats)
