"""Wells and fields in the names of files: what an export calls them, and what analyses make of that."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from worker.results.model import SourceFile

_TIFF: Final = re.compile(r"(?P<plate>.+)_(?P<row>[A-Z]{1,2})(?P<column>\d{2,})_s(?P<site>\d{3,})(?:\.ome)?\.tiff?")
_SITE: Final = re.compile(r"(?P<row>[A-Za-z]{1,2})_?(?P<column>\d{1,3})[_-]?s(?:ite)?[_-]?(?P<site>\d{1,4})(?![^\W_])")
_WORD: Final = re.compile(r"[^\W_]+")
_LETTERS: Final = re.compile(r"[A-Za-z]{1,2}")


@dataclass(frozen=True, slots=True)
class FieldPlace:
    """Where an exported field is in its plate.

    Parameters
    ----------
    plate : str
        The plate's name in the export.
    row, column : int
        Its well, from 0.
    field : int
        Its number in the well, from 0.
    """

    plate: str
    row: int
    column: int
    field: int


def place_of(source: SourceFile) -> FieldPlace | None:
    """Read from the path of an exported field where it belongs.

    Parameters
    ----------
    source : SourceFile
        What was exported.

    Returns
    -------
    FieldPlace or None
        None for what is not a field of a plate that was exported as a whole.
    """
    if source.object_type != "Plate":
        return None
    parts = PurePosixPath(source.path).parts
    if len(parts) == 4 and parts[3].isdecimal():
        row, column = axis_index(parts[1]), axis_index(parts[2])
        return FieldPlace(parts[0], row, column, int(parts[3])) if row is not None and column is not None else None
    found = _TIFF.fullmatch(parts[-1])
    if found is None:
        return None
    row = axis_index(found["row"])
    return None if row is None else FieldPlace(found["plate"], row, int(found["column"]) - 1, int(found["site"]) - 1)


def axis_index(name: str) -> int | None:
    """Give the index of a row or column by its name.

    Parameters
    ----------
    name : str
        Letters (``A``, ``AF``) or a number from 1.

    Returns
    -------
    int or None
        From 0; None if it is neither.
    """
    if name.isdecimal() and int(name) > 0:
        return int(name) - 1
    if not _LETTERS.fullmatch(name):
        return None
    index = 0
    for letter in name.upper():
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


class WellNames:
    """The fields of plates, looked up by the names that files get after them.

    Parameters
    ----------
    sources : Iterable of SourceFile
        What was exported; other things than fields of plates are left out.
    heads : Callable
        Gives the names under which a plate may be known, by its name in the export.
    """

    def __init__(self, sources: Sequence[SourceFile], heads: Callable[[str], Iterable[str]]) -> None:
        self._wells: dict[tuple[int, int, int], dict[int, set[SourceFile]]] = {}
        self._plates: dict[str, set[int]] = {}
        count = 0
        for source in sources:
            place = place_of(source)
            if place is None:
                continue
            count += 1
            fields = self._wells.setdefault((source.object_id, place.row, place.column), {})
            fields.setdefault(place.field, set()).add(source)
            for head in heads(place.plate):
                self._plates.setdefault(head.casefold(), set()).add(source.object_id)
        ids = {plate_id for plate_id, _, _ in self._wells}
        self._alone = ids if len(ids) == 1 and count == len(sources) else set()

    def converted(self) -> Iterator[tuple[str, SourceFile]]:
        """List what our converter calls fields: sites count through the fields that a well has, from 1."""
        for (_, row, column), fields in self._wells.items():
            for site, number in enumerate(sorted(fields), start=1):
                for source in (each for each in fields[number] if "/" in each.path):
                    yield f"{letters(row)}{column + 1:02d}_s{site:03d}", source

    def find(self, text: str) -> tuple[frozenset[SourceFile], int]:
        """Find the field whose well and site a text begins with (``A01_s1``), after the name of its plate.

        Parameters
        ----------
        text : str
            Name of a result.

        Returns
        -------
        sources : frozenset of SourceFile
            Whose it can be. Without the name of a plate only if no other one, and nothing else, was exported.
        end : int
            Where well and site end in the text.
        """
        plates, start = self._alone, 0
        for head, ids in self._plates.items():
            if len(head) >= start and text[: len(head)].casefold() == head and text[len(head) : len(head) + 1] in "_- ":
                plates, start = ids, len(head) + 1
        found = _SITE.match(text, start)
        if found is None:
            return frozenset(), 0
        row, column, site = axis_index(found["row"]), int(found["column"]) - 1, int(found["site"])
        sources: set[SourceFile] = set()
        for plate_id in plates:
            fields = self._wells.get((plate_id, -1 if row is None else row, column), {})
            # Through the numbers of the fields, or through those that there are: not the same where some are missing.
            numbers = {site - 1, *sorted(fields)[site - 1 : site]} if site else set()
            sources |= {source for number in numbers for source in fields.get(number, ())}
        return frozenset(sources), found.end()

    def plate_named(self, text: str) -> tuple[int | None, int]:
        """Find the plate after which a text is named.

        Parameters
        ----------
        text : str
            Name of a result.

        Returns
        -------
        plate_id : int or None
            The plate with the longest name that fits; None if there is none, or more than one, also one whose name
            fits but for punctuation, and would be longer.
        end : int
            Where its name ends in the text.
        """
        folded = text.casefold()
        head = max((each for each in self._plates if _begins(folded, each)), key=len, default=None)
        ids = self._plates[head] if head is not None else set()
        words, most = _WORD.findall(folded), len(_WORD.findall(head or ""))
        for other, others in self._plates.items():
            alike = _WORD.findall(other)
            if len(alike) > most and words[: len(alike)] == alike:
                ids = ids | others
        return (next(iter(ids)), len(head or "")) if len(ids) == 1 else (None, 0)

    def at(self, plate_id: int, row: int, column: int, field: int) -> set[SourceFile]:
        """List what was exported of a field."""
        return self._wells.get((plate_id, row, column), {}).get(field, set())

    @property
    def plate_ids(self) -> set[int]:
        """Ids of all plates."""
        return {plate_id for plate_id, _, _ in self._wells}


def letters(index: int) -> str:
    """Name a row by one or two letters: ``A``, ``AF``."""
    first, last = divmod(index, 26)
    return (chr(ord("A") + first - 1) if first else "") + chr(ord("A") + last)


def _begins(text: str, head: str) -> bool:
    return text.startswith(head) and not text[len(head) : len(head) + 1].isalnum()
