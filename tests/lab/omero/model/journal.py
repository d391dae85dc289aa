"""Rows on disk: a SQLite database that takes the changed rows of every transaction before it is acknowledged.

With the write-ahead log in synchronous mode NORMAL, what is committed survives the death of the process at any
moment, though not that of the machine.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from typing import TYPE_CHECKING, Any

from tests.lab.omero.model.rows import DETAILS, Quantity, Row
from tests.lab.omero.model.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

_TABLES = """
create table if not exists object (
    root text not null, id integer not null, class text not null, content text not null, primary key (root, id)
) without rowid;
create table if not exists sequence (root text primary key, last integer not null) without rowid;
"""


class Journal:
    """The database of a store.

    Parameters
    ----------
    path : Path
        Its file.
    """

    def __init__(self, path: Path) -> None:
        # The store has a lock of its own around every use.
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = normal")
        self._connection.executescript(_TABLES)

    def read_sequences(self) -> dict[str, int]:
        """Return the last id that was given out, by root class."""
        return dict(self._connection.execute("select root, last from sequence"))

    def read_rows(self) -> list[tuple[Row, dict[str, Any]]]:
        """Return every row, still empty, with its content for :func:`restore`."""
        rows = self._connection.execute("select class, id, content from object order by root, id")
        return [(Row(cls, row_id), json.loads(content)) for cls, row_id, content in rows]

    def write(self, changed: Iterable[Row], deleted: Iterable[Row], sequences: Mapping[str, int]) -> None:
        """Write what a transaction has changed, all or nothing.

        Parameters
        ----------
        changed : iterable of Row
            New and changed rows.
        deleted : iterable of Row
            Those that are gone.
        sequences : mapping
            The last ids, by root class.
        """
        execute = self._connection.execute
        execute("begin immediate")
        try:
            for row in changed:
                content = json.dumps(content_of(row), separators=(",", ":"))
                execute("replace into object values (?, ?, ?, ?)", (SCHEMA.root(row.cls), row.id, row.cls, content))
            for row in deleted:
                execute("delete from object where root = ? and id = ?", (SCHEMA.root(row.cls), row.id))
            for root, last in sequences.items():
                execute("replace into sequence values (?, ?)", (root, last))
        except BaseException:
            execute("rollback")
            raise
        execute("commit")

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


def content_of(row: Row) -> dict[str, Any]:
    """Return what there is to know about a row, for JSON."""
    content: dict[str, Any] = {"v": {name: _encode(value) for name, value in row.values.items() if value is not None}}
    content["d"] = [_encode(getattr(row, name)) for name in DETAILS]
    if row.permissions is not None:
        content["p"] = row.permissions
    if row.extra:
        content["x"] = row.extra
    return content


def restore(row: Row, content: dict[str, Any], find: Callable[[str, int], Row | None]) -> dict[str, Any]:
    """Give a row back its details, and return its values.

    Parameters
    ----------
    row : Row
        An empty row.
    content : dict
        What :func:`content_of` said about it.
    find : callable
        Returns other rows by class and id.

    Returns
    -------
    dict
        Values by the name of the field.
    """
    for name, value in zip(DETAILS, content["d"], strict=True):
        setattr(row, name, _decode(value, find))
    row.permissions = content.get("p")
    row.extra = content.get("x", {})
    return {name: _decode(value, find) for name, value in content["v"].items()}


def _encode(value: Any) -> Any:
    match value:
        case Row():
            return {"row": [value.cls, value.id]}
        case Quantity():
            return {"quantity": [value.type, value.value, value.unit]}
        case bytes():
            return {"bytes": base64.b64encode(value).decode("ascii")}
        case list() | tuple():
            return {"list": [list(item) if isinstance(item, tuple) else item for item in value]}
        case _:
            return value


def _decode(value: Any, find: Callable[[str, int], Row | None]) -> Any:
    match value:
        case {"row": [cls, row_id]}:
            return find(cls, row_id)
        case {"quantity": [type_name, number, unit]}:
            return Quantity(type_name, number, unit)
        case {"bytes": text}:
            return base64.b64decode(text)
        case {"list": items}:
            return [tuple(item) if isinstance(item, list) else item for item in items]
        case _:
            return value
