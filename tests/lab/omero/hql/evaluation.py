"""The values of expressions."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.lab.omero.hql.functions import FUNCTIONS
from tests.lab.omero.hql.syntax import (
    Aggregate,
    And,
    Arithmetic,
    Between,
    Case,
    Compare,
    Constant,
    Exists,
    Expression,
    Function,
    InList,
    InQuery,
    IsEmpty,
    IsNull,
    Like,
    Negative,
    Not,
    Or,
    Parameter,
    Path,
    QueryError,
    Scalar,
)
from tests.lab.omero.hql.values import compare, group_key, like, step
from tests.lab.omero.model.rows import Row
from tests.lab.omero.model.schema import LISTS, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.lab.omero.hql.syntax import Query
    from tests.lab.omero.model.store import Store

_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "||": lambda left, right: f"{left}{right}",
}


@dataclass(slots=True)
class Scope:
    """Aliases and what they stand for, inside of those of an outer query."""

    roots: tuple[str, ...] = ()
    outer: Scope | None = None
    values: dict[str, Any] = field(default_factory=dict)

    def find(self, alias: str) -> Scope | None:
        """Return the innermost scope that has an alias."""
        scope: Scope | None = self
        while scope is not None and alias not in scope.values:
            scope = scope.outer
        return scope

    def snapshot(self) -> Scope:
        """Return a copy that stays as it is."""
        return Scope(self.roots, self.outer, dict(self.values))


class Evaluation:
    """Evaluates expressions.

    Parameters
    ----------
    store : Store
        All rows.
    parameters : mapping
        Values of named parameters.
    """

    def __init__(self, store: Store, parameters: Mapping[str, Any]) -> None:
        self.store = store
        self._parameters = parameters
        self._evaluators: dict[type, Callable[[Any, Scope, Sequence[Scope] | None], Any]] = {
            Constant: lambda node, _scope, _group: node.value,
            Parameter: self._parameter,
            Path: lambda node, scope, _group: self.path(node, scope),
            And: self._and,
            Or: self._or,
            Not: self._not,
            Compare: self._compare,
            IsNull: self._is_null,
            IsEmpty: lambda node, scope, group: not self.value(node.operand, scope, group),
            InList: self._in_list,
            InQuery: self._in_query,
            Exists: lambda node, scope, _group: next(self.scopes(node.query, scope), None) is not None,
            Scalar: self._scalar,
            Like: self._like,
            Between: self._between,
            Arithmetic: self._arithmetic,
            Negative: self._negative,
            Case: self._case,
            Aggregate: self._aggregate,
            Function: self._function,
        }

    def value(self, expression: Expression, scope: Scope, group: Sequence[Scope] | None = None) -> Any:
        """Return the value of an expression.

        Parameters
        ----------
        expression : Expression
            The expression.
        scope : Scope
            What its aliases stand for.
        group : sequence of Scope, optional
            The rows that an aggregate is computed over.
        """
        return self._evaluators[type(expression)](expression, scope, group)

    def scopes(self, query: Query, outer: Scope | None = None) -> Iterator[Scope]:
        """Return the rows of FROM and WHERE."""
        raise NotImplementedError

    def rows(self, query: Query, outer: Scope | None = None) -> list[list[Any]]:
        """Return the rows of a whole query."""
        raise NotImplementedError

    def path(self, path: Path, scope: Scope) -> Any:
        """Return what a path leads to."""
        first, *rest = path.parts
        found = scope.find(first)
        if found is not None:
            value = found.values[first]
        elif path.parts[-1] in SCHEMA.classes:
            return path.parts[-1]
        else:
            # The field of the only root, without its alias.
            value, rest = scope.values.get(scope.roots[0]), list(path.parts)
        for name in rest:
            value = step(self.store, value, name)
        return value

    def _parameter(self, node: Parameter, _scope: Scope, _group: Sequence[Scope] | None) -> Any:
        if node.name not in self._parameters:
            raise QueryError(f"Named parameter not bound : {node.name}")
        return self._parameters[node.name]

    # Logic has three values: null is neither true nor false.

    def _and(self, node: And, scope: Scope, group: Sequence[Scope] | None) -> bool | None:
        left = self.value(node.left, scope, group)
        if left is not None and not left:
            return False
        right = self.value(node.right, scope, group)
        if right is not None and not right:
            return False
        return None if left is None or right is None else True

    def _or(self, node: Or, scope: Scope, group: Sequence[Scope] | None) -> bool | None:
        left = self.value(node.left, scope, group)
        if left:
            return True
        right = self.value(node.right, scope, group)
        if right:
            return True
        return None if left is None or right is None else False

    def _not(self, node: Not, scope: Scope, group: Sequence[Scope] | None) -> bool | None:
        value = self.value(node.operand, scope, group)
        return None if value is None else not value

    def _compare(self, node: Compare, scope: Scope, group: Sequence[Scope] | None) -> bool | None:
        return compare(node.operator, self.value(node.left, scope, group), self.value(node.right, scope, group))

    def _is_null(self, node: IsNull, scope: Scope, group: Sequence[Scope] | None) -> bool:
        value = self.value(node.operand, scope, group)
        return value is None or value == []

    def _in_list(self, node: InList, scope: Scope, group: Sequence[Scope] | None) -> bool | None:
        value = self.value(node.operand, scope, group)
        if value is None:
            return None
        return any(compare("=", value, self.value(item, scope, group)) for item in node.items)

    def _in_query(self, node: InQuery, scope: Scope, group: Sequence[Scope] | None) -> bool | None:
        value = self.value(node.operand, scope, group)
        if value is None:
            return None
        return any(compare("=", value, row[0]) for row in self.rows(node.query, scope))

    def _scalar(self, node: Scalar, scope: Scope, _group: Sequence[Scope] | None) -> Any:
        rows = self.rows(node.query, scope)
        return rows[0][0] if rows else None

    def _like(self, node: Like, scope: Scope, group: Sequence[Scope] | None) -> bool | None:
        text, pattern = self.value(node.operand, scope, group), self.value(node.pattern, scope, group)
        return like(text, pattern, ignore_case=node.ignore_case)

    def _between(self, node: Between, scope: Scope, group: Sequence[Scope] | None) -> bool | None:
        value = self.value(node.operand, scope, group)
        above = compare(">=", value, self.value(node.low, scope, group))
        below = compare("<=", value, self.value(node.high, scope, group))
        return None if above is None or below is None else above and below

    def _arithmetic(self, node: Arithmetic, scope: Scope, group: Sequence[Scope] | None) -> Any:
        left, right = self.value(node.left, scope, group), self.value(node.right, scope, group)
        return None if left is None or right is None else _ARITHMETIC[node.operator](left, right)

    def _negative(self, node: Negative, scope: Scope, group: Sequence[Scope] | None) -> Any:
        value = self.value(node.operand, scope, group)
        return None if value is None else -value

    def _case(self, node: Case, scope: Scope, group: Sequence[Scope] | None) -> Any:
        for condition, result in node.branches:
            if self.value(condition, scope, group):
                return self.value(result, scope, group)
        return self.value(node.otherwise, scope, group)

    def _aggregate(self, node: Aggregate, _scope: Scope, group: Sequence[Scope] | None) -> Any:
        if group is None:
            raise QueryError(f"{node.name} is not possible here")
        values: list[Any] = []
        for scope in group:
            value = self.value(node.operand, scope)
            values += value if isinstance(value, list) else [value]
        values = [value for value in values if value is not None]
        if node.name in {"minindex", "maxindex"}:
            values = [position for value in values if (position := self._position(value)) is not None]
        if node.distinct:
            values = list({group_key(value): value for value in values}.values())
        if node.name == "count":
            return len(values)
        if not values:
            return None
        match node.name:
            case "sum":
                return sum(values)
            case "avg":
                return sum(values) / len(values)
            case "min" | "minindex":
                return min(values)
            case _:
                return max(values)

    def _function(self, node: Function, scope: Scope, group: Sequence[Scope] | None) -> Any:
        arguments = [self.value(argument, scope, group) for argument in node.arguments]
        if node.name == "index":
            return self._position(arguments[0])
        function, strict = FUNCTIONS[node.name]
        return None if strict and None in arguments else function(*arguments)

    def _position(self, row: Any) -> int | None:
        owner, collection = LISTS.get(row.cls, (None, "")) if isinstance(row, Row) else (None, "")
        if owner is None or row[owner] is None:
            return None
        return self.store.collection(row[owner], collection).index(row)
