"""Results of wells as plates in the screen: one plate for each analysed plate and kind of result."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from worker.errors import ResultsError
from worker.results.annotations import references
from worker.results.gaps import describe_gaps
from worker.results.images import ImageLabel, annotation_links, write_image
from worker.results.ledger import Key
from worker.results.model import ImportedImage
from worker.results.naming import fitting, split_name
from worker.results.pictures import name_inside, wanted_images
from worker.results.plates import derive_plate, finish_well, read_source_plate
from worker.results.readers.opening import open_images
from worker.results.sharing import derive_shared
from worker.results.wellnames import letters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from worker.results.attempt import Attempt
    from worker.results.matching import Matches
    from worker.results.model import SourceFile
    from worker.results.outputs import Output, Outputs
    from worker.results.parts.containers import Containers
    from worker.results.plates import DerivedPlate, SourcePlate
    from worker.results.readers.model import FileImage
    from worker.results.sharing import Shared
    from worker.results.surroundings import Place, WellPlace

_KINDS_MAX: Final = 20
"""Most plates that are made of one. An analysis that writes a file for each object gives thousands of kinds."""

_NAMED: Final = 3
"""How many results a note names."""


@dataclass(frozen=True, slots=True)
class _Result:
    """A result image file that was made from one field of a plate."""

    output: Output
    source: SourceFile
    place: WellPlace
    kind: str

    @property
    def plate(self) -> tuple[int, str]:
        """The analysed plate and what the result is of it."""
        return self.place.plate_id, self.kind

    @property
    def well(self) -> tuple[tuple[int, str], int, int]:
        """The well, of the plate that the result goes into."""
        return self.plate, self.place.row, self.place.column


@dataclass(frozen=True, slots=True)
class _Field:
    """What a result image is of: its source and place, the kind of result, and its name inside of its file."""

    source: SourceFile
    place: WellPlace
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class _Written:
    """An image that has all of its pixels; nobody sees it before its well is finished."""

    key: Key
    source: SourceFile
    image: ImportedImage


def bring_plates(attempt: Attempt, outputs: Outputs, matched: Matches, containers: Containers) -> Outputs:
    """Import every result of a well into a plate that is like the analysed one.

    Parameters
    ----------
    attempt : Attempt
        The import, which learns what was imported.
    outputs : Outputs
        What the analysis wrote.
    matched : Matches
        What each result was made from, and what it is of that.
    containers : Containers
        The screen; and the dataset, if there is one for all other results.

    Returns
    -------
    Outputs
        The same without the images that are in a plate now, or should be.
    """
    screen = containers.screen
    if screen is None:
        return outputs
    if not outputs.pictures and attempt.in_place is None:
        attempt.note("There is no image among the results.")
    placed, rest = _divided(attempt, outputs.pictures, matched.kinds)
    results, numbered = _fewer_kinds(placed)
    plates = _Plates(attempt, screen)
    for _, group in itertools.groupby(sorted(results, key=_order), key=lambda result: result.well):
        plates.bring_well(list(group))
    rest = [
        output
        for output in rest
        if output.path not in matched.plates or not plates.bring_zarr(output, matched.kinds[output.path])
    ]
    plates.tell_gaps()
    _tell(attempt, rest, "as they are of no well", containers.dataset)
    _tell(attempt, numbered, f"as they are of more than {_KINDS_MAX} kinds", containers.dataset)
    rest = sorted((*rest, *numbered), key=lambda output: output.path)
    return replace(
        outputs,
        images=tuple(each for each in rest if not each.members),
        zarrs=tuple(each for each in rest if each.members),
    )


def goes_into_plates(attempt: Attempt, outputs: Outputs, matched: Matches) -> bool:
    """Whether every result has its place in a plate, as far as names tell.

    Parameters
    ----------
    attempt : Attempt
        The import.
    outputs : Outputs
        What the analysis wrote.
    matched : Matches
        What each result was made from, and what it is of that.

    Returns
    -------
    bool
        False if `bring_plates` may leave something over.
    """
    placed, rest = _divided(attempt, outputs.pictures, matched.kinds)
    return not rest and not _fewer_kinds(placed)[1]


@dataclass(slots=True)
class _Plates:
    """The plates of one import, each made when its first well is ready."""

    attempt: Attempt
    screen: Place
    models: dict[int, SourcePlate] = field(default_factory=dict)
    derived: dict[tuple[int, str], DerivedPlate] = field(default_factory=dict)
    names: dict[tuple[int, str], set[str]] = field(default_factory=dict)
    placed: dict[tuple[int, str], set[int]] = field(default_factory=dict)

    @property
    def shared(self) -> Shared | None:
        """What other batches write in these plates too; None: nothing."""
        return self.attempt.shared if self.attempt.shared and self.attempt.shared.has_plates else None

    def bring_well(self, results: Sequence[_Result]) -> None:
        """Import the results of one kind of one well; those that cannot be read are problems."""
        ready: dict[str, list[_Written]] = {}
        for result in results:
            path, analysed = result.output.path, self.attempt.analysed(result.source)
            try:
                with open_images(
                    result.output.file, analysed.sizes if analysed else None, path, self.attempt.problem
                ) as images:
                    for index, image in self._wanted(path, images):
                        inside = image.name if image.label else str(index or "")
                        kind = "_".join(filter(None, (result.kind, inside)))
                        name = name_inside(image, images)
                        self._write(ready, result.output, index, image, _Field(result.source, result.place, kind, name))
            except ResultsError as error:
                self.attempt.problem(str(error))
            self.attempt.step()
        self._finish_all(results[0].place, ready)

    def bring_zarr(self, output: Output, kind: str) -> bool:
        """Import the wells of an OME-Zarr that is itself a plate; False if it is none."""
        attempt = self.attempt
        try:
            with open_images(output.file, None, output.path, attempt.problem) as images:
                if not any(image.well for image in images):
                    return False
                wells: dict[tuple[int, int], list[tuple[int, FileImage]]] = {}
                for index, image in self._wanted(output.path, images):
                    wells.setdefault(image.well or (0, 0), []).append((index, image))
                strange = sum(self._bring_zarr_well(output, kind, wells[well]) for well in sorted(wells))
        except ResultsError as error:
            attempt.problem(str(error))
        else:
            if strange:
                attempt.problem(f"{strange} images in {output.path} are of no well and field that was analysed.")
        attempt.step()
        return True

    def _bring_zarr_well(self, output: Output, kind: str, images: Sequence[tuple[int, FileImage]]) -> int:
        """Import one well of an OME-Zarr; give the number of images whose place nobody knows."""
        ready: dict[str, list[_Written]] = {}
        placed = []
        for index, image in sorted(images, key=lambda each: (each[1].field or 0, each[0])):
            source = self.attempt.source_of(output.path, image)
            place = self.attempt.surroundings.wells.get(source.image_id) if source else None
            if source is None or place is None:
                continue
            of_kind = "_".join(filter(None, (kind, image.name if image.label else "")))
            where = f"Well {letters(place.row)}{place.column + 1}, Field {place.field + 1}"
            self._write(ready, output, index, image, _Field(source, place, of_kind, where))
            placed.append(place)
        if placed:
            self._finish_all(placed[0], ready)
        return len(images) - len(placed)

    def _wanted(self, path: str, images: Sequence[FileImage]) -> list[tuple[int, FileImage]]:
        wanted = wanted_images(images, self.attempt.options)
        return [(index, image) for index, image in wanted if (path, index) not in self.attempt.only_drawn]

    def _write(
        self, ready: dict[str, list[_Written]], output: Output, index: int, image: FileImage, of: _Field
    ) -> None:
        """Write one image, and keep it for the moment in which its well is finished."""
        attempt, path = self.attempt, output.path
        taken = self.names.setdefault((of.place.plate_id, of.kind), set())
        name = attempt.image_name(path, of.source, taken, of.name)
        key = attempt.key(of.source, f"field:{path}#{index}", output.sha256)
        label = ImageLabel(name, attempt.description(of.source))
        try:
            image_id = write_image(attempt.ledger, key, image, label, source=attempt.analysed(of.source))
        except ResultsError as error:
            attempt.problem(str(error))
            return
        written = _Written(key, of.source, ImportedImage(path, index, image_id, name, of.source, image.label))
        ready.setdefault(of.kind, []).append(written)

    def _finish_all(self, place: WellPlace, ready: Mapping[str, Sequence[_Written]]) -> None:
        for kind, written in ready.items():
            self._finish(place, kind, written)

    def _finish(self, place: WellPlace, kind: str, written: Sequence[_Written]) -> None:
        attempt, of = self.attempt, (place.plate_id, kind)
        model = self.models.get(place.plate_id)
        if model is None:
            model = self.models[place.plate_id] = read_source_plate(attempt.ledger.gateway, place.plate_id)
        derived = self.derived.get(of)
        new = [each for each in written if not self._complete(each.key)]
        if derived is None or new:
            with self.shared.turn() if self.shared else nullcontext():
                derived = derived or self._derive(model, place.plate_id, kind)
                if new:
                    fields = [(each.key, each.image.image_id, each.source.image_id) for each in new]
                    finish_well(attempt.ledger, derived, model, place, fields, self._links(new))
        for each in written:
            attempt.report("Image", each.image.image_id, each.image.name)
            attempt.imported.append(each.image)
        self.placed.setdefault(of, set()).update(each.source.image_id for each in written)

    def _links(self, written: Sequence[_Written]) -> list[Any]:
        """Link images of a shared plate to what the plate cannot say of them: which batch they are from."""
        attempt = self.attempt
        if self.shared is None:
            return []
        return [link for each in written for link in annotation_links(each.image.image_id, attempt.annotation_ids)]

    def tell_gaps(self) -> None:
        """Say which analysed fields there are no results of, plate by plate."""
        for (plate_id, kind), placed in self.placed.items():
            wells = self.attempt.surroundings.wells
            analysed = {image_id: place for image_id, place in wells.items() if place.plate_id == plate_id}
            told = describe_gaps(self._name(self.models[plate_id], kind), analysed, placed)
            if told:
                self.attempt.note(told)

    def _complete(self, key: Key) -> bool:
        entry = self.attempt.ledger.find(key)
        return entry is not None and entry.complete

    def _derive(self, model: SourcePlate, plate_id: int, kind: str) -> DerivedPlate:
        attempt, name = self.attempt, self._name(model, kind)
        if self.shared:
            derived = derive_shared(attempt, self.shared, model, name, kind, self.screen.object_id)
        else:
            derived = derive_plate(
                attempt.ledger,
                Key(attempt.provenance.task_id, f"Plate:{plate_id}", f"plate:{kind}", ""),
                model,
                name,
                f"{attempt.description(None)} | source: {model.name} (plate {plate_id})",
                self.screen.object_id,
                references(attempt.annotation_ids),
            )
        self.derived[plate_id, kind] = derived
        attempt.report("Plate", derived.plate_id, name)
        return derived

    def _name(self, model: SourcePlate, kind: str) -> str:
        return fitting(f"{model.name}_{kind or self.attempt.provenance.workflow}")


def _divided(
    attempt: Attempt, pictures: Iterable[Output], kinds: Mapping[str, str]
) -> tuple[list[_Result], list[Output]]:
    """Tell results of wells from others."""
    results, rest = [], []
    for output in pictures:
        source = attempt.made_from.get(output.path)
        place = attempt.surroundings.wells.get(source.image_id) if source is not None else None
        if source is None or place is None:
            rest.append(output)
        else:
            results.append(_Result(output, source, place, kinds.get(output.path, "")))
    return _distinct_kinds(results), rest


def _distinct_kinds(results: Sequence[_Result]) -> list[_Result]:
    """Tell results apart that would take the same field of the same plate: by extension, then by number."""
    by_extension = _apart(results, lambda result, _: split_name(PurePosixPath(result.output.path).name)[1])
    return _apart(by_extension, lambda _, number: str(number))


def _apart(results: Sequence[_Result], more: Callable[[_Result, int], str]) -> list[_Result]:
    fields = Counter((result.kind, result.source.image_id) for result in results)
    crowded = {kind for (kind, _), count in fields.items() if count > 1}
    seen: Counter[tuple[str, int]] = Counter()
    apart = []
    for result in results:
        kind = result.kind
        if kind in crowded:
            seen[kind, result.source.image_id] += 1
            kind = "_".join(filter(None, (kind, more(result, seen[kind, result.source.image_id]))))
        apart.append(replace(result, kind=kind))
    return apart


def _fewer_kinds(results: Sequence[_Result]) -> tuple[list[_Result], list[Output]]:
    """Leave out the results of plates that would become very many plates: one for each numbered cutting, say."""
    kinds: dict[int, set[str]] = {}
    for result in results:
        kinds.setdefault(result.place.plate_id, set()).add(result.kind)
    few = {plate_id for plate_id, found in kinds.items() if len(found) <= _KINDS_MAX}
    return (
        [result for result in results if result.place.plate_id in few],
        [result.output for result in results if result.place.plate_id not in few],
    )


def _tell(attempt: Attempt, rest: Sequence[Output], why: str, dataset: Place | None) -> None:
    """Say what becomes of results that do not go into a plate."""
    files = [output for output in rest if not output.members]
    folders = [output for output in rest if output.members]
    if rest and dataset is not None:
        attempt.note(f"Not in the screen, {why}, but in {dataset}: {_listed(rest)}.")
        return
    if files:
        attempt.note(f"Not in the screen, {why}, but attached as files: {_listed(files)}.")
    if folders:
        message = f"Not in the screen, {why}: {_listed(folders)}."
        if attempt.options.zip_to_parent:
            attempt.note(f"{message} They are in the zip.")
        else:
            attempt.problem(f"{message} Choose a dataset as well.")


def _listed(outputs: Sequence[Output]) -> str:
    more = f" and {len(outputs) - _NAMED} more" if len(outputs) > _NAMED else ""
    return ", ".join(output.path for output in outputs[:_NAMED]) + more


def _order(result: _Result) -> tuple[object, ...]:
    return *result.well, result.place.field, result.output.path
