"""Insert a row, or change it if it is there: the one statement that both databases spell in their own way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Mapping

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
