"""Objects of a label image as ROIs in OMERO: one for each object, with a shape on each of its planes.

ROIs are saved in batches, each one transaction that has its idempotency key in it: the key says up to which label the
batch goes. A repetition draws the outlines again, which are the same for the same file, and goes on behind the last
label that is in OMERO; so it does not matter whether batches are as large as they were then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import omero.model
import omero.sys
from omero.rtypes import rdouble, rint, rstring, unwrap

from worker.errors import ResultsError
from worker.pixels.session import call_context, who
from worker.results.colours import omero_colour
from worker.results.labels import check_values, whole_numbers
from worker.results.ledger import NS_KEY
from worker.results.outlines import boundaries
from worker.results.readers.model import WHOLE_PLANE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from worker.results.ledger import Key, Ledger
    from worker.results.readers.model import FileImage
    from worker.results.spool import PlacedObject, PlacedShape, Spool

SHAPES: Final = ("Polygon", "Mask")
"""What an object may be drawn as."""

BATCH_SHAPES: Final = 500
BATCH_BYTES: Final = 4 * 2**20
"""One call saves about so many shapes, or so many bytes: OMERO answers within seconds, and a batch fits one message."""

_LABELS: Final = re.compile(r"\d+-(\d+)")
_BAND_PIXELS: Final = 2**21
_MASK_ALPHA: Final = 0x80
_STROKE_PIXELS: Final = 1.0

_DRAWN = """
select r.id, r.name from RoiAnnotationLink l join l.parent r join l.child a join a.mapValue run join a.mapValue role
where a.ns = :ns and run.name = 'Run' and run.value = :run and role.name = 'Role' and role.value like :role
and a.details.owner.id = :user and r.image.id = :image order by r.id
"""


@dataclass(frozen=True, slots=True)
class Style:
    """What the ROIs of a label image look like, and are called.

    Parameters
    ----------
    name : str
        What their names begin with; the number of the object follows.
    description : str
        Where they come from.
    colour : tuple of int
        Red, green, blue, and how opaque their inside is; without it, masks are half transparent, polygons not filled.
    """

    name: str
    description: str
    colour: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """How the planes of a label image lie on those of the image that it was made from.

    Parameters
    ----------
    every_z, every_t : bool
        Whether its one plane stands for the whole stack, or for all time points.
    """

    every_z: bool
    every_t: bool


def fit(label: FileImage, sizes: Mapping[str, int]) -> Fit:
    """Find out on which planes of an image those of a label image lie.

    Rows and columns must be the same: an outline that is scaled is not the object's any more. Of stacks and time series
    every plane must be there, or only one for all.

    Parameters
    ----------
    label : FileImage
        The label image.
    sizes : Mapping
        Sizes of the image under ``T``, ``Z``, ``Y`` and ``X``.

    Returns
    -------
    Fit
        How they lie.

    Raises
    ------
    ResultsError
        If it does not fit.
    """
    if (label.size_y, label.size_x) != (sizes["Y"], sizes["X"]):
        raise ResultsError(
            f"It is {label.size_x} x {label.size_y} pixels large, and the image {sizes['X']} x {sizes['Y']}.",
            remedy="Let the analysis write labels as large as its input.",
        )
    for axis, size, what in (("Z", label.size_z, "sections"), ("T", label.size_t, "time points")):
        if size not in (1, sizes[axis]):
            raise ResultsError(
                f"It has {size} {what}, and the image {sizes[axis]}.",
                remedy="Let the analysis write one label plane for each plane of its input, or one for all.",
            )
    return Fit(label.size_z < sizes["Z"], label.size_t < sizes["T"])


def trace(label: FileImage, fitted: Fit, shape: str, spool: Spool) -> None:
    """Find the outlines of all objects of a label image, plane by plane.

    Parameters
    ----------
    label : FileImage
        The label image.
    fitted : Fit
        How it lies on its source.
    shape : str
        ``Polygon`` or ``Mask``.
    spool : Spool
        Where the outlines wait.

    Raises
    ------
    ResultsError
        If it cannot be read, holds no labels, or an object has no outline that OMERO could keep.
    """
    for t, _, z in label.coordinates():
        found = boundaries(_bands(label, t, z))
        check_values(found)
        outlines = found.polygons() if shape == "Polygon" else found.masks()
        spool.add(outlines, None if fitted.every_z else z, None if fitted.every_t else t)


def draw(ledger: Ledger, key: Key, spool: Spool, image_id: int, style: Style) -> int:
    """Draw all objects on an image, or those that an earlier attempt has not drawn.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Key of the label image; those of its batches have the labels behind the role.
    spool : Spool
        The outlines.
    image_id : int
        The image.
    style : Style
        What they look like.

    Returns
    -------
    int
        Id of the last ROI; 0 if there are no objects.
    """
    last_id, last_label = 0, 0
    for labels, entry in ledger.beginning(key).items():
        # Behind the role of another label image, whose path goes on like this one's role, stands something else.
        if batch_of := _LABELS.fullmatch(labels):
            last_id, last_label = max(last_id, entry.object_id), max(last_label, int(batch_of[1]))
    for batch in _batches(spool.objects(after=last_label)):
        named = replace(key, role=f"{key.role}{batch[0].label}-{batch[-1].label}")
        last_id = ledger.create_all([_roi(each, image_id, style) for each in batch], named).object_id
    return last_id


def rois_of_run(ledger: Ledger, image_id: int, role: str = "rois:") -> list[tuple[int, str]]:
    """Find the ROIs that a run has drawn on an image.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    image_id : int
        The image.
    role : str
        What the roles of their keys begin with.

    Returns
    -------
    list of tuple
        Their ids and names.
    """
    parameters = omero.sys.ParametersI()
    parameters.addString("ns", NS_KEY)
    parameters.addString("run", ledger.run_id)
    parameters.addString("role", f"{role}%")
    parameters.addLong("user", who(ledger.gateway).user_id)
    parameters.addLong("image", image_id)
    rows = ledger.gateway.c.sf.getQueryService().projection(_DRAWN, parameters, call_context(ledger.gateway))
    return [(roi_id, name or "") for roi_id, name in unwrap(rows)]


def rois_by_label(ledger: Ledger, image_id: int) -> dict[int, tuple[int, ...]]:
    """Find the ROIs that a run has drawn on an image by the numbers of their objects.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    image_id : int
        The image.

    Returns
    -------
    dict
        Number of each object, as in the label image, to the ids of its ROIs: several, if several label images have it.
        ROIs that a person has given another name are missing.
    """
    found: dict[int, tuple[int, ...]] = {}
    for roi_id, name in rois_of_run(ledger, image_id):
        number = name.rpartition("_")[2]
        if number.isdecimal():
            found[int(number)] = (*found.get(int(number), ()), roi_id)
    return found


def _bands(label: FileImage, t: int, z: int) -> Iterator[NDArray[Any]]:
    """Read a plane in bands of rows; one of ordinary size at once, as files give no less."""
    rows_each = max(1, _BAND_PIXELS // label.size_x)
    plane = label.plane(t, 0, z) if label.plane_bytes <= WHOLE_PLANE_BYTES else None
    for top in range(0, label.size_y, rows_each):
        rows = slice(top, min(top + rows_each, label.size_y))
        yield whole_numbers(label.read(t, 0, z, rows, slice(0, label.size_x)) if plane is None else plane[rows])


def _batches(objects: Iterator[PlacedObject]) -> Iterator[list[PlacedObject]]:
    batch: list[PlacedObject] = []
    shapes = size_bytes = 0
    for each in objects:
        if batch and (shapes + len(each.shapes) > BATCH_SHAPES or size_bytes + each.size_bytes > BATCH_BYTES):
            yield batch
            batch, shapes, size_bytes = [], 0, 0
        batch.append(each)
        shapes += len(each.shapes)
        size_bytes += each.size_bytes
    if batch:
        yield batch


def _roi(each: PlacedObject, image_id: int, style: Style) -> Any:
    roi = omero.model.RoiI()
    roi.setName(rstring(f"{style.name}_{each.label}"))
    roi.setDescription(rstring(style.description))
    roi.setImage(omero.model.ImageI(image_id, False))
    for shape in each.shapes:
        roi.addShape(_shape(shape, str(each.label), style))
    return roi


def _shape(shape: PlacedShape, text: str, style: Style) -> Any:
    # theC stays unset: an object is one in all channels.
    item = omero.model.PolygonI() if shape.points else omero.model.MaskI()
    if shape.points:
        item.setPoints(rstring(shape.points))
    else:
        for name, value in (("X", shape.x), ("Y", shape.y), ("Width", shape.width), ("Height", shape.height)):
            getattr(item, f"set{name}")(rdouble(value))
        item.setBytes(shape.bits)
    if shape.z is not None:
        item.setTheZ(rint(shape.z))
    if shape.t is not None:
        item.setTheT(rint(shape.t))
    item.setTextValue(rstring(text))
    red, green, blue, *alpha = style.colour
    item.setStrokeColor(rint(omero_colour(red, green, blue, 255)))
    item.setStrokeWidth(omero.model.LengthI(_STROKE_PIXELS, omero.model.enums.UnitsLength.PIXEL))
    inside = alpha[0] if alpha else _MASK_ALPHA
    if alpha or not shape.points:
        item.setFillColor(rint(omero_colour(red, green, blue, inside)))
    return item
