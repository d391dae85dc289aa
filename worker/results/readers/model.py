"""An image in a file, as every reader gives it: sizes, type, what the file says about it, a way to its pixels."""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    Plane = NDArray[Any]

WHOLE_PLANE_BYTES: Final = 64 * 2**20
"""Planes up to this size are read and sent in one piece; larger ones in tiles."""

UNIT_BYTES_MAX: Final = 2**30
"""Size of what can be decoded as a whole only: a chunk, a strip or tile, a PNG."""

_ONE_AT_A_TIME: Final = threading.Lock()

_MICROMETRES: Final = {
    "Å": 1e-4,
    "angstrom": 1e-4,
    "pm": 1e-6,
    "picometer": 1e-6,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "dm": 1e5,
    "decimeter": 1e5,
    "in": 25_400.0,
    "inch": 25_400.0,
    "m": 1e6,
    "meter": 1e6,
}


IMAGE_BYTES_MAX: Final = 2**43
"""Size of an image, as decoded: 8 TiB. A file of a few bytes may claim any size."""


class Unreadable(Exception):
    """Why a file cannot be read as an image: the end of a sentence that the door begins with the file's name."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A part of a file that cannot be read: a field, a well, a label image.

    Parameters
    ----------
    place : str
        Where it is in the file.
    reason : str
        Why it cannot be read.
    """

    place: str
    reason: str


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    """Wait until nothing else that is as large is being decoded: several images are read at the same time.

    Parameters
    ----------
    size_bytes : int
        What is going to be decoded as a whole; up to :data:`WHOLE_PLANE_BYTES` nothing is waited for.
    """
    with _ONE_AT_A_TIME if size_bytes > WHOLE_PLANE_BYTES else nullcontext():
        yield


@dataclass(frozen=True, slots=True)
class PixelSize:
    """Physical size of a pixel, in micrometres; None where unknown.

    Parameters
    ----------
    x_um, y_um, z_um : float or None
        Extent of a pixel along each axis, in micrometres.
    """

    x_um: float | None = None
    y_um: float | None = None
    z_um: float | None = None


@dataclass(frozen=True, slots=True)
class FileChannel:
    """A channel of an image, as a person knows it.

    Parameters
    ----------
    name : str
        Its name; empty if it has none.
    colour_rgb : tuple of int or None
        Red, green and blue, 0 to 255 each; None if it has no colour of its own.
    """

    name: str = ""
    colour_rgb: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class FileImage:
    """One image in a file.

    Parameters
    ----------
    size_t, size_c, size_z, size_y, size_x : int
        Its sizes.
    dtype : numpy.dtype
        Type of its pixels as stored in the file.
    pixel_size : PixelSize
        What the file itself says about the size of pixels.
    read : Callable
        ``read(t, c, z, rows, columns)`` gives that part of a plane, shape (rows, columns).
    name : str
        Name inside the file: of a label image, of a field, of a series; empty if it is the file's own image.
    channels : tuple of FileChannel
        What the file says about its channels; empty, or ``size_c`` of them.
    label : bool
        Whether the file says that its pixels are the numbers of objects.
    well : tuple of int or None
        Row and column of its well, from 0, if the file is a plate.
    field : int or None
        Its number in that well: that which it is called by, else its place in the well, from 0.
    file : str
        What persons are told that its file is called.
    """

    size_t: int
    size_c: int
    size_z: int
    size_y: int
    size_x: int
    dtype: np.dtype[Any]
    pixel_size: PixelSize
    read: Callable[[int, int, int, slice, slice], Plane]
    name: str = ""
    channels: tuple[FileChannel, ...] = ()
    label: bool = False
    well: tuple[int, int] | None = None
    field: int | None = None
    file: str = ""

    @property
    def plane_bytes(self) -> int:
        """Size of one plane in bytes."""
        return self.size_y * self.size_x * self.dtype.itemsize

    def plane(self, t: int, c: int, z: int) -> Plane:
        """Read one plane.

        Parameters
        ----------
        t, c, z : int
            Which one, counted from 0.

        Returns
        -------
        numpy.ndarray
            Its pixels, shape (Y, X), in the file's type and byte order.
        """
        return self.read(t, c, z, slice(0, self.size_y), slice(0, self.size_x))

    def check(self) -> None:
        """Make sure that it has pixels, and no more than anybody can have."""
        sizes = (self.size_x, self.size_y, self.size_z, self.size_c, self.size_t)
        said = " x ".join(map(str, sizes))
        if not math.prod(sizes):
            raise Unreadable(f"it has no pixels: its sizes (X, Y, Z, C, T) are {said}")
        if math.prod(sizes) * self.dtype.itemsize > IMAGE_BYTES_MAX:
            raise Unreadable(f"it claims to have {said} pixels (X, Y, Z, C, T)")

    def coordinates(self) -> Iterator[tuple[int, int, int]]:
        """List the planes in the order in which OMERO stores them.

        Yields
        ------
        tuple of int
            ``(t, c, z)``, z fastest.
        """
        for t in range(self.size_t):
            for c in range(self.size_c):
                for z in range(self.size_z):
                    yield t, c, z


def micrometres(length: float | str | None, unit: str) -> float | None:
    """Convert a length that a file gives.

    Parameters
    ----------
    length : float or str or None
        The length, as it stands in the file.
    unit : str
        Its unit, as OME, OME-Zarr (UDUNITS-2) or ImageJ write it.

    Returns
    -------
    float or None
        Micrometres; None if it is no length that a pixel can have.
    """
    factor = _MICROMETRES.get(unit)
    if length is None or factor is None:
        return None
    try:
        value = float(length) * factor
    except ValueError:
        return None
    return value if value > 0 and math.isfinite(value) else None
