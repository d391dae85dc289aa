"""PNG files: one plane, its samples as channels.

A PNG can be read from its beginning only, so that it is decoded as a whole, when its first pixels are asked for.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import imagecodecs
import numpy as np

from worker.results.readers.model import UNIT_BYTES_MAX, FileImage, PixelSize, Unreadable, room_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from worker.results.readers.model import Plane

_HEADER: Final = struct.Struct(">8s4x4sIIBB")
_SAMPLES: Final = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Colour type (grey, RGB, palette, grey with alpha, RGB with alpha) to the number of samples of a pixel."""
_GREY: Final = 0


def png_images(path: Path, _expected: Mapping[str, int], _stack: ExitStack) -> tuple[FileImage, ...]:
    """Open a PNG file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    tuple of FileImage
        One image. A palette's indices mean nothing without it, so that they become red, green and blue.

    Raises
    ------
    Unreadable
        If it is no PNG, or is too large.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise Unreadable("it ends before its header does")
    signature, chunk, size_x, size_y, bits, colour_type = _HEADER.unpack(head)
    if signature != b"\x89PNG\r\n\x1a\n" or chunk != b"IHDR" or colour_type not in _SAMPLES:
        raise Unreadable("it is no PNG file")
    size_c = _SAMPLES[colour_type]
    dtype = np.dtype("bool" if bits == 1 and size_c == 1 else "uint16" if bits == 16 else "uint8")
    size_bytes = size_x * size_y * size_c * dtype.itemsize
    if size_bytes > UNIT_BYTES_MAX:
        raise Unreadable(
            f"it claims to have {size_x} x {size_y} pixels; a PNG is decoded as a whole, and"
            f" {size_bytes / 2**30:.1f} GiB are too much for that"
        )
    decoded: list[Plane] = []

    def read(_t: int, c: int, _z: int, rows: slice, columns: slice) -> Plane:
        if not decoded:
            with room_for(size_bytes):
                pixels = _decoded(path, bits if colour_type == _GREY else 8)
            if pixels.shape[:2] != (size_y, size_x) or pixels.shape[2] < size_c:
                raise Unreadable("its pixels are not what its header says")
            decoded.append(pixels)
        part = np.asarray(decoded[0][rows, columns, c], dtype)
        if c == size_c - 1:
            decoded.clear()  # that was the last sample
        return part

    return (FileImage(1, size_c, 1, size_y, size_x, dtype, PixelSize(), read),)


def _decoded(path: Path, grey_bits: int) -> Plane:
    """Decode all pixels, shape (Y, X, samples); a colour that stands for transparency makes one sample more."""
    # Not Pillow: of colours of 16 bits it keeps 8.
    pixels = imagecodecs.png_decode(path.read_bytes())
    if grey_bits < 8:
        # The decoder spreads the few greys over 0 to 255; the number of a label is what was stored.
        pixels //= 255 // (2**grey_bits - 1)
    return np.asarray(pixels.reshape(*pixels.shape[:2], -1))
