"""The rows of the views that a batch of events changes: read together, changed in memory, written together.

A batch costs a query for each table it looks at and a statement for each table it changes, however many events it has.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from worker.history.upsert import upsert_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.orm import Session

Row = dict[str, Any]
"""All columns of a row."""


class Rows:
    """Rows of the views, as they are after the events that were followed so far.

    Parameters
    ----------
    session : Session
        The transaction.
    copies : mapping, optional
        The tables in which the rows are really kept, by the tables that they are copies of; by default those
        themselves.
    """

    def __init__(self, session: Session, copies: Mapping[sa.Table, sa.Table] | None = None) -> None:
        self.session = session
        self._copies = copies or {}
        self._rows: dict[sa.Table, dict[Any, Row | None]] = defaultdict(dict)
        self._changed: dict[sa.Table, set[Any]] = defaultdict(set)
        self._expected: dict[sa.Table, set[Any]] = defaultdict(set)

    def place(self, table: sa.Table) -> sa.Table:
        """Tell in which table the rows of a view are really kept."""
        return self._copies.get(table, table)

    def expect(self, table: sa.Table, ids: Iterable[Any]) -> None:
        """Say which rows are going to be looked at, so that they are all read with the first of them.

        Parameters
        ----------
        table : Table
            The view; its primary key is one column.
        ids : iterable
            Their keys.
        """
        self._expected[table].update(ids)

    def get(self, table: sa.Table, key: Any) -> Row | None:
        """Give a row.

        Parameters
        ----------
        table : Table
            The view; its primary key is one column.
        key : object
            The row's key.

        Returns
        -------
        dict or None
            All columns of the row, which must not be changed; None if there is no such row.
        """
        known = self._rows[table]
        if key not in known:
            wanted = (self._expected.pop(table, set()) | {key}) - known.keys()
            place = self.place(table)
            (column,) = place.primary_key
            known.update(dict.fromkeys(wanted))
            for row in self.session.execute(sa.select(place).where(column.in_(wanted))).mappings():
                known[row[column]] = dict(row)
        return known[key]

    def change(self, table: sa.Table, key: Any, **values: Any) -> Row | None:
        """Change columns of a row, if it is there.

        Parameters
        ----------
        table : Table
            The view; its primary key is one column.
        key : object
            The row's key.
        **values : Any
            The columns, and their values.

        Returns
        -------
        dict or None
            The row afterwards; None if there is no such row.
        """
        row = self.get(table, key)
        if row is not None and any(row[name] != value for name, value in values.items()):
            row.update(values)
            self._changed[table].add(key)
        return row

    def put(self, table: sa.Table, key: Mapping[str, Any], **values: Any) -> None:
        """Insert a row, or change the given columns of the row that has the same key.

        Parameters
        ----------
        table : Table
            The view.
        key : mapping
            The columns of the primary key, and their values.
        **values : Any
            The other columns, and their values.
        """
        names = [column.name for column in table.columns]
        identity = tuple(key.values()) if len(key) > 1 else next(iter(key.values()))
        whole = len(key) + len(values) == len(names)
        before = None if whole else self.get(table, identity)
        self._rows[table][identity] = {**(before or dict.fromkeys(names)), **key, **values}
        self._changed[table].add(identity)

    def flush(self) -> None:
        """Write what has changed."""
        for table, keys in self._changed.items():
            known = self._rows[table]
            # Always in the same order, so that two writers never wait for each other.
            changed = [row for key in sorted(keys) if (row := known[key]) is not None]
            upsert_rows(self.session, self.place(table), changed)
        self._changed.clear()
