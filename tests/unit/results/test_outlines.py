"""Outlines of label planes: every pixel of an object is inside, and no other one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.draw import disk, polygon2mask
from skimage.measure import label as parts_of

from worker.errors import ResultsError
from worker.results import outlines
from worker.results.outlines import Mask, Outline, Polygon, boundaries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Plane = NDArray[Any]


def plane(*rows: str) -> Plane:
    """A label plane, drawn: a digit is a label, a dot is background."""
    return np.array([[0 if each == "." else int(each) for each in row] for row in rows])


def polygons(*bands: Plane) -> list[Outline]:
    return list(boundaries(bands).polygons())


def masks(*bands: Plane) -> list[Outline]:
    return list(boundaries(bands).masks())


def corners(shape: Polygon | Mask) -> list[tuple[int, ...]]:
    assert isinstance(shape, Polygon)
    return [tuple(corner) for corner in shape.corners.tolist()]


def drawn(outline: Outline, shape: tuple[int, ...]) -> Plane:
    """The pixels of an outline, found by others: numpy unpacks masks, scikit-image fills polygons."""
    pixels = np.zeros(shape, np.int64)
    for each in outline.shapes:
        if isinstance(each, Mask):
            bits = np.unpackbits(np.frombuffer(each.bits, np.uint8), count=each.width * each.height)
            pixels[each.y : each.y + each.height, each.x : each.x + each.width] += bits.reshape(each.height, each.width)
        else:
            # scikit-image counts from the centre of a pixel, and we from its corner.
            pixels += polygon2mask(shape, each.corners[:, ::-1] - 0.5)
    return pixels


def holes_in(pixels: Plane) -> int:
    """Holes of an object, those that are open at a corner too: parts of the background, found by others."""
    return int(parts_of(np.pad(pixels == 0, 1, constant_values=True), connectivity=1).max()) - 1


def area(ring: Sequence[tuple[int, ...]]) -> float:
    following = [*ring[1:], ring[0]]
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(ring, following, strict=True))) / 2


planes = arrays.arrays(
    np.int64,
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.integers(0, 3),
    fill=st.integers(0, 3),
)


@given(planes)
def test_masks_hold_exactly_the_pixels_of_each_object(labels: Plane) -> None:
    found = masks(labels)
    assert [each.label for each in found] == sorted(set(labels.flat) - {0})
    for outline in found:
        assert (drawn(outline, labels.shape) == (labels == outline.label)).all()


def turns(ring: Sequence[tuple[int, ...]], shape: tuple[int, ...]) -> Plane:
    """How many times a ring runs around the centre of each pixel, clockwise."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    found = np.zeros(shape, np.int64)
    for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
        found += ((x1 > x) & (y1 < y) & (y < y2)).astype(int) - ((x1 > x) & (y2 < y) & (y < y1)).astype(int)
        assert x1 == x2 or y1 == y2
    return found


@given(planes)
def test_polygons_hold_exactly_the_pixels_of_each_object_by_either_rule_of_filling(labels: Plane) -> None:
    found = polygons(labels)
    assert [each.label for each in found] == sorted(set(labels.flat) - {0})
    for outline in found:
        mine = labels == outline.label
        assert (drawn(outline, labels.shape) == mine).all()
        for shape in outline.shapes:
            around = turns(corners(shape), labels.shape)
            assert set(around.flat) <= {0, 1}
            assert area(corners(shape)) == around.sum() == (around.astype(bool) & mine).sum()


@settings(deadline=None)  # scikit-image loads its parts when they are first needed
@given(planes)
def test_a_polygon_without_holes_turns_at_each_corner_and_meets_no_point_twice(labels: Plane) -> None:
    for outline in polygons(labels):
        for shape in outline.shapes:
            ring = corners(shape)
            assert len(ring) >= 4
            assert all(one != other for one, other in zip(ring, [*ring[1:], ring[0]], strict=True))
            if not holes_in(drawn(Outline(outline.label, (shape,)), labels.shape)):  # type: ignore[arg-type]  # a polygon
                assert len(set(ring)) == len(ring)
                sides = [a[0] == b[0] for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)]
                assert all(one != other for one, other in zip(sides, [*sides[1:], sides[0]], strict=True))


@given(planes, st.integers(1, 5))
def test_a_plane_in_bands_has_the_outlines_of_the_whole_plane(labels: Plane, rows: int) -> None:
    bands = [labels[top : top + rows] for top in range(0, len(labels), rows)]
    assert masks(*bands) == masks(labels)
    assert [[corners(shape) for shape in each.shapes] for each in polygons(*bands)] == [
        [corners(shape) for shape in each.shapes] for each in polygons(labels)
    ]


def test_round_objects_are_found_again() -> None:
    rng = np.random.default_rng(7)
    labels = np.zeros((200, 220), np.uint16)
    for label in range(1, 61):
        labels[disk(rng.uniform(0, 200, 2), rng.uniform(0.5, 15), shape=labels.shape)] = label
    for outline in polygons(labels):
        mine = labels == outline.label
        whole = drawn(outline, labels.shape).astype(bool)
        assert (whole & mine).sum() / (whole | mine).sum() >= 0.95


def test_one_pixel_is_a_square_around_it() -> None:
    (outline,) = polygons(plane("...", ".7.", "..."))
    assert outline.label == 7
    assert [corners(shape) for shape in outline.shapes] == [[(1, 1), (2, 1), (2, 2), (1, 2)]]


def test_an_object_that_fills_the_plane_ends_where_the_plane_ends() -> None:
    (outline,) = polygons(plane("11", "11", "11"))
    assert [corners(shape) for shape in outline.shapes] == [[(0, 0), (2, 0), (2, 3), (0, 3)]]


def test_neighbours_share_their_border() -> None:
    left, right = polygons(plane("12", "12"))
    assert set(corners(left.shapes[0])) & set(corners(right.shapes[0])) == {(1, 0), (1, 2)}


def test_parts_of_an_object_have_an_outline_each() -> None:
    labels = plane("1..", "...", "..1")
    assert [len(each.shapes) for each in polygons(labels)] == [2]
    assert [(each.x, each.y) for each in masks(labels)[0].shapes if isinstance(each, Mask)] == [(0, 0), (2, 2)]


def test_pixels_that_touch_at_a_corner_are_two_parts() -> None:
    for labels in (plane("1.", ".1"), plane(".1", "1.")):
        assert [area(corners(shape)) for each in polygons(labels) for shape in each.shapes] == [1, 1]


def test_a_polygon_goes_down_to_a_hole_around_it_the_other_way_and_back() -> None:
    (outline,) = polygons(plane("111", "1.1", "111"))
    assert [corners(shape) for shape in outline.shapes] == [
        [(0, 0), (1, 0), (1, 1), (1, 2), (2, 2), (2, 1), (1, 1), (1, 0), (3, 0), (3, 3), (0, 3)]
    ]


def test_holes_below_and_beside_each_other_are_all_cut_out() -> None:
    labels = plane("1111111", "1.1.1.1", "1.11111", "111.1.1", "1.1.1.1", "1111111")
    (outline,) = polygons(labels)
    assert len(outline.shapes) == 1
    assert (drawn(outline, labels.shape) == labels).all()


def test_a_hole_that_is_open_at_a_corner_only_does_not_make_the_polygon_touch_itself() -> None:
    labels = plane("111", "1.1", "11.")
    (outline,) = polygons(labels)
    assert (drawn(outline, labels.shape) == labels).all()
    (ring,) = (corners(shape) for shape in outline.shapes)
    assert area(ring) == 7


def test_what_lies_in_a_hole_is_a_part_of_its_own() -> None:
    labels = plane("11111", "1...1", "1.1.1", "1...1", "11111")
    (polygon,), (mask,) = polygons(labels), masks(labels)
    assert [area(corners(shape)) for shape in polygon.shapes] == [16, 1]
    assert (drawn(polygon, labels.shape) == labels).all()
    assert (drawn(mask, labels.shape) == labels).all()


def test_thousands_of_holes_are_cut_out_too() -> None:
    labels = np.ones((200, 200), np.uint8)
    labels[1:-1:2, 1:-1:2] = 0
    (outline,) = polygons(labels)
    assert [area(corners(shape)) for shape in outline.shapes] == [labels.sum()]


def test_an_outline_with_too_many_corners_for_a_polygon_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlines, "POLYGON_CORNERS", 10)
    with pytest.raises(ResultsError, match=r"object 1 has 11 corners.*Choose masks"):
        polygons(plane("111", "1.1", "111"))


def test_the_bits_of_a_mask_run_on_from_row_to_row_with_the_highest_bit_first() -> None:
    (outline,) = masks(plane("....", ".111", ".1.1", ".111"))
    assert outline.shapes == (Mask(1, 1, 3, 3, bytes([0b11110111, 0b10000000])),)


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">u2", "uint32", "int64", "uint64", "bool"])
def test_labels_of_any_integer_type_are_kept(dtype: str) -> None:
    largest = 1 if dtype == "bool" else int(np.iinfo(dtype).max)
    labels = np.zeros((3, 4), dtype)
    labels[1, 1:3] = largest
    assert [each.label for each in polygons(labels)] == [largest]


def test_labels_may_be_far_apart() -> None:
    labels = np.zeros((2, 3), np.uint64)
    labels[0, 0], labels[1, 2] = 5, 2**63 + 1
    assert [each.label for each in masks(labels)] == [5, 2**63 + 1]


@pytest.mark.parametrize("size", [(0, 0), (3, 0), (4, 5)])
def test_a_plane_without_objects_has_no_outlines(size: tuple[int, int]) -> None:
    found = boundaries([np.zeros(size, np.uint8)])
    assert (len(found), found.parts, list(found.polygons()), list(found.masks())) == (0, 0, [], [])


def test_an_object_too_large_for_a_mask_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlines, "MASK_PIXELS", 5)
    with pytest.raises(ResultsError, match=r"Object 3 is 2 x 3 pixels large.*Choose polygons"):
        masks(plane("33", "33", "33"))


def test_parts_are_counted_without_holes() -> None:
    assert boundaries([plane("111..2", "1.1...", "111..2")]).parts == 3
