"""Result images as OMERO images: type, sizes and pixels exactly as in the file.

``createImageFromNumpySeq`` of omero-py is not used: it takes planes with T fastest whatever the caller's order is,
swaps bytes blindly (big-endian files come out scrambled), and gives an image made "from" another one that one's
pixel type. Here every plane is written under its own (z, c, t), converted once to OMERO's big-endian order.

An image is saved with its key first, then its planes, and is linked to its dataset last, in the same transaction that
declares it complete. So nobody ever meets a half-written image in a dataset; one that fails is deleted, and one that
was left by a killed process is finished by the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import Ice
import numpy as np
import omero
import omero.model
from omero.rtypes import rdouble, rint, rstring

from worker.errors import OmeroError, ResultsError
from worker.pixels.session import call_context
from worker.results.readers.model import WHOLE_PLANE_BYTES, PixelSize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omero.gateway import BlitzGateway

    from worker.results.ledger import Key, Ledger
    from worker.results.readers.model import FileImage
    from worker.results.surroundings import AnalysedImage

PIXEL_TYPES: Final = {
    "bool": "uint8",
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "uint16": "uint16",
    "int32": "int32",
    "uint32": "uint32",
    "float16": "float",
    "float32": "float",
    "float64": "double",
    "complex64": "complex",
    "complex128": "double-complex",
}
"""Type in the file to OMERO's PixelsType; 64-bit integers are decided by their values."""

_STORED: Final = {
    "int8": ">i1",
    "uint8": ">u1",
    "int16": ">i2",
    "uint16": ">u2",
    "int32": ">i4",
    "uint32": ">u4",
    "float": ">f4",
    "double": ">f8",
    "complex": ">c8",
    "double-complex": ">c16",
}
"""OMERO's PixelsType to the numpy type of its bytes on the wire."""


@dataclass(frozen=True, slots=True)
class ImageLabel:
    """What an imported image is called.

    Parameters
    ----------
    name : str
        Its name in OMERO.
    description : str
        Its description.
    """

    name: str
    description: str


def import_image(
    ledger: Ledger,
    key: Key,
    image: FileImage,
    label: ImageLabel,
    *,
    source: AnalysedImage | None,
    dataset_id: int,
    annotation_ids: Sequence[int],
) -> int:
    """Import one image, or finish one that an earlier attempt began.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Idempotency key of this image.
    image : FileImage
        The image in its file.
    label : ImageLabel
        Its name and description.
    source : AnalysedImage or None
        What it was made from, if known; gives the size of pixels.
    dataset_id : int
        Dataset to link it to.
    annotation_ids : Sequence of int
        Annotations to link to it.

    Returns
    -------
    int
        Id of the image in OMERO.

    Raises
    ------
    ResultsError
        If its pixels cannot be read, or have a type that OMERO does not have. The image is deleted again.
    """
    entry = ledger.find(key)
    if entry is not None and entry.complete:
        return entry.object_id
    pixel_type = omero_pixel_type(image)
    if entry is None:
        pixel_size = _pixel_size(image, source)
        _, entry = ledger.create(_new_image(image, pixel_type, label, pixel_size), key, complete=False)
    try:
        _write_planes(ledger.gateway, entry.object_id, image, pixel_type)
        ledger.finish(key, _links(entry.object_id, dataset_id, annotation_ids))
    except Exception as error:
        # A placeholder full of zeros must not stay.
        try:
            ledger.discard(key)
        except (Ice.Exception, omero.ClientError, OmeroError) as second:
            # The next attempt finds the image by its key; the first error is the one that matters.
            error.add_note(f"The unfinished image {entry.object_id} is still there: {type(second).__name__}.")
        raise
    return entry.object_id


def omero_pixel_type(image: FileImage) -> str:
    """Choose the OMERO pixel type that holds an image's values exactly.

    Parameters
    ----------
    image : FileImage
        The image; its pixels are read only if they are 64-bit integers.

    Returns
    -------
    str
        The value of OMERO's PixelsType. 64-bit integers (what numpy makes of labels by default) become the smallest of
        uint8, uint16, uint32, int32 and double that holds them all.

    Raises
    ------
    ResultsError
        If no type does.
    """
    name = image.dtype.newbyteorder("=").name
    if name in PIXEL_TYPES:
        return PIXEL_TYPES[name]
    if image.dtype.kind in "iu":
        low, high = _range(image)
        for candidate in ("uint8", "uint16", "uint32", "int32"):
            limits = np.iinfo(candidate)
            if limits.min <= low and high <= limits.max:
                return candidate
        if max(-low, high) <= 2**53:
            return "double"
    raise ResultsError(
        f"OMERO has no pixel type for {name}.",
        remedy="Let the analysis write at most 32-bit integers or 64-bit floats.",
    )


def _range(image: FileImage) -> tuple[int, int]:
    low, high = 0, 0
    for t, c, z in image.coordinates():
        plane = image.plane(t, c, z)
        low, high = min(low, int(plane.min())), max(high, int(plane.max()))
    return low, high


def _pixel_size(image: FileImage, source: AnalysedImage | None) -> PixelSize:
    """Take the source's if the result has its rows and columns, else what the file says."""
    if source is None or (source.sizes["Y"], source.sizes["X"]) != (image.size_y, image.size_x):
        return image.pixel_size
    z_um = source.pixel_size.z_um if image.size_z == source.sizes["Z"] else None
    return PixelSize(source.pixel_size.x_um, source.pixel_size.y_um, z_um)


def _new_image(image: FileImage, pixel_type: str, label: ImageLabel, pixel_size: PixelSize) -> Any:
    pixels = omero.model.PixelsI()
    pixels.setSizeX(rint(image.size_x))
    pixels.setSizeY(rint(image.size_y))
    pixels.setSizeZ(rint(image.size_z))
    pixels.setSizeC(rint(image.size_c))
    pixels.setSizeT(rint(image.size_t))
    pixels.setSha1(rstring("Pending..."))
    pixels.setPixelsType(_enumeration(omero.model.PixelsTypeI(), pixel_type))
    pixels.setDimensionOrder(_enumeration(omero.model.DimensionOrderI(), "XYZCT"))
    for axis, size_um in (("X", pixel_size.x_um), ("Y", pixel_size.y_um), ("Z", pixel_size.z_um)):
        if size_um is not None:
            length = omero.model.LengthI(size_um, omero.model.enums.UnitsLength.MICROMETER)
            getattr(pixels, f"setPhysicalSize{axis}")(length)
    for _ in range(image.size_c):
        channel = omero.model.ChannelI()
        channel.setLogicalChannel(omero.model.LogicalChannelI())
        channel.setStatsInfo(_stats(0.0, 1.0))
        pixels.addChannel(channel)
    item = omero.model.ImageI()
    item.setName(rstring(label.name))
    item.setDescription(rstring(label.description))
    item.addPixels(pixels)
    return item


def _enumeration(item: Any, value: str) -> Any:
    item.setValue(rstring(value))
    return item


def _stats(low: float, high: float) -> Any:
    stats = omero.model.StatsInfoI()
    stats.setGlobalMin(rdouble(low))
    stats.setGlobalMax(rdouble(high))
    return stats


def _write_planes(gateway: BlitzGateway, image_id: int, image: FileImage, pixel_type: str) -> None:
    context = call_context(gateway)
    factory = gateway.c.sf
    pixels_id = (
        factory.getContainerService().getImages("Image", [image_id], None, context)[0].getPrimaryPixels().getId().val
    )
    stored = np.dtype(_STORED[pixel_type])
    low = [math.inf] * image.size_c
    high = [-math.inf] * image.size_c
    store = factory.createRawPixelsStore(context)
    try:
        store.setPixelsId(pixels_id, True, context)
        tiled = image.size_y * image.size_x * stored.itemsize > WHOLE_PLANE_BYTES or store.requiresPixelsPyramid()
        tile_x, tile_y = store.getTileSize() if tiled else (image.size_x, image.size_y)
        for t, c, z in image.coordinates():
            for y in range(0, image.size_y, tile_y):
                for x in range(0, image.size_x, tile_x):
                    rows, columns = slice(y, min(y + tile_y, image.size_y)), slice(x, min(x + tile_x, image.size_x))
                    part = image.read(t, c, z, rows, columns)
                    low[c], high[c] = _widened(part, low[c], high[c])
                    data = np.ascontiguousarray(part, dtype=stored).tobytes()
                    if tiled:
                        height, width = part.shape
                        store.setTile(data, z, c, t, x, y, width, height, context)
                    else:
                        store.setPlane(data, z, c, t, context)
        store.save(context)
    finally:
        store.close(context)
    service = factory.getPixelsService()
    for c, (smallest, largest) in enumerate(zip(low, high, strict=True)):
        if smallest <= largest:
            service.setChannelGlobalMinMax(pixels_id, c, smallest, largest, context)


def _widened(part: Any, low: float, high: float) -> tuple[float, float]:
    """Widen a channel's range by the finite values of a part of it."""
    if part.dtype.kind == "c":
        part = np.abs(part)
    if part.dtype.kind == "f":
        part = part[np.isfinite(part)]
    if not part.size:
        return low, high
    return min(low, float(part.min())), max(high, float(part.max()))


def _links(image_id: int, dataset_id: int, annotation_ids: Sequence[int]) -> list[Any]:
    into = omero.model.DatasetImageLinkI()
    into.setParent(omero.model.DatasetI(dataset_id, False))
    into.setChild(omero.model.ImageI(image_id, False))
    links = [into]
    for annotation_id in annotation_ids:
        link = omero.model.ImageAnnotationLinkI()
        link.setParent(omero.model.ImageI(image_id, False))
        link.setChild(omero.model.MapAnnotationI(annotation_id, False))
        links.append(link)
    return links
