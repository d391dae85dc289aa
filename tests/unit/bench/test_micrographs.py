"""Micrographs to measure with."""

from __future__ import annotations

import zlib

import numpy as np

from tests.bench.micrographs import micrograph

SHAPE = (1, 2, 1, 600, 700)


def test_fields_have_the_shape_that_was_asked_for_and_16_bits() -> None:
    field = micrograph(np.random.default_rng(1), SHAPE)
    assert field.shape == SHAPE
    assert field.dtype == np.uint16


def test_no_two_planes_are_alike_and_a_seed_gives_the_same_ones_again() -> None:
    field = micrograph(np.random.default_rng(1), SHAPE)
    assert not np.array_equal(field[0, 0, 0], field[0, 1, 0])
    assert np.array_equal(field, micrograph(np.random.default_rng(1), SHAPE))


def test_they_compress_as_a_cameras_images_do_neither_like_zeros_nor_like_chance() -> None:
    data = micrograph(np.random.default_rng(1), SHAPE).tobytes()
    assert 1.2 < len(data) / len(zlib.compress(data)) < 3.0
