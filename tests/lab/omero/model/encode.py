"""From rows to the objects that travel to clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import omero.model
from omero.rtypes import rbool, rdouble, rfloat, rint, rlong, rstring, rtime

from tests.lab.omero.model.enumerations import enumerations
from tests.lab.omero.model.schema import SCHEMA, Field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.lab.omero.model.rows import Quantity, Row

_WRAP = {
    "RString": rstring,
    "RInt": rint,
    "RLong": rlong,
    "RDouble": rdouble,
    "RFloat": rfloat,
    "RBool": rbool,
    "RTime": rtime,
}


class Viewer(Protocol):
    """For whom objects are made."""

    def permissions(self, row: Row) -> Any:
        """Return the PermissionsI of a row, with what this viewer may not do."""


class Encoder:
    """Makes one graph of objects, in which each row is one object.

    Parameters
    ----------
    viewer : Viewer
        For whom.
    loaded : iterable of Row
        Rows that are sent with their fields; all others but values of enumerations are sent as unloaded proxies.
    collections : mapping
        Collections that are sent, as (row, name of the collection): elements.
    """

    def __init__(
        self,
        viewer: Viewer,
        loaded: Iterable[Row | None] = (),
        collections: Mapping[tuple[Row, str], Sequence[Row]] | None = None,
    ) -> None:
        self._viewer = viewer
        self._loaded = set(loaded)
        self._objects: dict[Row, Any] = {}
        self._proxies: dict[Row, Any] = {}
        self._collections: dict[Row, list[tuple[str, Sequence[Row]]]] = {}
        for (row, name), rows in (collections or {}).items():
            self._collections.setdefault(row, []).append((name, rows))

    def reference(self, row: Row | None) -> Any:
        """Return the object of a row: loaded if that was asked for, otherwise a proxy."""
        if row is None:
            return None
        if row in self._loaded or row.cls in enumerations():
            return self.object(row)
        if row not in self._proxies:
            self._proxies[row] = proxy(row)
        return self._proxies[row]

    def object(self, row: Row) -> Any:
        """Return the loaded object of a row."""
        if row in self._objects:
            return self._objects[row]
        result = self._objects[row] = getattr(omero.model, f"{row.cls}I")(row.id, True)
        result._toggleCollectionsLoaded(False)
        self._fill_details(result, row)
        if hasattr(result, "_version"):
            result._version = rint(0)
        for field in SCHEMA.fields[row.cls].values():
            value = row[field.name]
            if field.kind != "collection" and value is not None:
                setattr(result, field.member, self._value(field, value))
        for name, rows in self._collections.get(row, ()):
            setattr(result, SCHEMA.fields[row.cls][name].member, [self.reference(element) for element in rows])
            setattr(result, f"_{name}Loaded", True)
        return result

    def _fill_details(self, result: Any, row: Row) -> None:
        if result._details is None:
            result._details = omero.model.DetailsI()
        details = result._details
        details._owner, details._group = self.reference(row.owner), self.reference(row.group)
        details._creationEvent = self.reference(row.creation_event)
        details._updateEvent = self.reference(row.update_event)
        details._externalInfo = self.reference(row.external_info)
        details._permissions = self._viewer.permissions(row)

    def _value(self, field: Field, value: Any) -> Any:
        match field.kind:
            case "reference":
                return self.reference(value)
            case "unit":
                return quantity_object(value)
            case "named_values":
                return [omero.model.NamedValue(name, text) for name, text in value]
            case "scalar" if field.type in _WRAP:
                return _WRAP[field.type](value)
            case _:
                return value


def proxy(row: Row | None) -> Any:
    """Return an unloaded object."""
    return None if row is None else getattr(omero.model, f"{row.cls}I")(row.id, False)


def quantity_object(quantity: Quantity) -> Any:
    """Return the model's object for a number with a unit."""
    units = getattr(omero.model.enums, f"Units{quantity.type}")
    return getattr(omero.model, f"{quantity.type}I")(quantity.value, getattr(units, quantity.unit))


def encode(viewer: Viewer, row: Row, *more: Row | None) -> Any:
    """Return a loaded object, in which some further rows are loaded too."""
    return Encoder(viewer, {row, *more}).object(row)
