"""Colours of ROIs as persons write them and OMERO keeps them."""

from __future__ import annotations

import uuid

import pytest
from omero.gateway import ColorHolder

from worker.errors import RequestError
from worker.results.colours import PALETTE, colour_of_run, omero_colour, read_colour


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#102030", (16, 32, 48)),
        ("#10203040", (16, 32, 48, 64)),
        ("#ABCDEF", (171, 205, 239)),
        (" red ", (255, 0, 0)),
        ("LimeGreen", (50, 205, 50)),
    ],
)
def test_a_colour_is_a_number_or_a_name(text: str, expected: tuple[int, ...]) -> None:
    assert read_colour(text) == expected


@pytest.mark.parametrize("text", ["", "#12345", "reddish", "12345678", "#gggggg"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="is no colour for ROIs"):
        read_colour(text)


def test_a_run_has_always_the_same_colour_and_runs_have_different_ones() -> None:
    runs = [str(uuid.UUID(int=number)) for number in range(20)]
    assert [colour_of_run(run) for run in runs] == [colour_of_run(run) for run in runs]
    assert {colour_of_run(run) for run in runs} == set(PALETTE)
    assert all(len(read_colour(each)) == 3 for each in PALETTE)


@pytest.mark.parametrize("colour", [(0, 0, 0, 255), (255, 255, 255, 255), (255, 0, 0, 128), (16, 32, 48, 64)])
def test_omero_reads_the_number_back_as_the_colour(colour: tuple[int, int, int, int]) -> None:
    number = omero_colour(*colour)
    assert -(2**31) <= number < 2**31
    there = ColorHolder.fromRGBA(*colour)
    assert number == there.getInt()
