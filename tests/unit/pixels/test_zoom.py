"""Planes at another size, against the same arithmetic in exact fractions, pixel by pixel."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from worker.pixels import zoom
from worker.pixels.choice import ZOOMS
from worker.pixels.zoom import zoomed, zoomed_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHRINKING, GROWING = (25, 50), (200, 300, 400)
SIDES = arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)


def mean(plane: NDArray[Any], factor: int, y: int, x: int) -> Fraction:
    block = [Fraction(int(v)) for v in plane[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor].ravel()]
    return sum(block, Fraction(0)) / len(block)


def interpolated(plane: NDArray[Any], factor: int, y: int, x: int) -> Fraction:
    def neighbours(place: int, size: int) -> list[tuple[int, Fraction]]:
        exact = Fraction(2 * place + 1, 2 * factor) - Fraction(1, 2)
        exact = min(max(exact, Fraction(0)), Fraction(size - 1))
        before = math.floor(exact)
        return [(before, 1 - (exact - before)), (min(before + 1, size - 1), exact - before)]

    return sum(
        (
            Fraction(int(plane[row, column])) * down * across
            for row, down in neighbours(y, plane.shape[0])
            for column, across in neighbours(x, plane.shape[1])
        ),
        Fraction(0),
    )


def expected(plane: NDArray[Any], percent: int) -> NDArray[Any]:
    size_y, size_x = (zoomed_size(size, percent) for size in plane.shape)
    return np.array(
        [
            [
                mean(plane, 100 // percent, y, x) if percent < 100 else interpolated(plane, percent // 100, y, x)
                for x in range(size_x)
            ]
            for y in range(size_y)
        ],
        dtype=object,
    ).reshape(size_y, size_x)


@pytest.mark.parametrize("percent", SHRINKING + GROWING)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
@settings(max_examples=30)
@given(data=st.data())
def test_whole_numbers_are_exact_and_halves_are_rounded_up(data: st.DataObject, dtype: str, percent: int) -> None:
    plane = data.draw(arrays.arrays(dtype, SIDES))
    result = zoomed(plane, percent)
    rounded = [math.floor(value + Fraction(1, 2)) for value in expected(plane, percent).ravel()]
    assert result.dtype == plane.dtype
    assert result.ravel().tolist() == rounded


@pytest.mark.parametrize("percent", SHRINKING + GROWING)
@settings(max_examples=30)
@given(plane=arrays.arrays("float32", SIDES, elements=st.integers(-1000, 1000)))
def test_floating_point_values_are_not_rounded(plane: NDArray[Any], percent: int) -> None:
    result = zoomed(plane, percent)
    assert result.dtype == np.float32
    assert np.allclose(result, expected(plane, percent).astype(float), rtol=1e-6, atol=1e-4)


def test_the_largest_values_do_not_overflow() -> None:
    for dtype in ("float32", "float64"):
        largest = np.full((4, 4), np.finfo(dtype).max, dtype)
        for percent in ZOOMS:
            assert np.isfinite(zoomed(largest, percent)).all()


def test_what_is_not_a_number_stays_so_and_spreads_to_its_block_alone() -> None:
    plane = np.ones((4, 6), "float32")
    plane[1, 4] = np.nan
    assert np.isnan(zoomed(plane, 50)).tolist() == [[False, False, True], [False, False, False]]


@pytest.mark.parametrize("percent", ZOOMS)
@pytest.mark.parametrize("size", [(1, 1), (1, 37), (33, 47), (64, 64)])
def test_a_flat_plane_stays_flat(percent: int, size: tuple[int, int]) -> None:
    result = zoomed(np.full(size, 65535, "uint16"), percent)
    assert result.shape == tuple(math.ceil(side * percent / 100) for side in size)
    assert (result == 65535).all()


@pytest.mark.parametrize("percent", ZOOMS)
def test_bands_leave_no_trace(percent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = np.random.default_rng(2).integers(0, 65536, (97, 61), "uint16")
    whole = zoomed(plane, percent)
    for pixels in (1, 300, 5000):
        monkeypatch.setattr(zoom, "BAND_PIXELS", pixels)
        assert np.array_equal(zoomed(plane, percent), whole)


def test_at_its_own_size_a_plane_is_itself() -> None:
    plane = np.arange(6).reshape(2, 3)
    assert zoomed(plane, 100) is plane
