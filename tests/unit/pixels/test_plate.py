"""Names of rows, columns and wells."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.pixels.plate import axis_names, letters, well_label


def test_wells_of_every_standard_plate_have_a_label() -> None:
    assert (well_label(0, 0), well_label(7, 11), well_label(31, 47)) == ("A01", "H12", "AF48")


@given(st.integers(min_value=0, max_value=20_000))
def test_letters_count_as_in_a_spreadsheet(index: int) -> None:
    value = 0
    for letter in letters(index):
        value = value * 26 + ord(letter) - ord("A") + 1
    assert value == index + 1


def test_axes_follow_the_naming_convention_of_the_plate() -> None:
    assert axis_names(3, "letter") == ("A", "B", "C")
    assert axis_names(3, "number") == ("1", "2", "3")
