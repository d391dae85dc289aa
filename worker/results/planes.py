"""Result image files, read plane by plane into OMERO's five dimensions (T, C, Z, Y, X).

TIFF, BigTIFF, OME-TIFF and ImageJ hyperstacks in either byte order, and PNG. Nothing is loaded before it is asked for,
and never more than one plane of a file at once.

How axes are read: T, C, Z, Y and X are what the file's own metadata (OME, ImageJ, tifffile) says. Samples of a pixel
(RGB) are channels. Pages whose meaning the file does not tell are the dimension of the analysed image that has their
number, looked for in the order Z, T, C; if none has, they are Z.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from PIL import Image

from worker.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Plane = NDArray[Any]

TIFF_SUFFIXES = (".tif", ".tiff")
PNG_SUFFIXES = (".png",)
IMAGE_SUFFIXES = TIFF_SUFFIXES + PNG_SUFFIXES

WHOLE_PLANE_BYTES = 64 * 2**20
"""Planes up to this size are read and sent in one piece; larger ones in tiles."""

_MICROMETRES = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4}


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
    """

    size_t: int
    size_c: int
    size_z: int
    size_y: int
    size_x: int
    dtype: np.dtype[Any]
    pixel_size: PixelSize
    read: Callable[[int, int, int, slice, slice], Plane]

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


@contextmanager
def open_images(path: Path, expected: Mapping[str, int] | None = None) -> Iterator[tuple[FileImage, ...]]:
    """Open the images in a file.

    Parameters
    ----------
    path : Path
        The file.
    expected : Mapping, optional
        Sizes of the analysed image under ``Z``, ``T`` and ``C``, to tell what unnamed pages are.

    Yields
    ------
    tuple of FileImage
        Its images (TIFF series); readable until the context ends.

    Raises
    ------
    ResultsError
        If the file is no image, is damaged, or is stored in a way that cannot be read.
    """
    reader = _png if path.suffix.lower() in PNG_SUFFIXES else _tiff
    with ExitStack() as stack:
        try:
            images = reader(path, expected or {}, stack)
        except Exception as error:
            # Decoders raise what they like: zlib.error, struct.error, AssertionError, SyntaxError.
            raise _unreadable(path, error) from error
        if not images:
            raise ResultsError(f"{path.name} has no image in it.")
        yield images


def _unreadable(path: Path, error: Exception) -> ResultsError:
    return ResultsError(
        f"{path.name} cannot be read as an image: {error}.",
        remedy="The file itself is in the zip of the results, if that was asked for.",
    )


def _guarded(path: Path, read: Callable[[int, int, int, slice, slice], Plane]) -> Callable[..., Plane]:
    """Let the errors of a damaged file, met in the middle of it, be ours too."""

    def guarded(t: int, c: int, z: int, rows: slice, columns: slice) -> Plane:
        try:
            return read(t, c, z, rows, columns)
        except Exception as error:
            raise _unreadable(path, error) from error

    return guarded


# -- TIFF


def _tiff(path: Path, expected: Mapping[str, int], stack: ExitStack) -> tuple[FileImage, ...]:
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
        _guarded(path, read),
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
        PixelSize(*(_micrometres(pixels, axis) for axis in "XYZ"))
        for pixels in root.iter()
        if pixels.tag.endswith("}Pixels")
    ]


def _micrometres(pixels: ET.Element, axis: str) -> float | None:
    try:
        size = float(pixels.get(f"PhysicalSize{axis}", ""))
    except ValueError:
        return None
    factor = _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return size * factor if factor and size > 0 and math.isfinite(size) else None


# -- PNG


def _png(path: Path, _expected: Mapping[str, int], stack: ExitStack) -> tuple[FileImage, ...]:
    picture = stack.enter_context(Image.open(path))
    # The indices of a palette mean nothing without it.
    pixels = np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    size_y, size_x, size_c = pixels.shape

    def read(_t: int, c: int, _z: int, rows: slice, columns: slice) -> Plane:
        return np.asarray(pixels[rows, columns, c])

    return (FileImage(1, size_c, 1, size_y, size_x, pixels.dtype, PixelSize(), _guarded(path, read)),)
