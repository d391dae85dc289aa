"""Reading what was filled in."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.dialogs.reading import as_typed, read_output, read_request
from worker.engine.request import parse_request
from worker.errors import RequestError
from worker.results.model import ImportOptions

if TYPE_CHECKING:
    from worker.analyses.catalogue import Catalogue, CatalogueEntry


def single(value: float) -> float:
    """What OMERO makes of a number on its way through an RFloat."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


@pytest.fixture
def inputs() -> dict[str, Any]:
    return {
        "Data_Type": "Image",
        "IDs": [51, 52],
        "nuclei": True,
        "nuclei_Version": "v2",
        "spot_counter": False,
        "spot_counter_Version": "",
    }


def test_what_was_filled_in_becomes_a_request(inputs: dict[str, Any], catalogue: Catalogue, alice: Any) -> None:
    request = parse_request(read_request({**inputs, "nuclei_|_diameter": 12}, catalogue, alice))
    assert (request.data_type, request.ids) == ("Image", (51, 52))
    assert request.workflows[0].model_dump(exclude_defaults=True) == {
        "name": "nuclei",
        "version": "v2",
        "parameters": {"diameter": 12, "threshold": 0.1, "model": "fast"},
    }
    assert (request.user_id, request.user_name, request.group_id, request.group_name) == (3, "alice", 5, "cells")
    assert (request.email, request.cleanup, request.use_zarr) == ("alice@example.org", True, False)


def test_the_request_says_which_descriptor_was_shown(inputs: dict[str, Any], catalogue: Catalogue, alice: Any) -> None:
    entries = tuple(replace(entry, sha256="d" * 64) for entry in catalogue.entries)
    request = parse_request(read_request(inputs, replace(catalogue, entries=entries), alice))
    assert request.workflows[0].descriptor_sha256 == "d" * 64


def test_an_untouched_dialog_gives_the_default_import_options(inputs: dict[str, Any]) -> None:
    assert ImportOptions.from_json(read_output(inputs)) == ImportOptions()


def test_a_dataset_is_named_or_declined() -> None:
    assert read_output({"3a) Import into NEW Dataset": " Cells "})["new_dataset"] == "Cells"
    assert read_output({"3a) Import into NEW Dataset": "--NO THANK YOU--"})["new_dataset"] is None
    assert read_output({"3a) Import into NEW Dataset": ""})["new_dataset"] is None


def test_how_results_are_imported_is_read_field_by_field() -> None:
    options = ImportOptions.from_json(
        read_output(
            {
                "1) Zip attachment to parent": False,
                "2) Attach to original images": True,
                "3b) Allow duplicate dataset (name)?": True,
                "Dataset_ID": 9,
                "3c) Rename the imported images": "{original_file}_labels.{ext}",
                "4) Upload result CSVs as OMERO tables": False,
                "5) Attach individual non-image output files": True,
            }
        )
    )
    assert options.to_json() == {
        **ImportOptions().to_json(),
        "zip_to_parent": False,
        "attach_to_images": True,
        "allow_duplicate_dataset": True,
        "dataset_id": 9,
        "rename": "{original_file}_labels.{ext}",
        "csv_tables": False,
        "attach_files": True,
    }


def test_zero_in_the_field_of_an_id_is_no_id() -> None:
    # OMERO.web sends the prototype of a number field that nobody touched.
    assert read_output({"Dataset_ID": 0})["dataset_id"] is None


NOTHING = {"1) Zip attachment to parent": False, "4) Upload result CSVs as OMERO tables": False}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"IDs": []}, "'IDs' is empty"),
        ({"IDs": None}, "'IDs' is empty"),
        ({"IDs": [0]}, "'IDs' holds 0"),
        ({"Data_Type": "Well"}, "'Data Type' is 'Well'"),
        ({"OME-Zarr_version": "0.6"}, "'OME-Zarr version' is '0.6'"),
        ({"nuclei": False}, "No workflow is chosen"),
        ({"nuclei_Version": ""}, "'nuclei Version' is empty"),
        ({"nuclei_Version": "v3"}, "'nuclei Version' is 'v3', which is not on the cluster"),
        ({"spot_counter": True}, "No version of 'spot counter' is on the cluster"),
        ({"gone": True, "gone_Version": "v1"}, "The workflow 'gone' is not known any more"),
        ({"nuclei_|_diameter": 501}, "'nuclei | diameter': 501 is not allowed"),
        ({"nuclei_|_model": "best"}, "'nuclei | model': 'best' is not allowed"),
        ({"nuclei_|_FILE_model": [7]}, "'nuclei | FILE model' is not a parameter of 'nuclei'"),
        (NOTHING, "Nothing is chosen under 'Select how to import your results (one or more)'"),
        ({"Dataset_ID": -4}, "'Dataset ID' is -4"),
        ({"6c) ROI shape": "Circle", "6a) Create ROIs from label images": True}, "'6c) ROI shape' is 'Circle'"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_words_of_the_dialog(
    inputs: dict[str, Any], catalogue: Catalogue, alice: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=re.escape(message)) as caught:
        read_request({**inputs, **changes}, catalogue, alice)
    assert caught.value.remedy


def test_one_field_allows_duplicates_of_datasets_and_of_screens() -> None:
    options = read_output({"3a) Import into NEW Screen": "Plates", "3b) Allow duplicate dataset (name)?": True})
    assert (options["new_screen"], options["allow_duplicate_screen"]) == ("Plates", True)


def test_rois_are_drawn_without_importing_their_label_images() -> None:
    options = ImportOptions.from_json(
        read_output(
            {"6a) Create ROIs from label images": True, "6b) Label image pattern": "mask", "6c) ROI shape": "Mask"}
        )
    )
    assert (options.create_rois, options.roi_label_pattern, options.roi_shape) == (True, "mask", "Mask")
    assert not options.imports_images


def test_ids_are_taken_once_in_their_order(inputs: dict[str, Any], catalogue: Catalogue, alice: Any) -> None:
    assert read_request({**inputs, "IDs": [9, 3, 9]}, catalogue, alice)["ids"] == [9, 3]


def test_what_the_server_sets_is_ignored(inputs: dict[str, Any], catalogue: Catalogue, alice: Any) -> None:
    request = read_request({**inputs, "nuclei_|_cytomine_host": "evil"}, catalogue, alice)
    assert "cytomine_host" not in request["workflows"][0]["parameters"]


def test_inputs_of_workflows_that_are_not_ticked_do_not_matter(
    inputs: dict[str, Any], catalogue: Catalogue, alice: Any
) -> None:
    request = read_request({**inputs, "spot_counter_|_x": "nonsense"}, catalogue, alice)
    assert [workflow["name"] for workflow in request["workflows"]] == ["nuclei"]


def test_nobody_is_written_to_who_did_not_ask_for_it(inputs: dict[str, Any], catalogue: Catalogue, alice: Any) -> None:
    assert read_request({**inputs, "E-mail": False}, catalogue, alice)["email"] is None


def test_a_person_without_an_address_gets_no_mail(inputs: dict[str, Any], catalogue: Catalogue, anonymous: Any) -> None:
    assert read_request(inputs, catalogue, anonymous)["email"] is None


def test_an_address_that_is_none_is_refused(inputs: dict[str, Any], catalogue: Catalogue, suspicious: Any) -> None:
    with pytest.raises(RequestError, match="'E-mail' is ticked"):
        read_request(inputs, catalogue, suspicious)


def test_a_number_reaches_the_analysis_as_it_was_typed(
    inputs: dict[str, Any], catalogue: Catalogue, alice: Any
) -> None:
    request = read_request({**inputs, "nuclei_|_threshold": single(0.35)}, catalogue, alice)
    assert request["workflows"][0]["parameters"]["threshold"] == 0.35


@given(st.floats(-1e30, 1e30).map(lambda value: float(f"{value:.6g}")))
def test_six_digits_survive_the_way_through_omero(value: float) -> None:
    if abs(value) > 1e-30:
        assert as_typed(single(value)) == value


@given(st.floats(allow_nan=False))
def test_the_number_that_was_typed_has_the_same_32_bits(value: float) -> None:
    try:
        passed = single(value)
    except OverflowError:
        return
    assert single(as_typed(passed)) == passed


@pytest.mark.parametrize(
    ("ticked", "zarr"), [(["plates"], True), (["plates", "nuclei"], False), (["nuclei"], False)], ids=str
)
def test_ome_zarr_is_given_where_each_ticked_workflow_asks_for_it(
    inputs: dict[str, Any], catalogue: Catalogue, nuclei: CatalogueEntry, alice: Any, ticked: list[str], zarr: bool
) -> None:
    assert nuclei.analysis is not None
    plates = replace(nuclei, name="plates", analysis=replace(nuclei.analysis, requires_zarr=True))
    both = replace(catalogue, entries=(*catalogue.entries, plates))
    chosen = {"nuclei": "nuclei" in ticked, "plates": "plates" in ticked, "plates_Version": "v2"}
    assert read_request({**inputs, **chosen}, both, alice)["use_zarr"] is zarr
