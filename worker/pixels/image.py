"""An image as the exporter sees it: sizes, pixel type, physical sizes, channels, and where it hangs in OMERO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from worker.errors import ExportError

PIXEL_TYPES: Final[dict[str, str]] = {
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "float": "f4",
    "double": "f8",
}
"""OMERO's pixel types as numpy type strings without byte order. Bit and complex images have no place in OME-Zarr."""

DEFAULT_COLOURS: Final = ("0000FF", "00FF00", "FF0000", "FF00FF", "00FFFF", "FFFF00")
"""Colours of channels for which OMERO knows none."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of an image.

    Parameters
    ----------
    label : str
        Its name, else its emission wavelength, else its number from 0, as OMERO's clients show it.
    colour : str
        Six hexadecimal digits, red, green, blue.
    minimum : float or None
        Smallest value in the whole image as OMERO counted it at import; None if it did not.
    maximum : float or None
        Largest value, likewise.
    """

    label: str
    colour: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image in OMERO that is to be exported.

    Parameters
    ----------
    image_id : int
        Id of the Image.
    name : str
        Its name, as people gave it.
    size_t, size_c, size_z, size_y, size_x : int
        Number of time points, channels, sections, rows and columns.
    pixel_type : str
        OMERO's name of the pixel type (``uint16``, ``float``, ...).
    pixels_id : int
        Id of its Pixels, by which raw data are read.
    pixel_size_x_um, pixel_size_y_um, pixel_size_z_um : float or None
        Physical sizes in micrometres, None where OMERO knows none that can be converted.
    time_increment_s : float or None
        Time between two time points in seconds.
    channels : tuple of Channel
        One for each channel, in order.
    dataset_id : int or None
        The dataset in which it was found.
    plate_id : int or None
        The plate of which it is a field.
    well : str or None
        The well of which it is a field, as a letter and two digits: ``A01``, ``AF48``.
    field : int or None
        Its number among the fields of the well, from 0.
    """

    image_id: int
    name: str
    size_t: int
    size_c: int
    size_z: int
    size_y: int
    size_x: int
    pixel_type: str
    pixels_id: int
    pixel_size_x_um: float | None = None
    pixel_size_y_um: float | None = None
    pixel_size_z_um: float | None = None
    time_increment_s: float | None = None
    channels: tuple[Channel, ...] = ()
    dataset_id: int | None = None
    plate_id: int | None = None
    well: str | None = None
    field: int | None = None

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Sizes in the order (T, C, Z, Y, X)."""
        return (self.size_t, self.size_c, self.size_z, self.size_y, self.size_x)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The pixel type as a little-endian numpy dtype, as it is written.

        Raises
        ------
        ExportError
            No array type corresponds to this pixel type.
        """
        return np.dtype("<" + self._type_string())

    @property
    def wire_dtype(self) -> np.dtype[np.generic]:
        """The pixel type as OMERO sends it: big-endian.

        Raises
        ------
        ExportError
            No array type corresponds to this pixel type.
        """
        return np.dtype(">" + self._type_string())

    @property
    def plane_count(self) -> int:
        """Number of (T, C, Z) planes."""
        return self.size_t * self.size_c * self.size_z

    @property
    def plane_bytes(self) -> int:
        """Size of one plane in bytes."""
        return self.size_y * self.size_x * self.dtype.itemsize

    def _type_string(self) -> str:
        try:
            return PIXEL_TYPES[self.pixel_type]
        except KeyError as error:
            raise ExportError(
                f"Image {self.image_id} ({self.name}) has pixels of type {self.pixel_type!r}: not exportable.",
                remedy=f"Types that can be exported: {', '.join(PIXEL_TYPES)}.",
            ) from error
