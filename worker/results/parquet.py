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
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyarrow import compute, parquet, types

from worker.errors import ResultsError
from worker.results.columns import BATCH_CELLS, BATCH_ROWS, Column, legal_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from worker.results.columns import Value

_EXACT: Final = 2**53
_EXACT_DIGITS: Final = 15
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
        with _opened(self.path) as file:
            for batch in _batches(file, [self.fields[index] for index in wanted]):
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
    with _opened(path) as file:
        schema = file.schema_arrow
        kinds = {field.name: _kind(field.type) for field in schema}
        fields = tuple(name for name, kind in kinds.items() if kind)
        if not fields or len(kinds) != len(schema):
            what = "two of its columns have the same name" if len(kinds) != len(schema) else "it has no plain columns"
            raise ResultsError(f"{path.name} is no table: {what}.")
        guesses = [_Guess(kinds[name]) for name in fields]
        for batch in _batches(file, list(fields)):
            for name, guess in zip(fields, guesses, strict=True):
                guess.look(batch.column(name))
        columns = tuple(
            Column(name, field, guess.decided(), max(guess.size_bytes, 1))
            for name, field, guess in zip(legal_names(fields), fields, guesses, strict=True)
        )
        left_out = tuple(name for name, kind in kinds.items() if not kind)
        return ParquetTable(path, columns, file.metadata.num_rows, fields, left_out)


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


def _kind(kind: Any) -> str:

    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_boolean(kind):
        return "Bool"
    if types.is_integer(kind):
        return "Long"
    if types.is_floating(kind):
        return "Double"
    if types.is_decimal(kind):
        return "Double" if kind.precision <= _EXACT_DIGITS else "String"
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_temporal, types.is_null)
    return "String" if any(is_text(kind) for is_text in texts) else ""


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


def _batches(file: Any, fields: list[str]) -> Iterator[Any]:
    limit = max(1, min(BATCH_ROWS, BATCH_CELLS // max(len(fields), 1)))
    # One thread, and nothing read ahead: a row group at a time is what stays in memory.
    yield from file.iter_batches(batch_size=limit, columns=fields, use_threads=False)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:

    try:
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ResultsError(f"{path.name} is no table: it is no Parquet file, or damaged ({error}).") from error
