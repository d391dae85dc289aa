"""Signs of life of engine services: scripts drive their runs themselves while there are none."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select

from worker.history import tables
from worker.history.upsert import upsert

if TYPE_CHECKING:
    from worker.history.database import Database

FORGOTTEN_AFTER = timedelta(days=1)
"""After so much silence the row of an engine that was killed is removed."""


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
        """Record that this service is alive now, and forget those that have not been for a day."""
        table = tables.engine_heartbeat
        with self._database.session() as session:
            now = self._database.now(session)
            upsert(session, table, {"holder": self.holder}, beat_at=now)
            session.execute(delete(table).where(table.c.beat_at < now - FORGOTTEN_AFTER))
            session.commit()

    def stop(self) -> None:
        """Record that this service has stopped."""
        with self._database.session() as session:
            session.execute(delete(tables.engine_heartbeat).where(tables.engine_heartbeat.c.holder == self.holder))
            session.commit()


def service_alive(database: Database, *, within_s: float = 15.0) -> bool:
    """Whether any engine service has beaten within the last seconds."""
    table = tables.engine_heartbeat
    with database.reading() as session:
        limit = database.after(database.now(session), -within_s)
        beats = session.execute(select(func.count()).select_from(table).where(table.c.beat_at >= limit)).scalar_one()
    return bool(beats)
