"""What paths and comparisons come to."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.lab.omero.hql.check import field_of
from tests.lab.omero.hql.syntax import QueryError
from tests.lab.omero.model.rows import Quantity, Row

if TYPE_CHECKING:
    from tests.lab.omero.model.store import Store


@dataclass(frozen=True, slots=True)
class Details:
    """``object.details``."""

    row: Row


@dataclass(frozen=True, slots=True)
class Permissions:
    """``object.details.permissions``."""

    row: Row


_COMPARISONS = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


def step(store: Store, value: Any, name: str) -> Any:
    """Return a field of a value; of a list, the fields of all its elements.

    Parameters
    ----------
    store : Store
        Where collections are looked up.
    value : object
        A row, a list of rows, details, permissions, a quantity, or a pair of strings.
    name : str
        The field.
    """
    match value:
        case None:
            return None
        case list():
            return [item for element in value for item in _as_list(step(store, element, name))]
        case Row():
            return _field_of_row(store, value, name)
        case Details(row):
            return Permissions(row) if name == "permissions" else getattr(row, _DETAILS[name])
        case Permissions(row):
            return row.permissions if row.group is None else row.group.permissions
        case Quantity():
            return getattr(value, name)
        case (first, second):
            return first if name == "name" else second
    raise QueryError(f"{value!r} has no {name}")


_DETAILS = {
    "owner": "owner",
    "group": "group",
    "creationEvent": "creation_event",
    "updateEvent": "update_event",
    "externalInfo": "external_info",
}


def _field_of_row(store: Store, row: Row, name: str) -> Any:
    if name == "id":
        return row.id
    if name == "class":
        return row.cls
    if name == "details":
        return Details(row)
    if name == "version":
        return 0
    field = field_of(row.cls, name)
    if field is not None and field.kind == "collection":
        return store.collection(row, field.name)
    # A field of a sibling class, reached through their common ancestor, is null.
    return row[name]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def compare(symbol: str, left: Any, right: Any) -> bool | None:
    """Compare as SQL does: with null, the answer is null; a list stands for any of its elements."""
    if left is None or right is None:
        return None
    if isinstance(left, list):
        return any(compare(symbol, item, right) for item in left)
    if isinstance(right, list):
        return any(compare(symbol, left, item) for item in right)
    left, right = _comparable(left, right), _comparable(right, left)
    try:
        return bool(_COMPARISONS[symbol](left, right))
    except TypeError as error:
        raise QueryError(f"cannot compare {left!r} {symbol} {right!r}") from error


def _comparable(value: Any, other: Any) -> Any:
    if isinstance(value, Row) and not isinstance(other, Row):
        return value.id
    if isinstance(other, str):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and (value.startswith("ome.model.") or other.startswith("ome.model.")):
            return value.rsplit(".", 1)[-1]
    return value


def like(text: Any, pattern: Any, *, ignore_case: bool) -> bool | None:
    """Match with ``%`` and ``_`` as SQL does."""
    if text is None or pattern is None:
        return None
    expression = "".join({"%": ".*", "_": "."}.get(character) or re.escape(character) for character in str(pattern))
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return re.fullmatch(expression, str(text), flags) is not None


def group_key(value: Any) -> Any:
    """Return what two equal values have in common, for DISTINCT and GROUP BY."""
    match value:
        case Row():
            return ("row", value.cls, value.id)
        case Quantity():
            return ("quantity", value.value, value.unit)
        case list():
            return tuple(group_key(item) for item in value)
        case _:
            return value


def sort_key(value: Any) -> tuple[int, Any]:
    """Return what values are ordered by; null comes last, as in PostgreSQL."""
    match value:
        case None:
            return (1, 0)
        case Row():
            return (0, value.id)
        case Quantity():
            return (0, value.value)
        case _:
            return (0, value)
