"""TIFF, BigTIFF, OME-TIFF and ImageJ hyperstacks, in either byte order.

Nothing is loaded before it is asked for, and never more than one plane of a file at once.

How axes are read: T, C, Z, Y and X are what the file's own metadata (OME, ImageJ, tifffile) says. Samples of a pixel
(RGB) are channels. Pages whose meaning the file does not tell are the dimension of the analysed image that has their
number, looked for in the order Z, T, C; if none has, they are Z.
"""

from __future__ import annotations

import math
import re
import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tifffile
import zarr

from worker.results.readers import omexml
from worker.results.readers.model import (
    WHOLE_PLANE_BYTES,
    FileChannel,
    FileImage,
    PixelSize,
    Unreadable,
    micrometres,
    room_for,
)
from worker.results.readers.omexml import DescribedImage
from worker.results.readers.segments import check_extent, check_units, unit_bytes, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from numpy.typing import NDArray

    from worker.results.readers.model import Plane

_PAGE_BYTES_MAX: Final = 2 * WHOLE_PLANE_BYTES
"""Pages up to this size, with all samples of their pixels, are decoded as a whole."""

_ESCAPED: Final = re.compile(r"\\u([0-9A-Fa-f]{4})")

_UNDESCRIBED = DescribedImage("", PixelSize(), ())


def tiff_images(path: Path, expected: Mapping[str, int], stack: ExitStack) -> tuple[FileImage, ...]:
    """Open the images in a TIFF file.

    Parameters
    ----------
    path : Path
        The file.
    expected : Mapping
        Sizes of the analysed image under ``Z``, ``T`` and ``C``, to tell what unnamed pages are.
    stack : ExitStack
        Closes the file.

    Returns
    -------
    tuple of FileImage
        One for each of its series.
    """
    # OME-XML may name other files, anywhere; what an analysis wrote must not decide which of our files we read.
    tiff = stack.enter_context(tifffile.TiffFile(path, _multifile=False))
    series = tiff.series
    if any(page is None for each in series for page in each.pages):
        tiff = stack.enter_context(tifffile.TiffFile(path, _multifile=False, is_ome=False))
        series = tiff.series
    described = _described(tiff)
    images = tuple(
        _tiff_image(each, expected, described[index] if index < len(described) else _UNDESCRIBED, stack)
        for index, each in enumerate(series)
    )
    _check_pages(tiff)
    return images


def _tiff_image(series: Any, expected: Mapping[str, int], described: DescribedImage, stack: ExitStack) -> FileImage:
    sizes, positions = _dimensions(series.axes, series.shape, expected)
    whole = series.keyframe.nbytes <= _PAGE_BYTES_MAX and _has_every_page(series)
    if series.keyframe.is_final and not whole and (mapped := _mapped(series)):
        part = mapped
    else:
        check_units(series.keyframe)
        part = _Pages(series).part if whole else _pieces(series, stack)

    def read(t: int, c: int, z: int, rows: slice, columns: slice) -> Plane:
        index: list[int | slice] = [0] * len(series.axes)
        for name, value in (("T", t), ("C", c), ("Z", z)):
            # Several axes may make one dimension of ours (channels of RGB pixels); the last one runs fastest.
            for position in reversed(positions[name]):
                value, index[position] = divmod(value, series.shape[position])  # noqa: PLW2901  # consumed on purpose
        y, x = positions["Y"][0], positions["X"][0]
        index[y], index[x] = rows, columns
        pixels = np.asarray(part(tuple(index)))
        return pixels if y < x else pixels.T

    return FileImage(
        sizes["T"],
        sizes["C"],
        sizes["Z"],
        sizes["Y"],
        sizes["X"],
        np.dtype(series.dtype),
        described.pixel_size,
        read,
        name=described.name,
        channels=described.channels if len(described.channels) == sizes["C"] else (),
    )


def _has_every_page(series: Any) -> bool:
    outer = series.shape[: len(series.shape) - len(series.keyframe.shape)]
    return len(series.pages) == math.prod(outer) and (*outer, *series.keyframe.shape) == tuple(series.shape)


def _check_pages(tiff: Any) -> None:
    """Make sure that no page is missing: tifffile gives those that it finds, whatever comes after them."""
    if not len(tiff.pages):
        return
    layout, handle, last = tiff.tiff, tiff.filehandle, tiff.pages[-1]
    handle.seek(last.offset)
    (count,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
    handle.seek(last.offset + layout.tagnosize + count * layout.tagsize)
    following = handle.read(layout.offsetsize)
    if len(following) < layout.offsetsize or struct.unpack(layout.offsetformat, following) != (0,):
        raise Unreadable(f"it ends behind its page {len(tiff.pages)}, and there should be more")
    told = tiff.imagej_metadata.get("images", 1) if tiff.is_imagej else 1
    if told > sum(math.prod(each.shape) // math.prod(each.keyframe.shape) for each in tiff.series):
        raise Unreadable(f"it says that it has {told} planes, and does not hold as many")


def _mapped(series: Any) -> Callable[[tuple[int | slice, ...]], Plane] | None:
    """Read parts of planes that lie in the file as they are, one behind the other; None if they do not.

    So it is also where one page stands for all planes behind it (ImageJ).
    """
    offset = series.dataoffset
    if offset is None or series.transform is not None:
        return None
    file = series.keyframe.parent.filehandle
    if offset + series.nbytes > file.size:
        raise Unreadable(f"it ends within its planes, of which there should be {series.nbytes} bytes")
    dtype = np.dtype(series.dtype).newbyteorder(series.keyframe.parent.byteorder)

    def part(index: tuple[int | slice, ...]) -> Plane:
        # Mapped for this part only, so that nothing of it stays in memory.
        return np.array(np.memmap(file.path, dtype, "r", offset, series.shape)[index])

    return part


def _pieces(series: Any, stack: ExitStack) -> Callable[[tuple[int | slice, ...]], Plane]:
    """Read parts of planes by strips or tiles, however large the planes are."""
    for page in series.pages:
        check_extent(page)
    size_bytes = unit_bytes(series.keyframe)
    store = stack.enter_context(series.aszarr(level=0, chunkmode="strile", maxworkers=workers(series.keyframe)))
    array: Any = zarr.open_array(store, mode="r")

    def part(index: tuple[int | slice, ...]) -> Plane:
        with room_for(size_bytes):
            return np.asarray(array[index])

    return part


class _Pages:
    """The pages of a series, decoded as a whole; several times faster than piece by piece."""

    def __init__(self, series: Any) -> None:
        self._series = series
        self._outer: tuple[int, ...] = series.shape[: len(series.shape) - len(series.keyframe.shape)]
        self._kept: tuple[int, Plane] | None = None

    def part(self, index: tuple[int | slice, ...]) -> Plane:
        """Read a part of one page; the page stays for its other samples."""
        depth = len(self._outer)
        number = int(np.ravel_multi_index(index[:depth], self._outer)) if depth else 0  # type: ignore[arg-type]  # ints
        if self._kept is None or self._kept[0] != number:
            self._kept = None  # so that never two of them are in memory
            page = self._series.pages[number]
            check_extent(page)
            try:
                with room_for(unit_bytes(page.keyframe)):
                    self._kept = number, page.asarray(maxworkers=1)
            except Unreadable as error:
                raise Unreadable(f"of its page {number + 1}, {error}") from error
        pixels = self._kept[1][index[depth:]]
        sizes = zip(index[depth:], self._series.keyframe.shape, strict=True)
        if all(each == size - 1 for each, size in sizes if isinstance(each, int)):
            self._kept = None  # that was its last sample
        return np.asarray(pixels)


def _dimensions(
    axes: str, shape: tuple[int, ...], expected: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, list[int]]]:
    """Say which axes of a series make which of our dimensions.

    Parameters
    ----------
    axes : str
        One letter for each axis, as tifffile gives them.
    shape : tuple of int
        Its length along each.
    expected : Mapping
        Sizes of the analysed image under ``Z``, ``T`` and ``C``.

    Returns
    -------
    sizes : dict
        Our dimensions' sizes under ``T``, ``C``, ``Z``, ``Y`` and ``X``.
    positions : dict
        For each of them the axes that it is made of, slowest first.
    """
    positions: dict[str, list[int]] = {name: [] for name in "TCZYX"}
    unnamed = []
    for position, (axis, size) in enumerate(zip(axes, shape, strict=True)):
        if axis in positions:
            positions[axis].append(position)
        elif axis != "S" and size > 1:
            unnamed.append(position)
    for position in unnamed:
        free = [name for name in "ZTC" if not positions[name]]
        same = [name for name in free if expected.get(name) == shape[position]]
        positions[(same or free or ["T"])[0]].append(position)
    if "S" in axes:
        positions["C"].append(axes.index("S"))
    if not math.prod(shape):
        raise Unreadable(f"it has no pixels: its shape is {shape}")
    if not positions["Y"] or not positions["X"]:
        raise Unreadable(f"it has the axes {axes}, but no rows and columns")
    return {name: math.prod(shape[position] for position in positions[name]) for name in "TCZYX"}, positions


def _described(tiff: Any) -> tuple[DescribedImage, ...]:
    """Collect what the file says about its series, in their order."""
    if tiff.is_ome and tiff.ome_metadata:
        return omexml.images(tiff.ome_metadata)
    if tiff.is_imagej and tiff.imagej_metadata:
        return (_imagej(tiff.imagej_metadata, tiff.pages[0]),)
    return ()


def _imagej(metadata: Mapping[str, Any], page: Any) -> DescribedImage:
    """Read what ImageJ writes: pixels per unit in the tags of TIFF, the unit and the rest in its own metadata."""
    # ImageJ writes what is not ASCII as Java does: \u00B5m.
    unit = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), str(metadata.get("unit", "")))
    sizes = []
    for name in ("XResolution", "YResolution"):
        tag = page.tags.get(name)
        numerator, denominator = tag.value if tag is not None else (0, 0)
        sizes.append(micrometres(denominator / numerator if numerator else None, unit))
    sizes.append(micrometres(metadata.get("spacing"), unit))
    tables = metadata.get("LUTs") if metadata.get("mode") in {"composite", "color"} else None
    return DescribedImage("", PixelSize(*sizes), tuple(FileChannel("", _brightest(each)) for each in tables or ()))


def _brightest(table: NDArray[Any]) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in table[:, -1])
    return red, green, blue
