"""Whether the paths of a query can be: without this, a mistake in a query that finds no rows would go unnoticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.omero.hql.syntax import Expression, Join, Path, Query, QueryError, Root, children, subqueries
from tests.lab.omero.model.schema import SCHEMA, Field

if TYPE_CHECKING:
    from collections.abc import Iterator

Type = str | None
"""What an expression is: a class of the model, one of the kinds below, or None if that cannot be said."""

_SCALAR, _DETAILS, _PERMISSIONS, _QUANTITY, _PAIR = "scalar", "details", "permissions", "quantity", "pair"
_PARTS: dict[str, dict[str, Type]] = {
    _DETAILS: {
        "owner": "Experimenter",
        "group": "ExperimenterGroup",
        "creationEvent": "Event",
        "updateEvent": "Event",
        "permissions": _PERMISSIONS,
        "externalInfo": "ExternalInfo",
    },
    _PERMISSIONS: {"perm1": _SCALAR},
    _QUANTITY: {"value": _SCALAR, "unit": _SCALAR},
    _PAIR: {"name": _SCALAR, "value": _SCALAR},
}
_EVERY_OBJECT: dict[str, Type] = {"id": _SCALAR, "class": _SCALAR, "details": _DETAILS, "version": _SCALAR}


def check(query: Query, outer: dict[str, Type] | None = None) -> None:
    """Raise a QueryError for a path that leads nowhere.

    Parameters
    ----------
    query : Query
        A query or sub-select.
    outer : dict, optional
        Types of the aliases around it.
    """
    scope = dict(outer or {})
    for source in query.sources:
        if isinstance(source, Root):
            scope[source.alias] = None if source.cls == "IObject" else source.cls
        else:
            scope[source.alias] = _type_of(source.path, scope, query)
    selected = {item.alias for item in query.select if item.alias}
    for expression in _expressions(query):
        _check_expression(expression, scope, query, selected)


def _expressions(query: Query) -> Iterator[Expression]:
    yield from (item.expression for item in query.select)
    yield from (source.condition for source in query.sources if isinstance(source, Join) and source.condition)
    yield from query.group
    yield from (item.expression for item in query.order)
    yield from (expression for expression in (query.where, query.having) if expression is not None)


def _check_expression(expression: Expression, scope: dict[str, Type], query: Query, selected: set[str]) -> None:
    if isinstance(expression, Path) and not (len(expression.parts) == 1 and expression.parts[0] in selected):
        _type_of(expression, scope, query)
    for child in children(expression):
        _check_expression(child, scope, query, selected)
    for subquery in subqueries(expression):
        check(subquery, scope)


def _type_of(path: Path, scope: dict[str, Type], query: Query) -> Type:
    parts = path.parts
    if parts[0] in scope:
        current, rest = scope[parts[0]], parts[1:]
    elif parts[-1] in SCHEMA.classes and (len(parts) == 1 or parts[0] in {"ome", "omero"}):
        return _SCALAR
    elif query.roots:
        current, rest = scope[query.roots[0]], parts
    else:
        raise QueryError(f"unknown alias {parts[0]} in: {query.text}")
    for name in rest:
        current = _step(current, name, query)
    return current


def _step(current: Type, name: str, query: Query) -> Type:
    if current is None:
        return None
    if current in _PARTS and name in _PARTS[current]:
        return _PARTS[current][name]
    if current in SCHEMA.classes:
        if name in _EVERY_OBJECT:
            return _EVERY_OBJECT[name]
        field = field_of(current, name)
        if field is not None:
            return _type_of_field(field)
    raise QueryError(f"could not resolve property: {name} of: {current} in: {query.text}")


def field_of(cls: str, name: str) -> Field | None:
    """Return a field of a class or, as Hibernate does, of a class that derives from it."""
    if name in SCHEMA.fields[cls]:
        return SCHEMA.fields[cls][name]
    derived = (SCHEMA.fields[other].get(name) for other in SCHEMA.descendants(cls))
    return next((field for field in derived if field is not None), None)


def _type_of_field(field: Field) -> Type:
    match field.kind:
        case "reference" | "collection":
            return field.type
        case "unit":
            return _QUANTITY
        case "named_values":
            return _PAIR
        case _:
            return _SCALAR
