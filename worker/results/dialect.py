"""How a CSV or TSV file is written: its encoding, what separates its cells, and where its header is.

==================  ===============================================================================================
encoding            UTF-8, UTF-16 or UTF-32 by its mark; UTF-16 also by its zeros; else UTF-8 if it is; else that of
                    western Windows; else Latin-1
``sep=;``           a first line that names the delimiter, as spreadsheets know it
comments            lines that begin with ``#`` above the header; the last of them is the header itself where it has a
                    cell for each cell of the first row (NumPy writes it so), unless that row is a header above numbers
delimiter           tab, ``;`` or ``,``: the first of them that cuts the header and the first rows into as many cells;
                    else the one that the header has most of; a ``.tsv`` has tabs
==================  ===============================================================================================
"""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from worker.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import TextIO

TYPES_MARK: Final = "# header"
"""What a first line begins with that declares the columns."""

_MARKS: Final = (
    # That of UTF-32 begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNMARKED: Final = ("utf-8-sig", "cp1252", "latin-1")
_DELIMITERS: Final = "\t;,"
_SEP: Final = re.compile(r"sep=([\t;,|])\s*", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\s*[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?\s*", re.IGNORECASE)
_CHUNK_BYTES: Final = 2**20
_SAMPLE_LINES: Final = 50
_MOST_SKIPPED: Final = 1_000
_LONGEST_LINE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written.

    Parameters
    ----------
    encoding : str
        How characters are encoded.
    delimiter : str
        What separates cells.
    skipped_lines : int
        Lines before the header, or before the line that declares the columns.
    marked : bool
        Whether a ``#`` stands before the header.
    comments : tuple of str
        What the lines say that begin with ``#`` and are no header.
    """

    encoding: str
    delimiter: str = ","
    skipped_lines: int = 0
    marked: bool = False
    comments: tuple[str, ...] = ()


def find_dialect(path: Path) -> Dialect:
    """Find out how a file is written.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Dialect
        How it is written.

    Raises
    ------
    ResultsError
        If it is no text.
    """
    encoding = _encoding(path)
    with path.open(encoding=encoding, newline="") as stream:
        return _above_header(path, stream, Dialect(encoding))


def _above_header(path: Path, stream: TextIO, found: Dialect) -> Dialect:
    """Look at what stands above the header, and at the first rows below it."""
    lines = 0
    comments: list[tuple[int, str]] = []
    said = "\t" if path.suffix.lower() == ".tsv" else ""
    while line := stream.readline(_LONGEST_LINE):
        sep = _SEP.fullmatch(line) if not comments else None
        if sep is not None:
            said = said or sep[1]
        elif line.startswith("#") and not line.startswith(TYPES_MARK):
            comments.append((lines, line.strip()))
        elif line.strip():
            break
        lines += 1
        if lines > _MOST_SKIPPED or len(line) == _LONGEST_LINE:
            raise ResultsError(f"{path.name} is no table: its first {lines} lines are comments, empty, or too long.")
    sample = [line] if line else []
    while sample and sample[-1] and len(sample) <= _SAMPLE_LINES and sum(map(len, sample)) < _LONGEST_LINE:
        sample.append(stream.readline(_LONGEST_LINE))
    # A line that is cut at its longest, or a cell over several lines that is cut at the last, may look ragged.
    delimiter = said or _delimiter(sample[:-1] if len(sample) > 1 and sample[-1] else sample)
    texts = tuple(text.lstrip("#").strip() for _, text in comments)
    found = replace(found, delimiter=delimiter, skipped_lines=lines, comments=texts)
    if comments and not line.startswith(TYPES_MARK):
        at, text = comments[-1]
        of_comment = said or (_delimiter([text]) if not line else delimiter)
        if _is_header(_cells([text], of_comment), _cells(sample, of_comment)):
            return replace(found, delimiter=of_comment, skipped_lines=at, marked=True, comments=texts[:-1])
    return found


def _is_header(comment: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> bool:
    """Say whether the last line with a ``#`` is the header of the rows below it, and no remark about them."""
    if not rows:
        return bool(comment)
    if not comment or len(comment[0]) != len(rows[0]):
        return False
    titles = not any(_NUMBER.fullmatch(cell) for cell in rows[0])
    return not (titles and any(_NUMBER.fullmatch(cell) for row in rows[1:] for cell in row))


def _delimiter(lines: Sequence[str]) -> str:
    """Choose what separates cells; a tab, or a semicolon, is rarely in all rows by chance, a comma may be decimal."""
    if not lines:
        return ","
    for each in _DELIMITERS:
        rows = _cells(lines, each)
        if rows and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
            return each
    unquoted = re.sub(r'"[^"]*"', "", lines[0])
    return max(reversed(_DELIMITERS), key=unquoted.count)


def _cells(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return list(filter(None, csv.reader(lines, delimiter=delimiter)))
    except csv.Error:
        return []


def _encoding(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(4)
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), "")
    zeros = "".join("0" if byte == 0 else "x" for byte in head)
    marked = marked or {"x0x0": "utf-16-le", "0x0x": "utf-16-be"}.get(zeros, "")
    return next(name for name in ((marked,) if marked else _UNMARKED) if _decodes(path, name))


def _decodes(path: Path, encoding: str) -> bool:
    try:
        with path.open(encoding=encoding) as stream:
            while text := stream.read(_CHUNK_BYTES):
                if "\0" in text:
                    raise ResultsError(f"{path.name} is no table: it is no text, but has zeros in it.")
    except UnicodeDecodeError as error:
        if encoding not in _UNMARKED:
            raise ResultsError(
                f"{path.name} is no table: its text breaks off or is damaged ({error.reason})."
            ) from error
        return False
    return True
