"""Reading tokens one by one: what both halves of the parser stand on."""

from __future__ import annotations

from tests.lab.omero.hql.lexer import END, Token, tokens
from tests.lab.omero.hql.syntax import Path, QueryError

KEYWORDS = frozenset(
    {
        "select",
        "from",
        "where",
        "order",
        "group",
        "by",
        "having",
        "join",
        "left",
        "right",
        "full",
        "outer",
        "inner",
        "cross",
        "fetch",
        "as",
        "with",
        "and",
        "or",
        "not",
        "in",
        "like",
        "ilike",
        "is",
        "null",
        "exists",
        "between",
        "case",
        "when",
        "then",
        "else",
        "end",
        "distinct",
        "asc",
        "desc",
        "new",
        "member",
        "of",
        "true",
        "false",
        "all",
        "any",
        "some",
        "empty",
        "elements",
        "escape",
        "nulls",
        "on",
        "union",
    }
)


class Reader:
    """A position in the tokens of a query.

    Parameters
    ----------
    text : str
        The query.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokens(text)
        self._position = 0

    def peek(self, ahead: int = 0) -> Token:
        """Return a token without going on."""
        index = self._position + ahead
        return self._tokens[index] if index < len(self._tokens) else END

    def next(self) -> Token:
        """Return the next token and go on."""
        token = self.peek()
        self._position += 1
        return token

    def at(self, *words: str) -> bool:
        """Whether some keywords come next."""
        upcoming = [self.peek(ahead) for ahead in range(len(words))]
        return all(
            token.kind == "name" and token.value.lower() == word for token, word in zip(upcoming, words, strict=True)
        )

    def take(self, *words: str) -> bool:
        """Go on if some keywords come next, and say whether."""
        if not self.at(*words):
            return False
        self._position += len(words)
        return True

    def demand(self, *words: str) -> None:
        """Go on over keywords that have to come next."""
        if not self.take(*words):
            raise self.error(f"expected {' '.join(words).upper()}")

    def at_operator(self, operator: str, ahead: int = 0) -> bool:
        """Whether an operator comes next."""
        return self.peek(ahead) == Token("operator", operator)

    def take_operator(self, *operators: str) -> str | None:
        """Go on if one of some operators comes next, and return it."""
        token = self.peek()
        if token.kind == "operator" and token.value in operators:
            self._position += 1
            return str(token.value)
        return None

    def demand_operator(self, operator: str) -> None:
        """Go on over an operator that has to come next."""
        if not self.take_operator(operator):
            raise self.error(f"expected {operator!r}")

    def name(self) -> str:
        """Return the name that has to come next."""
        token = self.next()
        if token.kind != "name":
            raise self.error("expected a name")
        return str(token.value)

    def path(self) -> Path:
        """Return the path that has to come next."""
        parts = [self.name()]
        while self.take_operator("."):
            parts.append(self.name())
        return Path(tuple(parts))

    def alias(self) -> str | None:
        """Return the alias that comes next, if one does."""
        if self.take("as"):
            return self.name()
        token = self.peek()
        if token.kind == "name" and token.value.lower() not in KEYWORDS:
            return self.name()
        return None

    def error(self, message: str) -> QueryError:
        """Return an error at this position."""
        token = self.peek()
        found = "the end" if token is END else repr(token.value)
        return QueryError(f"{message} near {found} in: {self.text}")
