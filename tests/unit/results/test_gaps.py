"""What a plate of results has nothing of, in words."""

from __future__ import annotations

from worker.results.gaps import describe_gaps
from worker.results.surroundings import WellPlace

MOVED = "OMERO numbers the fields of a well without gaps"


def analysed(*places: tuple[int, int, int]) -> dict[int, WellPlace]:
    return {number: WellPlace(9, *place, None) for number, place in enumerate(places)}


TWO_WELLS = analysed((0, 0, 0), (0, 0, 1), (0, 0, 2), (7, 11, 0), (7, 11, 1))


def test_a_whole_plate_has_no_gaps() -> None:
    assert describe_gaps("p_mask", TWO_WELLS, range(5)) == ""


def test_wells_without_any_result_are_named() -> None:
    assert describe_gaps("p_mask", TWO_WELLS, (0, 1, 2)) == (
        "Plate p_mask has no result of 2 of the 5 analysed fields: H12."
    )


def test_fields_are_named_where_a_well_has_others() -> None:
    told = describe_gaps("p_mask", TWO_WELLS, (1, 3, 4))
    assert told.startswith("Plate p_mask has no result of 2 of the 5 analysed fields: A1 (field 1, 3). ")
    assert MOVED in told


def test_nothing_moves_up_where_the_last_fields_are_missing() -> None:
    assert MOVED not in describe_gaps("p_mask", TWO_WELLS, (0, 1, 3))


def test_of_very_many_wells_the_first_are_named() -> None:
    many = analysed(*((row, column, 0) for row in range(16) for column in range(24)))
    assert describe_gaps("p_mask", many, ()).endswith(", D22, D23, D24 and 288 more wells.")
