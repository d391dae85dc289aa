"""What a query consists of, once it is parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


class QueryError(Exception):
    """A query that is wrong, or that is not understood here; the message has its text."""


class Expression:
    """Anything that has a value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Constant(Expression):
    value: Any


@dataclass(frozen=True, slots=True)
class Parameter(Expression):
    name: str


@dataclass(frozen=True, slots=True)
class Path(Expression):
    """``image.details.owner``: an alias, and fields from there on."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class And(Expression):
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Or(Expression):
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Not(Expression):
    operand: Expression


@dataclass(frozen=True, slots=True)
class Compare(Expression):
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class IsNull(Expression):
    operand: Expression


@dataclass(frozen=True, slots=True)
class IsEmpty(Expression):
    operand: Expression


@dataclass(frozen=True, slots=True)
class InList(Expression):
    operand: Expression
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class InQuery(Expression):
    operand: Expression
    query: Query


@dataclass(frozen=True, slots=True)
class Exists(Expression):
    query: Query


@dataclass(frozen=True, slots=True)
class Scalar(Expression):
    """A sub-select that stands for its first value."""

    query: Query


@dataclass(frozen=True, slots=True)
class Like(Expression):
    operand: Expression
    pattern: Expression
    ignore_case: bool


@dataclass(frozen=True, slots=True)
class Between(Expression):
    operand: Expression
    low: Expression
    high: Expression


@dataclass(frozen=True, slots=True)
class Arithmetic(Expression):
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Negative(Expression):
    operand: Expression


@dataclass(frozen=True, slots=True)
class Case(Expression):
    branches: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class Aggregate(Expression):
    name: str
    operand: Expression
    distinct: bool


@dataclass(frozen=True, slots=True)
class Function(Expression):
    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Root:
    """``from Image as image``."""

    cls: str
    alias: str


@dataclass(frozen=True, slots=True)
class Join:
    """``left outer join fetch image.pixels as pixels with pixels.sizeX > 1``."""

    outer: bool
    fetch: bool
    path: Path
    alias: str
    condition: Expression | None


@dataclass(frozen=True, slots=True)
class Selected:
    expression: Expression
    alias: str | None


@dataclass(frozen=True, slots=True)
class Order:
    expression: Expression
    descending: bool


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A whole query; *shape* says whether each row is sent as a list of values or as one map."""

    text: str
    select: tuple[Selected, ...]
    distinct: bool
    shape: Literal["list", "map"]
    sources: tuple[Root | Join, ...]
    where: Expression | None
    group: tuple[Expression, ...]
    having: Expression | None
    order: tuple[Order, ...]

    @property
    def roots(self) -> tuple[str, ...]:
        """Aliases of the roots."""
        return tuple(source.alias for source in self.sources if isinstance(source, Root))


def children(expression: Expression) -> tuple[Expression, ...]:
    """Return the parts of an expression, without going into sub-selects."""
    match expression:
        case And(left, right) | Or(left, right) | Compare(_, left, right) | Arithmetic(_, left, right):
            return left, right
        case Not(operand) | IsNull(operand) | IsEmpty(operand) | Negative(operand) | InQuery(operand, _):
            return (operand,)
        case InList(operand, items):
            return operand, *items
        case Like(operand, pattern, _):
            return operand, pattern
        case Between(operand, low, high):
            return operand, low, high
        case Case(branches, otherwise):
            return *(part for branch in branches for part in branch), otherwise
        case Aggregate(_, operand, _):
            return (operand,)
        case Function(_, arguments):
            return arguments
        case _:
            return ()


def subqueries(expression: Expression) -> tuple[Query, ...]:
    """Return the sub-selects directly in an expression."""
    match expression:
        case InQuery(_, query) | Exists(query) | Scalar(query):
            return (query,)
        case _:
            return ()


def has_aggregate(expression: Expression) -> bool:
    """Whether an expression is computed over a group of rows."""
    return isinstance(expression, Aggregate) or any(has_aggregate(child) for child in children(expression))
