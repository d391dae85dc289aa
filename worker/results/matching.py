"""Which OMERO image a result file was made from.

The export knows which file came from which image; what is left to say is from which of these files an analysis made a
result. Analyses keep the name of their input and add to it, so a result belongs to the input whose stem its name begins
with: the longest one, ending at a boundary (``a`` begins ``a_mask.tif``, but not ``ab.tif``). What a name leaves open,
the folders that it lies in may say. Where an analysis renames, two rules more apply, and a note says that they did:
names that are alike but for case and punctuation, and names that begin with a well and a field (``A01_s1``).

Nothing is ever guessed from likeness or position: a result that could belong to two images belongs to none, and a note
says so.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from worker.results.naming import split_name
from worker.results.wellnames import WellNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from worker.results.model import SourceFile

EXPORT_SUFFIXES = (".ome.zarr", ".zarr", ".ome.tiff", ".ome.tif", ".tiff", ".tif", ".png")
"""What an exporter or a converter puts behind the name of an image."""

ONLY: Final = "it is the only image that was analysed"
SAME: Final = "the result is named like the exported file"
BEGINS: Final = "the name begins with that of the exported file"
FOLDER: Final = "the result lies in a folder that is named after the exported file"
ALIKE: Final = "the names are alike but for upper and lower case and punctuation"
WELL: Final = "the name begins with the well and the field"

RENAMED: Final = (ALIKE, WELL)
"""Rules that a person is told about: the analysis did not keep the name."""

_EXAMPLES: Final = 3
"""How many results a note names."""

_TOKEN: Final = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Matches:
    """Result files and what they were made from.

    Parameters
    ----------
    sources : Mapping
        Result path to its source; paths without one are missing.
    notes : tuple of str
        One sentence for each result without a source, and one for each rule by which renamed results were recognised.
    rules : Mapping
        Result path to the rule by which its source is known.
    kinds : Mapping
        Result path to what it is of its source: what its name has besides the source's (``mask``); may be empty.
    plates : Mapping
        Path of each OME-Zarr that is of no image, but may be of all those of a plate, to the plate's id.
    """

    sources: Mapping[str, SourceFile]
    notes: tuple[str, ...]
    rules: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    plates: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the names of a result say."""

    sources: frozenset[SourceFile] = frozenset()
    rule: str = ""
    kind: str = ""

    @property
    def ids(self) -> frozenset[int]:
        return frozenset(source.image_id for source in self.sources)


def match(results: Iterable[str], sources: Sequence[SourceFile]) -> Matches:
    """Find the source of each result file.

    Parameters
    ----------
    results : Iterable of str
        Paths of result files (or of OME-Zarr folders) below the output folder, with ``/``.
    sources : Sequence of SourceFile
        What was exported.

    Returns
    -------
    Matches
        Several results may have the same source. If only one image was exported, every result is its.
    """
    names = _Names(sources)
    image_ids = {source.image_id for source in sources}
    found: dict[str, SourceFile] = {}
    rules: dict[str, str] = {}
    kinds: dict[str, str] = {}
    plates: dict[str, int] = {}
    notes: list[str] = []
    for path in results:
        said = names.find(path)
        if len(image_ids) == 1 and not said.sources:
            said = _Found(frozenset(sources), ONLY, said.kind)
        if len(said.ids) == 1:
            found[path] = min(said.sources, key=lambda source: source.path)
            rules[path], kinds[path] = said.rule, said.kind
            continue
        zarr = not said.ids and path.lower().endswith(".zarr")
        plate_id, kind = _plate(path, names.wells) if zarr else (None, "")
        if plate_id is not None:
            plates[path], kinds[path] = plate_id, kind
        elif said.ids:
            listed = ", ".join(str(each) for each in sorted(said.ids))
            notes.append(f"{path} is not linked to an image: it may belong to any of the images {listed}.")
        else:
            notes.append(f"{path} is not linked to an image: its name begins with the name of none.")
    return Matches(found, (*notes, *_rule_notes(found, rules)), rules, kinds, plates)


def finder(sources: Sequence[SourceFile]) -> Callable[[str], frozenset[int]]:
    """Prepare to find the images of many names, one after the other.

    Parameters
    ----------
    sources : Sequence of SourceFile
        What was exported.

    Returns
    -------
    Callable
        Called with the path or name of a result; gives the ids of the images that it may be of.
    """
    names = _Names(sources)
    return lambda path: names.find(path).ids


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
    within = [rest, ["".join(rest[:2]), *rest[2:]]] if len(rest) == 3 else [rest]
    return tuple(dict.fromkeys("_".join((name, *place)) for name in _heads(head) for place in within))


def field_finder(sources: Sequence[SourceFile]) -> Callable[[str, tuple[int, int], int], SourceFile | None]:
    """Prepare to find the sources of images inside results that are themselves plates in OME-Zarr.

    Parameters
    ----------
    sources : Sequence of SourceFile
        What was exported.

    Returns
    -------
    Callable
        By the path of the OME-Zarr, the row and column of a well (from 0) and the number of a field, as in the path of
        the image: the same field of the plate after which the OME-Zarr is named, or of the only plate that was
        exported; None if there is none.
    """
    wells = WellNames(sources, _heads)

    def find(path: str, well: tuple[int, int], index: int) -> SourceFile | None:
        plate_id = _plate(path, wells)[0]
        here = wells.at(plate_id, *well, index) if plate_id is not None else set()
        return min(here, key=lambda each: each.path) if len({each.image_id for each in here}) == 1 else None

    return find


def _plate(path: str, wells: WellNames) -> tuple[int | None, str]:
    """Find the plate that an OME-Zarr is a result of, and what it is of that plate."""
    *folders, name = PurePosixPath(_normal(path)).parts
    plate_id, end = wells.plate_named(name)
    if plate_id is None and len(wells.plate_ids) == 1:
        (plate_id,) = wells.plate_ids
    return plate_id, _kind(folders, name[end:], split_name(name)[1])


class _Names:
    """The beginnings by which results are known, and whose they are."""

    def __init__(self, sources: Sequence[SourceFile]) -> None:
        self._paths: dict[str, set[SourceFile]] = {}
        self._exact: dict[str, set[SourceFile]] = {}
        self._folded: dict[tuple[str, ...], set[SourceFile]] = {}
        self.wells = WellNames(sources, _heads)
        for source in sources:
            self._paths.setdefault(_normal(source.path), set()).add(source)
            for stem in stems(source):
                self._add(stem, source)
        for place, source in self.wells.converted():
            for head in _heads(PurePosixPath(_normal(source.path)).parts[0]):
                self._add(f"{head}_{place}", source)

    def _add(self, stem: str, source: SourceFile) -> None:
        self._exact.setdefault(stem, set()).add(source)
        if tokens := _tokens(stem):
            self._folded.setdefault(tuple(token for token, _ in tokens), set()).add(source)

    def find(self, path: str) -> _Found:
        """Ask the file's own name first, then the folders that it lies in, from the innermost outwards."""
        parts = PurePosixPath(_normal(path)).parts
        ext = split_name(parts[-1])[1]
        same = self._paths.get("/".join(parts)) or self._paths.get(parts[-1])
        if same:
            return _Found(frozenset(same), SAME, "_".join(parts[:-1]))
        open_: frozenset[SourceFile] = frozenset()
        for start in range(len(parts) - 1, -1, -1):
            text = "_".join(parts[start:])
            named, rule, end = self._longest(text)
            if open_:
                named &= open_
            if not named:
                continue
            if len({source.image_id for source in named}) > 1:
                open_ = named
                continue
            if rule == BEGINS and start < len(parts) - 1:
                rule = FOLDER
            # "2/1_crop.tif" may be a result of image 2 or of image 1: then nobody knows.
            return _Found(named | self._folders(parts[:start]), rule, _kind(parts[:start], text[end:], ext))
        return _Found(open_, "", _kind((), "_".join(parts), ext))

    def _longest(self, text: str) -> tuple[frozenset[SourceFile], str, int]:
        """Find the longest beginning of a text that is known: whose it is, by which rule, and where it ends."""
        exact_end = next(
            (
                end
                for end in range(len(text), 0, -1)
                if (end == len(text) or not text[end].isalnum()) and text[:end] in self._exact
            ),
            0,
        )
        tokens = _tokens(text)
        words = tuple(token for token, _ in tokens)
        alike = next((count for count in range(len(words), 0, -1) if words[:count] in self._folded), 0)
        exact = frozenset(self._exact.get(text[:exact_end], ()))
        if alike > sum(end <= exact_end for _, end in tokens):
            # A longer name, though written otherwise, may be meant: then nobody knows.
            also = frozenset(self._folded[words[:alike]])
            return exact | also, ALIKE, tokens[alike - 1][1]
        if exact:
            return exact, BEGINS, exact_end
        placed, end = self.wells.find(text)
        return placed, WELL, end

    def _folders(self, folders: Sequence[str]) -> frozenset[SourceFile]:
        """List what is named after whole folders, unless several images are named so."""
        named = [self._exact.get(folder, set()) for folder in folders]
        return frozenset(source for each in named if len({source.image_id for source in each}) == 1 for source in each)


def _rule_notes(found: Mapping[str, SourceFile], rules: Mapping[str, str]) -> list[str]:
    notes = []
    for rule in RENAMED:
        paths = sorted(path for path, used in rules.items() if used == rule)
        if paths:
            examples = ", ".join(f"{path} to image {found[path].image_id}" for path in paths[:_EXAMPLES])
            more = f" and {len(paths) - _EXAMPLES} more" if len(paths) > _EXAMPLES else ""
            notes.append(f"The analysis renamed its images. Linked, as {rule}: {examples}{more}.")
    return notes


def _heads(name: str) -> list[str]:
    """The name of an exported file, whole and without each of its suffixes."""
    names = [name]
    while True:
        suffix = next((each for each in EXPORT_SUFFIXES if name.lower().endswith(each)), None)
        if suffix is None or len(suffix) == len(name):
            return names
        name = name[: -len(suffix)]
        names.append(name)


def _kind(folders: Sequence[str], rest: str, ext: str) -> str:
    if ext and rest.endswith(f".{ext}"):
        rest = rest[: -len(ext) - 1]
    return "_".join(part for part in (*folders, rest.strip(" _-.")) if part)


def _tokens(text: str) -> list[tuple[str, int]]:
    """Words of a text without regard to case, and where each ends."""
    return [(unicodedata.normalize("NFKC", found[0]).casefold(), found.end()) for found in _TOKEN.finditer(text)]


def _normal(text: str) -> str:
    # macOS decomposes accents in file names, OMERO keeps what was typed.
    return unicodedata.normalize("NFC", text)
