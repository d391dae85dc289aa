"""The planes of a result image, in OMERO's type, sent to where they belong.

``createImageFromNumpySeq`` of omero-py is not used: it takes planes with T fastest whatever the caller's order is,
swaps bytes blindly (big-endian files come out scrambled), and gives an image made "from" another one that one's
pixel type. Here every plane is written under its own (z, c, t), converted once to OMERO's big-endian order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from worker.errors import ResultsError
from worker.pixels.session import call_context
from worker.results.readers.model import WHOLE_PLANE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class PlaneStore:
    """A raw pixels store of OMERO, which takes one image after the other.

    Not to be used by two threads at once: it works on one image at a time.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    """

    def __init__(self, gateway: BlitzGateway) -> None:
        self._context = call_context(gateway)
        self._store = gateway.c.sf.createRawPixelsStore(self._context)
        self._service = gateway.c.sf.getPixelsService()
        self._pyramids: dict[tuple[int, int, str], bool] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close(self._context)

    def write(self, pixels_id: int, image: FileImage, pixel_type: str) -> None:
        """Send every plane of an image, and the range of each of its channels.

        Parameters
        ----------
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
        store, context = self._store, self._context
        ranges = [(math.inf, -math.inf)] * image.size_c
        store.setPixelsId(pixels_id, True, context)
        stored = np.dtype(_STORED[pixel_type])
        tiled = image.size_y * image.size_x * stored.itemsize > WHOLE_PLANE_BYTES or self._in_pyramid(image, pixel_type)
        size_x, size_y = store.getTileSize() if tiled else (image.size_x, image.size_y)
        for t, c, z in image.coordinates():
            for rows in _bands(image, size_y):
                band = image.read(t, c, z, rows, slice(0, image.size_x))
                ranges[c] = _widened(band, *ranges[c])
                if not tiled:
                    store.setPlane(_bytes(band, stored), z, c, t, context)
                    continue
                for y in range(0, band.shape[0], size_y):
                    for x in range(0, image.size_x, size_x):
                        tile = band[y : y + size_y, x : x + size_x]
                        height, width = tile.shape
                        data = _bytes(tile, stored)
                        store.setTile(data, z, c, t, x, rows.start + y, width, height, context)
        store.save(context)
        for c, (smallest, largest) in enumerate(ranges):
            if smallest <= largest:
                self._service.setChannelGlobalMinMax(pixels_id, c, smallest, largest, context)

    def _in_pyramid(self, image: FileImage, pixel_type: str) -> bool:
        """Ask whether OMERO takes the image in tiles only: once for images of a size, each question is a call."""
        like = (image.size_y, image.size_x, pixel_type)
        if like not in self._pyramids:
            self._pyramids[like] = bool(self._store.requiresPixelsPyramid())
        return self._pyramids[like]


def _bands(image: FileImage, tile_rows: int) -> Iterator[slice]:
    """Cut a plane into bands of whole tiles, so that what lies beside each other in the file is decoded once."""
    row_bytes = image.size_x * image.dtype.itemsize
    height = max(1, WHOLE_PLANE_BYTES // (row_bytes * tile_rows)) * tile_rows
    for y in range(0, image.size_y, height):
        yield slice(y, min(y + height, image.size_y))


def _bytes(part: Any, stored: np.dtype[Any]) -> bytes:
    return np.ascontiguousarray(part, dtype=stored).tobytes()


def _widened(part: Any, low: float, high: float) -> tuple[float, float]:
    """Widen a channel's range by the finite values of a part of it."""
    if part.dtype.kind == "c":
        part = np.abs(part)
    if part.dtype.kind == "f":
        part = part[np.isfinite(part)]
    if not part.size:
        return low, high
    return min(low, float(part.min())), max(high, float(part.max()))
