"""From the objects that clients send to rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import omero
import omero.model
from omero.rtypes import rlong

from tests.lab.omero.model.encode import proxy
from tests.lab.omero.model.enumerations import enumerations
from tests.lab.omero.model.rows import Quantity, Row
from tests.lab.omero.model.schema import SCHEMA, Field

if TYPE_CHECKING:
    from tests.lab.omero.model.store import Store

OPEN_ENUMERATIONS = frozenset({"Format"})
"""Enumerations to which importers add values."""


class Author(Protocol):
    """In whose name rows are written."""

    def owner_and_group(self, details: Any) -> tuple[Row, Row]:
        """Return owner and group of a new row, given the details that the client sent with it."""

    def check_update(self, row: Row) -> None:
        """Raise a SecurityViolation if a row may not be changed."""

    def check_links(self, row: Row) -> None:
        """Raise a SecurityViolation if a row may not refer to what it refers to."""

    def permissions(self, row: Row) -> Any:
        """Return the PermissionsI of a row."""


_NAMES = frozenset({"name", "ns", "mimetype"})
_NAME_LENGTH = 255


class Decoder:
    """Saves graphs of objects; an object that occurs twice in them is saved once.

    Parameters
    ----------
    store : Store
        Where to; a transaction is open.
    author : Author
        In whose name.
    event : Row
        The event of this change.
    """

    def __init__(self, store: Store, author: Author, event: Row) -> None:
        self._store = store
        self._author = author
        self._event = event
        self._rows: dict[int, Row] = {}
        # Keeps the objects alive, so that their identities stay unique.
        self._seen: list[Any] = []
        self._created: set[Row] = set()
        self._linked: dict[Row, None] = {}

    def save(self, obj: Any) -> Row:
        """Save an object with what hangs on it, and give it its id and details.

        Raises
        ------
        omero.ValidationException
            If it, or something that it refers to, does not exist.
        omero.SecurityViolation
            If the author may not do that.
        """
        row = self._save(obj)
        for linked in self._linked:
            self._author.check_links(linked)
        self._linked.clear()
        return row

    def _save(self, obj: Any) -> Row:
        if id(obj) in self._rows:
            return self._rows[id(obj)]
        self._seen.append(obj)
        row, writable = self._find_or_make(obj)
        self._rows[id(obj)] = row
        if not writable:
            return row
        is_new = row in self._created
        changes = self._changes(obj, row)
        if changes:
            if not is_new:
                self._author.check_update(row)
                self._store.set_details(row, update_event=self._event)
            self._store.set(row, **changes)
        if is_new or any(isinstance(value, Row) for value in changes.values()):
            self._linked[row] = None
        self._save_external_info(obj, row)
        self._save_collections(obj, row)
        obj._id = rlong(row.id)
        self._fill_details(obj, row)
        return row

    def _find_or_make(self, obj: Any) -> tuple[Row, bool]:
        """Return the row of an object, and whether its fields are to be looked at."""
        cls = SCHEMA.find(type(obj).__name__)
        if cls is None:
            raise omero.ApiUsageException("", "", f"{type(obj).__name__} is not a class of the model")
        if obj._id is not None:
            row = self._store.get(cls, obj._id.val)
            if row is None:
                raise omero.ValidationException("", "", f"No such object: {cls}:{obj._id.val}")
            # Users, groups and events are changed through IAdmin alone.
            fixed = row.cls in enumerations() or row.cls in {"Experimenter", "ExperimenterGroup", "Event", "Session"}
            return row, bool(obj._loaded) and not fixed
        if not obj._loaded:
            raise omero.ApiUsageException("", "", f"an unloaded {cls} without an id cannot be saved")
        if cls in enumerations():
            row = self._enumerated(cls, obj._value.val if obj._value is not None else None)
            obj._id = rlong(row.id)
            return row, False
        owner, group = self._author.owner_and_group(obj._details)
        row = self._store.new(cls, owner, group, self._event)
        self._created.add(row)
        return row, True

    def _enumerated(self, cls: str, value: str | None) -> Row:
        row = self._store.enumerated(cls, value) if value is not None else None
        if row is None and value is not None and cls in OPEN_ENUMERATIONS:
            row = self._store.new(cls, value=value)
        if row is None:
            raise omero.ValidationException("", "", f"unknown {cls}: {value}")
        return row

    def _changes(self, obj: Any, row: Row) -> dict[str, Any]:
        changes = {}
        for field in SCHEMA.fields[row.cls].values():
            if field.kind == "collection":
                continue
            value = self._value(field, getattr(obj, field.member, None))
            if field.name in _NAMES and isinstance(value, str) and len(value) > _NAME_LENGTH:
                message = f"value too long for type character varying({_NAME_LENGTH}): {field.name} of {row.cls}"
                raise omero.ValidationException("", "", message)
            if value != row[field.name]:
                changes[field.name] = value
        return changes

    def _value(self, field: Field, value: Any) -> Any:
        if value is None:
            return None
        match field.kind:
            case "reference":
                return self._save(value)
            case "scalar":
                return value.val if hasattr(value, "val") else value
            case "unit":
                return Quantity(field.type, value.getValue(), str(value.getUnit()))
            case "named_values":
                return [(pair.name, pair.value) for pair in value if pair is not None]
            case _:
                return value

    def _save_external_info(self, obj: Any, row: Row) -> None:
        info = obj._details._externalInfo if obj._details is not None else None
        if info is not None:
            saved = self._save(info)
            if saved is not row.external_info:
                self._store.set_details(row, external_info=saved)

    def _save_collections(self, obj: Any, row: Row) -> None:
        for field in SCHEMA.fields[row.cls].values():
            if field.kind != "collection" or not getattr(obj, f"_{field.name}Loaded", False):
                continue
            elements = [self._save(each) for each in list(getattr(obj, field.member) or []) if each is not None]
            _, back = SCHEMA.inverse(row.cls, field.name)
            for saved in elements:
                if saved[back] is None:
                    self._store.set(saved, **{back: row})
            self._store.arrange(row, field.name, elements)

    def _fill_details(self, obj: Any, row: Row) -> None:
        if obj._details is None:
            obj._details = omero.model.DetailsI()
        details = obj._details
        details._owner, details._group = proxy(row.owner), proxy(row.group)
        details._creationEvent, details._updateEvent = proxy(row.creation_event), proxy(row.update_event)
        details._permissions = self._author.permissions(row)
