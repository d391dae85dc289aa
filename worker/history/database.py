"""The database of the history: one engine, its transactions, and the translation of its errors.

PostgreSQL where it is configured, otherwise one SQLite file that several processes may share. Every `Database` has an
engine of its own: two with different URLs live side by side, and closing one does not touch the other.

A transaction here is all or nothing. Errors of SQLAlchemy and of the drivers become `HistoryUnavailable` (the database
does not answer: transient), `HistoryConflict` (somebody else wrote the same row: transient) or `HistoryError`.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.orm import Session
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

from worker.errors import HistoryConflict, HistoryError, HistoryUnavailable
from worker.history.tables import UtcDateTime
from worker.settings.databases import read_database_url, shown_url

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from sqlalchemy.engine import Connection, Engine

CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 30
"""How long a statement waits for a lock before it gives up."""
IDLE_TRANSACTION_TIMEOUT_S = 15
"""After how long PostgreSQL ends a transaction whose process was stopped; its locks would block everybody."""

READ_ONLY = "worker_read_only"


class Interrupted(HistoryUnavailable):
    """The connection was lost, or a deadlock broken, in the middle of a transaction; nothing of it was kept.

    One exception to "nothing": if the connection is lost *while committing*, the transaction may have been kept.
    """


class Database:
    """The history's database.

    Parameters
    ----------
    url : str, optional
        SQLAlchemy URL, such as ``postgresql+psycopg2://user:password@host/database``. None: the SQLite file.
    sqlite_path : Path, optional
        The SQLite file that is used without `url`; its folder is made if need be.
    left_out : collection of str
        Names of the views (`worker.history.views.VIEWS`) that are not kept: their rows stay as they are.

    Raises
    ------
    HistoryError
        If neither is given.
    SettingsError
        If the URL cannot be read, or names another kind of database.
    """

    def __init__(self, url: str | None, *, sqlite_path: Path | None = None, left_out: Collection[str] = ()) -> None:
        self.left_out = frozenset(left_out)
        """Names of the views that are not kept."""
        if not url:
            if sqlite_path is None:
                raise HistoryError("No database is configured.", remedy="Set SQLALCHEMY_URL.")
            sqlite_path.parent.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{sqlite_path}"
        parsed = read_database_url(url, "SQLALCHEMY_URL")
        self.name = shown_url(parsed)
        """The URL without its password, for messages."""
        postgresql = parsed.get_backend_name() == "postgresql"
        self.engine: Engine = _postgresql_engine(parsed) if postgresql else _sqlite_engine(parsed)
        """The engine, for what the sessions below cannot do."""
        self._reader = self.engine.execution_options(**{READ_ONLY: True})

    @property
    def is_postgresql(self) -> bool:
        """Whether this is PostgreSQL (otherwise SQLite)."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a transaction that writes.

        Nothing is kept unless the block calls ``commit()``. In SQLite the one writer's lock is taken at the start.

        Yields
        ------
        Session
            The session.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        HistoryConflict
            If the block left a row that somebody else has written in between.
        HistoryError
            If the database refuses.
        """
        with self._translated(), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that only reads; it neither waits for writers nor makes them wait.

        Yields
        ------
        Session
            The session.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        HistoryError
            If the database refuses.
        """
        with self._translated(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @property
    def clock(self) -> sa.ColumnElement[datetime]:
        """The database's clock, for use inside a statement."""
        if not self.is_postgresql:
            return sa.literal(datetime.now(UTC), UtcDateTime)
        return sa.func.clock_timestamp(type_=UtcDateTime)

    @contextmanager
    def own_connection(self) -> Iterator[Connection]:
        """Open a connection that nobody else gets, now or later: for what it alone is to see.

        Yields
        ------
        Connection
            The connection, which is closed with the block; its transactions are opened by `session_on`.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        """
        with self._translated(), self.engine.connect() as connection:
            connection.detach()
            yield connection

    @contextmanager
    def session_on(self, connection: Connection, *, writing: bool) -> Iterator[Session]:
        """Open a transaction on a connection of one's own.

        Parameters
        ----------
        connection : Connection
            The connection.
        writing : bool
            Whether it is like `session`, otherwise like `reading`.

        Yields
        ------
        Session
            The session.

        Raises
        ------
        HistoryError
            As `session` and `reading` do.
        """
        connection.execution_options(**{READ_ONLY: not writing})
        with self._translated(), Session(connection, expire_on_commit=False) as session:
            yield session

    def now(self, session: Session) -> datetime:
        """Read the database's clock, on which all processes agree.

        Parameters
        ----------
        session : Session
            The session to read in.

        Returns
        -------
        datetime
            The time, UTC. SQLite has no clock of its own: there it is this machine's.
        """
        return session.execute(sa.select(self.clock)).scalar_one()

    @staticmethod
    def after(moment: datetime, seconds: float) -> datetime:
        """Move a time.

        Parameters
        ----------
        moment : datetime
            The time.
        seconds : float
            By how much; negative: earlier.

        Returns
        -------
        datetime
            The moved time.
        """
        return moment + timedelta(seconds=seconds)

    def migrate(self) -> None:
        """Bring the tables up to date; may be called by every process at every start.

        Tables of an existing history are taken over as they are; the views on it are computed anew at the first
        write or `pull_and_process`.

        Raises
        ------
        HistoryUnavailable
            If the database does not answer.
        HistoryError
            If a table cannot be made, or the tables belong to a newer version of this software.
        """
        # Alembic takes a while to import, and only this needs it.
        from worker.history.migration import upgrade

        with self._translated():
            upgrade(self.engine)

    def close(self) -> None:
        """Close all connections of this database."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.SQLAlchemyError as error:
            raise self._translate(error) from error

    def _translate(self, error: exc.SQLAlchemyError) -> HistoryError:
        """Say what an error of the database means to us."""
        cause = getattr(error, "orig", None)
        reason = " ".join(str(cause if cause is not None else error).split())
        code = getattr(cause, "pgcode", None) or ""
        if isinstance(error, exc.IntegrityError):
            return HistoryConflict(
                f"Somebody else has written to the history in between ({reason}).", remedy="Read it again, then retry."
            )
        # 42P01, 42703: undefined table or column.
        if code in ("42P01", "42703") or "no such table" in reason or "no such column" in reason:
            return HistoryError(
                f"The tables of the history in {self.name} are missing or out of date ({reason}).",
                remedy="Run the migration: Database.migrate().",
            )
        # 40P01: deadlock; 40001: serialisation; 57P01-3: the server shuts down or starts.
        if getattr(error, "connection_invalidated", False) or code[:2] == "40" or code[:4] == "57P0":
            return Interrupted(
                f"The connection to the history ({self.name}) was lost ({reason}).",
                remedy="It is tried again by itself; if this goes on, check that PostgreSQL runs.",
            )
        if isinstance(error, (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)):
            remedy = (
                "Check that PostgreSQL runs, can be reached from here, and that user and password in SQLALCHEMY_URL "
                "are right; work goes on by itself once it answers."
                if self.is_postgresql
                else "Check that the file's folder can be written to and that no process holds it for long."
            )
            return HistoryUnavailable(f"The history ({self.name}) does not answer ({reason}).", remedy=remedy)
        return HistoryError(f"The history ({self.name}) refused a statement ({reason}).")


def _postgresql_engine(url: sa.URL) -> Engine:
    options = f"-c lock_timeout={LOCK_TIMEOUT_S}s -c idle_in_transaction_session_timeout={IDLE_TRANSACTION_TIMEOUT_S}s"
    given = url.query.get("options")
    if given:
        options = f"{options} {given if isinstance(given, str) else ' '.join(given)}"
    return sa.create_engine(
        url,
        pool_pre_ping=True,
        pool_recycle=1800,
        # Many rows of a statement that returns nothing go to the server together.
        executemany_mode="values_plus_batch",
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "omero-worker",
            # A server that vanished without a word is noticed within about a minute.
            "keepalives": 1,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "options": options,
        },
    )


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_BUSY


@retry(
    retry=retry_if_exception(_is_busy),
    stop=stop_after_delay(LOCK_TIMEOUT_S),
    wait=wait_random(0.01, 0.1),
    reraise=True,
)
def _log_ahead(connection: sqlite3.Connection) -> None:
    """Let SQLite write ahead; of several processes that do this to a new file at once, it makes none wait."""
    connection.execute("PRAGMA journal_mode=WAL")


def _sqlite_engine(url: sa.URL) -> Engine:
    engine = sa.create_engine(url, connect_args={"timeout": LOCK_TIMEOUT_S})

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        # We begin transactions ourselves: the driver's own way begins them at the first write, which loses the race
        # between two processes that have both read before.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout={LOCK_TIMEOUT_S * 1000}")
        _log_ahead(connection)
        connection.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine
