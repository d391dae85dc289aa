"""Tables on disk: one SQLite database each, where OMERO has HDF5."""

from __future__ import annotations

import ast
import contextlib
import json
import operator
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_TABLES = """
create table if not exists header (position integer primary key, content text not null);
create table if not exists chunk (start integer primary key, size integer not null, content text not null);
create table if not exists metadata (name text primary key, content text not null);
"""


@dataclass(frozen=True, slots=True)
class Header:
    """A column of a table.

    Parameters
    ----------
    type : str
        Class of the column in ``omero.grid``, such as ``LongColumn``.
    name, description : str
        What it is called and what it means.
    size : int
        Greatest length of a text in bytes, or length of an array; 0 for other columns.
    """

    type: str
    name: str
    description: str
    size: int


class ConditionError(ValueError):
    """A condition that is wrong, or that is not understood here."""


class TableFile:
    """A table; rows are numbered from 0.

    Parameters
    ----------
    path : Path
        Its file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            connection.executescript(_TABLES)
            yield connection

    def initialize(self, headers: Sequence[Header]) -> None:
        """Begin anew, with some columns and without rows."""
        with self._open() as connection:
            for table in ("header", "chunk", "metadata"):
                connection.execute(f"delete from {table}")  # noqa: S608  # three constants
            contents = [json.dumps([item.type, item.name, item.description, item.size]) for item in headers]
            connection.executemany("insert into header values (?, ?)", list(enumerate(contents)))

    def headers(self) -> list[Header]:
        """Return the columns; none, if the table was not initialised."""
        with self._open() as connection:
            found = connection.execute("select content from header order by position").fetchall()
        return [Header(*json.loads(content)) for (content,) in found]

    def count(self) -> int:
        """Return the number of rows."""
        with self._open() as connection:
            return _count(connection)

    def add(self, columns: Sequence[Sequence[Any]]) -> None:
        """Add rows at the end: the values of each column."""
        if columns[0]:
            with self._open() as connection:
                content = (_count(connection), len(columns[0]), json.dumps(columns))
                connection.execute("insert into chunk values (?, ?, ?)", content)

    def change(self, numbers: Sequence[int], columns: Mapping[int, Sequence[Any]]) -> None:
        """Change the values of some columns in some rows."""
        with self._open() as connection:
            for place, number in enumerate(numbers):
                start, values = _chunk(connection, number)
                for column, changed in columns.items():
                    values[column][number - start] = changed[place]
                connection.execute("update chunk set content = ? where start = ?", (json.dumps(values), start))

    def read(self, numbers: Sequence[int] | range) -> list[list[Any]]:
        """Return the values of each column in some rows, by their numbers; IndexError if there is no such row."""
        columns: list[list[Any]] = [[] for _ in self.headers()]
        start, values = 0, columns
        with self._open() as connection:
            count = _count(connection)
            left = list(numbers)
            if any(not 0 <= number < count for number in left):
                raise IndexError(f"rows {min(left)} to {max(left)} were asked for, there are {count}")
            place = 0
            while place < len(left):
                if not start <= left[place] < start + len(values[0]):
                    start, values = _chunk(connection, left[place])
                end = place
                # As long as they follow each other within the chunk.
                while end < len(left) and left[end] - left[place] == end - place and left[end] < start + len(values[0]):
                    end += 1
                for column, chunk in zip(columns, values, strict=True):
                    column.extend(chunk[left[place] - start : left[end - 1] - start + 1])
                place = end
        return columns

    def select(self, condition: str, variables: Mapping[str, Any], rows: range) -> list[int]:
        """Return the numbers of the rows for which a condition is true.

        Parameters
        ----------
        condition : str
            As PyTables has them: names of columns and variables, comparisons, ``&``, ``|``, ``~`` and brackets.
        variables : mapping
            Values of further names.
        rows : range
            Which rows are looked at.

        Raises
        ------
        ConditionError
            If the condition is wrong or not understood here.
        """
        if not condition.isascii():
            # numexpr compares bytes.
            raise ConditionError(f"not understood: {condition}")
        names = [header.name for header in self.headers()]
        known: dict[str, Any] = dict(zip(names, map(np.array, self.read(rows)), strict=True))
        try:
            tree = ast.parse(condition, mode="eval").body
        except SyntaxError as error:
            raise ConditionError(f"not understood: {condition}") from error
        chosen = np.broadcast_to(np.asarray(_value(tree, known | dict(variables), condition), bool), len(rows))
        return [number for number, is_chosen in zip(rows, chosen, strict=True) if is_chosen]

    def metadata(self) -> dict[str, Any]:
        """Return what was noted about the table."""
        with self._open() as connection:
            return {name: json.loads(content) for name, content in connection.execute("select * from metadata")}

    def set_metadata(self, values: Mapping[str, Any]) -> None:
        """Note something about the table."""
        with self._open() as connection:
            items = [(name, json.dumps(value)) for name, value in values.items()]
            connection.executemany("replace into metadata values (?, ?)", items)


def _count(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("select coalesce(max(start + size), 0) from chunk").fetchone()[0]
    return number


def _chunk(connection: sqlite3.Connection, number: int) -> tuple[int, list[list[Any]]]:
    """Return the chunk that a row is in: the number of its first row, and the values of each column."""
    query = "select start, content from chunk where start <= ? order by start desc limit 1"
    start, content = connection.execute(query, (number,)).fetchone()
    return start, json.loads(content)


_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Invert: operator.invert,
    ast.USub: operator.neg,
}


def _value(node: ast.expr, names: Mapping[str, Any], condition: str) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name) if name in names:
            return names[name]
        case ast.Compare(left, [comparison], [right]) if type(comparison) in _OPERATORS:
            sides = (_value(left, names, condition), _value(right, names, condition))
            return _OPERATORS[type(comparison)](*sides)
        case ast.BinOp(left, symbol, right) if type(symbol) in _OPERATORS:
            return _OPERATORS[type(symbol)](_value(left, names, condition), _value(right, names, condition))
        case ast.UnaryOp(symbol, operand) if type(symbol) in _OPERATORS:
            return _OPERATORS[type(symbol)](_value(operand, names, condition))
    raise ConditionError(f"{ast.unparse(node)} is not understood in: {condition}")
