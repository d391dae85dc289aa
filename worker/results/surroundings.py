"""What lies around the analysed images in OMERO: datasets, projects, plates, and what a person may do with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import omero.model
import omero.sys
from omero.rtypes import unwrap

from worker.errors import NotPermitted, RequestError
from worker.pixels.session import call_context
from worker.results.readers.model import PixelSize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from omero.gateway import BlitzGateway

    from worker.results.model import ImportOptions, SourceFile

_BATCH: Final = 10_000
"""Ids in one query; PostgreSQL takes at most 32,767 parameters."""

_IMAGES = """
select i from Image i join fetch i.pixels p where i.id in (:ids)
"""
_DATASETS = """
select il.child.id, d.id, p.id from DatasetImageLink il join il.parent d
left outer join d.projectLinks pl left outer join pl.parent p where il.child.id in (:ids)
"""
_PLATES = """
select ws.image.id, p.id from WellSample ws join ws.well w join w.plate p where ws.image.id in (:ids)
"""


@dataclass(frozen=True, slots=True)
class Place:
    """An object in OMERO that something can be attached or linked to.

    Parameters
    ----------
    kind : str
        ``Image``, ``Dataset``, ``Project`` or ``Plate``.
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
    """

    place: Place
    sizes: Mapping[str, int]
    pixel_size: PixelSize


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The analysed images and what they lie in.

    Parameters
    ----------
    images : Mapping
        Image id to image; only those that this person can see.
    datasets, projects, plates : tuple of Place
        What they lie in, by id.
    """

    images: Mapping[int, AnalysedImage]
    datasets: tuple[Place, ...]
    projects: tuple[Place, ...]
    plates: tuple[Place, ...]

    @property
    def parents(self) -> tuple[Place, ...]:
        """Where a whole run's files belong: plates, else projects, else datasets, else the images themselves."""
        return _first_annotatable((self.plates, self.projects, self.datasets, self._images()))

    @property
    def containers(self) -> tuple[Place, ...]:
        """Where tables and single files belong: plates and datasets, else the images themselves."""
        return _first_annotatable((self.plates + self.datasets, self._images(), self.projects))

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
    images = {image.getId().val: _analysed(image) for image in _objects(gateway, _IMAGES, ids)}
    in_datasets = list(_rows(gateway, _DATASETS, ids))
    plate_ids = {row[1] for row in _rows(gateway, _PLATES, ids)}
    return Surroundings(
        images=images,
        datasets=_places(gateway, "Dataset", {row[1] for row in in_datasets}),
        projects=_places(gateway, "Project", {row[2] for row in in_datasets if row[2] is not None}),
        plates=_places(gateway, "Plate", plate_ids),
    )


def read_place(gateway: BlitzGateway, kind: str, object_id: int) -> Place:
    """Look one object up.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    kind : str
        ``Image``, ``Dataset``, ``Project`` or ``Plate``.
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


def check_options(gateway: BlitzGateway, surroundings: Surroundings, options: ImportOptions) -> None:
    """Check that everything that was chosen can be written, before anything is.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    surroundings : Surroundings
        Where the analysed images lie.
    options : ImportOptions
        What the person chose.

    Raises
    ------
    NotPermitted
        If OMERO would refuse one of the writes.
    RequestError
        If a chosen dataset does not exist, or no analysed image can be seen.
    """
    if not surroundings.images:
        raise RequestError(
            "None of the analysed images can be seen in this group.",
            remedy="They were deleted or moved, or the session is in another group.",
        )
    attaches = options.zip_to_parent or options.attach_files or (options.csv_tables and not options.imports_images)
    if attaches and not surroundings.parents:
        raise _refused("attach results", (*surroundings.projects, *surroundings.datasets, *surroundings.plates))
    if options.attach_to_images:
        refused = [image.place for image in surroundings.images.values() if not image.place.may_annotate]
        if refused:
            raise _refused("attach results", refused)
    if options.dataset_id is not None:
        dataset = read_place(gateway, "Dataset", options.dataset_id)
        if not dataset.may_link:
            raise _refused("import images", (dataset,))


def _refused(what: str, places: Sequence[Place]) -> NotPermitted:
    where = ", ".join(str(place) for place in places[:3]) or "the analysed images"
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return NotPermitted(
        f"You may not {what} to {where}{more}: they belong to somebody else, in a group that does not allow it.",
        remedy="Import into a new dataset of your own instead, or ask the owner of the group.",
    )


def _first_annotatable(choices: Iterable[tuple[Place, ...]]) -> tuple[Place, ...]:
    for places in choices:
        mine = tuple(place for place in places if place.may_annotate)
        if mine:
            return mine
    return ()


def _place(kind: str, item: Any) -> Place:
    permissions = item.getDetails().getPermissions()
    return Place(kind, item.getId().val, unwrap(item.getName()) or "", permissions.canAnnotate(), permissions.canLink())


def _places(gateway: BlitzGateway, kind: str, ids: Iterable[int]) -> tuple[Place, ...]:
    found = _objects(gateway, f"select o from {kind} o where o.id in (:ids)", sorted(ids))  # noqa: S608  # our own word
    return tuple(sorted((_place(kind, item) for item in found), key=lambda place: place.object_id))


def _analysed(image: Any) -> AnalysedImage:
    pixels = image.getPrimaryPixels()
    return AnalysedImage(
        _place("Image", image),
        {axis: getattr(pixels, f"getSize{axis}")().val for axis in "TCZYX"},
        PixelSize(*(_micrometres(getattr(pixels, f"getPhysicalSize{axis}")()) for axis in "XYZ")),
    )


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
