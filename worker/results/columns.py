"""Typed columns of a result table, decided by all of their values.

=======  ==============================================================================================
Long     every cell is an integer that 64 bits hold; none is missing, none has leading zeros
Double   every cell is a number or missing (missing: empty, ``NaN``, ``NA``, ``N/A``, ``null``, ``None`` and
         the like; stored as NaN); integers among them are at most 2**53, so that none changes its value. Where all
         are missing, at least one must be ``NaN``
Bool     every cell is ``true`` or ``false``; none is missing
String   everything else, and whatever mixes the above: dates, integers beyond 64 bits, codes like ``007``;
         the text is kept as it is
=======  ==============================================================================================

Column names become identifiers, because OMERO.tables cannot be queried by others; the title in the file becomes the
description.
"""

from __future__ import annotations

import json
import keyword
import math
import re
import unicodedata
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

TABLE_SUFFIXES: Final = (".csv", ".tsv", ".parquet")

BATCH_ROWS: Final = 10_000
"""Rows that are read and sent at once, at most."""

BATCH_CELLS: Final = 1_000_000
"""Cells that are read and sent at once, at most: 8 MB of numbers, where OMERO takes messages of 64."""

TRUE_WORDS: Final = frozenset({"yes", "true", "t", "1"})
FALSE_WORDS: Final = frozenset({"no", "false", "f", "0"})

MAX_DISTINCT: Final = 1_000
"""Different cells of a column that are remembered, at most."""

_DISTINCT_LENGTH_MAX: Final = 255
"""Longest cell that is remembered: nothing in OMERO has a longer name."""

_MISSING: Final = frozenset(
    {"", "nan", "-nan", "na", "<na>", "n/a", "#n/a", "#na", "null", "none", "1.#qnan", "-1.#ind", "1.#ind", "-1.#qnan"}
)
_NOT_A_NUMBER: Final = frozenset(word for word in _MISSING if "nan" in word or "ind" in word)
_LONGEST_MISSING: Final = 16
_BREAK: Final = "\x1f"
_INTEGER: Final = r"[+-]?(?:0|[1-9][0-9]*)"
_INTEGERS: Final = re.compile(rf"(?:[ \t]*{_INTEGER}[ \t]*{_BREAK})*+")
_NUMBERS: Final = re.compile(
    rf"(?:[ \t]*[+-]?(?:(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?)[ \t]*{_BREAK})*+",
    re.IGNORECASE,
)
_COMMA_NUMBERS: Final = re.compile(
    rf"(?:[ \t]*[+-]?(?:(?:0|[1-9][0-9]*)(?:,[0-9]*)?|,[0-9]+)(?:e[+-]?[0-9]+)?[ \t]*{_BREAK})*+", re.IGNORECASE
)
_SAFE_DIGITS: Final = 15
_LONG_INTEGER: Final = re.compile(rf"(?<![^{_BREAK} \t])[+-]?[0-9]{{{_SAFE_DIGITS + 1},}}(?=[ \t]*{_BREAK})")
_MAX_WORDS: Final = len(TRUE_WORDS | FALSE_WORDS)
_EXACT: Final = 2**53
_TRANSLITERATED: Final = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "%": "percent", "#": "number"})

Value = int | float | bool | str


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
    decimal : str
        What stands before the decimals of its numbers.
    refers_to : str
        What its cells name, as far as the file itself says so: ``image``, ``well``, ``plate``, ``dataset`` or ``roi``.
    distinct : frozenset or None
        Its different values, if they are few; None: unknown.
    """

    name: str
    title: str
    kind: str
    size_bytes: int
    decimal: str = "."
    refers_to: str = ""
    distinct: frozenset[int | float | bool | str] | None = None

    @property
    def description(self) -> str:
        """The title in ASCII: OMERO.tables keeps descriptions as HDF5 strings and fails on anything else."""
        head, mark, tail = self.title.partition("%%")
        pair = tail.partition("=")
        # What `omero metadata populate` makes of "Area%%unit=um".
        text = json.dumps({pair[0].strip(): pair[2].strip()}) if mark and pair[1] else tail.strip() if mark else head
        return text.translate(_TRANSLITERATED).encode("ascii", "backslashreplace").decode()

    @property
    def width_bytes(self) -> int:
        """What one of its values takes in OMERO, where every value of a column takes the same."""
        return self.size_bytes if self.kind == "String" else 8

    def values(self, cells: Sequence[str]) -> list[Value]:
        """Convert cells.

        Parameters
        ----------
        cells : Sequence of str
            What stands in the file.

        Returns
        -------
        list of int, float, bool or str
            Their values, by this column's kind.
        """
        if self.kind == "Long":
            return list(map(int, cells))
        if self.kind == "Bool":
            return [cell.strip().lower() in TRUE_WORDS for cell in cells]
        if self.kind == "Double":
            texts = [cell.replace(",", ".") for cell in cells] if self.decimal == "," else cells
            try:
                return list(map(float, texts))
            except ValueError:
                return [math.nan if is_missing(text) else float(text) for text in texts]
        return list(cells)


class ResultTable(Protocol):
    """A table that an analysis wrote, whatever its format; read in batches, so that memory does not grow with it."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns."""

    @property
    def rows(self) -> int:
        """Number of its rows."""

    @property
    def declared(self) -> bool:
        """Whether the file itself says what its columns are."""

    @property
    def comments(self) -> tuple[str, ...]:
        """What it says besides its rows."""

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
    return len(cell) <= _LONGEST_MISSING and cell.strip().lower() in _MISSING


def as_text(value: Value) -> str:
    """Give a value as text, as it names something: ``12`` for 12 and 12.0; empty if it is missing."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return ""
        return str(int(value)) if value.is_integer() else str(value)
    return "" if isinstance(value, str) and is_missing(value) else str(value).strip()


def legal_names(titles: Iterable[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """Make identifiers of column titles.

    Parameters
    ----------
    titles : Iterable of str
        What stands in the header.
    taken : Iterable of str
        Names that none of them may have.

    Returns
    -------
    tuple of str
        Different identifiers, in the same order: ``Area (µm²)`` becomes ``Area_um2``.
    """
    known = {name.lower() for name in taken}
    names = []
    for number, title in enumerate(titles, start=1):
        head = title.partition("%%")[0].translate(_TRANSLITERATED)
        plain = unicodedata.normalize("NFKD", head).encode("ascii", "ignore").decode()
        name = re.sub(r"\W+", "_", plain).strip("_") or f"column_{number}"
        if name[0].isdigit() or keyword.iskeyword(name):
            name = f"column_{name}"
        answer, count = name, 1
        while answer.lower() in known:
            count += 1
            answer = f"{name}_{count}"
        known.add(answer.lower())
        names.append(answer)
    return tuple(names)


class Guess:
    """What the cells of a column have been so far.

    Attributes
    ----------
    size_bytes : int
        Longest cell in UTF-8.
    missing : bool
        Whether some cell holds no value.
    points : bool
        Whether the cells are numbers so far, some of them with a decimal point.
    odd : str
        One of the cells that are no number.
    distinct : set of str or None
        The different cells; None if they are more than :data:`MAX_DISTINCT`.
    """

    __slots__ = (
        *("_commas", "_exact", "_integers", "_nan", "_numbers", "_values", "_words"),
        *("distinct", "missing", "odd", "size_bytes"),
    )

    def __init__(self) -> None:
        self.size_bytes = 0
        self.missing = self._values = self._nan = False
        self.odd = ""
        self.distinct: set[str] | None = set()
        self._integers = self._numbers = self._commas = self._exact = True
        self._words: set[str] = set()

    def look(self, cells: Iterable[str]) -> None:
        """Take more cells into account."""
        unique = set(cells)
        if not unique:
            return
        longest = max(map(len, unique))
        self.size_bytes = max(self.size_bytes, longest if all(map(str.isascii, unique)) else _longest_bytes(unique))
        if self.distinct is not None:
            few = len(unique) <= MAX_DISTINCT and longest <= _DISTINCT_LENGTH_MAX
            self.distinct = self.distinct | unique if few else None
            if self.distinct is not None and len(self.distinct) > MAX_DISTINCT:
                self.distinct = None
        # All at once: the engine of regular expressions is many times faster than a loop of ours.
        text = _BREAK.join(unique) + _BREAK
        if not (self._numbers and (_INTEGERS if self._integers else _NUMBERS).fullmatch(text)):
            gaps = [cell for cell in unique if is_missing(cell)]
            if gaps:
                self.missing = True
                self._nan = self._nan or any(gap.strip().lower() in _NOT_A_NUMBER for gap in gaps)
                unique.difference_update(gaps)
                if not unique:
                    return
                text = _BREAK.join(unique) + _BREAK
        self._values = True
        if len(self._words) <= _MAX_WORDS:
            self._words.update(cell.strip().lower() for cell in islice(unique, _MAX_WORDS + 1))
        if self._numbers or self._commas:
            self._look_for_numbers(unique, text, longest)

    def _look_for_numbers(self, unique: set[str], text: str, longest: int) -> None:
        if not _INTEGERS.fullmatch(text):
            numbers, commas = (bool(each.fullmatch(text)) for each in (_NUMBERS, _COMMA_NUMBERS))
            if (numbers or commas) and "e" in text.lower() and any(map(_overflows, unique)):
                numbers = commas = False
            if not numbers and not self.odd:
                self.odd = next((cell for cell in unique if not _NUMBERS.fullmatch(cell + _BREAK)), "")
            self._integers = False
            self._numbers = self._numbers and numbers
            self._commas = self._commas and commas
        if longest > _SAFE_DIGITS and (self._exact or self._integers):
            whole = list(map(int, _LONG_INTEGER.findall(text)))
            self._exact = self._exact and all(abs(value) <= _EXACT for value in whole)
            self._integers = self._integers and all(-(2**63) <= value < 2**63 for value in whole)

    @property
    def points(self) -> bool:
        """Whether the cells are numbers, some of them with a decimal point."""
        return self._values and self._numbers and not self._commas

    def kind(self, decimal: str = ".") -> str:
        """Decide.

        Parameters
        ----------
        decimal : str
            What stands before decimals in this file.

        Returns
        -------
        str
            ``Long``, ``Double``, ``Bool`` or ``String``.
        """
        if not self._values:
            # A feature that could be measured in no object is a number all the same.
            return "Double" if self._nan else "String"
        if self._numbers and self._integers and not self.missing:
            return "Long"
        if (self._numbers or (self._commas and decimal == ",")) and self._exact:
            return "Double"
        if self._words == {"true"} or self._words == {"false"} or self._words == {"true", "false"}:
            return "String" if self.missing else "Bool"
        return "String"

    def fits(self, kind: str, decimal: str) -> bool:
        """Say whether all cells can be of a kind that the file itself declares.

        Parameters
        ----------
        kind : str
            ``Long``, ``Double``, ``Bool`` or ``String``.
        decimal : str
            What stands before decimals in this file.

        Returns
        -------
        bool
            True if no cell would be lost or become something else.
        """
        if kind == "Long":
            return not self.missing and (self._numbers and self._integers)
        if kind == "Double":
            return self._numbers or (self._commas and decimal == ",")
        if kind == "Bool":
            return not self.missing and self._words <= TRUE_WORDS | FALSE_WORDS
        return True


def _longest_bytes(cells: Iterable[str]) -> int:
    return max(len(cell.encode()) for cell in cells)


def _overflows(cell: str) -> bool:
    text = cell.strip().lower().replace(",", ".")
    return "e" in text and "n" not in text and math.isinf(float(text))
