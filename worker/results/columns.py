"""Typed columns of a CSV or TSV file, decided by all of its values.

=======  ==============================================================================================
Long     every cell is an integer that 64 bits hold; none is missing, none has leading zeros
Double   every cell is a number or missing (missing: empty, ``NaN``, ``NA``, ``N/A``, ``null``, ``None``;
         stored as NaN); integers among them are at most 2**53, so that none changes its value
Bool     every cell is ``true`` or ``false``; none is missing
String   everything else, and whatever mixes the above; the text is kept as it is
=======  ==============================================================================================

A row that is too short has missing cells at its end; one that is too long makes the file no table. Column names become
identifiers, because OMERO.tables cannot be queried by others; the title in the file becomes the description.
"""

from __future__ import annotations

import csv
import keyword
import re
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

TABLE_SUFFIXES: Final = (".csv", ".tsv")

_MISSING: Final = frozenset({"", "nan", "na", "n/a", "null", "none"})
_INTEGER: Final = re.compile(r"[+-]?(0|[1-9]\d*)")
_NUMBER: Final = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf(inity)?)", re.IGNORECASE)
_LEADING_ZERO: Final = re.compile(r"[+-]?0\d")
_EXACT: Final = 2**53
_TRANSLITERATED: Final = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "%": "percent", "#": "number"})


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Parameters
    ----------
    name : str
        An identifier, unique in the table.
    title : str
        What stands in the file.
    kind : str
        ``Long``, ``Double``, ``Bool`` or ``String``.
    size_bytes : int
        Longest cell in UTF-8, at least 1.
    """

    name: str
    title: str
    kind: str
    size_bytes: int

    @property
    def description(self) -> str:
        """The title in ASCII: OMERO.tables keeps descriptions as HDF5 strings and fails on anything else."""
        return self.title.translate(_TRANSLITERATED).encode("ascii", "backslashreplace").decode()

    def value(self, cell: str) -> int | float | bool | str:
        """Convert one cell.

        Parameters
        ----------
        cell : str
            What stands in the file.

        Returns
        -------
        int, float, bool or str
            Its value, by this column's kind.
        """
        if self.kind == "Long":
            return int(cell)
        if self.kind == "Double":
            return float("nan") if is_missing(cell) else float(cell)
        if self.kind == "Bool":
            return cell.strip().lower() == "true"
        return cell


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is to be read.

    Parameters
    ----------
    columns : tuple of Column
        Its columns.
    rows : int
        Number of rows below the header.
    delimiter : str
        What separates cells.
    encoding : str
        How characters are encoded.
    """

    columns: tuple[Column, ...]
    rows: int
    delimiter: str
    encoding: str


def is_missing(cell: str) -> bool:
    """Say whether a cell holds no value.

    Parameters
    ----------
    cell : str
        What stands in the file.

    Returns
    -------
    bool
        True for empty cells and the usual words for "not available".
    """
    return cell.strip().lower() in _MISSING


def read_layout(path: Path) -> Layout:
    """Read a file once and decide on its columns.

    Parameters
    ----------
    path : Path
        A CSV or TSV file with a header.

    Returns
    -------
    Layout
        Its columns; memory use does not depend on the number of rows.

    Raises
    ------
    ResultsError
        If the file is no table.
    """
    encoding = _encoding(path)
    delimiter = _delimiter(path, encoding)
    with _opened(path, encoding, delimiter) as rows:
        titles = next(rows, None)
        if not titles or not any(title.strip() for title in titles):
            raise ResultsError(f"{path.name} is no table: it is empty.")
        guesses = [_Guess() for _ in titles]
        count = 0
        for row in rows:
            count += 1
            if len(row) > len(titles):
                raise ResultsError(
                    f"{path.name} is no table: row {count} has {len(row)} cells, its header has {len(titles)}."
                )
            for index, guess in enumerate(guesses):
                guess.look(row[index] if index < len(row) else "")
    names = legal_names(titles)
    columns = tuple(
        Column(name, title.strip(), guess.kind(), max(guess.size_bytes, 1))
        for name, title, guess in zip(names, titles, guesses, strict=True)
    )
    return Layout(columns, count, delimiter, encoding)


def read_rows(path: Path, layout: Layout) -> Iterator[list[str]]:
    """Read the rows of a file.

    Parameters
    ----------
    path : Path
        The file.
    layout : Layout
        What :func:`read_layout` said of it.

    Yields
    ------
    list of str
        The cells of a row, one for each column.
    """
    width = len(layout.columns)
    with _opened(path, layout.encoding, layout.delimiter) as rows:
        next(rows)
        for row in rows:
            yield row + [""] * (width - len(row))


def legal_names(titles: Iterable[str]) -> tuple[str, ...]:
    """Make identifiers of column titles.

    Parameters
    ----------
    titles : Iterable of str
        What stands in the header.

    Returns
    -------
    tuple of str
        Different identifiers, in the same order: ``Area (µm²)`` becomes ``Area_um2``.
    """
    taken: set[str] = set()
    names = []
    for number, title in enumerate(titles, start=1):
        plain = unicodedata.normalize("NFKD", title.translate(_TRANSLITERATED)).encode("ascii", "ignore").decode()
        name = re.sub(r"\W+", "_", plain).strip("_") or f"column_{number}"
        if name[0].isdigit() or keyword.iskeyword(name):
            name = f"column_{name}"
        answer, count = name, 1
        while answer.lower() in taken:
            count += 1
            answer = f"{name}_{count}"
        taken.add(answer.lower())
        names.append(answer)
    return tuple(names)


class _Guess:
    """What the cells of a column have been so far."""

    __slots__ = ("bools", "exact", "integers", "missing", "numbers", "size_bytes", "values")

    def __init__(self) -> None:
        self.size_bytes = 0
        self.values = 0
        self.missing = False
        self.integers = self.numbers = self.bools = self.exact = True

    def look(self, cell: str) -> None:
        self.size_bytes = max(self.size_bytes, len(cell.encode()))
        if is_missing(cell):
            self.missing = True
            return
        self.values += 1
        text = cell.strip()
        self.bools = self.bools and text.lower() in {"true", "false"}
        if not self.numbers:
            return
        if _INTEGER.fullmatch(text):
            value = int(text)
            self.integers = self.integers and -(2**63) <= value < 2**63
            self.exact = self.exact and abs(value) <= _EXACT
        else:
            self.integers = False
            self.numbers = bool(_NUMBER.fullmatch(text)) and not _LEADING_ZERO.match(text)

    def kind(self) -> str:
        if not self.values:
            return "String"
        if self.numbers and self.integers and not self.missing:
            return "Long"
        if self.numbers and self.exact:
            return "Double"
        if self.bools and not self.missing:
            return "Bool"
        return "String"


@contextmanager
def _opened(path: Path, encoding: str, delimiter: str) -> Iterator[Iterator[list[str]]]:
    with path.open(encoding=encoding, newline="") as stream:
        yield (row for row in csv.reader(stream, delimiter=delimiter) if row and not row[0].startswith("# header "))


def _encoding(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            while stream.read(2**20):
                pass
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def _delimiter(path: Path, encoding: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    with path.open(encoding=encoding) as stream:
        header = next((line for line in stream if line.strip() and not line.startswith("# header ")), "")
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(",;\t", key=unquoted.count)
