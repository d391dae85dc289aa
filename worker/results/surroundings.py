"""What lies around the analysed images in OMERO: datasets, projects, plates, and what a person may do with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import omero.model
import omero.sys
from omero.rtypes import unwrap

from worker.errors import RequestError
from worker.pixels.session import call_context
from worker.results.model import OF_ANALYSED
from worker.results.readers.model import FileChannel, PixelSize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from omero.gateway import BlitzGateway

    from worker.results.model import SourceFile

_CHOSEN: Final = re.compile(r"(?P<kind>Project|Dataset|Plate|Screen|Image):(?P<id>\d{1,18})")

_BATCH: Final = 10_000
"""Ids in one query; PostgreSQL takes at most 32,767 parameters."""

_IMAGES = """
select i from Image i join fetch i.pixels p where i.id in (:ids)
"""
_CHANNELS = """
select p.id, index(c), lc.name, c.red, c.green, c.blue
from Pixels p join p.channels c join c.logicalChannel lc where p.image.id in (:ids)
"""
_DATASETS = """
select il.child.id, d.id, p.id from DatasetImageLink il join il.parent d
left outer join d.projectLinks pl left outer join pl.parent p where il.child.id in (:ids)
"""
_WELLS = """
select ws.image.id, w.plate.id, w.row, w.column, index(ws), pa.id
from Well w join w.wellSamples ws left outer join ws.plateAcquisition pa where ws.image.id in (:ids)
"""
_SCREENS = """
select l.parent.id from ScreenPlateLink l where l.child.id in (:ids)
"""


@dataclass(frozen=True, slots=True)
class Place:
    """An object in OMERO that something can be attached or linked to.

    Parameters
    ----------
    kind : str
        ``Image``, ``Dataset``, ``Project``, ``Plate`` or ``Screen``.
    object_id : int
        Its id.
    name : str
        Its name.
    may_annotate : bool
        Whether this person may attach to it.
    may_link : bool
        Whether this person may put something into it.
    """

    kind: str
    object_id: int
    name: str
    may_annotate: bool
    may_link: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.object_id} ({self.name})"


@dataclass(frozen=True, slots=True)
class AnalysedImage:
    """An image that was analysed, as it is in OMERO now.

    Parameters
    ----------
    place : Place
        The image as a place to attach to.
    sizes : Mapping
        Its sizes under ``T``, ``C``, ``Z``, ``Y`` and ``X``.
    pixel_size : PixelSize
        Physical size of its pixels.
    channels : tuple of FileChannel
        Names and colours of its channels.
    """

    place: Place
    sizes: Mapping[str, int]
    pixel_size: PixelSize
    channels: tuple[FileChannel, ...] = ()


@dataclass(frozen=True, slots=True)
class WellPlace:
    """Where in a plate an analysed image is.

    Parameters
    ----------
    plate_id : int
        The plate.
    row, column : int
        Its well, from 0.
    field : int
        Its number in the well, from 0.
    acquisition_id : int or None
        The acquisition that it belongs to.
    """

    plate_id: int
    row: int
    column: int
    field: int
    acquisition_id: int | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The analysed images and what they lie in.

    Parameters
    ----------
    images : Mapping
        Image id to image; only those that this person can see.
    datasets, projects, plates, screens : tuple of Place
        What they lie in, by id.
    wells : Mapping
        Image id to its place in a plate, for those that have one. An image in several wells has the one in the plate
        that was analysed, else the first.
    """

    images: Mapping[int, AnalysedImage]
    datasets: tuple[Place, ...]
    projects: tuple[Place, ...]
    plates: tuple[Place, ...]
    screens: tuple[Place, ...] = ()
    wells: Mapping[int, WellPlace] = field(default_factory=dict)

    @property
    def parents(self) -> tuple[Place, ...]:
        """Where a whole run's files belong: plates, else projects, datasets, screens, else the images themselves."""
        return _first_annotatable((self.plates, self.projects, self.datasets, self.screens, self._images()))

    @property
    def containers(self) -> tuple[Place, ...]:
        """Where tables and single files belong: plates and datasets, else the images themselves."""
        return _first_annotatable((self.plates + self.datasets, self._images(), self.projects, self.screens))

    def of_kind(self, kind: str) -> tuple[Place, ...]:
        """What of a kind the analysed images lie in, as far as this person may attach to it."""
        kinds = {"Project": self.projects, "Dataset": self.datasets, "Plate": self.plates, "Screen": self.screens}
        return tuple(place for place in kinds.get(kind, ()) if place.may_annotate)

    def _images(self) -> tuple[Place, ...]:
        return tuple(image.place for image in self.images.values())


def read_surroundings(gateway: BlitzGateway, sources: Sequence[SourceFile]) -> Surroundings:
    """Look up, in a constant number of queries, where the analysed images lie.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    sources : Sequence of SourceFile
        What was exported.

    Returns
    -------
    Surroundings
        What was found; images that were deleted meanwhile are left out.
    """
    ids = sorted({source.image_id for source in sources})
    channels = _channels(_rows(gateway, _CHANNELS, ids))
    images = {image.getId().val: _analysed(image, channels) for image in _objects(gateway, _IMAGES, ids)}
    in_datasets = list(_rows(gateway, _DATASETS, ids))
    wells = _wells(sources, _rows(gateway, _WELLS, ids))
    plate_ids = {well.plate_id for well in wells.values()}
    return Surroundings(
        images=images,
        datasets=_places(gateway, "Dataset", {row[1] for row in in_datasets}),
        projects=_places(gateway, "Project", {row[2] for row in in_datasets if row[2] is not None}),
        plates=_places(gateway, "Plate", plate_ids),
        screens=_places(gateway, "Screen", {row[0] for row in _rows(gateway, _SCREENS, sorted(plate_ids))}),
        wells=wells,
    )


def read_place(gateway: BlitzGateway, kind: str, object_id: int) -> Place:
    """Look one object up.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    kind : str
        ``Image``, ``Dataset``, ``Project``, ``Plate`` or ``Screen``.
    object_id : int
        Its id.

    Returns
    -------
    Place
        The object.

    Raises
    ------
    RequestError
        If there is none that this person can see.
    """
    found = _places(gateway, kind, {object_id})
    if not found:
        raise RequestError(
            f"There is no {kind} {object_id} that you can see in this group.",
            remedy="Choose one in the group in which the analysis was started.",
        )
    return found[0]


def read_places(gateway: BlitzGateway, chosen: Sequence[str]) -> tuple[Place, ...]:
    """Look up the objects that a person has chosen to attach something to.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    chosen : Sequence of str
        Kinds and ids: ``Project:12``, ``Dataset:3``, ``Plate:5``, ``Screen:2``.

    Returns
    -------
    tuple of Place
        The objects, each once, in the order of choice.

    Raises
    ------
    RequestError
        If one is written otherwise, or there is none that this person can see.
    """
    wanted: dict[str, list[int]] = {}
    for text in chosen:
        found = _CHOSEN.fullmatch(text)
        if found is None:
            raise RequestError(
                f"{text!r} is nothing to attach results to.", remedy="Name it like this: Project:12, Plate:5."
            )
        wanted.setdefault(found["kind"], []).append(int(found["id"]))
    places = {
        (kind, place.object_id): place for kind, ids in wanted.items() for place in _places(gateway, kind, set(ids))
    }
    missing = [f"{kind} {each}" for kind, ids in wanted.items() for each in ids if (kind, each) not in places]
    if missing:
        raise RequestError(
            f"There is no {missing[0]} that you can see in this group.",
            remedy="Choose one in the group in which the analysis was started.",
        )
    return tuple(dict.fromkeys(places[kind, each] for kind, ids in wanted.items() for each in ids))


def zip_places(gateway: BlitzGateway, surroundings: Surroundings, chosen: Sequence[str]) -> tuple[Place, ...]:
    """Look up what the zip of results is attached to.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    surroundings : Surroundings
        Where the analysed images lie.
    chosen : Sequence of str
        As of `read_places`; or a kind and ``*``: those of the analysed images.

    Returns
    -------
    tuple of Place
        The objects, each once; the parents of the analysed images where none was chosen, or they lie in none of the
        kinds that were.

    Raises
    ------
    RequestError
        If one is written otherwise, or there is none that this person can see.
    """
    named = read_places(gateway, [each for each in chosen if not each.endswith(f":{OF_ANALYSED}")])
    kinds = [each.partition(":")[0] for each in chosen if each.endswith(f":{OF_ANALYSED}")]
    around = (place for kind in kinds for place in surroundings.of_kind(kind))
    return tuple(dict.fromkeys((*named, *around))) or surroundings.parents


def _first_annotatable(choices: Iterable[tuple[Place, ...]]) -> tuple[Place, ...]:
    for places in choices:
        mine = tuple(place for place in places if place.may_annotate)
        if mine:
            return mine
    return ()


def _wells(sources: Sequence[SourceFile], rows: Iterable[list[Any]]) -> dict[int, WellPlace]:
    analysed = {(each.image_id, each.object_id) for each in sources if each.object_type == "Plate"}
    found: dict[int, WellPlace] = {}
    # The first one stays: that in the plate that was analysed, else the one of lowest numbers.
    for image_id, plate_id, *place in sorted(rows, key=lambda row: ((row[0], row[1]) not in analysed, row[1:5])):
        found.setdefault(image_id, WellPlace(plate_id, *place))
    return found


def _place(kind: str, item: Any) -> Place:
    permissions = item.getDetails().getPermissions()
    return Place(kind, item.getId().val, unwrap(item.getName()) or "", permissions.canAnnotate(), permissions.canLink())


def _places(gateway: BlitzGateway, kind: str, ids: Iterable[int]) -> tuple[Place, ...]:
    found = _objects(gateway, f"select o from {kind} o where o.id in (:ids)", sorted(ids))  # noqa: S608  # our own word
    return tuple(sorted((_place(kind, item) for item in found), key=lambda place: place.object_id))


def _analysed(image: Any, channels: Mapping[int, tuple[FileChannel, ...]]) -> AnalysedImage:
    pixels = image.getPrimaryPixels()
    return AnalysedImage(
        _place("Image", image),
        {axis: getattr(pixels, f"getSize{axis}")().val for axis in "TCZYX"},
        PixelSize(*(_micrometres(getattr(pixels, f"getPhysicalSize{axis}")()) for axis in "XYZ")),
        channels.get(pixels.getId().val, ()),
    )


def _channels(rows: Iterable[list[Any]]) -> dict[int, tuple[FileChannel, ...]]:
    """Collect the channels of each Pixels, in their order."""
    found: dict[int, list[FileChannel]] = {}
    for pixels_id, _, name, red, green, blue in sorted(rows, key=lambda row: row[:2]):
        known = red is not None and green is not None and blue is not None
        colour = (red & 255, green & 255, blue & 255) if known else None
        found.setdefault(pixels_id, []).append(FileChannel((name or "").strip(), colour))
    return {pixels_id: tuple(channels) for pixels_id, channels in found.items()}


def _micrometres(length: Any) -> float | None:
    if length is None:
        return None
    try:
        return float(omero.model.LengthI(length, omero.model.enums.UnitsLength.MICROMETER).getValue())
    except Exception:  # noqa: BLE001  # omero-py raises bare Exception for "pixel" and other units without a length
        return None


def _objects(gateway: BlitzGateway, hql: str, ids: Sequence[int]) -> Iterator[Any]:
    service = gateway.c.sf.getQueryService()
    for parameters in _batches(ids):
        yield from service.findAllByQuery(hql, parameters, call_context(gateway))


def _rows(gateway: BlitzGateway, hql: str, ids: Sequence[int]) -> Iterator[list[Any]]:
    service = gateway.c.sf.getQueryService()
    for parameters in _batches(ids):
        yield from (unwrap(row) for row in service.projection(hql, parameters, call_context(gateway)))


def _batches(ids: Sequence[int]) -> Iterator[Any]:
    for start in range(0, len(ids), _BATCH):
        parameters = omero.sys.ParametersI()
        parameters.addIds(list(ids[start : start + _BATCH]))
        yield parameters
