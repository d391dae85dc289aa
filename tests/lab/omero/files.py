"""Where the bytes of files and pixels lie."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.lab.omero.model.rows import Row

DTYPES: dict[str, np.dtype[Any]] = {
    "bit": np.dtype(">u1"),
    "int8": np.dtype(">i1"),
    "uint8": np.dtype(">u1"),
    "int16": np.dtype(">i2"),
    "uint16": np.dtype(">u2"),
    "int32": np.dtype(">i4"),
    "uint32": np.dtype(">u4"),
    "float": np.dtype(">f4"),
    "double": np.dtype(">f8"),
    "complex": np.dtype(">c8"),
    "double-complex": np.dtype(">c16"),
}
"""Types of pixels as they lie on disk and travel: big endian."""


_MAPPED_FILES = 500
"""Files of pixels that are kept mapped into memory."""


class PixelBuffer:
    """The pixels of an image, as OMERO's ROMIO lays them out: big endian, planes in the order Z, C, T.

    Parameters
    ----------
    path : Path
        Their file; it is made, full of zeros, if it is not there.
    pixels : Row
        The Pixels object.
    """

    def __init__(self, path: Path, pixels: Row) -> None:
        self.size_x, self.size_y, self.size_z, self.size_c, self.size_t = (pixels[f"size{axis}"] for axis in "XYZCT")
        self.dtype: np.dtype[Any] = DTYPES[pixels["pixelsType"]["value"]]
        self.path = path
        shape = (self.size_t, self.size_c, self.size_z, self.size_y, self.size_x)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(self.dtype.itemsize * int(np.prod(shape)))
        self.array: NDArray[Any] = np.memmap(path, dtype=self.dtype, mode="r+", shape=shape)
        """All pixels, (T, C, Z, Y, X)."""

    def range_of(self, channel: int) -> tuple[float, float]:
        """Return the least and the greatest value of a channel."""
        values = self.array[:, channel]
        return float(values.min()), float(values.max())


class Files:
    """The files of a server.

    Parameters
    ----------
    data : Path
        The directory below which they lie.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._buffers: dict[int, PixelBuffer] = {}
        self._lock = threading.Lock()

    def path_of(self, row: Row) -> Path:
        """Return the file of an OriginalFile, or of Pixels."""
        place = row.extra.get("place")
        if place is not None:
            return self._data / str(place)
        kind = "Pixels" if row.cls == "Pixels" else "Files"
        return self._data / kind / f"{row.id // 1000:03d}" / str(row.id)

    def pixels(self, row: Row) -> PixelBuffer:
        """Return the pixels of a Pixels object."""
        with self._lock:
            # Used last stands last; whoever holds one that is forgotten here may go on using it.
            buffer = self._buffers.pop(row.id, None) or PixelBuffer(self.path_of(row), row)
            self._buffers[row.id] = buffer
            if len(self._buffers) > _MAPPED_FILES:
                del self._buffers[next(iter(self._buffers))]
            return buffer

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
