"""CSV and TSV files as tables, read row by row.

==================  ===============================================================================================
how it is written   see :mod:`worker.results.dialect`
decimal comma       in files with ``;`` where no column of numbers has a decimal point
``# header d,l,s``  a first line that declares the columns, as for ``omero metadata populate``: ``d`` Double,
                    ``l`` Long, ``s`` String, ``b`` Bool; ``image``, ``well``, ``plate``, ``dataset`` and ``roi`` name
                    something in OMERO. It is followed exactly, or the file is no table
short row           missing cells at its end
long row            no table, unless what is too much is empty
blank line          left out
quoted line breaks  are part of the cell
long cell, row      no table: a cell may have 131,072 characters, a row 2,097,152, a header 2,000 columns
==================  ===============================================================================================
"""

from __future__ import annotations

import csv
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from worker.errors import ResultsError
from worker.results.columns import BATCH_CELLS, BATCH_ROWS, Column, Guess, legal_names
from worker.results.dialect import TYPES_MARK, find_dialect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

    from worker.results.columns import Value
    from worker.results.dialect import Dialect

REFERENCES: Final = frozenset({"image", "well", "plate", "dataset", "roi"})

_KINDS: Final = {"d": "Double", "l": "Long", "s": "String", "b": "Bool"}
_KIND_NAMES: Final = {"Double": "d, a number", "Long": "l, an integer of 64 bits", "Bool": "b, true or false"}
_BATCH_CHARACTERS: Final = 2 * 2**20
_PIECE_ROWS: Final = 1_000
_ROW_CHARACTERS_MAX: Final = 2**21
_COLUMNS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True)
class DelimitedTable:
    """A CSV or TSV file, and how it is to be read.

    Parameters
    ----------
    path : Path
        The file.
    columns : tuple of Column
        Its columns.
    rows : int
        Number of rows below the header.
    dialect : Dialect
        How it is written.
    declared : bool
        Whether a first line declares the columns.
    """

    path: Path
    columns: tuple[Column, ...]
    rows: int
    dialect: Dialect
    declared: bool = False

    @property
    def comments(self) -> tuple[str, ...]:
        """What stands above the header as comments."""
        return self.dialect.comments

    def batches(self, only: Collection[int] | None = None) -> Iterator[list[list[Value]]]:
        """Read all rows.

        Parameters
        ----------
        only : Collection of int, optional
            Positions of the columns that are wanted; the others are left empty.

        Yields
        ------
        list of list
            The values of some rows, a list for each column.
        """
        limit = max(1, min(BATCH_ROWS, BATCH_CELLS // len(self.columns)))
        batch: list[list[Value]] = [[] for _ in self.columns]
        rows = size = 0
        for cells, characters in _pieces(self.path, self.dialect, 1 + self.declared, len(self.columns)):
            if rows and (rows + len(cells[0]) > limit or size + characters > _BATCH_CHARACTERS):
                yield batch
                batch, rows, size = [[] for _ in self.columns], 0, 0
            for index, column in enumerate(self.columns):
                if only is None or index in only:
                    batch[index] += column.values(cells[index])
            rows += len(cells[0])
            size += characters
        if rows:
            yield batch


def read_delimited(path: Path) -> DelimitedTable:
    """Read a file once and decide on its columns.

    Parameters
    ----------
    path : Path
        A CSV or TSV file with a header.

    Returns
    -------
    DelimitedTable
        The table; memory use does not depend on the number of rows.

    Raises
    ------
    ResultsError
        If the file is no table.
    """
    dialect = find_dialect(path)
    types, titles = _head(path, dialect)
    guesses = [Guess() for _ in titles]
    count = 0
    for cells, _ in _pieces(path, dialect, 1 + bool(types), len(titles)):
        count += len(cells[0])
        for guess, column in zip(guesses, cells, strict=True):
            guess.look(column)
    decimal = "," if dialect.delimiter == ";" and not any(guess.points for guess in guesses) else "."
    columns = tuple(
        _column(path, name, title.strip(), guess, decimal, word)
        for name, title, guess, word in zip(
            legal_names(titles), titles, guesses, types or [""] * len(titles), strict=True
        )
    )
    return DelimitedTable(path, columns, count, dialect, declared=bool(types))


def _column(path: Path, name: str, title: str, guess: Guess, decimal: str, word: str) -> Column:
    # What a column refers to is added beside it; it keeps what stands in the file.
    kind = _KINDS.get(word) or guess.kind(decimal)
    if word in _KINDS and not guess.fits(kind, decimal):
        cell = repr(guess.odd) if guess.odd else "an empty cell" if guess.missing else "other numbers"
        raise ResultsError(
            f"{path.name} is no table as its first line declares it: the column {title!r} is declared as"
            f" {_KIND_NAMES[kind]}, and holds {cell}."
        )
    refers_to = word if word in REFERENCES else ""
    column = Column(name, title, kind, max(guess.size_bytes, 1), decimal, refers_to)
    if guess.distinct is None:
        return column
    return replace(column, distinct=frozenset(column.values(sorted(guess.distinct))))


def read_titles(path: Path) -> tuple[str, ...]:
    """Read the header alone.

    Parameters
    ----------
    path : Path
        A CSV or TSV file.

    Returns
    -------
    tuple of str
        The titles of its columns.

    Raises
    ------
    ResultsError
        If the file is no table.
    """
    return tuple(title.strip() for title in _head(path, find_dialect(path))[1])


def _head(path: Path, dialect: Dialect) -> tuple[list[str], list[str]]:
    """Read the declared types, if there are any, and the titles."""
    with _opened(path, dialect) as opened:
        rows = iter(opened)
        first = next(rows, [])
        types: list[str] = []
        if first and first[0].startswith(TYPES_MARK):
            types = [cell.strip().lower() for cell in [first[0].removeprefix(TYPES_MARK), *first[1:]]]
            first = next(rows, [])
        if dialect.marked:
            # "#" alone is a title; "# area" is "area" behind the mark of a comment.
            first[0] = first[0].lstrip("#").strip() or first[0].strip()
        while types and len(types) > len(first) and not types[-1]:
            types.pop()
    if not any(title.strip() for title in first):
        raise ResultsError(f"{path.name} is no table: it is empty.")
    if len(first) > _COLUMNS_MAX:
        raise ResultsError(f"{path.name} is no table for OMERO: {len(first)} columns are more than it can hold.")
    if types and len(types) != len(first):
        raise ResultsError(
            f"{path.name} is no table: its first line declares {len(types)} columns, its header has {len(first)}."
        )
    unknown = [word for word in types if word not in _KINDS and word not in REFERENCES]
    if unknown:
        raise ResultsError(
            f"{path.name} is no table: its first line declares a column as {unknown[0]!r}.",
            remedy=f"There are: {', '.join([*_KINDS, *sorted(REFERENCES)])}.",
        )
    return types, first


def _pieces(path: Path, dialect: Dialect, skipped: int, width: int) -> Iterator[tuple[Sequence[Sequence[str]], int]]:
    """Read some rows at once: their cells, a sequence for each column, and how many characters these have."""
    most = max(1, min(_PIECE_ROWS, BATCH_CELLS // width))
    with _opened(path, dialect) as opened:
        rows = iter(opened)
        for _ in range(skipped):
            next(rows)
        done = step = 0
        while piece := list(islice(opened.until(_BATCH_CHARACTERS, rows), max(1, step))):
            if set(map(len, piece)) != {width}:
                piece = [_fitted(row, width, path, number) for number, row in enumerate(piece, done + 1)]
            done += len(piece)
            cells = list(zip(*piece, strict=True))
            characters = sum(map(len, chain.from_iterable(cells)))
            # As many rows at once as are not likely to be too much.
            step = min(2 * len(piece), most, _BATCH_CHARACTERS * len(piece) // (4 * characters + 1))
            yield cells, characters


def _fitted(row: list[str], width: int, path: Path, number: int) -> list[str]:
    if len(row) == width:
        return row
    if len(row) > width and any(cell.strip() for cell in row[width:]):
        raise ResultsError(f"{path.name} is no table: row {number} has {len(row)} cells, its header has {width}.")
    return row[:width] + [""] * (width - len(row))


class _Rows:
    """The rows of an open file, none of which is longer than memory is meant for, however it is quoted."""

    def __init__(self, path: Path, stream: TextIO, delimiter: str) -> None:
        self._path = path
        self._stream = stream
        self._delimiter = delimiter
        self._characters = self._before = 0

    def __iter__(self) -> Iterator[list[str]]:
        for row in csv.reader(self._lines(), delimiter=self._delimiter):
            self._before = self._characters
            if row:
                yield row

    def until(self, characters: int, rows: Iterator[list[str]]) -> Iterator[list[str]]:
        """Give the next rows, and stop behind the one with which they have so many characters."""
        end = self._characters + characters
        for row in rows:
            yield row
            if self._characters >= end:
                return

    def _lines(self) -> Iterator[str]:
        while line := self._stream.readline(_ROW_CHARACTERS_MAX + 1):
            self._characters += len(line)
            if self._characters - self._before > _ROW_CHARACTERS_MAX:
                raise ResultsError(
                    f"{self._path.name} is no table: one of its rows has more than {_ROW_CHARACTERS_MAX:,} characters."
                )
            yield line


@contextmanager
def _opened(path: Path, dialect: Dialect) -> Iterator[_Rows]:
    try:
        with path.open(encoding=dialect.encoding, newline="") as stream:
            for _ in range(dialect.skipped_lines):
                stream.readline()
            yield _Rows(path, stream, dialect.delimiter)
    except csv.Error as error:
        why = f"a cell has more than {csv.field_size_limit()} characters" if "field limit" in str(error) else str(error)
        raise ResultsError(f"{path.name} is no table: {why}.") from error
