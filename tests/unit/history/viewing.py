"""What the tests compare: the rows of all views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from worker.history import overview
from worker.history.projection import TRACKING
from worker.history.views import VIEWS

if TYPE_CHECKING:
    from worker.history.database import Database


def rows(database: Database, table: sa.Table) -> list[dict[str, Any]]:
    """All rows of a table, in the order of its key."""
    with database.reading() as session:
        found = session.execute(sa.select(table).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in found]


def only_row(database: Database, table: sa.Table) -> dict[str, Any]:
    """The one row of a table."""
    (row,) = rows(database, table)
    return row


def all_views(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All rows of all views and of their positions."""
    tables = (*(view.table for view in VIEWS), *overview.TABLES, *TRACKING)
    return {table.name: rows(database, table) for table in tables}
