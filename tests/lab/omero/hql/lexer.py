"""From the text of a query to its tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from tests.lab.omero.hql.syntax import QueryError

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>\d+\.\d+|\d+)[lLfFdD]?
      | '(?P<string>(?:[^']|'')*)'
      | (?P<operator><>|!=|<=|>=|\|\||[=<>(),+\-*/.])
      | :(?P<parameter>\w+)
      | (?P<name>[A-Za-z_]\w*)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word, number, string, operator or parameter of a query."""

    kind: Literal["number", "string", "operator", "parameter", "name", "end"]
    value: Any


END = Token("end", None)


def tokens(text: str) -> list[Token]:
    """Split a query.

    Raises
    ------
    QueryError
        At a character that cannot be part of one.
    """
    found, position, text = [], 0, text.rstrip().rstrip(";").rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise QueryError(f"unexpected character {text[position]!r} at {position} in: {text}")
        found.append(_token(match))
        position = match.end()
    return found


def _token(match: re.Match[str]) -> Token:
    if (number := match["number"]) is not None:
        return Token("number", float(number) if "." in number else int(number))
    if (string := match["string"]) is not None:
        return Token("string", string.replace("''", "'"))
    if match["operator"]:
        return Token("operator", match["operator"])
    if match["parameter"]:
        return Token("parameter", match["parameter"])
    return Token("name", match["name"])
