"""Planes at another size: means of blocks when they get smaller, linear interpolation when they get larger.

Both are for intensities. They invent values between those that there are, so that label images must keep their size.
Factors are whole numbers; so the spacing of pixels changes by exactly the factor, at whatever size of a plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAND_PIXELS: Final = 2**20
"""Pixels (of the larger side of the work) in hand at a time, in wide numbers; memory does not grow with the plane."""


def zoomed_size(size: int, percent: int) -> int:
    """Give the length of a side after zooming.

    Parameters
    ----------
    size : int
        Its length in pixels.
    percent : int
        One of `worker.pixels.choice.ZOOMS`.

    Returns
    -------
    int
        Its new length. A block that is cut off by the end of the side still makes a pixel, so that none is lost.
    """
    return size * percent // 100 if percent >= 100 else -(-size // (100 // percent))


def zoomed(plane: NDArray[Any], percent: int) -> NDArray[Any]:
    """Change the size of a plane.

    Parameters
    ----------
    plane : numpy.ndarray
        Shape (Y, X), integer or floating point.
    percent : int
        One of `worker.pixels.choice.ZOOMS`.

    Returns
    -------
    numpy.ndarray
        Its sides as `zoomed_size` says, same dtype; of whole numbers, halves are rounded up. At 100 % the plane itself.
    """
    if percent == 100:
        return plane
    size_y, size_x = (zoomed_size(size, percent) for size in plane.shape)
    result = np.empty((size_y, size_x), plane.dtype)
    if percent < 100:
        factor = 100 // percent
        band = max(1, BAND_PIXELS // (factor * plane.shape[1]))
        for start in range(0, size_y, band):
            result[start : start + band] = _means(plane[start * factor : (start + band) * factor], factor)
    else:
        band = max(1, BAND_PIXELS // size_x)
        columns = _neighbours(np.arange(size_x), percent // 100, plane.shape[1])
        for start in range(0, size_y, band):
            rows = _neighbours(np.arange(start, min(start + band, size_y)), percent // 100, plane.shape[0])
            result[start : start + band] = _interpolated(plane, rows, columns)
    return result


def _means(rows: NDArray[Any], factor: int) -> NDArray[Any]:
    """Take the mean of blocks; at the ends of the sides, of what there is of a block."""
    counts = np.multiply.outer(_block_sizes(rows.shape[0], factor), _block_sizes(rows.shape[1], factor))
    if rows.dtype.kind == "f":
        # Divided before they are added: the sum of large values may not be a number any more.
        wide: NDArray[Any] = rows.astype(np.float64) / (factor * factor)
        return np.asarray(_block_sums(wide, factor) * (factor * factor / counts), rows.dtype)
    sums = _block_sums(rows.astype(np.int64), factor)
    return np.asarray((2 * sums + counts) // (2 * counts), rows.dtype)


def _block_sums(rows: NDArray[Any], factor: int) -> NDArray[Any]:
    sums = np.add.reduceat(rows, np.arange(0, rows.shape[0], factor), axis=0)
    return np.asarray(np.add.reduceat(sums, np.arange(0, rows.shape[1], factor), axis=1))


def _block_sizes(size: int, factor: int) -> NDArray[np.int64]:
    starts = np.arange(0, size, factor, dtype=np.int64)
    return np.minimum(starts + factor, size) - starts


_Neighbours = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.float64]"]


def _neighbours(places: NDArray[Any], factor: int, size: int) -> _Neighbours:
    """For places after zooming: the pixels before and after, and how far towards the latter.

    Pixels are squares and not points, so that the middle of the first new one lies within the first old one, beyond
    whose middle there is nothing to interpolate with.
    """
    exact = np.clip((places + 0.5) / factor - 0.5, 0, size - 1)
    before = np.floor(exact).astype(np.int64)
    return before, np.minimum(before + 1, size - 1), exact - before


def _interpolated(plane: NDArray[Any], rows: _Neighbours, columns: _Neighbours) -> NDArray[Any]:
    top, bottom, down = rows
    left, right, across = columns
    first, last = top[0], bottom[-1] + 1
    part = plane[first:last].astype(np.float64)
    wide = part[:, left] * (1 - across) + part[:, right] * across
    down = down[:, np.newaxis]
    values = wide[top - first] * (1 - down) + wide[bottom - first] * down
    if plane.dtype.kind != "f":
        # A little less than a half may come of the arithmetic where a half was meant.
        values = np.floor(values + (0.5 + 1e-9))
    return np.asarray(values, plane.dtype)
