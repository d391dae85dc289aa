"""Resolution pyramids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pixels.pyramid import halve, level_scale, level_shapes, pyramid


def test_levels_end_when_the_longer_side_is_small() -> None:
    assert level_shapes(1024, 600) == ((1024, 600), (512, 300), (256, 150))
    assert level_shapes(256, 256) == ((256, 256),)


def test_an_odd_side_is_rounded_up_and_loses_no_pixel() -> None:
    assert level_shapes(1001, 513) == ((1001, 513), (501, 257), (251, 129))


def test_the_spacing_of_pixels_doubles_exactly_whatever_the_sizes_are() -> None:
    shapes = level_shapes(1001, 513)
    assert [level_scale(shapes, level) for level in range(3)] == [(1, 1), (2, 2), (4, 4)]


def test_a_side_of_one_pixel_is_not_halved_any_more() -> None:
    shapes = level_shapes(1, 1024)
    assert shapes == ((1, 1024), (1, 512), (1, 256))
    assert level_scale(shapes, 2) == (1, 4)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
def test_a_level_is_the_mean_of_two_by_two_pixels_in_the_same_type(dtype: str) -> None:
    plane = np.array([[1, 3, 10, 10], [5, 7, 10, 10]], dtype)
    level = halve(plane)
    assert level.tolist() == [[4, 10]]
    assert level.dtype == plane.dtype


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_extreme_values_do_not_overflow(dtype: str) -> None:
    limits = np.iinfo(dtype)
    for value in (limits.min, limits.max):
        assert halve(np.full((3, 3), value, dtype)).tolist() == [[value, value], [value, value]]


def test_large_floating_point_values_do_not_overflow() -> None:
    largest = np.finfo("f4").max
    assert halve(np.full((2, 2), largest, "f4"))[0, 0] == largest


def test_the_end_of_an_odd_side_is_the_mean_of_what_there_is() -> None:
    plane = np.array([[0, 0, 4], [0, 0, 6], [8, 2, 9]], "u2")
    assert halve(plane).tolist() == [[0, 5], [5, 9]]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_levels_have_their_sizes_and_stay_within_the_values(size_y: int, size_x: int, seed: int) -> None:
    plane = np.random.default_rng(seed).integers(0, 65536, (size_y, size_x), "u2")
    shapes = level_shapes(size_y, size_x, smallest=3)
    levels = list(pyramid(plane, len(shapes)))
    assert tuple(level.shape for level in levels) == shapes
    assert all(plane.min() <= level.min() and level.max() <= plane.max() for level in levels)
