"""Parameters whose values are files of OMERO."""

from __future__ import annotations

from typing import Any

import pytest
from omero.rtypes import RListI, RLongI

from worker.analyses.catalogue import Catalogue, CatalogueEntry
from worker.analyses.model import Analysis, Parameter
from worker.dialogs.parameters import workflow_parameters
from worker.dialogs.reading import read_request
from worker.engine.request import parse_request
from worker.errors import RequestError


def file(name: str, **about: Any) -> Parameter:
    kind: dict[str, Any] = {"type": "string", "default": None, "optional": True, "flag": f"--{name}", **about}
    return Parameter(name, name.title(), file_attachment=True, **kind)


PARAMETERS = (
    file("weights", optional=False, formats=("pt", "pth"), description="The trained model."),
    file("regions", file_count="multiple"),
    file("secret", hidden=True),
    Parameter("gain", "Gain", "float", default=1.0, optional=True, flag="--gain", mode="advanced"),
    Parameter(
        "model",
        "Model",
        "string",
        default="a",
        optional=True,
        flag="--model",
        choices=("a", "b", "c"),
        choice_labels=("Fast", "Exact", "c"),
    ),
)
CATALOGUE = Catalogue((CatalogueEntry("wf", ("v1",), Analysis("A", "", "o/a", "s", PARAMETERS)),))


def read(inputs: dict[str, Any], person: Any) -> dict[str, tuple[int, ...]]:
    inputs = {"Data_Type": "Image", "IDs": [51], "wf": True, "wf_Version": "v1", **inputs}
    return parse_request(read_request(inputs, CATALOGUE, person)).workflows[0].files


@pytest.fixture(scope="module")
def fields() -> dict[str, Any]:
    return {field.name(): field for field in workflow_parameters(CATALOGUE)}


def test_files_are_asked_for_by_the_ids_of_their_attachments(fields: dict[str, Any]) -> None:
    weights = fields["wf_|_FILE_weights"]
    assert isinstance(weights.prototype, RListI)
    assert [type(item) for item in weights.prototype.val] == [RLongI]
    assert weights.description == "The trained model. Id of the attachment in OMERO (.pt, .pth). Needed."
    assert weights.optional, "OMERO would refuse to run the other workflows too"
    assert fields["wf_|_FILE_regions"].description == "Regions Ids of the attachments in OMERO."


def test_what_is_for_the_experienced_comes_last_and_what_is_hidden_not_at_all(fields: dict[str, Any]) -> None:
    names = [name for name in fields if name.startswith("wf_|_")]
    assert names == ["wf_|_FILE_weights", "wf_|_FILE_regions", "wf_|_model", "wf_|_gain"]
    assert fields["wf_|_gain"].description == "Advanced: Gain"


def test_what_choices_mean_is_said_in_the_hint(fields: dict[str, Any]) -> None:
    assert fields["wf_|_model"].description == "Model a = Fast; b = Exact."


def test_the_files_of_each_parameter_are_in_the_request(alice: Any) -> None:
    inputs = {"wf_|_FILE_weights": [7], "wf_|_FILE_regions": [9, 8, 9], "wf_|_FILE_secret": [1]}
    assert read(inputs, alice) == {"weights": (7,), "regions": (9, 8)}


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "'wf | FILE weights' is empty, and 'wf' needs a file there"),
        ({"wf_|_FILE_weights": [7, 8]}, "'wf | FILE weights' names 2 files. It takes one"),
        ({"wf_|_FILE_weights": ["../x"]}, "'wf | FILE weights' holds '../x'"),
        ({"wf_|_FILE_weights": [7], "wf_|_FILE_regions": [-1]}, "'wf | FILE regions' holds -1"),
        ({"wf_|_FILE_weights": [7], "wf_|_FILE_gain": [1]}, "'wf | FILE gain' is not a parameter of 'wf'"),
    ],
)
def test_what_is_wrong_with_files_is_said_in_the_words_of_the_dialog(
    inputs: dict[str, Any], message: str, alice: Any
) -> None:
    with pytest.raises(RequestError, match=message.replace("|", r"\|")):
        read(inputs, alice)
