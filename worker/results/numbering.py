"""Images that tables know by numbers of their own, as CellProfiler's do.

One table of a folder has, in each row, the number of an image (``ImageNumber``) and its file; the tables of objects
beside it have the number alone. What the first one says holds for all of that folder.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from worker.errors import ResultsError
from worker.results.columns import as_text
from worker.results.delimited import read_delimited, read_titles
from worker.results.references import NOTHING, image_column
from worker.results.titles import is_titled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.results.columns import ResultTable
    from worker.results.known import Known
    from worker.results.outputs import Output

_DELIMITED: Final = (".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class Numbering:
    """What the tables of one folder have in common.

    Parameters
    ----------
    images : Mapping
        Number of an image, as text, to the id of the analysed image.
    objects : int
        How many of the tables number objects (``ObjectNumber``): each of them may mean objects of another kind.
    """

    images: Mapping[str, int] = field(default_factory=dict)
    objects: int = 0


def find_numberings(tables: Iterable[Output], known: Known) -> Mapping[str, Numbering]:
    """Find what the tables of each folder have in common.

    Parameters
    ----------
    tables : Iterable of Output
        All tables that an analysis wrote.
    known : Known
        What their rows can be about.

    Returns
    -------
    Mapping
        Path of a folder to what its tables have in common; nothing of a folder where two tables contradict each other.
    """
    objects: dict[str, int] = defaultdict(int)
    images: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for output in tables:
        if not output.path.lower().endswith(_DELIMITED):
            continue
        folder = str(PurePosixPath(output.path).parent)
        try:
            titles = read_titles(output.file)
            objects[folder] += any(is_titled(title, "object") for title in titles)
            if any(is_titled(title, "image number") for title in titles) and any(
                is_titled(title, "image") for title in titles
            ):
                for number, image_id in _pairs(read_delimited(output.file), known):
                    images[folder][number].add(image_id)
        except ResultsError:
            # Whoever brings it in says so, and why.
            continue
    return {
        folder: Numbering(
            {number: min(ids) for number, ids in images[folder].items()}
            if all(len(ids) == 1 for ids in images[folder].values())
            else {},
            count,
        )
        for folder, count in objects.items()
    }


def _pairs(table: ResultTable, known: Known) -> set[tuple[str, int]]:
    """List which number and which image stand in the same row."""
    image = image_column(table, known)
    if image is None:
        return set()
    (number,) = [at for at, column in enumerate(table.columns) if is_titled(column.title, "image number")][:1]
    found: set[tuple[str, int]] = set()
    for batch in table.batches(only={number, *image.needs}):
        found.update(zip(map(as_text, batch[number]), image.ids(batch, len(batch[number])), strict=True))
    return {(text, image_id) for text, image_id in found if text and image_id != NOTHING}
