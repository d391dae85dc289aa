"""Strips and tiles of TIFF files: what one of them may take, once decoded.

A file of a few kilobytes can say anything. What a page declares is bounded before it is read. What a strip or tile
itself wants is known when it is decoded: decoders of bytes (deflate, LZW, LZMA, Zstandard, ...) get a buffer of the
declared size and stop at its end; decoders of pictures (JPEG, JPEG 2000, WebP, ...) take whatever their own header
says, so that this is looked at first.
"""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tifffile
from tifffile import COMPRESSION

from worker.results.readers.model import UNIT_BYTES_MAX, WHOLE_PLANE_BYTES, Unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

_JPEG: Final = frozenset({6, 7, 33007, 34892})
_JPEG_2000: Final = frozenset({33003, 33004, 33005, 34712})
_PICTURES: Final = _JPEG | _JPEG_2000 | {22610, 34887, 34927, 34933, 34934, 50001, 50002, 52546}
"""Compressions whose data have a header with sizes of their own."""
_BOUNDED: Final = frozenset({1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 34926, 50000, 50013})
"""Compressions that are decoded into as many bytes as we ask for."""

_SLACK_BYTES: Final = 2**20
"""What a compressed strip or tile may have beyond twice its pixels: tables, colour profiles."""

_SHAPE: Final = re.compile(r"[, ]shape=\(([\d, ]+)\)$")
_DTYPES: Final = ("u1", "u2", "i1", "i2", "u4", "i4", "f2", "f4", "f8", "u8", "i8", "?")
_CODESTREAM: Final = b"\xff\x4f\xff\x51"
_SIZ: Final = struct.Struct(">4s2xHIIII16xH")


def unit_bytes(keyframe: Any) -> int:
    """Say what a strip or tile takes in memory, once decoded.

    Parameters
    ----------
    keyframe : tifffile.TiffPage
        The page that tells how all pages of a series are stored.

    Returns
    -------
    int
        Size in bytes, as declared.
    """
    samples = math.prod(keyframe.chunks)
    size_bytes: int = samples * np.dtype(keyframe.dtype).itemsize
    bits = keyframe.bitspersample
    # Samples of odd bits are unpacked from a buffer that is as large as they are.
    return size_bytes if bits in {8, 16, 32, 64, 128} else size_bytes * 8


def workers(keyframe: Any) -> int:
    """Say how many strips or tiles of a page may be decoded at the same time, by threads of their own."""
    most: int = keyframe.maxworkers
    return max(1, min(most, WHOLE_PLANE_BYTES // max(1, unit_bytes(keyframe))))


def check_units(keyframe: Any) -> None:
    """Refuse pages whose strips or tiles are too large, and look at each of them before it is decoded.

    Parameters
    ----------
    keyframe : tifffile.TiffPage
        The page that tells how all pages of a series are stored.

    Raises
    ------
    Unreadable
        If one takes too much, or nobody can say what it takes.
    """
    if keyframe.dtype is None:
        raise Unreadable(f"its pixels have {keyframe.bitspersample} bits, which is no type of pixels")
    size_bytes, compression = unit_bytes(keyframe), int(keyframe.compression)
    if size_bytes > UNIT_BYTES_MAX:
        raise Unreadable(
            f"its strips or tiles are {' x '.join(map(str, keyframe.chunks))} pixels large,"
            f" {size_bytes / 2**30:.1f} GiB; one may take {UNIT_BYTES_MAX / 2**30:.0f} GiB at most"
        )
    if compression not in _PICTURES | _BOUNDED:
        name = COMPRESSION(compression).name if compression in set(COMPRESSION) else str(compression)
        raise Unreadable(f"it is compressed by {name}, which cannot be read")
    decode = keyframe.decode

    def decode_within(data: bytes | None, index: int, **options: Any) -> Any:
        if data is not None and compression in _PICTURES:
            wanted = _samples(keyframe, data, options)
            if wanted > math.prod(keyframe.chunks):
                raise Unreadable(
                    f"strip or tile {index} should have {math.prod(keyframe.chunks)} samples, and says itself that"
                    f" they are {wanted}"
                )
        try:
            return decode(data, index, **options)
        except Exception as error:
            raise Unreadable(
                f"strip or tile {index} cannot be unpacked into the {size_bytes} bytes that it should have ({error})"
            ) from error

    keyframe.decode = decode_within


def check_extent(page: Any) -> None:
    """Make sure that a page has all of its strips and tiles, and that they lie in the file.

    Parameters
    ----------
    page : tifffile.TiffPage or tifffile.TiffFrame
        The page.

    Raises
    ------
    Unreadable
        If one is missing, goes beyond the end of the file, or is far larger than its pixels.
    """
    keyframe, size = page.keyframe, page.parent.filehandle.size
    if keyframe.is_contiguous:
        start, length_max = page.dataoffsets[0], size
        ends = [start + keyframe.nbytes]
    else:
        declared = math.prod(keyframe.chunked)
        if min(len(page.dataoffsets), len(page.databytecounts)) < declared:
            raise Unreadable(
                f"its page {page.index + 1} should have {declared} strips or tiles, and has {len(page.dataoffsets)}"
            )
        length_max = 2 * unit_bytes(keyframe) + _SLACK_BYTES
        parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        ends = [start + length for start, length in parts if length]
        if max(page.databytecounts, default=0) > length_max:
            raise Unreadable(
                f"its page {page.index + 1} has a strip or tile of {max(page.databytecounts)} bytes, where the pixels"
                f" of one take {unit_bytes(keyframe)}"
            )
    if max(ends, default=0) > size:
        raise Unreadable(f"it ends within its page {page.index + 1}")


def _samples(keyframe: Any, data: bytes, options: Mapping[str, Any]) -> int:
    """Read from the header of a compressed picture how many samples it has."""
    compression = int(keyframe.compression)
    if compression in _JPEG_2000:
        return _samples_of_jpeg_2000(data)
    decoder = tifffile.TIFF.DECOMPRESSORS[compression]
    tables: dict[str, Any] = {}
    if compression in _JPEG:
        tables = {
            "tables": options.get("jpegtables"),
            "header": options.get("jpegheader"),
            "bitspersample": keyframe.bitspersample,
        }
    said = "nothing"
    # Given an array that cannot be right, the decoder tells what it would need, and decodes nothing.
    for dtype in (np.dtype(keyframe.dtype).newbyteorder("="), *_DTYPES):
        try:
            decoder(data, out=np.empty(0, dtype), **tables)
        except Exception as error:  # noqa: BLE001  # decoders raise what they like; no answer is refused below
            said = str(error)
        shape = _SHAPE.search(said)
        if shape:
            return math.prod(int(size) for size in shape[1].split(",") if size.strip())
        if "out.dtype" not in said:
            break
    raise Unreadable(f"the header of one of its strips or tiles cannot be read ({said})")


def _samples_of_jpeg_2000(data: bytes) -> int:
    """Read the sizes of JPEG 2000 from the marker SIZ, wherever it is; of several, the largest."""
    largest = 0
    start = data.find(_CODESTREAM)
    while start >= 0:
        if len(data) - start < _SIZ.size + 2:
            break
        _, _, x, y, left, top, components = _SIZ.unpack_from(data, start)
        largest = max(largest, max(0, x - left) * max(0, y - top) * components)
        start = data.find(_CODESTREAM, start + 1)
    if not largest:
        raise Unreadable("one of its strips or tiles is no JPEG 2000")
    return largest
