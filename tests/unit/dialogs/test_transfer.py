"""Reading the dialogs of the scripts that move data, and the folders that they offer."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.dialogs.transfer import conversion_parameters, folders_of
from worker.dialogs.transferring import read_conversion, read_file_transfer, read_image_transfer
from worker.engine.request import parse_request
from worker.errors import RequestError
from worker.history.requests import RequestRow
from worker.pixels.choice import PixelChoice

if TYPE_CHECKING:
    from worker.engine.request import RunRequest

IMAGES = {"Data_Type": "Image", "IDs": [51, 52], "Folder_Name": "SLURM_IMAGES_17"}
FILE = {"Annotation_ID": 7, "Folder_Name": "SLURM_IMAGES_17"}
CONVERSION = {"Input data": "SLURM_IMAGES_17"}


def images(alice: Any, **changes: Any) -> RunRequest:
    return parse_request(read_image_transfer({**IMAGES, **changes}, alice))


def pixels(alice: Any, **changes: Any) -> PixelChoice:
    asked = images(alice, **changes).pixels
    return PixelChoice() if asked is None else PixelChoice.from_json(asked)


def test_by_default_everything_is_transferred_as_ome_zarr_and_stays(alice: Any) -> None:
    request = images(alice)
    assert (request.kind, request.folder, request.ids) == ("transfer", "SLURM_IMAGES_17", (51, 52))
    assert (request.export_format, request.pixels, request.cleanup) == ("zarr-0.4", None, False)
    assert (request.user_id, request.user_name, request.group_id, request.group_name) == (3, "alice", 5, "cells")


@pytest.mark.parametrize(
    ("form", "version", "expected"),
    [("TIFF", "0.4", "tiff"), ("OME-TIFF", "0.5", "tiff"), ("OME-ZARR", "0.5", "zarr-0.5")],
)
def test_the_format_is_the_one_that_was_chosen(alice: Any, form: str, version: str, expected: str) -> None:
    assert images(alice, **{"Format": form, "OME-Zarr_version": version}).export_format == expected


@pytest.mark.parametrize(("form", "expected"), [("TIFF", "default"), ("OME-TIFF", "all"), ("OME-ZARR", "all")])
def test_only_plain_tiff_is_by_default_of_what_was_viewed_last(alice: Any, form: str, expected: str) -> None:
    choice = pixels(alice, Format=form)
    assert (choice.z, choice.t) == (expected, expected)


@pytest.mark.parametrize("form", ["TIFF", "OME-TIFF", "OME-ZARR"])
@pytest.mark.parametrize(
    ("filled_in", "z"),
    [
        ({"Choose_Z_Section": "ALL Z planes"}, "all"),
        ({"Choose_Z_Section": "Max projection"}, "max"),
        ({"Choose_Z_Section": "Other (see below)", "OR_specify_Z_index": 3}, (3, 3)),
        (
            {"Choose_Z_Section": "Other (see below)", "OR_specify_Z_start_AND...": 2, "...specify_Z_end": 4},
            (2, 4),
        ),
        # The numbers are what a person means, even if the choice above them was left alone.
        ({"OR_specify_Z_index": 3}, (3, 3)),
        ({"OR_specify_Z_start_AND...": 2, "...specify_Z_end": 2}, (2, 2)),
    ],
)
def test_sections_are_those_that_were_chosen(alice: Any, form: str, filled_in: dict[str, Any], z: Any) -> None:
    assert pixels(alice, Format=form, **filled_in).z == z


def test_time_points_are_chosen_likewise(alice: Any) -> None:
    choice = pixels(alice, Choose_T_Section="ALL T planes", Format="TIFF", OR_specify_Z_index=1)
    assert (choice.t, choice.z) == ("all", (1, 1))
    assert pixels(alice, **{"OR_specify_T_start_AND...": 2, "...specify_T_end": 9}).t == (2, 9)


def test_channels_and_zoom_are_read(alice: Any) -> None:
    choice = pixels(
        alice,
        Export_Merged_Image=False,
        Export_Individual_Channels=True,
        Individual_Channels_Grey=True,
        Channel_Names=[" DAPI", "GFP ", "DAPI", ""],
        Zoom="25%",
    )
    assert choice == PixelChoice(
        merged=False, individual_channels=True, grey=True, channel_names=("DAPI", "GFP"), zoom_percent=25
    )


@pytest.mark.parametrize(
    ("filled_in", "words"),
    [
        ({"IDs": []}, "'IDs' is empty"),
        ({"Data_Type": "Screen"}, "'Data Type' is 'Screen'"),
        ({"Folder_Name": ""}, "'Folder Name' is empty"),
        ({"Folder_Name": "../other"}, "'Folder Name': '../other' cannot be"),
        ({"Folder_Name": "a b"}, "'Folder Name': 'a b' cannot be"),
        ({"Folder_Name": "$(touch x)"}, "cannot be"),
        ({"Format": "PNG"}, "'Format' is 'PNG'"),
        ({"Zoom": "75%"}, "'Zoom' is '75%'"),
        ({"Export_Merged_Image": False}, "Neither the merged image"),
        ({"Choose_Z_Section": "Other (see below)"}, "nothing below"),
        ({"Choose_Z_Section": "ALL Z planes", "OR_specify_Z_index": 3}, "'OR specify Z index' is filled in too"),
        ({"Choose_Z_Section": "Max projection", "...specify_Z_end": 3}, "is filled in too"),
        ({"OR_specify_Z_index": 3, "...specify_Z_end": 4}, "are both filled in"),
        ({"OR_specify_T_start_AND...": 3}, "'...specify T end' is empty"),
        ({"...specify_T_end": 3}, "is empty"),
        ({"OR_specify_T_start_AND...": 3, "...specify_T_end": 2}, "is 3, '...specify T end' is 2"),
        ({"OR_specify_Z_index": 0}, "'OR specify Z index' is 0"),
        ({"OR_specify_Z_index": True}, "'OR specify Z index' is True"),
        ({"Choose_T_Section": "Max projection"}, "'Choose T Section' is"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_words_of_the_dialog(
    alice: Any, filled_in: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=re.escape(words)):
        images(alice, **filled_in)


def test_a_file_goes_where_it_was_asked_for(alice: Any) -> None:
    request = parse_request(
        read_file_transfer({**FILE, "Param_Slot": "p1", "Allowed_Formats": "csv, .parquet,,"}, alice)
    )
    assert (request.kind, request.folder, request.cleanup) == ("file-transfer", "SLURM_IMAGES_17", False)
    assert [file.model_dump() for file in request.files] == [
        {"annotation_id": 7, "slot": "p1", "formats": ("csv", "parquet")}
    ]


def test_a_file_without_a_slot_disturbs_no_other(alice: Any) -> None:
    (file,) = parse_request(read_file_transfer(FILE, alice)).files
    assert (file.slot, file.formats) == ("file_7", ())


@pytest.mark.parametrize(
    ("filled_in", "words"),
    [
        ({"Annotation_ID": None}, "'Annotation ID' is None"),
        ({"Annotation_ID": -1}, "'Annotation ID' is -1"),
        ({"Folder_Name": None}, "'Folder Name' is empty"),
        ({"Folder_Name": "a/../b"}, "'Folder Name': "),
        ({"Param_Slot": "../../.ssh"}, "'Param Slot': "),
        ({"Param_Slot": ".."}, "'Param Slot': "),
    ],
)
def test_a_file_that_cannot_be_placed_is_refused(alice: Any, filled_in: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=re.escape(words)):
        read_file_transfer({**FILE, **filled_in}, alice)


def conversion(alice: Any, **changes: Any) -> RunRequest:
    asked = read_conversion({**CONVERSION, **changes}, alice)
    assert isinstance(asked, dict)
    return parse_request(asked)


def test_a_conversion_is_of_a_folder(alice: Any) -> None:
    request = conversion(alice)
    assert (request.kind, request.folder, request.cleanup, request.output) == (
        "conversion",
        "SLURM_IMAGES_17",
        True,
        {},
    )
    assert request.conversion is not None
    assert (request.conversion.source, request.conversion.target) == ("zarr", "tiff")


def test_inputs_are_kept_and_the_log_is_attached_where_asked_for(alice: Any) -> None:
    request = conversion(alice, **{"Cleanup?": False, "Log_Fallback_Target": " Dataset : 42 "})
    assert (request.cleanup, request.output) == (False, {"log_target": "Dataset:42"})


def test_nothing_is_started_where_nothing_is_to_be_converted(alice: Any) -> None:
    said = read_conversion({**CONVERSION, "Target format": "zarr"}, alice)
    assert isinstance(said, str)
    assert said.startswith("No conversion is needed")


@pytest.mark.parametrize(
    ("filled_in", "words"),
    [
        ({"Input data": ""}, "'Input data' is empty"),
        ({"Input data": "/etc"}, "'Input data': "),
        ({"Source format": "tiff"}, "'Source format' is 'tiff'"),
        ({"Target format": "png"}, "'Target format' is 'png'"),
        ({"Log_Fallback_Target": "here"}, "'Log Fallback Target' is 'here'"),
        ({"Log_Fallback_Target": "Session:1"}, "'Log Fallback Target'"),
    ],
)
def test_a_conversion_that_cannot_be_is_refused(alice: Any, filled_in: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=re.escape(words)):
        read_conversion({**CONVERSION, **filled_in}, alice)


@given(name=st.text())
def test_no_name_leads_out_of_the_folder_of_runs(name: str) -> None:
    try:
        folder = read_conversion({"Input data": name, "Target format": "zarr"}, None)  # type: ignore[arg-type]  # asks nobody
    except RequestError:
        return
    assert isinstance(folder, str)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name.strip())


def row(number: int, state: str, **request: Any) -> RequestRow:
    return RequestRow(UUID(int=number), "r", state, datetime.now(UTC), request)


def test_folders_that_are_still_there_are_offered() -> None:
    rows = [
        row(1, "COMPLETED", kind="transfer", folder="b", cleanup=False),
        row(2, "COMPLETED", kind="analysis", cleanup=False),
        row(3, "FAILED"),
        row(4, "COMPLETED", kind="file-transfer", folder="b", cleanup=False),
        row(5, "COMPLETED", kind="conversion", folder="c", cleanup=False),
        row(6, "COMPLETED", kind="analysis", cleanup=True),
        row(7, "STARTED", kind="transfer", folder="d", cleanup=False),
        row(8, "COMPLETED", batch={"size": 2}, cleanup=False),
        row(9, "FAILED", kind="transfer", folder="a", cleanup=False),
    ]
    assert folders_of(rows) == ("b", f"biomero_{UUID(int=2)}", f"biomero_{UUID(int=3)}", "a")


def test_without_folders_their_field_is_a_text() -> None:
    assert {field.name(): field for field in conversion_parameters(())}["Input data"].values is None
    offered = {field.name(): field for field in conversion_parameters(("a", "b"))}["Input data"].values
    assert [value.val for value in offered.val] == ["a", "b"]


def test_registered_converters_are_offered_and_taken(alice: Any) -> None:
    registered = ("czi_to_zarr", "zarr_to_png")
    offered = {field.name(): field for field in conversion_parameters((), registered)}
    assert [value.val for value in offered["Source format"].values.val] == ["zarr", "czi"]
    assert [value.val for value in offered["Target format"].values.val] == ["tiff", "zarr", "png"]
    asked = read_conversion({**CONVERSION, "Target format": "png"}, alice, converters=registered)
    assert isinstance(asked, dict)
    assert asked["conversion"] == {"source": "zarr", "target": "png"}
