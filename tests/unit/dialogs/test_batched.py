"""What is different in the dialog that splits a selection into batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from worker.dialogs.fields import BATCHED
from worker.dialogs.parameters import describe, workflow_parameters
from worker.dialogs.reading import read_request
from worker.engine.request import parse_request
from worker.errors import RequestError

if TYPE_CHECKING:
    from worker.analyses.catalogue import Catalogue
    from worker.engine.request import RunRequest


@pytest.fixture
def inputs() -> dict[str, Any]:
    return {
        "Data_Type": "Dataset",
        "IDs": [7],
        "Batch_Size": 2,
        "3a) Import into NEW Dataset": "Cells",
        "nuclei": True,
        "nuclei_Version": "v2",
    }


def read(inputs: dict[str, Any], catalogue: Catalogue, person: Any) -> RunRequest:
    return parse_request(read_request(inputs, catalogue, person, BATCHED))


def test_the_selection_is_to_be_split(inputs: dict[str, Any], catalogue: Catalogue, alice: Any) -> None:
    request = read(inputs, catalogue, alice)
    assert request.batch is not None
    assert (request.batch.size, request.batch.parallel, request.data_type) == (2, None, "Dataset")


def test_an_untouched_dialog_asks_for_32_images_in_a_batch_and_cleans_up(
    inputs: dict[str, Any], catalogue: Catalogue, alice: Any
) -> None:
    del inputs["Batch_Size"], inputs["Data_Type"]
    request = read(inputs, catalogue, alice)
    assert request.batch is not None
    assert (request.batch.size, request.data_type, request.cleanup) == (32, "Image", True)
    assert request.output["zip_to_parent"] is False


@pytest.mark.parametrize("size", [0, -1, "2", True, None])
def test_a_batch_without_images_is_refused_in_the_words_of_the_dialog(
    inputs: dict[str, Any], catalogue: Catalogue, alice: Any, size: object
) -> None:
    with pytest.raises(RequestError, match=r"'Batch Size' is .* 1 or more"):
        read({**inputs, "Batch_Size": size}, catalogue, alice)


def test_screens_are_not_offered(inputs: dict[str, Any], catalogue: Catalogue, alice: Any) -> None:
    with pytest.raises(RequestError, match=r"'Data Type' is 'Screen'\. It must be one of Dataset, Image, Plate"):
        read({**inputs, "Data_Type": "Screen"}, catalogue, alice)


def test_the_other_dialog_splits_nothing(inputs: dict[str, Any], catalogue: Catalogue, alice: Any) -> None:
    assert parse_request(read_request(inputs, catalogue, alice)).batch is None


def test_the_text_at_the_top_says_what_is_done_and_what_is_the_matter(catalogue: Catalogue) -> None:
    text = describe(catalogue, BATCHED)
    assert text.startswith("Split a selection into batches")
    assert "The cluster did not answer at 03:04." in text


def test_fields_stand_where_a_person_looks_for_them(catalogue: Catalogue) -> None:
    names = [parameter.name() for parameter in workflow_parameters(catalogue, BATCHED)]
    assert names[:6] == ["Data_Type", "IDs", "E-mail", "Batch_Size", "Use_ZARR_Format", "OME-Zarr_version"]
    assert "Cleanup?" not in names
