"""Copies of the views, on which they are computed anew while everybody goes on with the real ones."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import Connection
    from sqlalchemy.orm import Session

    from worker.history.database import Database


@dataclass(frozen=True, slots=True)
class Difference:
    """A row of a view that is not what the log says."""

    view: str
    key: tuple[Any, ...]
    """Its primary key."""
    present: dict[str, Any] | None
    """The columns that differ, as the view has them; None: the row is missing."""
    computed: dict[str, Any] | None
    """The same columns, as they follow from the log; None: there should be no such row."""


class Copies:
    """Empty copies of tables, which only one connection sees and which vanish with it.

    Parameters
    ----------
    database : Database
        The database.
    connection : Connection
        The connection.
    tables : sequence of Table
        The tables.
    """

    def __init__(self, database: Database, connection: Connection, tables: Sequence[sa.Table]) -> None:
        self._database = database
        self._connection = connection
        metadata = sa.MetaData()
        self.tables = {table: _copy(table, metadata) for table in tables}
        """The copies, by the tables that they are copies of."""
        with self.session() as session:
            metadata.create_all(session.connection(), checkfirst=False)
            session.commit()

    @contextmanager
    def session(self, *, writing: bool = False) -> Iterator[Session]:
        """Open a transaction that sees the copies.

        Parameters
        ----------
        writing : bool
            Whether it may change the real tables too; otherwise it neither waits for writers nor makes them wait.

        Yields
        ------
        Session
            The session; nothing is kept unless the block calls ``commit()``.
        """
        with self._database.session_on(self._connection, writing=writing) as session:
            yield session

    def replace(self, session: Session) -> None:
        """Put the copies' rows in the place of those of the real tables.

        Parameters
        ----------
        session : Session
            A transaction that writes.
        """
        for table, copy in self.tables.items():
            session.execute(sa.delete(table))
            names = [column.name for column in table.columns]
            session.execute(sa.insert(table).from_select(names, sa.select(copy)))

    def differences(self, session: Session) -> list[Difference]:
        """Compare the real tables with the copies.

        Parameters
        ----------
        session : Session
            The transaction.

        Returns
        -------
        list of Difference
            The rows that differ, in the order of the views and their keys.
        """
        found: list[Difference] = []
        for table, copy in self.tables.items():
            mine, computed = sa.select(table), sa.select(copy)
            present = _by_key(session, mine.except_(computed), table)
            wanted = _by_key(session, computed.except_(mine), table)
            found += [
                _difference(table.name, key, present.get(key), wanted.get(key))
                for key in sorted(present.keys() | wanted.keys())
            ]
        return found


@contextmanager
def made(database: Database, tables: Sequence[sa.Table]) -> Iterator[Copies]:
    """Make empty copies of tables for the length of a block.

    Parameters
    ----------
    database : Database
        The database.
    tables : sequence of Table
        The tables.

    Yields
    ------
    Copies
        The copies.

    Raises
    ------
    HistoryUnavailable
        If the database does not answer.
    """
    with database.own_connection() as connection:
        yield Copies(database, connection, tables)


def _copy(table: sa.Table, metadata: sa.MetaData) -> sa.Table:
    columns = [
        sa.Column(
            column.name, column.type, primary_key=column.primary_key, autoincrement=False, nullable=column.nullable
        )
        for column in table.columns
    ]
    return sa.Table(f"anew_{table.name}", metadata, *columns, prefixes=["TEMPORARY"])


def _by_key(session: Session, query: sa.CompoundSelect[Any], table: sa.Table) -> dict[tuple[Any, ...], dict[str, Any]]:
    names = [column.name for column in table.primary_key]
    rows = [dict(zip(table.columns.keys(), row, strict=True)) for row in session.execute(query)]
    return {tuple(row[name] for name in names): row for row in rows}


def _difference(
    view: str, key: tuple[Any, ...], present: dict[str, Any] | None, computed: dict[str, Any] | None
) -> Difference:
    if present is not None and computed is not None:
        names = [name for name in present if present[name] != computed[name]]
        present, computed = ({name: row[name] for name in names} for row in (present, computed))
    return Difference(view, key, present, computed)
