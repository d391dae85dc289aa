"""TIFF, BigTIFF, OME-TIFF and ImageJ hyperstacks, in either byte order.

Nothing is loaded before it is asked for, and never more than one plane of a file at once.

How axes are read: T, C, Z, Y and X are what the file's own metadata (OME, ImageJ, tifffile) says. Samples of a pixel
(RGB) are channels. Pages whose meaning the file does not tell are the dimension of the analysed image that has their
number, looked for in the order Z, T, C; if none has, they are Z.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from PIL import Image

from worker.results.readers import omexml
from worker.results.readers.model import WHOLE_PLANE_BYTES, FileChannel, FileImage, PixelSize, Unreadable, micrometres
from worker.results.readers.omexml import DescribedImage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from numpy.typing import NDArray

    from worker.results.readers.model import Plane

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
    return tuple(
        _tiff_image(path, each, expected, described[index] if index < len(described) else _UNDESCRIBED, stack)
        for index, each in enumerate(series)
    )


def _tiff_image(
    path: Path, series: Any, expected: Mapping[str, int], described: DescribedImage, stack: ExitStack
) -> FileImage:
    sizes, positions = _dimensions(series.axes, series.shape, expected)
    plane_bytes = sizes["Y"] * sizes["X"] * series.dtype.itemsize
    if _decodable(series.keyframe):
        chunks = "page" if plane_bytes <= WHOLE_PLANE_BYTES else "strile"
        store = stack.enter_context(series.aszarr(level=0, chunkmode=chunks))
        array: Any = zarr.open_array(store, mode="r")
        part = array.__getitem__
    else:
        part = _pillow_pages(path, series, stack)

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


def _decodable(page: Any) -> bool:
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
    except (KeyError, ValueError):
        return False
    return True


def _pillow_pages(path: Path, series: Any, stack: ExitStack) -> Callable[[tuple[int | slice, ...]], Plane]:
    """Read pages whose compression (LZW, JPEG) tifffile alone does not know through Pillow's libtiff."""
    inner = len(series.keyframe.shape)
    outer = series.shape[: len(series.shape) - inner]
    if math.prod(outer) != len(series.pages):
        raise Unreadable(f"its {series.keyframe.compression.name} compression cannot be read in this arrangement")
    picture = stack.enter_context(Image.open(path))

    def part(index: tuple[int | slice, ...]) -> Plane:
        number = int(np.ravel_multi_index(index[: len(outer)], outer)) if outer else 0  # type: ignore[arg-type]  # ints
        picture.seek(series.pages[number].index)
        pixels = np.asarray(picture)
        if pixels.shape != tuple(series.keyframe.shape) or pixels.dtype.newbyteorder("=") != series.dtype:
            raise Unreadable(f"its {series.keyframe.compression.name} compression cannot be read for {series.dtype}")
        return np.asarray(pixels[index[len(outer) :]])

    return part


def _described(tiff: Any) -> tuple[DescribedImage, ...]:
    """Collect what the file says about its series, in their order."""
    if tiff.is_ome and tiff.ome_metadata:
        return omexml.images(tiff.ome_metadata)
    if tiff.is_imagej and tiff.imagej_metadata:
        return (_imagej(tiff.imagej_metadata, tiff.pages[0]),)
    return ()


def _imagej(metadata: Mapping[str, Any], page: Any) -> DescribedImage:
    """Read what ImageJ writes: pixels per unit in the tags of TIFF, the unit and the rest in its own metadata."""
    unit = str(metadata.get("unit", ""))
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
