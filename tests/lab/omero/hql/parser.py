"""From the text of a query to its parts."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Literal, TypeVar

from tests.lab.omero.hql.expressions import ExpressionParser
from tests.lab.omero.hql.lexer import END
from tests.lab.omero.hql.syntax import Join, Order, Path, Query, QueryError, Root, Selected
from tests.lab.omero.model.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_UNSUPPORTED = (("full", "join"), ("full", "outer"), ("cross", "join"), ("union",), ("right",))


class Parser(ExpressionParser):
    """Parses one query."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._unnamed = itertools.count()

    def whole(self) -> Query:
        """Return the query, after which nothing may follow."""
        query = self.query()
        if self.peek() is not END:
            raise self.error("not understood")
        return query

    def query(self) -> Query:
        """Return the query, or sub-select, that comes next."""
        select: tuple[Selected, ...] | None = None
        distinct, shape = False, "list"
        if self.take("select"):
            distinct = self.take("distinct")
            select, shape = self._selection()
        self.demand("from")
        sources = [self._source()]
        while (source := self._next_source()) is not None:
            sources.append(source)
        where = self.expression() if self.take("where") else None
        group = self._list(self.expression) if self.take("group", "by") else ()
        having = self.expression() if self.take("having") else None
        order = self._list(self._order) if self.take("order", "by") else ()
        if select is None:
            roots = [source for source in sources if isinstance(source, Root)]
            select = tuple(Selected(Path((root.alias,)), None) for root in roots)
        layout: Literal["list", "map"] = "map" if shape == "map" else "list"
        return Query(self.text, select, distinct, layout, tuple(sources), where, group, having, order)

    def _list(self, item: Callable[[], T]) -> tuple[T, ...]:
        items = [item()]
        while self.take_operator(","):
            items.append(item())
        return tuple(items)

    def _selection(self) -> tuple[tuple[Selected, ...], str]:
        if not self.take("new"):
            return self._list(self._selected), "list"
        shape = self.name().lower()
        if shape not in {"map", "list"}:
            raise self.error(f"SELECT NEW {shape} is not supported")
        self.demand_operator("(")
        select = self._list(self._selected)
        self.demand_operator(")")
        return select, shape

    def _selected(self) -> Selected:
        return Selected(self.expression(), self.alias())

    def _order(self) -> Order:
        expression = self.expression()
        descending = self.take("desc")
        if not descending:
            self.take("asc")
        if self.at("nulls"):
            raise self.error("NULLS FIRST and NULLS LAST are not supported")
        return Order(expression, descending)

    def _next_source(self) -> Root | Join | None:
        if self.take_operator(","):
            return self._source()
        for words in _UNSUPPORTED:
            if self.at(*words):
                raise self.error(f"{words[0].upper()} is not supported")
        outer = self.take("left")
        if outer:
            self.take("outer")
        elif not self.take("inner") and not self.at("join"):
            return None
        self.demand("join")
        fetch = self.take("fetch")
        path = self.path()
        alias = self.alias() or self._made_up()
        condition = self.expression() if self.take("with") else None
        return Join(outer, fetch, path, alias, condition)

    def _source(self) -> Root | Join:
        if self.take("in"):
            self.take("elements")
            self.demand_operator("(")
            path = self.path()
            self.demand_operator(")")
            return Join(False, False, path, self.alias() or self._made_up(), None)
        path = self.path()
        cls = self._class(path.parts)
        alias = self.alias() or self._made_up()
        if cls is not None:
            return Root(cls, alias)
        if len(path.parts) == 1:
            raise QueryError(f"{path.parts[0]} is not mapped in: {self.text}")
        # "from outer.collection element", in a correlated sub-select
        return Join(False, False, path, alias, None)

    @staticmethod
    def _class(parts: tuple[str, ...]) -> str | None:
        if len(parts) == 1 or parts[0] in {"ome", "omero"}:
            return parts[-1] if parts[-1] in SCHEMA.classes else None
        return None

    def _made_up(self) -> str:
        return f"__{next(self._unnamed)}"


@functools.lru_cache(2000)
def parse(text: str) -> Query:
    """Parse a query.

    Raises
    ------
    QueryError
        If it is wrong or not understood here.
    """
    from tests.lab.omero.hql.check import check

    query = Parser(text).whole()
    check(query)
    return query
