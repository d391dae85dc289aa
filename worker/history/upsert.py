"""Insert rows, or change them if they are there: the one statement that both databases spell in their own way."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

_preparer = sa.create_mock_engine("postgresql://", lambda *_: None).dialect.identifier_preparer


def upsert(session: Session, table: sa.Table, key: Mapping[str, Any], /, **values: Any) -> None:
    """Insert a row, or change the given columns of the row that has the same key.

    Parameters
    ----------
    session : Session
        The transaction.
    table : Table
        Where.
    key : mapping
        The columns of the primary key, and their values.
    **values : Any
        The other columns, and their values.
    """
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).values({**key, **values})
    session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))


def upsert_rows(session: Session, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, or change those that have the same keys.

    Parameters
    ----------
    session : Session
        The transaction.
    table : Table
        Where.
    rows : sequence of mapping
        All columns of each row, and their values.
    """
    if rows:
        session.execute(_statement(table), list(rows))


@cache
def _statement(table: sa.Table) -> sa.TextClause:
    # Written out: SQLAlchemy compiles its own construct for this anew each time, which takes longer than its execution.
    quote = _preparer.quote
    names = [column.name for column in table.columns]
    keys = ", ".join(quote(column.name) for column in table.primary_key)
    changed = ", ".join(f"{quote(c.name)} = excluded.{quote(c.name)}" for c in table.columns if not c.primary_key)
    text = (
        f"INSERT INTO {quote(table.name)} ({', '.join(map(quote, names))}) "  # noqa: S608 - names of our tables
        f"VALUES ({', '.join(f':{name}' for name in names)}) "
        f"ON CONFLICT ({keys}) DO UPDATE SET {changed}"
    )
    return sa.text(text).bindparams(*(sa.bindparam(column.name, type_=column.type) for column in table.columns))
