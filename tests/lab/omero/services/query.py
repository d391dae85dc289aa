"""IQuery."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import omero
from omero.rtypes import rbool, rdouble, rlist, rlong, rmap, robject, rstring

from tests.lab.omero.hql.engine import Engine
from tests.lab.omero.hql.parser import parse
from tests.lab.omero.hql.syntax import Query, QueryError
from tests.lab.omero.hql.values import Permissions, step
from tests.lab.omero.model.encode import Encoder
from tests.lab.omero.model.rows import Quantity, Row
from tests.lab.omero.model.rtypes import plain
from tests.lab.omero.services.base import Service, encode_all, model_class
from tests.lab.omero.serving.dispatch import log, servant

if TYPE_CHECKING:
    from tests.lab.omero.security.call import Call

_PERMISSIONS = "_details_permissions"
"""An object that is selected under an alias with this end is sent as a map of what the caller may do with it."""


@servant(omero.api.IQuery)
class QueryService(Service):
    """Queries, with only what the caller may see."""

    def findAllByQuery(self, text: str, parameters: Any, current: Any = None) -> list[Any]:
        call = self.call(current)
        try:
            query = parse(text)
            found = Engine(self.store, _values(parameters), call.may_see).objects(query)
        except QueryError as error:
            raise refused(error) from error
        roots = found.roots
        page = _filter(parameters)
        if page is not None and page.unique is not None and page.unique.val:
            roots = list(dict.fromkeys(roots))
        encoder = Encoder(call, found.loaded, found.collections)
        return [encoder.reference(row) for row in _page(roots, page)]

    def findByQuery(self, text: str, parameters: Any, current: Any = None) -> Any:
        found = list(dict.fromkeys(self.findAllByQuery(text, parameters, current)))
        return _unique(found)

    def projection(self, text: str, parameters: Any, current: Any = None) -> list[list[Any]]:
        call = self.call(current)
        try:
            query = parse(text)
            rows = Engine(self.store, _values(parameters), call.may_see).rows(query)
        except QueryError as error:
            raise refused(error) from error
        rows = _page(rows, _filter(parameters))
        encoder = Encoder(call, {value for row in rows for value in row if isinstance(value, Row)})
        if query.shape == "map":
            return [[rmap(self._map(query, row, encoder, call))] for row in rows]
        return [[_rtype(value, encoder, call) for value in row] for row in rows]

    @staticmethod
    def _map(query: Query, row: list[Any], encoder: Encoder, call: Call) -> dict[str, Any]:
        result = {}
        for place, (item, value) in enumerate(zip(query.select, row, strict=True)):
            alias = item.alias or str(place)
            if isinstance(value, Row) and alias.endswith(_PERMISSIONS):
                result[alias] = _rtype(Permissions(value), encoder, call)
            else:
                result[alias] = _rtype(value, encoder, call)
        return result

    def find(self, class_name: str, object_id: int, current: Any = None) -> Any:
        call = self.call(current)
        row = self.store.get(model_class(class_name), object_id)
        return encode_all(call, [row])[0] if row is not None and call.may_see(row) else None

    def get(self, class_name: str, object_id: int, current: Any = None) -> Any:
        call = self.call(current)
        return encode_all(call, [self.visible(call, model_class(class_name), object_id)])[0]

    def findAll(self, class_name: str, page: Any, current: Any = None) -> list[Any]:
        call = self.call(current)
        rows = [row for row in self.store.all(model_class(class_name)) if call.may_see(row)]
        return encode_all(call, _page(rows, page))

    def findAllByString(
        self, class_name: str, field: str, value: str, case_sensitive: bool, page: Any, current: Any = None
    ) -> list[Any]:
        call = self.call(current)
        pattern = "".join(".*" if character == "%" else re.escape(character) for character in value)
        expression = re.compile(pattern, 0 if case_sensitive else re.IGNORECASE)
        rows = [
            row
            for row in self.store.all(model_class(class_name))
            if call.may_see(row) and expression.fullmatch(str(self._value(row, field)))
        ]
        return encode_all(call, _page(rows, page))

    def _value(self, row: Row, field: str) -> Any:
        value: Any = row
        for name in field.split("."):
            value = step(self.store, value, name)
        return "" if value is None else value

    def findByString(self, class_name: str, field: str, value: str, current: Any = None) -> Any:
        call = self.call(current)
        rows = self.store.all(model_class(class_name))
        found = [row for row in rows if call.may_see(row) and self._value(row, field) == value]
        return _unique(encode_all(call, found))


def refused(error: QueryError) -> Exception:
    """Return what a client gets for a query that is wrong or not understood here."""
    log.warning("query refused: %s", error)
    result: Exception = omero.ApiUsageException("", "HibernateQueryException", str(error))
    return result


def _unique(found: list[Any]) -> Any:
    if len(found) > 1:
        message = f"query did not return a unique result: {len(found)}"
        raise omero.ApiUsageException("", "NonUniqueResultException", message)
    return found[0] if found else None


def _values(parameters: Any) -> dict[str, Any]:
    return {} if parameters is None else {name: plain(value) for name, value in (parameters.map or {}).items()}


def _filter(parameters: Any) -> Any:
    return None if parameters is None else parameters.theFilter


def _page(rows: list[Any], page: Any) -> list[Any]:
    if page is None:
        return rows
    start = page.offset.val if page.offset is not None else 0
    return rows[start : start + page.limit.val] if page.limit is not None else rows[start:]


def _rtype(value: Any, encoder: Encoder, call: Call) -> Any:
    match value:
        case None:
            return None
        case Row():
            return robject(encoder.object(value))
        case bool():
            return rbool(value)
        case int():
            return rlong(value)
        case float():
            return rdouble(value)
        case Quantity():
            return rmap({"value": rdouble(value.value), "unit": rstring(value.unit), "symbol": rstring(value.unit)})
        case Permissions(row):
            return _permissions_map(call.permissions(row))
        case list():
            return rlist([_rtype(item, encoder, call) for item in value])
        case tuple():
            return rlist([rstring(item) for item in value])
        case _:
            return rstring(str(value))


def _permissions_map(permissions: Any) -> Any:
    return rmap(
        {
            "perms": rstring(str(permissions)),
            "canAnnotate": rbool(permissions.canAnnotate()),
            "canEdit": rbool(permissions.canEdit()),
            "canLink": rbool(permissions.canLink()),
            "canDelete": rbool(permissions.canDelete()),
            "canChgrp": rbool(permissions.canChgrp()),
            "canChown": rbool(permissions.canChown()),
        }
    )
