"""The importer's table of orders: placing them, and reading what was said about them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import exc

from worker.errors import ImporterUnavailable, SettingsError
from worker.results.inplace.orders import (
    PENDING,
    STARTED,
    Backlog,
    Order,
    OrderHistory,
    OrderRow,
    file_names,
    imports,
)
from worker.settings.databases import read_database_url, shown_url

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from pydantic import SecretStr

CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_S: Final = 20

RECENT_S: Final = 10 * 86400.0
"""Older orders the importer itself leaves alone."""

_LOCK: Final = 0x626D_6F72_6465_7273
"""Advisory lock that whoever places orders takes, so that of two one finds what the other has placed."""


class OrderBook:
    """The importer's table of orders.

    Parameters
    ----------
    url : SecretStr
        The importer's database.
    """

    def __init__(self, url: SecretStr) -> None:
        parsed = read_database_url(url.get_secret_value(), "INGEST_TRACKING_DB_URL")
        self.name = shown_url(parsed)
        """The URL without its password, for messages."""
        self._postgresql = parsed.get_backend_name() == "postgresql"
        self._engine = _postgresql_engine(parsed) if self._postgresql else _sqlite_engine(parsed)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> OrderBook:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> None:
        """Check that the importer's table is there as we know it, and that we may place orders: one is taken back.

        Raises
        ------
        SettingsError
            If not; the importer makes the table when it starts.
        ImporterUnavailable
            If the database does not answer.
        """
        with self._connection() as connection:
            inspector = sa.inspect(connection)
            if not inspector.has_table(imports.name):
                raise SettingsError(
                    f"The importer's database {self.name} has no table {imports.name!r}.",
                    remedy="Check that INGEST_TRACKING_DB_URL names the importer's database, and start the importer "
                    "once: it makes its tables.",
                )
            found = {column["name"] for column in inspector.get_columns(imports.name)}
        missing = [column.name for column in imports.columns if column.name not in found]
        if missing:
            raise SettingsError(
                f"The table {imports.name!r} in {self.name} has no column {', '.join(missing)}.",
                remedy="Update the importer to 1.4 or later, and start it once: it migrates its tables.",
            )
        trial = Order(uuid4(), "", "", "Dataset", 0, ())
        with self._connection(writing=True) as connection, connection.begin() as transaction:
            connection.execute(sa.insert(imports).values(**_values(trial)))
            transaction.rollback()

    def place(self, orders: Sequence[Order]) -> tuple[UUID, ...]:
        """Place orders, all or none; those that were placed before are left alone.

        Parameters
        ----------
        orders : Sequence of Order
            The orders.

        Returns
        -------
        tuple of UUID
            Those that were not there yet.

        Raises
        ------
        ImporterUnavailable
            If the database does not answer; whether they were placed, a repetition finds out.
        """
        with self._connection(writing=True) as connection, connection.begin():
            if self._postgresql:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            asked = [str(order.uuid) for order in orders]
            known = set(connection.scalars(sa.select(imports.c.uuid).where(imports.c.uuid.in_(asked))))
            new = [order for order in orders if str(order.uuid) not in known]
            for order in new:
                connection.execute(sa.insert(imports).values(**_values(order)))
        return tuple(order.uuid for order in new)

    def read(self, uuids: Sequence[UUID]) -> tuple[OrderHistory, ...]:
        """Read what was said about orders.

        Parameters
        ----------
        uuids : Sequence of UUID
            The orders.

        Returns
        -------
        tuple of OrderHistory
            One for each, in that order; without rows for one that was never placed.

        Raises
        ------
        ImporterUnavailable
            If the database does not answer.
        """
        # Not the files: each row of an order repeats them, and there may be thousands.
        columns = (imports.c.id, imports.c.uuid, imports.c.stage, imports.c.description)
        wanted = [str(uuid) for uuid in uuids]
        with self._connection() as connection:
            now = self._now(connection)
            rows: dict[str, list[OrderRow]] = {}
            select = sa.select(*columns, imports.c.timestamp).where(imports.c.uuid.in_(wanted)).order_by(imports.c.id)
            for row_id, uuid, stage, description, said_at in connection.execute(select):
                row = OrderRow(row_id, stage, description or "", _aware(said_at))
                rows.setdefault(uuid, []).append(row)
            begun = self._last_begun(connection) if rows else 0
        return tuple(
            OrderHistory(
                uuid,
                tuple(rows.get(str(uuid), ())),
                overtaken=any(row.row_id < begun for row in rows.get(str(uuid), ()) if row.stage == PENDING),
                silent_s=_silent_s(rows.get(str(uuid), ()), now),
            )
            for uuid in uuids
        )

    def about(self, folder: str) -> tuple[UUID, ...]:
        """Name the orders, whoever placed them, for files in a folder.

        Parameters
        ----------
        folder : str
            A part of the paths that no other folder has.

        Returns
        -------
        tuple of UUID
            The orders.

        Raises
        ------
        ImporterUnavailable
            If the database does not answer.
        """
        select = sa.select(imports.c.uuid).where(imports.c.files.contains(folder, autoescape=True)).distinct()
        with self._connection() as connection:
            return tuple(UUID(uuid) for uuid in connection.scalars(select))

    def backlog(self) -> Backlog:
        """Count the orders, of anybody, that the importer has not begun, and those that several importers have.

        Returns
        -------
        Backlog
            The orders of the last ten days: older ones the importer itself leaves alone.

        Raises
        ------
        ImporterUnavailable
            If the database does not answer.
        """
        later = imports.alias()
        with self._connection() as connection:
            now = self._now(connection)
            select = sa.select(imports.c.timestamp).where(
                imports.c.stage == PENDING,
                ~sa.exists().where(later.c.uuid == imports.c.uuid, later.c.stage != PENDING),
            )
            waiting = [_aware(moment) for moment in connection.scalars(select)]
            begun = sa.select(imports.c.uuid).where(
                imports.c.stage == STARTED, imports.c.timestamp > now - timedelta(seconds=RECENT_S)
            )
            twice = begun.group_by(imports.c.uuid).having(sa.func.count() > 1).subquery()
            shared = connection.scalar(sa.select(sa.func.count()).select_from(twice))
        ages = [(now - said_at).total_seconds() for said_at in waiting if said_at is not None]
        recent = [age for age in ages if age < RECENT_S]
        return Backlog(len(recent), max(recent, default=0.0), int(shared or 0))

    def _last_begun(self, connection: sa.Connection) -> int:
        """Row of the last order that the importer has begun; it begins them in the order of their rows."""
        later = imports.alias()
        begun = (
            sa.select(imports.c.id)
            .where(imports.c.stage == PENDING)
            .where(sa.exists().where(later.c.uuid == imports.c.uuid, later.c.stage == STARTED))
            .order_by(imports.c.id.desc())
            .limit(1)
        )
        return int(connection.scalar(begun) or 0)

    def _now(self, connection: sa.Connection) -> datetime:
        """Ask the database for the time, by which it has dated the rows."""
        if not self._postgresql:
            return datetime.now(UTC)
        return connection.execute(sa.select(sa.func.clock_timestamp(type_=sa.DateTime(timezone=True)))).scalar_one()

    @contextmanager
    def _connection(self, *, writing: bool = False) -> Iterator[sa.Connection]:
        """Open a connection whose errors are ours."""
        try:
            with self._engine.execution_options(worker_writes=writing).connect() as connection:
                yield connection
        except exc.IntegrityError as error:
            raise SettingsError(
                f"The importer's table in {self.name} does not take our orders ({_reason(error)}).",
                remedy="The importer is newer than this worker knows: update the worker.",
            ) from error
        except (exc.ProgrammingError, exc.InternalError) as error:
            raise SettingsError(
                f"The importer's database ({self.name}) refuses a statement ({_reason(error)}).",
                remedy="Check that the user in INGEST_TRACKING_DB_URL may read and add to the importer's tables, and "
                "that it is not a read-only copy.",
            ) from error
        except exc.SQLAlchemyError as error:
            raise ImporterUnavailable(
                f"The importer's database ({self.name}) does not answer ({_reason(error)}).",
                remedy="Check that it runs, can be reached from here, and that user and password in "
                "INGEST_TRACKING_DB_URL are right.",
            ) from error


def _reason(error: exc.SQLAlchemyError) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _values(order: Order) -> dict[str, object]:
    return {
        "group_name": order.group_name,
        "user_name": order.user_name,
        "destination_id": str(order.destination_id),
        "destination_type": order.destination_type,
        "stage": PENDING,
        "uuid": str(order.uuid),
        "timestamp": sa.func.now(),
        "files": json.dumps(list(order.files)),
        "file_names": json.dumps(file_names(order.files)),
    }


def _aware(moment: datetime | None) -> datetime | None:
    """SQLite forgets that its times are in UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _silent_s(rows: Sequence[OrderRow], now: datetime) -> float:
    said = [row.said_at for row in rows if row.said_at is not None]
    # A time of the future is one by a clock that is wrong, or of an importer in another time zone.
    return max(0.0, (now - max(said)).total_seconds()) if said else 0.0


def _postgresql_engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url,
        pool_pre_ping=True,
        pool_size=2,
        pool_recycle=300,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "omero-worker",
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_S}s",
        },
    )


def _sqlite_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": STATEMENT_TIMEOUT_S})

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own way begins a transaction at the first write, and whoever has read before may lose the race.
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("worker_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
