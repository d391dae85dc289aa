"""Where the bytes of files and pixels lie."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.lab.omero.imagefiles import UnknownImage, read, read_zarr
from tests.lab.omero.planes import AXES, DTYPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.planes import Planes

MULTISCALES = "com.glencoesoftware.ngff:multiscales"
"""External information of an image whose pixels omero-zarr-pixel-buffer reads: ``lsid`` is the path of its OME-Zarr."""

_MAPPED_FILES = 500
"""Files of pixels that are kept mapped into memory."""


class PixelBuffer:
    """The pixels of an image.

    Parameters
    ----------
    pixels : Row
        The Pixels object.
    array : Planes or ndarray
        Its values, (T, C, Z, Y, X), in the type in which they travel.
    writable : bool
        Whether they may be changed: not where they lie in a file that was imported.
    """

    def __init__(self, pixels: Row, array: Planes | NDArray[Any], *, writable: bool) -> None:
        self.size_x, self.size_y, self.size_z, self.size_c, self.size_t = (pixels[f"size{axis}"] for axis in "XYZCT")
        self.dtype: np.dtype[Any] = DTYPES[pixels["pixelsType"]["value"]]
        self.array: Any = array
        self.writable = writable
        shape = (self.size_t, self.size_c, self.size_z, self.size_y, self.size_x)
        if array.shape != shape or array.dtype != self.dtype:
            message = f"{pixels} is {shape} of {self.dtype}, but what it was made of is {array.shape} of {array.dtype}"
            raise UnknownImage(message)

    def range_of(self, channel: int) -> tuple[float, float]:
        """Return the least and the greatest value of a channel; one plane is looked at after the other."""
        planes = (self.array[t, channel, z] for t in range(self.size_t) for z in range(self.size_z))
        ranges = [(float(plane.min()), float(plane.max())) for plane in planes]
        return min(low for low, _ in ranges), max(high for _, high in ranges)


def mapped(path: Path, pixels: Row) -> NDArray[Any]:
    """Return pixels as OMERO's ROMIO lays them out: big endian, planes in the order Z, C, T.

    Parameters
    ----------
    path : Path
        Their file; it is made, full of zeros, if it is not there.
    pixels : Row
        The Pixels object.

    Returns
    -------
    ndarray
        The values, (T, C, Z, Y, X); to write into it is to write into the file.
    """
    dtype = DTYPES[pixels["pixelsType"]["value"]]
    shape = tuple(pixels[f"size{axis}"] for axis in AXES)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(dtype.itemsize * int(np.prod(shape)))
    return np.memmap(path, dtype=dtype, mode="r+", shape=shape)


class Files:
    """The files of a server.

    Parameters
    ----------
    data : Path
        The directory below which they lie.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        """The directory below which they lie."""
        self._buffers: dict[int, PixelBuffer] = {}
        self._lock = threading.Lock()

    def path_of(self, row: Row) -> Path:
        """Return the file of an OriginalFile, or of Pixels."""
        place = row.extra.get("place")
        if place is not None:
            return self.data / str(place)
        kind = "Pixels" if row.cls == "Pixels" else "Files"
        return self.data / kind / f"{row.id // 1000:03d}" / str(row.id)

    def pixels(self, row: Row) -> PixelBuffer:
        """Return the pixels of a Pixels object, wherever they are; UnknownImage if they cannot be read."""
        image = row["image"]
        link = image.external_info if image is not None else None
        if link is not None and link["entityType"] == MULTISCALES:
            return PixelBuffer(row, read_zarr(self.own(Path(str(link["lsid"])))).planes, writable=False)
        if image is not None and image["fileset"] is not None and "file" in row.extra:
            path, series = self.own(self.data / row.extra["file"]), int(row.extra["series"])
            return PixelBuffer(row, read(path)[series].planes, writable=False)
        with self._lock:
            # Used last stands last; whoever holds one that is forgotten here may go on using it.
            buffer = self._buffers.pop(row.id, None)
            if buffer is None:
                buffer = PixelBuffer(row, mapped(self.path_of(row), row), writable=True)
            self._buffers[row.id] = buffer
            if len(self._buffers) > _MAPPED_FILES:
                del self._buffers[next(iter(self._buffers))]
            return buffer

    def own(self, path: Path) -> Path:
        """Return where a file or folder really is; UnknownImage if that is not below the server's directory.

        The real server reads whatever its account may read. Here nothing of the machine that a lab runs on is shown.
        """
        real, allowed = path.resolve(), self.data.resolve().parent
        if not real.is_relative_to(allowed):
            raise UnknownImage(f"{path} is outside of {allowed}")
        return real

    def remove(self, row: Row) -> None:
        """Remove the file of an OriginalFile, or of Pixels, that was deleted."""
        with self._lock:
            if row.cls == "Pixels":
                self._buffers.pop(row.id, None)
        self.path_of(row).unlink(missing_ok=True)


def sha1_of(path: Path) -> str:
    """Return the SHA-1 of a file, in hexadecimal: what OMERO keeps of every file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
