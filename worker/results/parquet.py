"""Parquet files as tables, read row group by row group.

===============================  ==============================================================================
integers                         Long; Double where some are missing (String if a Double would change one);
                                 unsigned ones beyond 63 bits String
floating point, decimals         Double, missing ones NaN; decimals of more than 15 digits String
truth values                     Bool; String where some are missing
text, categories                 String
dates, times                     String, as ISO 8601 writes them, to the microsecond; with a time zone in UTC
durations                        String, hours:minutes:seconds
bytes, lists, structures, maps   no column of a table; left out, and said so
===============================  ==============================================================================

Importing pyarrow takes a tenth of a second and 60 MB, so this module is imported when a Parquet file is there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyarrow import compute, types

from worker.results.columns import Column, legal_names
from worker.results.rowgroups import kind_of, left_out, open_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from worker.results.columns import Value

_EXACT: Final = 2**53
_INTEGER_BYTES: Final = len(str(-(2**63)))


@dataclass(frozen=True, slots=True)
class ParquetTable:
    """A Parquet file, and how it is to be read.

    Parameters
    ----------
    path : Path
        The file.
    columns : tuple of Column
        Its columns.
    rows : int
        Number of its rows.
    fields : tuple of str
        What its columns are called in the file.
    left_out : tuple of str
        Fields that no column of a table can hold.
    declared : bool
        Never; the types of the file say what numbers are, not what they name.
    comments : tuple of str
        None; there is no place for them.
    """

    path: Path
    columns: tuple[Column, ...]
    rows: int
    fields: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    declared: bool = False
    comments: tuple[str, ...] = ()

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
        wanted = [index for index in range(len(self.columns)) if only is None or index in only]
        with open_rows(self.path, [self.fields[index] for index in wanted]) as batches:
            for batch in batches:
                values: list[list[Value]] = [[] for _ in self.columns]
                for index in wanted:
                    values[index] = _values(batch.column(self.fields[index]), self.columns[index].kind)
                yield values


def read_parquet(path: Path) -> ParquetTable:
    """Read a file once and decide on its columns.

    Parameters
    ----------
    path : Path
        A Parquet file.

    Returns
    -------
    ParquetTable
        The table; memory use does not depend on the number of row groups.

    Raises
    ------
    ResultsError
        If the file is no table.
    """
    with open_rows(path) as batches:
        fields = tuple(batches.schema.names)
        guesses = [_Guess(kind_of(field.type)) for field in batches.schema]
        rows = 0
        for batch in batches:
            rows += batch.num_rows
            for guess, column in zip(guesses, batch.columns, strict=True):
                guess.look(column)
        columns = tuple(
            Column(name, field, guess.decided(), max(guess.size_bytes, 1))
            for name, field, guess in zip(legal_names(fields), fields, guesses, strict=True)
        )
        return ParquetTable(path, columns, rows, fields, left_out(batches))


@dataclass(slots=True)
class _Guess:
    """What the values of a column have been so far."""

    kind: str
    missing: bool = False
    largest: int = 0
    size_bytes: int = 0

    def look(self, array: Any) -> None:

        self.missing = self.missing or bool(array.null_count)
        if types.is_integer(array.type):
            limits = compute.min_max(array).as_py()
            # -2**63 is the one negative number that is no smaller than what 63 bits hold.
            self.largest = max(self.largest, limits["max"] or 0, -(limits["min"] or 0) - 1)
            self.size_bytes = _INTEGER_BYTES
        elif self.kind == "Bool":
            self.size_bytes = len("false")
        elif self.kind == "String":
            self.size_bytes = max(
                [self.size_bytes, *(len(str(text).encode()) for text in set(_values(array, "String")))]
            )

    def decided(self) -> str:
        if self.kind == "Bool":
            return "String" if self.missing else "Bool"
        if self.kind != "Long":
            return self.kind
        if self.missing:
            return "Double" if self.largest <= _EXACT else "String"
        return "Long" if self.largest < 2**63 else "String"


def _values(array: Any, kind: str) -> list[Value]:
    if kind == "Double":
        return [math.nan if value is None else float(value) for value in array.to_pylist()]
    if kind == "String":
        array, end = _in_utc(array)
        return [value if isinstance(value, str) else _text(value, end) for value in array.to_pylist()]
    return list(array.to_pylist())


def _in_utc(array: Any) -> tuple[Any, str]:
    """Make times what Python has: to the microsecond, and in no zone whose rules would have to be known."""
    if types.is_timestamp(array.type):
        return array.cast(pa.timestamp("us"), safe=False), "Z" if array.type.tz else ""
    if types.is_time64(array.type):
        return array.cast(pa.time64("us"), safe=False), ""
    if types.is_duration(array.type):
        return array.cast(pa.duration("us"), safe=False), ""
    return array, ""


def _text(value: Any, end: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() + end if hasattr(value, "isoformat") else str(value)
