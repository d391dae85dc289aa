"""Insert rows, or change them if they are there: the one statement that both databases spell in their own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import sqlalchemy as sa
    from sqlalchemy.orm import Session


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
    if not rows:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    given = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    session.execute(
        statement.on_conflict_do_update(index_elements=[c.name for c in table.primary_key], set_=given), list(rows)
    )
