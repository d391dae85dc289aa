"""Rings: closed walks along the edges of pixels, divided where they touch themselves and joined where one is a hole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Point = tuple[int, int]
    Hanging = tuple[int, int]
    """Column in which a hole begins, and the hole."""


def area(ring: Integers) -> int:
    """Measure a ring.

    Parameters
    ----------
    ring : numpy.ndarray
        Its corners.

    Returns
    -------
    int
        How many pixels are inside; negative if it runs anticlockwise, as seen on a screen.
    """
    following = np.roll(ring, -1, axis=0)
    return int((ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum()) // 2


def loops(ring: Integers) -> Iterator[Integers]:
    """Divide a ring that touches itself into rings that do not.

    Parameters
    ----------
    ring : numpy.ndarray
        Its corners, shape (n, 2), x and y; the last is joined to the first.

    Yields
    ------
    numpy.ndarray
        One of them.
    """
    corners: list[tuple[int, int]] = []
    where: dict[tuple[int, int], int] = {}
    for x, y in ring.tolist():
        first = where.setdefault((x, y), len(corners))
        if first == len(corners):
            corners.append((x, y))
            continue
        yield np.array(corners[first:], np.int64)
        for left in corners[first + 1 :]:
            del where[left]
        del corners[first + 1 :]
    yield np.array(corners, np.int64)


def with_holes(outer: Sequence[Integers], holes: Sequence[Integers]) -> list[Integers]:
    """Join the edge of each hole to what lies above it, and give what becomes of the outer boundaries.

    Straight above the top left corner of a hole are pixels of the object, up to an edge: the outer one, or that of
    another hole, which begins higher up. So holes hang on each other and on outer boundaries like the leaves of trees.

    Parameters
    ----------
    outer : Sequence of numpy.ndarray
        The outer boundaries of the parts of an object.
    holes : Sequence of numpy.ndarray
        The edges of their holes.

    Returns
    -------
    list of numpy.ndarray
        For each part one ring, which runs clockwise around it, and anticlockwise around its holes.
    """
    rings = _oriented([*outer, *holes], len(outer))
    hanging: list[dict[int, list[Hanging]]] = [{} for _ in rings]
    order = sorted(range(len(outer), len(rings)), key=lambda hole: rings[hole][0][::-1])
    for hole, ring, side in _above(rings, order):
        hanging[ring].setdefault(side, []).append((rings[hole][0][0], hole))
    return [np.array(_walk(ring, rings, hanging), np.int64) for ring in range(len(outer))]


def _oriented(rings: Sequence[Integers], outer: int) -> list[list[Point]]:
    """Let the first rings run clockwise and all others anticlockwise, each from its top left corner."""
    ends = np.cumsum([len(ring) for ring in rings])
    starts = np.concatenate(([0], ends[:-1]))
    x, y = np.concatenate(rings).T
    following = np.arange(1, len(x) + 1)
    following[ends - 1] = starts
    clockwise = np.add.reduceat(x * y[following] - x[following] * y, starts) > 0
    # Ring by ring, each sorted by rows: the first one of each is the top left one.
    top_left = np.lexsort((x, y, np.repeat(np.arange(len(rings)), ends - starts)))[starts]
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    found = []
    for ring, (start, end, first) in enumerate(zip(starts.tolist(), ends.tolist(), top_left.tolist(), strict=True)):
        if clockwise[ring] == (ring < outer):
            found.append(points[first:end] + points[start:first])
        else:
            found.append((points[start : first + 1][::-1]) + points[first + 1 : end][::-1])
    return found


def _above(rings: Sequence[Sequence[Point]], holes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Find the side of a ring above the first corner of each hole; the holes come from top to bottom."""
    ring_of = [ring for ring, corners in enumerate(rings) for _ in corners]
    side_of = [side for corners in rings for side in range(len(corners))]
    here = np.array([corner for corners in rings for corner in corners])
    there = np.array([corner for corners in rings for corner in (*corners[1:], corners[0])])
    level = np.nonzero(here[:, 1] == there[:, 1])[0]
    level = level[np.argsort(here[level, 1], kind="stable")]
    left, right = np.minimum(here[level, 0], there[level, 0]), np.maximum(here[level, 0], there[level, 0])
    first_x = int(left.min())
    # For each column of pixels the lowest side so far.
    lowest = np.zeros(int(right.max()) - first_x, np.int64)
    # Plain lists: an element of an array costs ten times as much.
    rows, lefts, rights = here[level, 1].tolist(), (left - first_x).tolist(), (right - first_x).tolist()
    seen = 0
    for hole in holes:
        x, y = rings[hole][0]
        while rows[seen] < y:
            lowest[lefts[seen] : rights[seen]] = level[seen]
            seen += 1
        found = int(lowest[x - first_x])
        yield hole, ring_of[found], side_of[found]


def _walk(
    outer: int, rings: Sequence[Sequence[Point]], hanging: Sequence[Mapping[int, Sequence[Hanging]]]
) -> list[Point]:
    """Go around an outer boundary, and from its sides down to the holes that hang there, around them and back."""
    path: list[Point] = []
    # Not a call within a call: holes may hang on each other by the thousand.
    under_way = [(outer, _steps(rings[outer], hanging[outer]))]
    while under_way:
        ring, steps = under_way[-1]
        for point, hole in steps:
            if not path or path[-1] != point:
                path.append(point)
            if hole is not None:
                under_way.append((hole, _steps(rings[hole], hanging[hole])))
                break
        else:
            under_way.pop()
            if under_way:
                path.append(rings[ring][0])
    if path[-1] == path[0]:
        path.pop()
    return path


def _steps(corners: Sequence[Point], hanging: Mapping[int, Sequence[Hanging]]) -> Iterator[tuple[Point, int | None]]:
    """Give the points along a ring, each with the hole that is to be visited from there."""
    for side, (x, y) in enumerate(corners):
        yield (x, y), None
        to_the_left = corners[(side + 1) % len(corners)][0] < x
        for hole_x, hole in sorted(hanging.get(side, ()), reverse=to_the_left):
            yield (hole_x, y), hole
            yield (hole_x, y), None
