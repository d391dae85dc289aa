"""The expressions of a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.omero.hql.functions import AGGREGATES, FUNCTIONS
from tests.lab.omero.hql.reader import Reader
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
    Scalar,
)

if TYPE_CHECKING:
    from tests.lab.omero.hql.syntax import Query

_CONSTANTS = {"null": None, "true": True, "false": False}


class ExpressionParser(Reader):
    """Parses expressions, by descent through the levels of precedence."""

    def query(self) -> Query:
        """Return the sub-select that comes next."""
        raise NotImplementedError

    def expression(self) -> Expression:
        """Return the expression that comes next."""
        result = self._conjunction()
        while self.take("or"):
            result = Or(result, self._conjunction())
        return result

    def _conjunction(self) -> Expression:
        result = self._negation()
        while self.take("and"):
            result = And(result, self._negation())
        return result

    def _negation(self) -> Expression:
        return Not(self._negation()) if self.take("not") else self._comparison()

    def _comparison(self) -> Expression:
        if self.take("exists"):
            return self._exists()
        left = self._sum()
        if operator := self.take_operator("=", "<>", "!=", "<", ">", "<=", ">="):
            if self.at("all") or self.at("any") or self.at("some"):
                raise self.error("comparisons with ALL, ANY and SOME are not supported")
            return Compare(operator, left, self._sum())
        if self.take("is"):
            negated = self.take("not")
            return _negate(self._state(left), negated=negated)
        negated = self.take("not")
        predicate = self._predicate(left)
        if predicate is None:
            if negated:
                raise self.error("expected IN, LIKE, BETWEEN or MEMBER OF")
            return left
        return _negate(predicate, negated=negated)

    def _exists(self) -> Expression:
        if self.take("elements"):
            self.demand_operator("(")
            path = self.path()
            self.demand_operator(")")
            return Not(IsEmpty(path))
        self.demand_operator("(")
        query = self.query()
        self.demand_operator(")")
        return Exists(query)

    def _state(self, operand: Expression) -> Expression:
        if self.take("empty"):
            return IsEmpty(operand)
        self.demand("null")
        return IsNull(operand)

    def _predicate(self, operand: Expression) -> Expression | None:
        if self.at("like") or self.at("ilike"):
            ignore_case = self.name().lower() == "ilike"
            pattern = self._sum()
            if self.at("escape"):
                raise self.error("ESCAPE is not supported")
            return Like(operand, pattern, ignore_case)
        if self.take("between"):
            low = self._sum()
            self.demand("and")
            return Between(operand, low, self._sum())
        if self.take("member"):
            self.take("of")
            return InList(operand, (self.path(),))
        return self._membership(operand) if self.take("in") else None

    def _membership(self, operand: Expression) -> Expression:
        if self.take("elements"):
            self.demand_operator("(")
            result: Expression = InList(operand, (self.path(),))
        elif self.peek().kind == "parameter":
            return InList(operand, (self._atom(),))
        else:
            self.demand_operator("(")
            if self.at("select") or self.at("from"):
                result = InQuery(operand, self.query())
            else:
                result = InList(operand, () if self.at_operator(")") else self._arguments())
        self.demand_operator(")")
        return result

    def _arguments(self) -> tuple[Expression, ...]:
        items = [self.expression()]
        while self.take_operator(","):
            items.append(self.expression())
        return tuple(items)

    def _sum(self) -> Expression:
        result = self._product()
        while operator := self.take_operator("+", "-", "||"):
            result = Arithmetic(operator, result, self._product())
        return result

    def _product(self) -> Expression:
        result = self._signed()
        while operator := self.take_operator("*", "/"):
            result = Arithmetic(operator, result, self._signed())
        return result

    def _signed(self) -> Expression:
        return Negative(self._signed()) if self.take_operator("-") else self._atom()

    def _atom(self) -> Expression:
        token = self.peek()
        if token.kind in {"number", "string"}:
            return Constant(self.next().value)
        if token.kind == "parameter":
            return Parameter(self.next().value)
        if self.take_operator("("):
            return self._parenthesis()
        if token.kind != "name":
            raise self.error("not understood")
        word = token.value.lower()
        if word in _CONSTANTS:
            self.next()
            return Constant(_CONSTANTS[word])
        if self.take("case"):
            return self._case()
        if self.at_operator("(", ahead=1):
            return self._call(self.name().lower())
        return self.path()

    def _parenthesis(self) -> Expression:
        result = Scalar(self.query()) if self.at("select") or self.at("from") else self.expression()
        self.demand_operator(")")
        return result

    def _case(self) -> Expression:
        base = None if self.at("when") else self.expression()
        branches = []
        while self.take("when"):
            condition = self.expression()
            self.demand("then")
            branches.append((Compare("=", base, condition) if base else condition, self.expression()))
        otherwise = self.expression() if self.take("else") else Constant(None)
        self.demand("end")
        return Case(tuple(branches), otherwise)

    def _call(self, name: str) -> Expression:
        self.demand_operator("(")
        if name in AGGREGATES:
            distinct = self.take("distinct")
            operand = Constant(1) if name == "count" and self.take_operator("*") else self.expression()
            self.demand_operator(")")
            return Aggregate(name, operand, distinct)
        if name == "cast":
            operand = self.expression()
            self.demand("as")
            return self._function(f"cast_{self.name().lower()}", (operand,))
        if name == "extract":
            part = self.name().lower()
            self.demand("from")
            return self._function(f"extract_{part}", (self.expression(),))
        return self._function(name, () if self.at_operator(")") else self._arguments())

    def _function(self, name: str, arguments: tuple[Expression, ...]) -> Expression:
        if name not in FUNCTIONS:
            raise self.error(f"the function {name} is not supported")
        self.demand_operator(")")
        return Function(name, arguments)


def _negate(expression: Expression, *, negated: bool) -> Expression:
    return Not(expression) if negated else expression
