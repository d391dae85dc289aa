"""TIFF, BigTIFF, OME-TIFF and ImageJ hyperstacks, in either byte order.

Nothing is loaded before it is asked for, and never more than one plane of a file at once.

How axes are read: T, C, Z, Y and X are what the file's own metadata (OME, ImageJ, tifffile) says. Samples of a pixel
(RGB) are channels. Pages whose meaning the file does not tell are the dimension of the analysed image that has their
number, looked for in the order Z, T, C; if none has, they are Z.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from PIL import Image

from worker.results.readers.model import WHOLE_PLANE_BYTES, FileImage, PixelSize, micrometres

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from worker.results.readers.model import Plane


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
    sizes = _ome_pixel_sizes(tiff)
    return tuple(
        _tiff_image(path, each, expected, sizes[index] if index < len(sizes) else PixelSize(), stack)
        for index, each in enumerate(series)
    )


def _tiff_image(
    path: Path, series: Any, expected: Mapping[str, int], pixel_size: PixelSize, stack: ExitStack
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
        pixel_size,
        read,
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
    if not positions["Y"] or not positions["X"]:
        raise ValueError(f"it has the axes {axes}, but no rows and columns")
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
        raise ValueError(f"its {series.keyframe.compression.name} compression cannot be read in this arrangement")
    picture = stack.enter_context(Image.open(path))

    def part(index: tuple[int | slice, ...]) -> Plane:
        number = int(np.ravel_multi_index(index[: len(outer)], outer)) if outer else 0  # type: ignore[arg-type]  # ints
        picture.seek(series.pages[number].index)
        pixels = np.asarray(picture)
        if pixels.shape != tuple(series.keyframe.shape) or pixels.dtype.newbyteorder("=") != series.dtype:
            raise ValueError(f"its {series.keyframe.compression.name} compression cannot be read for {series.dtype}")
        return np.asarray(pixels[index[len(outer) :]])

    return part


def _ome_pixel_sizes(tiff: Any) -> list[PixelSize]:
    if not tiff.is_ome or not tiff.ome_metadata:
        return []
    try:
        root = ET.fromstring(tiff.ome_metadata)  # noqa: S314  # no entities: expat refuses amplification by itself
    except ET.ParseError:
        return []
    return [
        PixelSize(
            *(
                micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
                for axis in "XYZ"
            )
        )
        for pixels in root.iter()
        if pixels.tag.endswith("}Pixels")
    ]
