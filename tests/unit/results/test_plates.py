"""Plates of results: what is a kind, and which acquisition stands for which."""

from __future__ import annotations

from pathlib import Path

import omero.clients
import omero.model
from omero.rtypes import rlong, rstring

from worker.results.model import SourceFile
from worker.results.outputs import Output
from worker.results.parts.plates import _distinct_kinds, _fewer_kinds, _Result
from worker.results.plates import _acquisitions
from worker.results.surroundings import WellPlace


def result(path: str, kind: str, field: int = 0) -> _Result:
    source = SourceFile(f"p.zarr/A/1/{field}", "Plate", 9, field, "field")
    return _Result(Output(path, Path(path), ""), source, WellPlace(9, 0, 0, field, None), kind)


def kinds(*results: _Result) -> list[str]:
    return [each.kind for each in _distinct_kinds(results)]


def test_results_of_one_kind_of_different_fields_share_a_plate() -> None:
    assert kinds(result("a_mask.tif", "mask"), result("b_mask.tif", "mask", 1)) == ["mask", "mask"]


def test_two_formats_of_one_result_do_not_share_a_field() -> None:
    assert kinds(result("a_mask.tif", "mask"), result("a_mask.png", "mask"), result("b_mask.tif", "mask", 1)) == [
        "mask_tif",
        "mask_png",
        "mask_tif",
    ]


def test_results_that_nothing_tells_apart_are_numbered() -> None:
    assert kinds(result("a/mask.tif", "mask"), result("a_mask.tif", "mask")) == ["mask_tif_1", "mask_tif_2"]


def test_a_kind_for_each_object_is_no_kind() -> None:
    many = [result(f"a_{number}.tif", str(number)) for number in range(21)]
    assert _fewer_kinds(many) == ([], [each.output for each in many])
    assert _fewer_kinds(many[:20]) == (many[:20], [])


def plate(*acquisitions: tuple[int, str | None]) -> omero.model.PlateI:
    made = omero.model.PlateI()
    for acquisition_id, name in acquisitions:
        acquisition = omero.model.PlateAcquisitionI(rlong(acquisition_id), True)
        acquisition.setName(None if name is None else rstring(name))
        made.addPlateAcquisition(acquisition)
    return made


def test_acquisitions_are_paired_by_what_they_say_and_not_by_the_order_in_which_they_were_saved() -> None:
    source = plate((1, "first"), (2, "second"), (3, None), (4, None))
    derived = plate((18, None), (17, "first"), (15, None), (16, "second"))
    assert _acquisitions(source, derived) == {1: 17, 2: 16, 3: 15, 4: 18}
