"""Wells in the names of files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.results.model import SourceFile
from worker.results.wellnames import FieldPlace, WellNames, axis_index, letters, place_of


@given(st.integers(0, 26 * 27 - 1))
def test_a_row_is_found_by_its_letters(index: int) -> None:
    assert axis_index(letters(index)) == index


@pytest.mark.parametrize(("name", "index"), [("A", 0), ("af", 31), ("1", 0), ("12", 11), ("0", None), ("A1", None)])
def test_rows_and_columns_have_letters_or_numbers_from_1(name: str, index: int | None) -> None:
    assert axis_index(name) == index


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("p.zarr/A/1/0", FieldPlace("p.zarr", 0, 0, 0)),
        ("p.zarr/1/B/7", FieldPlace("p.zarr", 0, 1, 7)),
        ("my plate_AF48_s012.tif", FieldPlace("my plate", 31, 47, 11)),
        ("p.zarr/A/x/y", None),
        ("cells.tif", None),
    ],
)
def test_the_path_of_an_exported_field_says_where_it_belongs(path: str, place: FieldPlace | None) -> None:
    assert place_of(SourceFile(path, "Plate", 1, 2, "field")) == place
    assert place_of(SourceFile(path, "Image", 2, 2, "field")) is None


def test_a_plate_whose_name_was_changed_is_not_taken_for_another_one() -> None:
    names = ("plate.zarr", "plate_(1).zarr", "other.zarr")
    sources = [SourceFile(f"{name}/A/1/0", "Plate", number, number, "field") for number, name in enumerate(names)]
    wells = WellNames(sources, lambda name: [name.removesuffix(".zarr")])
    found = {text: wells.plate_named(text)[0] for text in ("plate_seg", "plate_(1)_seg", "plate_1_seg", "other_1_seg")}
    assert found == {"plate_seg": 0, "plate_(1)_seg": 1, "plate_1_seg": None, "other_1_seg": 2}
