"""Running a query: nested loops over rows, cut short by each condition as soon as it can be decided.

Rows are looked up by id or reference where the conditions allow it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.lab.omero.hql.evaluation import Evaluation, Scope
from tests.lab.omero.hql.syntax import (
    And,
    Compare,
    Expression,
    InList,
    Join,
    Path,
    Query,
    QueryError,
    Root,
    children,
    has_aggregate,
    subqueries,
)
from tests.lab.omero.hql.values import group_key, sort_key
from tests.lab.omero.model.rows import Row
from tests.lab.omero.model.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.lab.omero.model.store import Store


@dataclass(frozen=True, slots=True)
class Objects:
    """What a query for objects has found.

    Parameters
    ----------
    roots : list
        The objects, in order.
    loaded : set of Row
        Everything that the query fetches.
    collections : dict
        The collections that it fetches.
    """

    roots: list[Any] = field(default_factory=list)
    loaded: set[Row] = field(default_factory=set)
    collections: dict[tuple[Row, str], list[Row]] = field(default_factory=dict)


class Engine(Evaluation):
    """Runs queries for one caller.

    Parameters
    ----------
    store : Store
        All rows.
    parameters : mapping
        Values of named parameters.
    may_see : callable
        Says whether a row exists for the caller.
    """

    def __init__(
        self,
        store: Store,
        parameters: Mapping[str, Any] | None = None,
        may_see: Callable[[Row], bool] = lambda _: True,
    ) -> None:
        super().__init__(store, parameters or {})
        self._may_see = may_see
        self._conditions: dict[Query, list[list[Expression]]] = {}

    def scopes(self, query: Query, outer: Scope | None = None) -> Iterator[Scope]:
        if query not in self._conditions:
            self._conditions[query] = decidable(query)
        return self._loop(query, 0, Scope(query.roots, outer))

    def _loop(self, query: Query, depth: int, scope: Scope) -> Iterator[Scope]:
        if depth == len(query.sources):
            yield scope.snapshot()
            return
        source = query.sources[depth]
        matched = False
        for value in self._values_of(query, depth, scope):
            if isinstance(value, Row) and not self._may_see(value):
                continue
            scope.values[source.alias] = value
            if isinstance(source, Join) and source.condition and not self.value(source.condition, scope):
                continue
            matched = True
            if self._holds(query, depth, scope):
                yield from self._loop(query, depth + 1, scope)
        if not matched and isinstance(source, Join) and source.outer:
            scope.values[source.alias] = None
            if self._holds(query, depth, scope):
                yield from self._loop(query, depth + 1, scope)
        scope.values.pop(source.alias, None)

    def _holds(self, query: Query, depth: int, scope: Scope) -> bool:
        """Whether the conditions hold that the value of a source was the last to be needed for."""
        return all(self.value(condition, scope) for condition in self._conditions[query][depth])

    def _values_of(self, query: Query, depth: int, scope: Scope) -> Sequence[Any]:
        source = query.sources[depth]
        if isinstance(source, Root):
            return self._candidates(query, depth, source, scope)
        value = self.path(source.path, scope)
        if value is None:
            return []
        return value if isinstance(value, list) else [value]

    def _candidates(self, query: Query, depth: int, root: Root, scope: Scope) -> list[Row]:
        """Return the rows of a root, as few as its equalities with what is known already allow."""
        unknown = {source.alias for source in query.sources[depth:]}
        for condition in conjuncts(query.where):
            for path, others in _equalities(condition, root.alias):
                if not all(_is_known(other, unknown, scope) for other in others):
                    continue
                found = self._look_up(root.cls, path, others, scope)
                if found is not None:
                    return found
        return self.store.all(root.cls)

    def _look_up(self, cls: str, path: Path, others: Sequence[Expression], scope: Scope) -> list[Row] | None:
        """Return the rows of a class with an id, or with a reference, among some values; None if there is no index."""
        rest = path.parts[1:]
        reference = SCHEMA.fields[cls].get(rest[0]) if rest and cls != "IObject" else None
        by_id = rest in {(), ("id",)} and cls != "IObject"
        by_reference = reference is not None and reference.kind == "reference" and rest[1:] in {(), ("id",)}
        if not by_id and not by_reference:
            return None
        values: list[Any] = []
        for other in others:
            value = self.value(other, scope)
            values += value if isinstance(value, list) else [value]
        ids = {value.id if isinstance(value, Row) else value for value in values}
        numbers = sorted(number for number in ids if isinstance(number, int))
        if by_id or reference is None:
            return [row for number in numbers if (row := self.store.get(cls, number)) is not None]
        found: set[Row] = set()
        for number in numbers:
            target = self.store.get(reference.type, number)
            if target is not None:
                found.update(self.store.referring_by(target, cls, reference.name))
        return sorted(found, key=lambda row: row.id)

    def rows(self, query: Query, outer: Scope | None = None) -> list[list[Any]]:
        scopes = list(self.scopes(query, outer))
        if query.group or any(has_aggregate(item.expression) for item in query.select):
            result = self._grouped(query, scopes, outer)
        else:
            ordered = self._sort(query, scopes, self.value)
            result = [row for scope in ordered for row in self._expanded(query, scope)]
        if query.distinct:
            result = list({tuple(group_key(value) for value in row): row for row in result}.values())
        return result

    def _expanded(self, query: Query, scope: Scope) -> list[list[Any]]:
        """Return the row of a scope, or one for each element if one of its values is a collection."""
        values = [self.value(item.expression, scope) for item in query.select]
        for place, value in enumerate(values):
            if isinstance(value, list):
                return [[*values[:place], element, *values[place + 1 :]] for element in value]
        return [values]

    def _grouped(self, query: Query, scopes: list[Scope], outer: Scope | None) -> list[list[Any]]:
        groups = [scopes]
        if query.group:
            by_key: dict[Any, list[Scope]] = {}
            for scope in scopes:
                key = tuple(group_key(self.value(expression, scope)) for expression in query.group)
                by_key.setdefault(key, []).append(scope)
            groups = list(by_key.values())
        nothing = Scope(query.roots, outer, {source.alias: None for source in query.sources})

        def value(expression: Expression, group: list[Scope]) -> Any:
            return self.value(expression, group[0] if group else nothing, group)

        if query.having is not None:
            having = query.having
            groups = [group for group in groups if value(having, group)]
        groups = self._sort(query, groups, value)
        return [[value(item.expression, group) for item in query.select] for group in groups]

    def _sort(self, query: Query, items: list[Any], value: Callable[[Expression, Any], Any]) -> list[Any]:
        selected = {item.alias: item.expression for item in query.select if item.alias}
        for order in reversed(query.order):
            expression = order.expression
            if isinstance(expression, Path) and len(expression.parts) == 1:
                expression = selected.get(expression.parts[0], expression)
            keys = {id(item): sort_key(value(expression, item)) for item in items}
            items = sorted(items, key=lambda item: keys[id(item)], reverse=order.descending)
        return items

    def objects(self, query: Query) -> Objects:
        """Run a query for objects, such as those of ``IQuery.findAllByQuery``."""
        found = Objects()
        for scope in self._sort(query, list(self.scopes(query)), self.value):
            value = self.value(query.select[0].expression, scope)
            selected = value if isinstance(value, list) else [value]
            found.roots.extend(selected)
            found.loaded.update(row for row in selected if isinstance(row, Row))
            for source in query.sources:
                if isinstance(source, Join) and source.fetch:
                    self._fetch(source, scope, found)
        if any(root is not None and not isinstance(root, Row) for root in found.roots):
            raise QueryError(f"not a query for objects: {query.text}")
        if query.distinct:
            found.roots[:] = dict.fromkeys(found.roots)
        return found

    def _fetch(self, join: Join, scope: Scope, found: Objects) -> None:
        value = scope.values.get(join.alias)
        if isinstance(value, Row):
            found.loaded.add(value)
        parent = self.path(Path(join.path.parts[:-1]), scope) if len(join.path.parts) > 1 else None
        if not isinstance(parent, Row):
            return
        last = SCHEMA.fields[parent.cls].get(join.path.parts[-1])
        if last is not None and last.kind == "collection":
            elements = found.collections.setdefault((parent, last.name), [])
            if value is not None and value not in elements:
                elements.append(value)


def conjuncts(expression: Expression | None) -> list[Expression]:
    """Return the conditions that all have to be true."""
    if isinstance(expression, And):
        return conjuncts(expression.left) + conjuncts(expression.right)
    return [] if expression is None else [expression]


def decidable(query: Query) -> list[list[Expression]]:
    """Return for each source of a query the conditions that can be decided once it and those before it have a value."""
    aliases = [source.alias for source in query.sources]
    conditions: list[list[Expression]] = [[] for _ in aliases]
    for condition in conjuncts(query.where):
        conditions[_last_needed(condition, aliases)].append(condition)
    return conditions


def _last_needed(expression: Expression, aliases: Sequence[str]) -> int:
    if subqueries(expression):
        # A sub-select may ask for any of them.
        return len(aliases) - 1
    if isinstance(expression, Path):
        # What is no alias is a field of the only root.
        return aliases.index(expression.parts[0]) if expression.parts[0] in aliases else 0
    return max((_last_needed(child, aliases) for child in children(expression)), default=0)


def _equalities(condition: Expression, alias: str) -> Iterator[tuple[Path, tuple[Expression, ...]]]:
    """Return the paths below an alias that a condition says to be equal to one of some expressions."""
    pairs: list[tuple[Expression, tuple[Expression, ...]]] = []
    match condition:
        case Compare("=", left, right):
            pairs = [(left, (right,)), (right, (left,))]
        case InList(operand, items):
            pairs = [(operand, items)]
    for path, others in pairs:
        if isinstance(path, Path) and path.parts[0] == alias and len(path.parts) <= 3:
            yield path, others


def _is_known(expression: Expression, unknown: set[str], scope: Scope) -> bool:
    """Whether an expression has a value before the loops over some aliases have begun."""
    if subqueries(expression) or has_aggregate(expression):
        return False
    if isinstance(expression, Path):
        return expression.parts[0] not in unknown and scope.find(expression.parts[0]) is not None
    return all(_is_known(child, unknown, scope) for child in children(expression))
