"""Which OMERO image a result file was made from.

The export knows which file came from which image; what is left to say is from which of these files an analysis made a
result. Analyses keep the name of their input and add to it, so a result belongs to the input whose stem its name begins
with: the longest one, ending at a boundary (``a`` begins ``a_mask.tif``, but not ``ab.tif``). Nothing is ever guessed
from likeness or position: a result that could belong to two images belongs to none, and a note says so.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from worker.results.model import SourceFile

EXPORT_SUFFIXES = (".ome.zarr", ".zarr", ".ome.tiff", ".ome.tif", ".tiff", ".tif", ".png")
"""What an exporter or a converter puts behind the name of an image."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Result files and what they were made from.

    Parameters
    ----------
    sources : Mapping
        Result path to its source; paths without one are missing.
    notes : tuple of str
        One sentence for each result without a source.
    """

    sources: Mapping[str, SourceFile]
    notes: tuple[str, ...]


def match(results: Iterable[str], sources: Sequence[SourceFile]) -> Matches:
    """Find the source of each result file.

    Parameters
    ----------
    results : Iterable of str
        Paths of result files below the output folder, with ``/``.
    sources : Sequence of SourceFile
        What was exported.

    Returns
    -------
    Matches
        Several results may have the same source. If only one image was exported, every result is its.
    """
    images = {source.image_id: source for source in sources}
    if len(images) == 1:
        only = next(iter(images.values()))
        return Matches(dict.fromkeys(results, only), ())
    by_stem: dict[str, set[int]] = {}
    for source in sources:
        for stem in stems(source):
            by_stem.setdefault(stem, set()).add(source.image_id)
    found: dict[str, SourceFile] = {}
    notes: list[str] = []
    for path in results:
        ids = _candidates(path, by_stem)
        if len(ids) == 1:
            found[path] = images[next(iter(ids))]
        elif ids:
            listed = ", ".join(str(each) for each in sorted(ids))
            notes.append(f"{path} is not linked to an image: it may belong to any of the images {listed}.")
        else:
            notes.append(f"{path} is not linked to an image: its name begins with the name of none.")
    return Matches(found, tuple(notes))


def stems(source: SourceFile) -> tuple[str, ...]:
    """List the beginnings by which the results of a source can be known.

    Parameters
    ----------
    source : SourceFile
        What was exported.

    Returns
    -------
    tuple of str
        The exported name without its suffix, and without the suffix that the image itself had in OMERO
        (``cells.tif.zarr``: ``cells.tif`` and ``cells``). Inside a plate, the parts of the path joined
        with ``_``, row and column also without (``plate.zarr/A/1/0``: ``plate_A_1_0`` and ``plate_A1_0``).
    """
    head, *rest = PurePosixPath(_normal(source.path)).parts
    names = [name for name in (head, *_without_suffixes(head)) if name]
    places = [rest, ["".join(rest[:2]), *rest[2:]]] if len(rest) == 3 else [rest]
    return tuple(dict.fromkeys("_".join((name, *place)) for name in names for place in places))


def _without_suffixes(name: str) -> list[str]:
    shorter: list[str] = []
    while True:
        suffix = next((each for each in EXPORT_SUFFIXES if name.lower().endswith(each)), None)
        if suffix is None or len(suffix) == len(name):
            return shorter
        name = name[: -len(suffix)]
        shorter.append(name)


def _candidates(path: str, by_stem: Mapping[str, set[int]]) -> set[int]:
    """Try the file's own name first, then the folders that it lies in, from the innermost outwards."""
    for part in reversed(PurePosixPath(_normal(path)).parts):
        for end in range(len(part), 0, -1):
            if (end == len(part) or not part[end].isalnum()) and part[:end] in by_stem:
                return by_stem[part[:end]]
    return set()


def _normal(text: str) -> str:
    # macOS decomposes accents in file names, OMERO keeps what was typed.
    return unicodedata.normalize("NFC", text)
