"""Plates made of results: the grid, the acquisitions and the wells of the analysed plate, with result images in them.

A plate is created empty, with its key, when its first well is ready. A well comes to be together with its fields, in
the one transaction that declares their images complete: nobody ever meets a field without all of its pixels. A well
without results is left out.

The fields of a well are a list in OMERO, and none of them can be without an image. So they are in the order of the
analysed fields, also those that join later, and where one is missing the later ones move up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import omero.model
import omero.sys
from omero.rtypes import rint, rstring, unwrap

from worker.errors import ResultsError
from worker.pixels.session import call_context
from worker.results.ledger import NS_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from omero.gateway import BlitzGateway

    from worker.results.ledger import Key, Ledger
    from worker.results.surroundings import WellPlace

_OF_PLATE: Final = (
    *("Rows", "Columns", "RowNamingConvention", "ColumnNamingConvention"),
    *("WellOriginX", "WellOriginY", "DefaultSample", "Status", "ExternalIdentifier"),
)
_OF_ACQUISITION: Final = ("Name", "Description", "StartTime", "EndTime", "MaximumFieldCount")
_OF_WELL: Final = ("ExternalDescription", "ExternalIdentifier", "Type", "Status", "Red", "Green", "Blue", "Alpha")
_OF_SAMPLE: Final = ("PosX", "PosY", "Timepoint")

_PLATE = """
select p from Plate p left outer join fetch p.plateAcquisitions where p.id = :id
"""
_SAMPLES = """
select ws from WellSample ws join fetch ws.well w where w.plate.id = :id
"""
_WELLS = """
select w.id, w.row, w.column from Well w where w.plate.id = :id
"""
_WELL = """
select w from Well w left outer join fetch w.wellSamples where w.id = :id
"""
_WELL_AT = """
select w.id from Well w where w.plate.id = :id and w.row = :row and w.column = :column order by w.id
"""
_FIELDS = """
select ws.image.id, index(ws) from Well w join w.wellSamples ws
where w.plate.id = :id and w.row = :row and w.column = :column
"""
_MADE_FROM = """
select l.parent.id, source.value from ImageAnnotationLink l join l.child a join a.mapValue source
where a.ns = :ns and source.name = 'Source' and l.parent.id in (:ids)
"""
_IN_SCREEN = """
select l.id from ScreenPlateLink l where l.parent.id = :screen and l.child.id = :plate
"""


@dataclass(frozen=True, slots=True)
class SourcePlate:
    """An analysed plate, as derived ones need it.

    Parameters
    ----------
    plate : omero.model.PlateI
        The plate with its acquisitions.
    samples : Mapping
        Its fields (WellSamples with their wells) by image.
    """

    plate: Any
    samples: Mapping[int, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(unwrap(self.plate.getName()) or self.plate.getId().val)


@dataclass(frozen=True, slots=True)
class DerivedPlate:
    """A plate of results, and which of its parts stands for which of the analysed one.

    Parameters
    ----------
    plate_id : int
        Its id.
    acquisitions : Mapping
        Id of each acquisition of the analysed plate to that of its own.
    wells : Mapping or None
        Row and column to the id of each well that it had before this attempt; None: others make wells in it too.
    """

    plate_id: int
    acquisitions: Mapping[int, int]
    wells: Mapping[tuple[int, int], int] | None


def read_source_plate(gateway: BlitzGateway, plate_id: int) -> SourcePlate:
    """Look an analysed plate up, in two queries however many wells it has.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    plate_id : int
        Its id.

    Returns
    -------
    SourcePlate
        The plate.

    Raises
    ------
    ResultsError
        If it was deleted meanwhile.
    """
    query, context = gateway.c.sf.getQueryService(), call_context(gateway)
    plate = query.findByQuery(_PLATE, _by_id(plate_id), context)
    if plate is None:
        raise ResultsError(f"Plate {plate_id} is not there any more.", remedy="Import the results into a dataset.")
    found = query.findAllByQuery(_SAMPLES, _by_id(plate_id), context)
    samples: dict[int, Any] = {}
    for sample in sorted(found, key=lambda each: each.getId().val):
        samples.setdefault(sample.getImage().getId().val, sample)
    return SourcePlate(plate, samples)


def derive_plate(
    ledger: Ledger,
    key: Key,
    source: SourcePlate,
    name: str,
    description: str,
    screen_id: int,
    annotations: Iterable[Any],
    *,
    shared: bool = False,
) -> DerivedPlate:
    """Create a plate after the model of another one, without wells, or find the one that was created before.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Idempotency key of the plate.
    source : SourcePlate
        Its model: grid, naming of rows and columns, origin, acquisitions.
    name, description : str
        What it is called.
    screen_id : int
        The screen that it goes into; a plate that is there already is put into it too.
    annotations : Iterable of omero.model.MapAnnotationI
        Annotations to link to it.
    shared : bool
        Whether others make wells in it too.

    Returns
    -------
    DerivedPlate
        The plate.
    """
    entry = ledger.find(key)
    if entry is not None:
        return _found(ledger, entry.object_id, source, screen_id, shared=shared)
    plate = omero.model.PlateI()
    plate.setName(rstring(name))
    plate.setDescription(rstring(description))
    _copy(_OF_PLATE, source.plate, plate)
    for model in source.plate.copyPlateAcquisitions():
        acquisition = omero.model.PlateAcquisitionI()
        _copy(_OF_ACQUISITION, model, acquisition)
        plate.addPlateAcquisition(acquisition)
    for annotation in annotations:
        plate.linkAnnotation(annotation)
    link = omero.model.ScreenPlateLinkI()
    link.setParent(omero.model.ScreenI(screen_id, False))
    link.setChild(plate)
    plate.addScreenPlateLink(link)
    saved, _ = ledger.create(plate, key)
    return DerivedPlate(saved.getId().val, _acquisitions(source.plate, saved), None if shared else {})


def finish_well(
    ledger: Ledger,
    derived: DerivedPlate,
    source: SourcePlate,
    place: WellPlace,
    images: Sequence[tuple[Key, int, int]],
    links: Sequence[Any] = (),
) -> None:
    """Put images that have all of their pixels into a well, and declare them complete, in one transaction.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    derived : DerivedPlate
        The plate of results.
    source : SourcePlate
        The analysed plate, which says where in the well its fields lie.
    place : WellPlace
        Any field of the well.
    images : Sequence of tuple
        Key and id of each result image and the id of the analysed image, in the order of the fields.
    links : Sequence of omero.model.IObject
        Links of these images, to be saved with it.
    """
    well_id = _well_at(ledger, derived, place)
    if well_id is not None:
        query = ledger.gateway.c.sf.getQueryService()
        well = query.findByQuery(_WELL, _by_id(well_id), call_context(ledger.gateway))
    else:
        well = omero.model.WellI()
        well.setPlate(omero.model.PlateI(derived.plate_id, False))
        well.setRow(rint(place.row))
        well.setColumn(rint(place.column))
        model = next(
            (source.samples[analysed].getWell() for _, _, analysed in images if analysed in source.samples), None
        )
        if model is not None:
            _copy(_OF_WELL, model, well)
    # Through the well's own list, which gives fields their numbers.
    for _, image_id, analysed in images:
        well.addWellSample(_sample(derived, source, image_id, analysed))
    if well_id is not None:
        _sort_fields(ledger, source, place, well, {image_id: analysed for _, image_id, analysed in images})
    ledger.finish_all([key for key, _, _ in images], [well, *links])


def _well_at(ledger: Ledger, derived: DerivedPlate, place: WellPlace) -> int | None:
    if derived.wells is not None:
        return derived.wells.get((place.row, place.column))
    service = ledger.gateway.c.sf.getQueryService()
    rows = service.projection(_WELL_AT, _at(derived.plate_id, place), call_context(ledger.gateway))
    return next((int(row[0]) for row in unwrap(rows)), None)


def _sample(derived: DerivedPlate, source: SourcePlate, image_id: int, analysed: int) -> Any:
    sample = omero.model.WellSampleI()
    sample.setImage(omero.model.ImageI(image_id, False))
    model = source.samples.get(analysed)
    if model is not None:
        _copy(_OF_SAMPLE, model, sample)
        ran = model.getPlateAcquisition()
        if ran is not None and ran.getId().val in derived.acquisitions:
            acquisition_id = derived.acquisitions[ran.getId().val]
            sample.setPlateAcquisition(omero.model.PlateAcquisitionI(acquisition_id, False))
    return sample


def _sort_fields(ledger: Ledger, source: SourcePlate, place: WellPlace, well: Any, new: Mapping[int, int]) -> None:
    """Put the fields of a well that had some already into the order of those that they were made from."""
    service, context = ledger.gateway.c.sf.getQueryService(), call_context(ledger.gateway)
    samples = well.copyWellSamples()
    made_from = dict(new)
    parameters = omero.sys.ParametersI()
    parameters.addString("ns", NS_KEY)
    parameters.addIds([sample.getImage().getId().val for sample in samples])
    for image_id, said in unwrap(service.projection(_MADE_FROM, parameters, context)):
        kind, _, object_id = said.partition(":")
        if kind == "Image" and object_id.isdecimal():
            made_from.setdefault(image_id, int(object_id))
    rows = service.projection(_FIELDS, _at(source.plate.getId().val, place), context)
    number_of = dict(unwrap(rows))

    def number(sample: Any) -> float:
        # What somebody else has put there stays behind all others.
        return float(number_of.get(made_from.get(sample.getImage().getId().val), math.inf))

    well.clearWellSamples()
    for sample in sorted(samples, key=number):
        well.addWellSample(sample)


def _found(ledger: Ledger, plate_id: int, source: SourcePlate, screen_id: int, *, shared: bool) -> DerivedPlate:
    query, context = ledger.gateway.c.sf.getQueryService(), call_context(ledger.gateway)
    plate = query.findByQuery(_PLATE, _by_id(plate_id), context)
    wells = None
    if not shared:
        rows = unwrap(query.projection(_WELLS, _by_id(plate_id), context))
        wells = {(row, column): well_id for well_id, row, column in rows}
    parameters = omero.sys.ParametersI()
    parameters.addLong("screen", screen_id)
    parameters.addLong("plate", plate_id)
    if not query.projection(_IN_SCREEN, parameters, context):
        link = omero.model.ScreenPlateLinkI()
        link.setParent(omero.model.ScreenI(screen_id, False))
        link.setChild(omero.model.PlateI(plate_id, False))
        ledger.save(link)
    return DerivedPlate(plate_id, _acquisitions(source.plate, plate), wells)


def _acquisitions(source: Any, derived: Any) -> dict[int, int]:
    """Pair the acquisitions of two plates: those that say the same, in the order of their ids."""

    def sorted_of(plate: Any) -> list[Any]:
        return sorted(plate.copyPlateAcquisitions(), key=lambda each: (_said_by(each), each.getId().val))

    return {a.getId().val: b.getId().val for a, b in zip(sorted_of(source), sorted_of(derived), strict=True)}


def _said_by(acquisition: Any) -> list[str]:
    return [str(unwrap(getattr(acquisition, f"get{name}")())) for name in _OF_ACQUISITION]


def _copy(names: Iterable[str], source: Any, target: Any) -> None:
    for name in names:
        getattr(target, f"set{name}")(getattr(source, f"get{name}")())


def _by_id(object_id: int) -> Any:
    parameters = omero.sys.ParametersI()
    parameters.addLong("id", object_id)
    return parameters


def _at(plate_id: int, place: WellPlace) -> Any:
    parameters = _by_id(plate_id)
    parameters.add("row", rint(place.row))
    parameters.add("column", rint(place.column))
    return parameters
