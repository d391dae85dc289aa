"""One attempt at an import: what it works on, and what it has to tell at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.results.about import describe_result
from worker.results.ledger import Key
from worker.results.matching import field_finder
from worker.results.model import CreatedObject, ImportReport
from worker.results.naming import NAME_LENGTH, distinct, rename

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.results.ledger import Ledger
    from worker.results.model import ImportedImage, ImportOptions, Provenance, SourceFile
    from worker.results.readers.model import FileImage
    from worker.results.sharing import Shared
    from worker.results.surroundings import AnalysedImage, Surroundings


def silent(_done: int, _total: int) -> None:
    """Report progress to nobody."""


@dataclass(slots=True)
class Attempt:
    """One attempt at an import.

    Parameters
    ----------
    ledger : Ledger
        What the run has written so far; everything is written through it.
    surroundings : Surroundings
        The analysed images and what they lie in.
    sources : Sequence of SourceFile
        What was analysed.
    options : ImportOptions
        What the person chose.
    provenance : Provenance
        Where the results come from.
    progress : Callable
        Called as ``progress(done, total)``.
    in_place : Mapping or None
        Ids of the images that the importer has made of each result (path of a file or of an OME-Zarr folder); None:
        results are imported through the API.
    shared : Shared or None
        What this import writes together with those of other batches; None: it is the only one that writes there.
    made_from : Mapping
        Path of each result to the one image that it was made from; results without one are missing.
    annotation_ids : tuple of int
        The annotations that say where results come from, to be linked to whatever is created.
    imported : list of ImportedImage
        The result images that are in OMERO now.
    rois : dict
        (Id of an analysed image, number of a label) to the ids of the ROIs that this run has made of it.
    only_drawn : set of tuple
        Path and number (within the file) of each label image whose ROIs are in OMERO, where that is all that the person
        wants of it: it does not become an image.
    objects : list of CreatedObject
        Everything that holds something of the results.
    notes : list of str
        What a person should know.
    problems : list of str
        What was asked for and is missing.
    """

    ledger: Ledger
    surroundings: Surroundings
    sources: Sequence[SourceFile]
    options: ImportOptions
    provenance: Provenance
    progress: Callable[[int, int], None] = silent
    in_place: Mapping[str, tuple[int, ...]] | None = None
    shared: Shared | None = None
    made_from: Mapping[str, SourceFile] = field(default_factory=dict)
    annotation_ids: tuple[int, ...] = ()
    only_drawn: set[tuple[str, int]] = field(default_factory=set)
    imported: list[ImportedImage] = field(default_factory=list)
    rois: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    objects: list[CreatedObject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _field_source: Callable[[str, tuple[int, int], int], SourceFile | None] | None = None
    _done: int = 0
    _total: int = 0

    def key(self, source: SourceFile | None, role: str, sha256: str) -> Key:
        """Make the idempotency key of a write of this task.

        Parameters
        ----------
        source : SourceFile or None
            What it was made from, if that is one image.
        role : str
            What it is to the run.
        sha256 : str
            Digest of its content.

        Returns
        -------
        Key
            The key.
        """
        return Key(self.provenance.task_id, f"Image:{source.image_id}" if source else "-", role, sha256)

    def source_of(self, path: str, image: FileImage) -> SourceFile | None:
        """Say what an image in a result was made from.

        Parameters
        ----------
        path : str
            Path of the result.
        image : FileImage
            An image in it.

        Returns
        -------
        SourceFile or None
            For a field of a plate the same field of the analysed one, else what the result was made from, if known.
        """
        if image.well is None:
            return self.made_from.get(path)
        if self._field_source is None:
            self._field_source = field_finder(self.sources)
        return self._field_source(path, image.well, image.field or 0)

    def analysed(self, source: SourceFile | None) -> AnalysedImage | None:
        """Look up an analysed image as it is in OMERO now; None if it is not known, or was deleted."""
        return self.surroundings.images.get(source.image_id) if source else None

    def description(self, source: SourceFile | None) -> str:
        """Describe something that was made of a result, and from which image."""
        return describe_result(self.provenance, source)

    def image_name(self, path: str, source: SourceFile | None, taken: set[str], inside: str = "") -> str:
        """Name a result image as the person wants it, unlike all others that are taken; a note tells if it is cut.

        Parameters
        ----------
        path : str
            Path of the result.
        source : SourceFile or None
            What it was made from, if known.
        taken : set of str
            Names that other images have where this one goes; the answer is added.
        inside : str
            What the image is called inside of its file, if that holds several; put behind the name in brackets.

        Returns
        -------
        str
            The name.
        """
        wanted = rename(self.options.rename, path, source.name if source else None)
        if inside:
            wanted = f"{wanted} [{inside}]"
        name = distinct(wanted, taken)
        if len(wanted) > NAME_LENGTH:
            self.note(
                f"The name of a result has {len(wanted)} characters, which OMERO does not hold: it is {name} now."
            )
        return name

    def report(self, kind: str, object_id: int, name: str) -> None:
        """Report an object that holds something of the results."""
        self.objects.append(CreatedObject(kind, object_id, name))

    def note(self, text: str) -> None:
        """Tell the person something."""
        self.notes.append(text)

    def problem(self, text: str) -> None:
        """Say that something that was asked for is missing, once; the import goes on, and ends in an error."""
        if text not in self.problems:
            self.problems.append(text)

    def expect(self, total: int) -> None:
        """Say how many steps there will be."""
        self._total = total
        self.progress(0, total)

    def step(self) -> None:
        """Report one step more."""
        # A table that had to be attached as a file counts twice; nobody needs more than 100 %.
        self._done = min(self._done + 1, self._total)
        self.progress(self._done, self._total)

    def result(self) -> ImportReport:
        """Give what is in OMERO now."""
        return ImportReport(tuple(self.objects), tuple(self.notes), tuple(self.problems))
