"""All objects of the server: in memory for reading, journalled for keeping."""

from __future__ import annotations

import contextlib
import math
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.lab.omero.model.journal import Journal, restore
from tests.lab.omero.model.rows import DETAILS, Row
from tests.lab.omero.model.schema import LISTS, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LISTS = {collection for _, collection in LISTS.values()}


@dataclass(frozen=True, slots=True)
class _Before:
    """What a row was before the transaction; *values* is None for one that did not exist."""

    values: dict[str, Any] | None
    details: tuple[Any, ...]
    permissions: int | None
    extra: dict[str, Any]


class Store:
    """Rows by class and id, with an index over references.

    Every change happens inside of :meth:`transaction`: it is on disk when the outermost one ends, or undone if that
    ends with an exception. The lock is taken by whoever reads.

    Parameters
    ----------
    path : Path
        File of the journal; what it holds is read in.
    """

    def __init__(self, path: Path) -> None:
        self.lock = threading.RLock()
        self._tables: dict[str, dict[int, Row]] = defaultdict(dict)
        self._last: dict[str, int] = defaultdict(int)
        self._referring: dict[tuple[str, str], dict[Row, dict[Row, None]]] = defaultdict(lambda: defaultdict(dict))
        self._before: dict[Row, _Before] = {}
        self._depth = 0
        self._journal = Journal(path)
        self._last.update(self._journal.read_sequences())
        contents = self._journal.read_rows()
        for row, _ in contents:
            self._tables[SCHEMA.root(row.cls)][row.id] = row
        for row, content in contents:
            for name, value in restore(row, content, self.get).items():
                self._assign(row, name, value)

    # Reading

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever stored."""
        return not self._tables

    def get(self, cls: str, row_id: int) -> Row | None:
        """Return a row by its class (or an ancestor of it) and id."""
        row = self._tables[SCHEMA.root(cls)].get(row_id)
        return row if row is not None and SCHEMA.is_a(row.cls, cls) else None

    def all(self, cls: str) -> list[Row]:
        """Return every row of a class and its descendants, ordered by id."""
        if cls == "IObject":
            return [row for table in self._tables.values() for row in table.values()]
        root = SCHEMA.root(cls)
        rows = self._tables[root].values()
        chosen = rows if root == cls else (row for row in rows if SCHEMA.is_a(row.cls, cls))
        return sorted(chosen, key=lambda row: row.id)

    def first(self, cls: str, /, **values: object) -> Row | None:
        """Return the first row of a class whose fields have some values."""
        for row in self.all(cls):
            if all(row[name] == value for name, value in values.items()):
                return row
        return None

    def collection(self, row: Row, name: str) -> list[Row]:
        """Return the elements of a collection, ordered by their places in it if it is a list, then by id."""
        element, back = SCHEMA.inverse(row.cls, name)
        found = self.referring_by(row, element, back)
        return sorted(found, key=lambda other: other.extra.get("place", math.inf)) if name in _LISTS else found

    def arrange(self, row: Row, name: str, elements: Sequence[Row]) -> None:
        """Give the elements of a list their places in it, if these are not the ones that they have."""
        if name in _LISTS and self.collection(row, name) != list(elements):
            for place, element in enumerate(elements):
                self.set_extra(element, place=place)

    def referring_by(self, row: Row, cls: str, field: str) -> list[Row]:
        """Return the rows of a class one of whose fields points at a row, ordered by id."""
        found = self._referring[SCHEMA.root(cls), field].get(row, {})
        return sorted((other for other in found if SCHEMA.is_a(other.cls, cls)), key=lambda other: other.id)

    def referrers(self, row: Row) -> list[tuple[Row, str]]:
        """Return every row that points at a row, with the field by which it does."""
        return [
            (other, field)
            for (_, field), index in self._referring.items()
            for other in sorted(index.get(row, {}), key=lambda other: other.id)
        ]

    # Writing

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock; at the end, write every change to disk, or undo them all after an exception."""
        with self.lock:
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._commit()
            except BaseException:
                if self._depth == 1:
                    self._roll_back()
                raise
            finally:
                self._depth -= 1

    def new(
        self, cls: str, owner: Row | None = None, group: Row | None = None, event: Row | None = None, /, **values: Any
    ) -> Row:
        """Make a row with the next id of its class."""
        root = SCHEMA.root(cls)
        self._last[root] += 1
        return self.new_with_id(cls, self._last[root], owner, group, event, **values)

    def new_with_id(
        self,
        cls: str,
        row_id: int,
        owner: Row | None = None,
        group: Row | None = None,
        event: Row | None = None,
        /,
        **values: Any,
    ) -> Row:
        """Make a row with an id that is given: some of the first users and groups have the id 0."""
        root = SCHEMA.root(cls)
        self._last[root] = max(self._last[root], row_id)
        row = Row(cls, row_id)
        self._need_transaction()
        self._before[row] = _Before(None, (), None, {})
        self._tables[root][row_id] = row
        row.owner, row.group, row.creation_event, row.update_event = owner, group, event, event
        for name, value in values.items():
            self._assign(row, name, value)
        return row

    def set(self, row: Row, /, **values: Any) -> None:
        """Change fields of a row."""
        self._touch(row)
        for name, value in values.items():
            self._assign(row, name, value)

    def set_details(self, row: Row, /, **details: Row | None) -> None:
        """Change the owner, group, events or external information of a row."""
        self._touch(row)
        for name, value in details.items():
            setattr(row, name, value)

    def set_permissions(self, group: Row, permissions: int) -> None:
        """Change the permissions of a group."""
        self._touch(group)
        group.permissions = permissions

    def set_extra(self, row: Row, /, **extra: Any) -> None:
        """Change what the server keeps about a row outside of the model; it must be fit for JSON."""
        self._touch(row)
        row.extra = row.extra | extra

    def delete(self, row: Row) -> None:
        """Delete a row; what still points at it loses that reference."""
        self._touch(row)
        for other, field in self.referrers(row):
            self.set(other, **{field: None})
        self._unlist(row)

    def enumerated(self, cls: str, value: str) -> Row | None:
        """Return a value of an enumeration."""
        return self.first(cls, value=value)

    def close(self) -> None:
        """Close the journal."""
        with self.lock:
            self._journal.close()

    def _need_transaction(self) -> None:
        if not self._depth:
            raise RuntimeError("a row was about to be changed outside of a transaction")

    def _touch(self, row: Row) -> None:
        self._need_transaction()
        if row not in self._before:
            details = tuple(getattr(row, name) for name in DETAILS)
            self._before[row] = _Before(dict(row.values), details, row.permissions, row.extra)

    def _assign(self, row: Row, name: str, value: Any) -> None:
        index = (SCHEMA.root(row.cls), name)
        old = row.values.get(name)
        if isinstance(old, Row):
            self._referring[index][old].pop(row, None)
        row.values[name] = value
        if isinstance(value, Row):
            self._referring[index][value][row] = None

    def _unlist(self, row: Row) -> None:
        for name, value in list(row.values.items()):
            if isinstance(value, Row):
                self._referring[SCHEMA.root(row.cls), name][value].pop(row, None)
        self._tables[SCHEMA.root(row.cls)].pop(row.id, None)

    def _commit(self) -> None:
        if not self._before:
            return
        changed = [row for row in self._before if self.get(row.cls, row.id) is row]
        deleted = [row for row in self._before if self.get(row.cls, row.id) is not row]
        sequences = {root: self._last[root] for root in {SCHEMA.root(row.cls) for row in self._before}}
        self._journal.write(changed, deleted, sequences)
        self._before.clear()

    def _roll_back(self) -> None:
        for row in self._before:
            self._unlist(row)
        for row, before in self._before.items():
            if before.values is None:
                continue
            self._tables[SCHEMA.root(row.cls)][row.id] = row
            row.values = {}
            for name, value in before.values.items():
                self._assign(row, name, value)
            for name, value in zip(DETAILS, before.details, strict=True):
                setattr(row, name, value)
            row.permissions, row.extra = before.permissions, before.extra
        self._before.clear()
