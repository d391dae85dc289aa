"""The planes of a result image, in OMERO's type, sent to where they belong.

``createImageFromNumpySeq`` of omero-py is not used: it takes planes with T fastest whatever the caller's order is,
swaps bytes blindly (big-endian files come out scrambled), and gives an image made "from" another one that one's
pixel type. Here every plane is written under its own (z, c, t), converted once to OMERO's big-endian order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from worker.errors import ResultsError
from worker.pixels.session import call_context
from worker.results.readers.model import WHOLE_PLANE_BYTES

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

    from worker.results.readers.model import FileImage

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
        f"{image.file or 'It'} cannot be an image in OMERO, which has no pixel type for {name}.",
        remedy="Let the analysis write at most 32-bit integers or 64-bit floats.",
    )


def _range(image: FileImage) -> tuple[int, int]:
    low, high = 0, 0
    for t, c, z in image.coordinates():
        plane = image.plane(t, c, z)
        low, high = min(low, int(plane.min())), max(high, int(plane.max()))
    return low, high


def write_planes(gateway: BlitzGateway, pixels_id: int, image: FileImage, pixel_type: str) -> None:
    """Send every plane of an image, and the range of each of its channels.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    pixels_id : int
        Id of the Pixels in OMERO that they become.
    image : FileImage
        The image in its file.
    pixel_type : str
        The OMERO pixel type of these Pixels.

    Raises
    ------
    ResultsError
        If a plane cannot be read.
    """
    context = call_context(gateway)
    factory = gateway.c.sf
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
