"""Columns of ids that say which object in OMERO a row of a table is about.

A column is added only where *every* row that names something names one known object: one of the analysed images, a well
of their plates, the ROIs of this run. Nothing is guessed: where one cell names nothing known, or several things, the
column stays as it is in the file, and a note says why. Rows that name nothing have -1, OMERO's word for no object.

Titles are read without ``Metadata_`` and ``Image_`` in front of them, which CellProfiler puts there.

=========  ==========================  ==============================================================================
added      from columns titled         whose cells are
=========  ==========================  ==============================================================================
Image      image, filename, source, …  ids, names, or exported or result file names of analysed images
Image      ImageNumber                 numbers that another table of the same folder has beside the files of images
Image      without such columns        the one image that the whole file was made from
Well       well, well_name, well_id    names like ``A1``, ``A01``, ``R1C1``, or ids; else the well that the image is in
Well       row and column              a letter and a number. Rows given as numbers may count from 0 or from 1, and tell
                                       nothing
Plate      plate, plate_name, …        names or ids of the analysed plates
Dataset    dataset, dataset_name, …    names or ids of the datasets of the analysed images
Roi        roi, label, object_id, …    ids of ROIs of this run, or numbers of the labels that they were made from, on
                                       the image of the row. Where several tables of a folder number objects
                                       (ObjectNumber), these may be objects of several kinds, and tell nothing
=========  ==========================  ==============================================================================
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from worker.results.columns import as_text
from worker.results.matching import finder
from worker.results.titles import is_titled
from worker.results.wellnames import axis_index

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from worker.results.columns import ResultTable, Value
    from worker.results.known import Known, Well
    from worker.results.model import SourceFile
    from worker.results.numbering import Numbering

    Find = Callable[[tuple[str, ...]], Collection[int]]
    Candidate = tuple[tuple[int, ...], Find]

NOTHING: Final = -1
"""The id of no object."""

_REMEMBERED: Final = 100_000
_LETTERS_AND_NUMBER: Final = re.compile(r"([A-Za-z]{1,2})[ _-]?0*([1-9][0-9]*)")
_ROW_AND_COLUMN: Final = re.compile(r"[Rr]0*([1-9][0-9]*)[ _-]?[Cc]0*([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of ids.

    Parameters
    ----------
    kind : str
        What they are ids of: ``Image``, ``Well``, ``Plate``, ``Dataset``, ``Roi``; its name too, as clients know it.
    needs : tuple of int
        Positions of the columns that it is made from.
    find : Callable
        Called with the texts of these columns in one row; gives the ids of all objects that this may be.
    """

    kind: str
    needs: tuple[int, ...]
    find: Find

    def ids(self, batch: Sequence[Sequence[Value]], rows: int) -> list[int]:
        """Give the id of each row of a batch."""
        if not self.needs:
            return [_only(self.find(()))] * rows
        columns = [batch[index] for index in self.needs]
        values: Sequence[Any] = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
        found = {
            each: _only(self.find(tuple(map(as_text, each if len(columns) > 1 else (each,))))) for each in set(values)
        }
        return list(map(found.__getitem__, values))


def find_references(
    table: ResultTable, known: Known, about: SourceFile | None, numbering: Numbering | None = None
) -> tuple[tuple[Reference, ...], tuple[str, ...]]:
    """Find the columns of ids that a table can have.

    Parameters
    ----------
    table : ResultTable
        The table.
    known : Known
        What its rows can be about.
    about : SourceFile or None
        The image that the whole file was made from, if that is one.
    numbering : Numbering, optional
        What the tables of its folder have in common.

    Returns
    -------
    references : tuple of Reference
        The columns; at most one of each kind.
    notes : tuple of str
        What was not clear, a sentence each.
    """
    search = _Search(table, known, about, numbering)
    search.containers()
    search.images()
    search.wells()
    search.rois()
    return tuple(search.found.values()), tuple(search.notes)


def image_column(table: ResultTable, known: Known) -> Reference | None:
    """Find the analysed image that each row of a table names by itself.

    Parameters
    ----------
    table : ResultTable
        The table.
    known : Known
        What its rows can be about.

    Returns
    -------
    Reference or None
        The column of ids; None if there is no column of names, or nobody knows what it names.
    """
    search = _Search(table, known, None, None)
    search.images()
    return search.found.get("Image")


class _Search:
    """The search through one table; later kinds build on what was found of earlier ones."""

    def __init__(self, table: ResultTable, known: Known, about: SourceFile | None, numbering: Numbering | None) -> None:
        self.table = table
        self.known = known
        self.about = about
        self.numbering = numbering
        self.found: dict[str, Reference] = {}
        self.notes: list[str] = []

    def containers(self) -> None:
        for kind, names in (("Plate", self.known.plates), ("Dataset", self.known.datasets)):
            by_text = _by_name_and_id(names)
            self._try(kind, [((index,), _look_up(by_text)) for index in self._titled(kind.lower())])

    def images(self) -> None:
        finder = _ImageFinder(self.known.sources)
        candidates: list[Candidate] = [((index,), finder) for index in self._titled("image")]
        if not candidates and not self.table.declared and self.numbering is not None and self.numbering.images:
            by_number = {number: (image_id,) for number, image_id in self.numbering.images.items()}
            candidates = [((index,), _look_up(by_number)) for index in self._titled("image number")]
        self._try("Image", candidates, quiet=self.about is not None)
        if "Image" not in self.found and self.about is not None and not self.table.declared:
            ids = (self.about.image_id,)
            self.found["Image"] = Reference("Image", (), lambda _: ids)

    def wells(self) -> None:
        if not self.known.wells:
            return
        plate = self.found.get("Plate")
        candidates = [self._on_plate(plate, (index,), _well_place) for index in self._titled("well")]
        if not self.table.declared:
            rows, columns = self._titled("well row"), self._titled("well column")
            if len(rows) == len(columns) == 1 and self.table.columns[rows[0]].kind == "String":
                candidates.append(self._on_plate(plate, (rows[0], columns[0]), _row_and_column))
        self._try("Well", candidates)
        image = self.found.get("Image")
        if "Well" not in self.found and image is not None and self.known.well_of_image and not self.table.declared:
            self.found["Well"] = Reference("Well", image.needs, _through(image, self.known.well_of_image))

    def rois(self) -> None:
        if not self.known.rois:
            return
        image = self.found.get("Image")
        ids = {str(roi): (roi,) for rois in self.known.rois.values() for roi in rois}
        candidates: list[Candidate] = []
        titled = self._titled("roi")
        for index in titled:
            title = self.table.columns[index].title
            # A small number may be both: then it must not matter which.
            if is_titled(title, "roi id") or self.table.declared:
                candidates.append(((index,), _look_up(ids)))
            if image is not None and not is_titled(title, "no label") and not self._may_be_others(title):
                candidates.append(((*image.needs, index), _on_image(image, self.known.rois)))
        self._try("Roi", candidates)
        if titled and not candidates:
            title = self.table.columns[titled[0]].title
            why = (
                "several tables number objects, which may be of as many kinds"
                if self._may_be_others(title)
                else "its image is not known"
            )
            self.notes.append(f"the column {title!r} does not say which ROI a row is about: {why}")

    def _may_be_others(self, title: str) -> bool:
        """Say whether a number may be that of another object than those that ROIs were drawn of."""
        several = self.numbering is not None and self.numbering.objects > 1
        return several and not self.table.declared and is_titled(title, "object")

    def _titled(self, word: str) -> list[int]:
        """Find the columns that may name such things: those declared to, else those with such a title."""
        columns = self.table.columns
        if self.table.declared:
            # "Image Name" and "Roi Name" are the two that `omero metadata populate` knows by title as well.
            titles = {f"{word} name"} if word in {"image", "roi"} else set()
            return [at for at, each in enumerate(columns) if each.refers_to == word or each.title.lower() in titles]
        return [at for at, column in enumerate(columns) if is_titled(column.title, word)]

    def _on_plate(
        self,
        plate: Reference | None,
        needs: tuple[int, ...],
        place: Callable[[tuple[str, ...]], tuple[int, int] | None],
    ) -> Candidate:
        by_place: dict[tuple[int, int], list[Well]] = defaultdict(list)
        for well in self.known.wells:
            by_place[well.row, well.column].append(well)
        ids = {str(well.well_id): (well.well_id,) for well in self.known.wells}

        def find(texts: tuple[str, ...]) -> Collection[int]:
            own = texts[: len(needs)]
            if len(own) == 1 and own[0] in ids:
                return ids[own[0]]
            at = place(own)
            wells = by_place.get(at, []) if at is not None else []
            if plate is not None:
                on = plate.find(texts[len(needs) :])
                wells = [well for well in wells if well.plate_id in on]
            return [well.well_id for well in wells]

        return (*needs, *(plate.needs if plate is not None else ())), find

    def _try(self, kind: str, candidates: Iterable[Candidate], *, quiet: bool = False) -> None:
        """Take what names one object in each row; tell of what names none or several, or what others contradict."""
        clear: list[Reference] = []
        notes = []
        for needs, find in candidates:
            reference = Reference(kind, needs, find)
            why = self._doubt(reference)
            if why is None:
                clear.append(reference)
            elif why:
                title = self._title(reference)
                notes.append(f"the column {title} does not say which {_NOUNS[kind]} a row is about: {why}")
        if len(clear) > 1 and not self._agree(clear):
            titles = list(dict.fromkeys(map(self._title, clear)))
            how = f"the columns {', '.join(titles)} name" if len(titles) > 1 else f"the column {titles[0]} may name"
            self.notes.append(f"{how} different {_NOUNS[kind]}s")
        elif clear:
            self.found[kind] = clear[0]
        elif notes and not quiet:
            # Two ways to read one column fail for two reasons; the last is the one that people mean.
            self.notes.append(notes[-1])

    def _title(self, reference: Reference) -> str:
        return " and ".join(repr(self.table.columns[index].title) for index in reference.needs)

    def _agree(self, references: Sequence[Reference]) -> bool:
        """Say whether several columns name the same object in each row, as far as they name any."""
        needs = {index for reference in references for index in reference.needs}
        for batch in self.table.batches(only=needs):
            rows = len(batch[next(iter(needs))])
            for ids in set(zip(*(reference.ids(batch, rows) for reference in references), strict=True)):
                if len(set(ids) - {NOTHING}) > 1:
                    return False
        return True

    def _doubt(self, reference: Reference) -> str | None:
        """Say what is not clear about a column: None if all is, nothing if it names nothing."""
        seen: set[tuple[str, ...]] = set()
        something = False
        for unique in self._unique(reference.needs):
            fresh = {tuple(map(as_text, values)) for values in unique} - seen
            for texts in fresh:
                if not all(texts):
                    continue
                something = True
                ids = reference.find(texts)
                if len(ids) != 1:
                    which = f"may be any of {', '.join(map(str, sorted(ids)))}" if ids else "is none that is known"
                    return f"{' '.join(texts)[:100]!r} {which}"
            # What was looked up need not be again, as far as that takes little room.
            seen = seen | fresh if len(seen) < _REMEMBERED else fresh
        return None if something else ""

    def _unique(self, needs: Sequence[int]) -> Iterator[Collection[tuple[Value, ...]]]:
        """Give what stands in some columns, each at least once."""
        known = self.table.columns[needs[0]].distinct
        if len(needs) == 1 and known is not None:
            yield [(value,) for value in known]
            return
        for batch in self.table.batches(only=needs):
            yield set(zip(*(batch[index] for index in needs), strict=True))


_NOUNS: Final = {"Image": "image", "Well": "well", "Plate": "plate", "Dataset": "dataset", "Roi": "ROI"}


class _ImageFinder:
    """Finds analysed images by what a cell says."""

    def __init__(self, sources: Sequence[SourceFile]) -> None:
        self._named_after = finder(sources)
        self._by_text: dict[str, set[int]] = defaultdict(set)
        for source in sources:
            for text in (source.name, source.path, PurePosixPath(source.path).name):
                self._by_text[text].add(source.image_id)
        self._by_id = {str(source.image_id): {source.image_id} for source in sources}

    def __call__(self, texts: tuple[str, ...]) -> Collection[int]:
        (text,) = texts
        # A name may look like the id of another image: then nobody knows.
        found = self._by_text.get(text, set()) | self._by_id.get(text, set())
        if found:
            return found
        file = PurePosixPath(text.replace("\\", "/")).name
        if file in self._by_text:
            return self._by_text[file]
        return self._named_after(file) if file and not text.isdecimal() else ()


def _look_up(by_text: Mapping[str, Collection[int]]) -> Find:
    return lambda texts: by_text.get(texts[0], ())


def _by_name_and_id(names: Mapping[int, str]) -> Mapping[str, Collection[int]]:
    by_text: dict[str, set[int]] = defaultdict(set)
    for object_id, name in names.items():
        by_text[name].add(object_id)
        by_text[str(object_id)].add(object_id)
    return by_text


def _through(image: Reference, wells: Mapping[int, int]) -> Find:
    return lambda texts: {wells[each] for each in image.find(texts) if each in wells}


def _on_image(image: Reference, rois: Mapping[tuple[int, int], Collection[int]]) -> Find:
    def find(texts: tuple[str, ...]) -> Collection[int]:
        *named, label = texts
        if not label.isdecimal():
            return ()
        return {roi for each in image.find(tuple(named)) for roi in rois.get((each, int(label)), ())}

    return find


def _well_place(texts: tuple[str, ...]) -> tuple[int, int] | None:
    (text,) = texts
    by_number = _ROW_AND_COLUMN.fullmatch(text)
    if by_number:
        return int(by_number[1]) - 1, int(by_number[2]) - 1
    by_letter = _LETTERS_AND_NUMBER.fullmatch(text)
    row = axis_index(by_letter[1]) if by_letter else None
    return (row, int(by_letter[2]) - 1) if by_letter and row is not None else None


def _row_and_column(texts: tuple[str, ...]) -> tuple[int, int] | None:
    return _well_place(("".join(texts),))


def _only(ids: Collection[int]) -> int:
    return next(iter(ids)) if len(ids) == 1 else NOTHING
