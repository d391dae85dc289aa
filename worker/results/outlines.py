"""Outlines of the objects of a label plane, exactly as their pixels lie: polygons along the edges of pixels, and masks.

A pixel (x, y) is the square from (x, y) to (x + 1, y + 1), as OMERO's viewers and ImageJ draw shapes: a rectangle at
(0, 0) as wide as the image covers all of it. So the corners of an outline are whole numbers, an object of one pixel is
a square, and the area of a polygon is the number of its pixels.

An object is a label. Pixels of it that touch only at a corner are two parts of it, and each part has a shape of its
own. OMERO's polygons have one boundary: where a part has a hole, it runs from the edge above straight down to the hole,
around it the other way, and back by the way it came. So the hole is outside, by either of the rules after which
programs fill polygons, and the area is right; what can be seen is a line. A polygon without holes never touches itself.

How it is done: a corner is a point between four pixels where the boundary of an object turns. Sorted along the rows,
each two corners of an object are the ends of a horizontal edge; sorted along the columns, of a vertical one; following
the edges in turn gives the rings. And an object's mask is what two running exclusive-ors over its corners leave. Only
corners are kept, so that a plane may come in bands of rows and never be in memory as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from worker.errors import ResultsError
from worker.results.rings import area, loops, with_holes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

MASK_PIXELS: Final = 2**26
"""Largest box of one mask: 8 MiB as bits, and 64 MiB while it is made."""

POLYGON_CORNERS: Final = 2**20
"""Most corners of one polygon: about 10 MiB as text, which clients get whole."""

_PICTURE_CORNERS: Final = 2**16
"""So many corners, and more than one for each pixel, are no outlines of objects: it is a picture."""

_TOP_LEFT, _TOP_RIGHT, _BOTTOM_LEFT, _BOTTOM_RIGHT = 1, 2, 4, 8
_DIAGONAL: Final = _TOP_LEFT | _BOTTOM_RIGHT
_ANTIDIAGONAL: Final = _TOP_RIGHT | _BOTTOM_LEFT
_TURNS: Final = np.array(
    [2 if pattern in (_DIAGONAL, _ANTIDIAGONAL) else pattern.bit_count() % 2 for pattern in range(16)]
)
"""For each choice of the four pixels around a point, how many times their boundary turns there."""


@dataclass(frozen=True, slots=True)
class Polygon:
    """The boundary of one part of an object, around its holes too.

    Parameters
    ----------
    corners : numpy.ndarray
        Its corners, shape (n, 2), x and y; the last is joined to the first.
    """

    corners: Integers


@dataclass(frozen=True, slots=True)
class Mask:
    """The pixels of an object, or of some of its parts.

    Parameters
    ----------
    x, y, width, height : int
        The box that the pixels lie in.
    bits : bytes
        One bit for each pixel of the box, row after row, the highest bit of a byte first; a row begins where the
        one before it ends, and only the last byte is filled up with zeros. That is OMERO's ``Mask.bytes``.
    """

    x: int
    y: int
    width: int
    height: int
    bits: bytes


@dataclass(frozen=True, slots=True)
class Outline:
    """One object of a plane.

    Parameters
    ----------
    label : int
        Its number in the label image.
    shapes : tuple of Polygon or Mask
        Its outlines.
    """

    label: int
    shapes: tuple[Polygon, ...] | tuple[Mask, ...]


@dataclass(frozen=True, slots=True)
class Boundaries:
    """The boundaries of all objects of a plane, in the order of their labels.

    Parameters
    ----------
    labels : numpy.ndarray
        The labels.
    rings_of : numpy.ndarray
        For each label where its rings begin, and at the end where the last one's end.
    ring_at : numpy.ndarray
        For each ring where its corners begin, and at the end where the last one's end.
    outer : numpy.ndarray
        For each ring whether it is the outside of something, or the edge of a hole.
    x, y : numpy.ndarray
        The corners.
    pinched : numpy.ndarray
        For each corner whether the object has another one at the same point.
    """

    labels: NDArray[Any]
    rings_of: Integers
    ring_at: Integers
    outer: NDArray[np.bool_]
    x: Integers
    y: Integers
    pinched: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def parts(self) -> int:
        """How many separate parts all objects have together."""
        return int(self.outer.sum())

    def polygons(self) -> Iterator[Outline]:
        """Give the objects as polygons.

        Yields
        ------
        Outline
            One object.

        Raises
        ------
        ResultsError
            If an object has too many corners for a polygon.
        """
        for index, label in enumerate(self.labels.tolist()):
            outer: list[Integers] = []
            holes: list[Integers] = []
            for ring in range(self.rings_of[index], self.rings_of[index + 1]):
                span = slice(self.ring_at[ring], self.ring_at[ring + 1])
                corners = np.stack((self.x[span], self.y[span]), axis=1)
                if not self.pinched[span].any():
                    (outer if self.outer[ring] else holes).append(corners)
                    continue
                for loop in loops(corners):
                    (outer if (area(loop) > 0) == self.outer[ring] else holes).append(loop)
            found = with_holes(outer, holes) if holes else outer
            most = max(len(each) for each in found)
            if most > POLYGON_CORNERS:
                raise ResultsError(
                    f"The outline of object {label} has {most:,} corners, too many for a polygon in OMERO.",
                    remedy="Choose masks as the shape of ROIs.",
                )
            yield Outline(label, tuple(Polygon(each) for each in found))

    def masks(self) -> Iterator[Outline]:
        """Give the objects as masks, parts in boxes of their own where rows or columns lie between them.

        Yields
        ------
        Outline
            One object.

        Raises
        ------
        ResultsError
            If an object is too large for a mask.
        """
        for index, label in enumerate(self.labels.tolist()):
            first, last = self.rings_of[index], self.rings_of[index + 1]
            rings = np.arange(first, last)
            groups = [rings] if last - first == 1 else _apart(rings, self._boxes(rings))
            yield Outline(label, tuple(self._mask(label, group) for group in groups))

    def _boxes(self, rings: Integers) -> Integers:
        """Give the boxes of rings, shape (n, 4): left, right, top, bottom."""
        first, last = self.ring_at[rings[0]], self.ring_at[rings[-1] + 1]
        x, y, at = self.x[first:last], self.y[first:last], self.ring_at[rings] - first
        ends = [reduce.reduceat(values, at) for values in (x, y) for reduce in (np.minimum, np.maximum)]
        return np.stack(ends, axis=1)

    def _mask(self, label: int, rings: Integers) -> Mask:
        spans = [np.arange(self.ring_at[ring], self.ring_at[ring + 1]) for ring in rings]
        at = spans[0] if len(spans) == 1 else np.concatenate(spans)
        x, y = self.x[at], self.y[at]
        left, top = int(x.min()), int(y.min())
        width, height = int(x.max()) - left, int(y.max()) - top
        if width * height > MASK_PIXELS:
            raise ResultsError(
                f"Object {label} is {width} x {height} pixels large, too large for a mask in OMERO.",
                remedy="Choose polygons as the shape of ROIs.",
            )
        turns = np.zeros((height + 1, width + 1), np.uint8)
        # Two corners at the same point undo each other.
        np.bitwise_xor.at(turns, (y - top, x - left), 1)
        inside = np.bitwise_xor.accumulate(turns, axis=0)[:-1]
        inside = np.bitwise_xor.accumulate(inside, axis=1)[:, :-1]
        return Mask(left, top, width, height, np.packbits(inside).tobytes())


def boundaries(bands: Iterable[NDArray[Any]]) -> Boundaries:
    """Find the boundaries of the objects of a label plane.

    Parameters
    ----------
    bands : Iterable of numpy.ndarray
        The plane in bands of rows from top to bottom, each of shape (rows, X), of an integer type; 0 is background.

    Returns
    -------
    Boundaries
        Those of all its objects.

    Raises
    ------
    ResultsError
        If there are boundaries nearly everywhere, as in a picture.
    """
    found = [corners for corners in _corners(bands) if len(corners[0])]
    if not found:
        nothing = np.zeros(0, np.int64)
        start = np.zeros(1, np.int64)
        flags = np.zeros(0, np.bool_)
        return Boundaries(nothing, start, start, flags, nothing, nothing, flags)
    label, x, y, pattern, below = (np.concatenate(part) for part in zip(*found, strict=True))
    labels, rank = np.unique(label, return_inverse=True)
    # Corners come row by row, the left one of two at the same point first.
    order = np.argsort(rank, kind="stable")
    rank, x, y, pattern, below = (part[order] for part in (rank, x, y, pattern, below))
    pinched = (pattern == _DIAGONAL) | (pattern == _ANTIDIAGONAL)
    down = np.lexsort((below, y, x, rank))
    opposite = np.empty(len(rank), np.int64)
    opposite[down[0::2]], opposite[down[1::2]] = down[1::2], down[0::2]
    path, ring_at = _follow(opposite)
    starts = path[ring_at[:-1]]
    rings_of = np.searchsorted(rank[starts], np.arange(len(labels) + 1))
    outer = (pattern[starts] & _BOTTOM_RIGHT) != 0
    return Boundaries(labels, rings_of, ring_at, outer, x[path], y[path], pinched[path])


def _corners(bands: Iterable[NDArray[Any]]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Find the corners in each band: label, x, y, pattern of the pixels around, whether the vertical edge goes down.

    Where two pixels of an object touch at a corner only, there are two corners: the one whose horizontal edge goes to
    the left, then the one whose edge goes to the right.
    """
    above: NDArray[Any] | None = None
    top = count = 0
    for band in _closed(bands):
        padded = np.zeros((len(band) + 1, band.shape[1] + 2), band.dtype)
        padded[1:, 1:-1] = band
        if above is not None:
            padded[0, 1:-1] = above
        above = band[-1]
        across = padded[:, 1:] != padded[:, :-1]
        along = padded[1:] != padded[:-1]
        y, x = np.nonzero((across[1:] | across[:-1]) & (along[:, 1:] | along[:, :-1]))
        around = np.stack((padded[y, x], padded[y, x + 1], padded[y + 1, x], padded[y + 1, x + 1]))
        found = _turns(around, x, y + top)
        top += len(band)
        count += len(found[0])
        if count > max(_PICTURE_CORNERS, top * band.shape[1]):
            raise ResultsError(
                "It looks like a picture, not like labels: nearly every pixel differs from the next one."
            )
        yield found


def _closed(bands: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """Put a row of background under the last band."""
    last = None
    for band in bands:
        if band.size:
            last = band
            yield band
    if last is not None:
        yield np.zeros((1, last.shape[1]), last.dtype)


def _turns(around: NDArray[Any], x: Integers, y: Integers) -> tuple[NDArray[Any], ...]:
    """Tell, at each point, which of the four labels around it turn there."""
    points, labels, patterns = [], [], []
    for slot in range(4):
        # Each label once, by the first of its pixels.
        new = around[slot] != 0
        for before in range(slot):
            new &= around[before] != around[slot]
        point = np.nonzero(new)[0]
        label = around[slot, point]
        pattern = np.zeros(len(point), np.uint8)
        for each in range(slot, 4):
            pattern |= (around[each, point] == label).astype(np.uint8) << each
        points.append(point)
        labels.append(label)
        patterns.append(pattern)
    point, label, pattern = np.concatenate(points), np.concatenate(labels), np.concatenate(patterns)
    at = np.repeat(np.arange(len(point)), _TURNS[pattern])
    second = np.zeros(len(at), np.bool_)
    second[1:] = at[1:] == at[:-1]
    # Row by row, and in it from left to right.
    order = np.argsort(point[at], kind="stable")
    at, second = at[order], second[order]
    return label[at], x[point[at]], y[point[at]], pattern[at], second ^ (pattern[at] == _ANTIDIAGONAL)


def _follow(opposite: Integers) -> tuple[Integers, Integers]:
    """Follow the edges around each ring.

    Parameters
    ----------
    opposite : numpy.ndarray
        For each corner the other end of its vertical edge. The other end of the horizontal one is its neighbour: of 0
        it is 1, of 2 it is 3.

    Returns
    -------
    path : numpy.ndarray
        The corners in the order in which they are met, ring after ring, each beginning with the top left one.
    ring_at : numpy.ndarray
        Where in the path each ring begins, and at the end where the last one ends.
    """
    # Plain lists: an element of an array costs ten times as much.
    across = opposite.tolist()
    met = bytearray(len(across))
    path: list[int] = []
    ring_at: list[int] = []
    for start in range(0, len(across), 2):
        if met[start]:
            continue
        ring_at.append(len(path))
        corner = start
        while not met[corner]:
            neighbour = corner ^ 1
            met[corner] = met[neighbour] = 1
            path += (corner, neighbour)
            corner = across[neighbour]
    return np.array(path, np.int64), np.array([*ring_at, len(path)], np.int64)


def _apart(rings: Integers, boxes: Integers) -> list[Integers]:
    """Group rings so that rows or columns lie between the groups."""
    groups = []
    waiting = [np.arange(len(rings))]
    while waiting:
        group = waiting.pop()
        for low, high in ((0, 1), (2, 3)):
            group = group[np.argsort(boxes[group, low], kind="stable")]
            reach = np.maximum.accumulate(boxes[group, high])
            cuts = np.nonzero(boxes[group[1:], low] >= reach[:-1])[0] + 1
            if len(cuts):
                waiting += reversed(np.split(group, cuts))
                break
        else:
            groups.append(np.sort(rings[group]))
    return groups
