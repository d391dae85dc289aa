"""Resolution pyramids in memory: each level is the mean of 2 x 2 pixels of the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SMALLEST_SIDE: Final = 256
"""No further level is made of one whose longer side is at most this."""


def level_shapes(size_y: int, size_x: int, *, smallest: int = SMALLEST_SIDE) -> tuple[tuple[int, int], ...]:
    """Give the sizes of all levels.

    A side of odd length n becomes (n + 1) / 2, so that no row or column is lost; the last pixel is then the mean of
    what there is. Its neighbours still stand for exactly two pixels, so the spacing of pixels doubles exactly at each
    level, whatever the quotient of the sizes is. See `level_scale`.

    Parameters
    ----------
    size_y, size_x : int
        Size of the full resolution.
    smallest : int
        Length of the longer side at which to stop.

    Returns
    -------
    tuple of tuple of int
        (Y, X) of each level, full resolution first.
    """
    shapes = [(size_y, size_x)]
    while max(shapes[-1]) > smallest:
        y, x = shapes[-1]
        shapes.append(((y + 1) // 2, (x + 1) // 2))
    return tuple(shapes)


def level_scale(shapes: tuple[tuple[int, int], ...], level: int) -> tuple[float, float]:
    """Give the spacing of a level's pixels in pixels of full resolution.

    Parameters
    ----------
    shapes : tuple of tuple of int
        (Y, X) of each level, from `level_shapes`.
    level : int
        Which level.

    Returns
    -------
    tuple of float
        (Y, X). 2 for each halving; a side that was already 1 pixel long has not been halved.
    """
    scale_y = scale_x = 1.0
    for y, x in shapes[:level]:
        scale_y *= 2 if y > 1 else 1
        scale_x *= 2 if x > 1 else 1
    return scale_y, scale_x


def pyramid(plane: NDArray[Any], levels: int) -> Iterator[NDArray[Any]]:
    """Make the levels of a plane.

    Parameters
    ----------
    plane : numpy.ndarray
        Full resolution, shape (Y, X), integer or floating point.
    levels : int
        How many, the full resolution included.

    Yields
    ------
    numpy.ndarray
        Each level, full resolution first, in the same dtype.
    """
    yield plane
    for _ in range(levels - 1):
        plane = halve(plane)
        yield plane


def halve(plane: NDArray[Any]) -> NDArray[Any]:
    """Take the mean of 2 x 2 pixels; of 2 or 1 where an odd side ends. Halves are rounded up.

    Parameters
    ----------
    plane : numpy.ndarray
        Shape (Y, X).

    Returns
    -------
    numpy.ndarray
        Shape (ceil(Y / 2), ceil(X / 2)), same dtype.
    """
    size_y, size_x = plane.shape
    if size_y % 2 or size_x % 2:
        # Repeating the last row or column makes the mean of 4 the mean of the 2 pixels (or of the 1) that there are.
        plane = np.pad(plane, ((0, size_y % 2), (0, size_x % 2)), mode="edge")
    if plane.dtype.kind == "f":
        rows = np.add(plane[0::2] * 0.5, plane[1::2] * 0.5)
        return np.asarray(rows[:, 0::2] * 0.5 + rows[:, 1::2] * 0.5, plane.dtype)
    wide = np.int32 if plane.dtype.itemsize < 4 else np.int64
    rows = np.add(plane[0::2], plane[1::2], dtype=wide)
    total = rows[:, 0::2] + rows[:, 1::2]
    total += 2
    total >>= 2
    return np.asarray(total, plane.dtype)
