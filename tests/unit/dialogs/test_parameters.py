"""Building the dialog."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omero.rtypes import unwrap

from worker.analyses.catalogue import Catalogue, CatalogueEntry
from worker.analyses.model import Analysis, Citation, Parameter, ParameterType, Resources, Value
from worker.dialogs.fields import workflow_grouping
from worker.dialogs.parameters import describe, offered, read_catalogue, workflow_parameters


def one_parameter(kind: ParameterType, default: Value | None, choices: tuple[str, ...] = ()) -> Catalogue:
    parameter = Parameter("p", "P", kind, default=default, optional=True, flag="--p", choices=choices)
    return Catalogue((CatalogueEntry("wf", ("v1",), Analysis("A", "", "o/a", "s", (parameter,))),))


def built(catalogue: Catalogue) -> dict[str, Any]:
    return {field.name(): field for field in workflow_parameters(catalogue)}


def default_of(field: Any) -> object:
    return unwrap(field.prototype) if field.useDefault else None


def test_fields_come_in_the_order_of_the_dialog(catalogue: Catalogue) -> None:
    names = list(built(catalogue))
    assert names[:2] == ["Data_Type", "IDs"]
    assert names[-4:] == ["nuclei_|_model", "nuclei_|_label", "spot_counter", "spot_counter_Version"]


def test_what_the_server_sets_is_not_asked(catalogue: Catalogue) -> None:
    assert "nuclei_|_cytomine_host" not in built(catalogue)


def test_a_workflow_without_versions_is_shown_without_versions(catalogue: Catalogue) -> None:
    assert unwrap(built(catalogue)["spot_counter_Version"].values) == []


def test_the_text_at_the_top_says_what_is_the_matter(catalogue: Catalogue) -> None:
    text = describe(catalogue)
    assert "The cluster did not answer at 03:04." in text
    assert "spot_counter: Its repository does not answer." in text
    assert "Not on the cluster yet: spot_counter." in text


def test_limits_are_said_in_the_hint(catalogue: Catalogue) -> None:
    assert built(catalogue)["nuclei_|_diameter"].description == "Diameter From 1 to 500."


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"format": 99}', b"\xff\xfe"])
def test_a_missing_or_broken_catalogue_gives_a_dialog_with_a_note(tmp_path: Any, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "catalogue.json").write_bytes(content)
    catalogue = read_catalogue({"OMERO_WORKER_STATE_DIR": str(tmp_path)})
    assert "Please note: The list of workflows" in describe(catalogue)
    assert "Data_Type" in built(catalogue)


def test_a_workflow_that_would_hide_another_field_is_left_out_with_a_note(nuclei: CatalogueEntry) -> None:
    catalogue = Catalogue((dataclasses.replace(nuclei, name="IDs"), nuclei))
    assert offered(catalogue) == (nuclei,)
    assert "Not shown, as another field has the same name: IDs." in describe(catalogue)


@pytest.mark.parametrize(
    ("kind", "default", "shown"),
    [
        ("integer", 2**31 - 1, 2**31 - 1),
        ("integer", 2**31, None),
        ("integer", -(2**31) - 1, None),
        ("integer", None, None),
        ("float", 1, 1.0),
        ("float", 1e300, None),
        ("float", None, None),
        ("boolean", True, True),
        ("boolean", None, None),
        ("string", "", ""),
        ("string", None, None),
    ],
)
def test_a_default_is_shown_only_if_omero_can_carry_it(
    kind: ParameterType, default: Value | None, shown: Value | None
) -> None:
    field = built(one_parameter(kind, default))["wf_|_p"]
    assert default_of(field) == shown


def test_a_default_that_cannot_be_shown_is_said(catalogue: Catalogue) -> None:
    field = built(one_parameter("integer", 2**40))["wf_|_p"]
    assert "If left empty: 1099511627776." in field.description


@pytest.mark.parametrize(
    ("kind", "default", "choices", "values"),
    [
        ("integer", 2, ("1", "2"), [1, 2]),
        ("float", None, ("0.5", "1"), [0.5, 1.0]),
        ("string", "other", ("a", "b"), ["other", "a", "b"]),
        ("integer", 1, ("1", "many"), None),
        ("boolean", True, ("true",), None),
    ],
)
def test_choices_have_the_type_of_the_field_and_hold_its_default(
    kind: ParameterType, default: Value | None, choices: tuple[str, ...], values: list[Value] | None
) -> None:
    field = built(one_parameter(kind, default, choices))["wf_|_p"]
    assert unwrap(field.values) == values


@given(st.sampled_from([2, 96, 97, 1200]))
def test_workflows_stand_in_their_order_however_many_there_are(count: int) -> None:
    groupings = ["02.91", *(workflow_grouping(index) for index in range(count))]
    assert groupings == sorted(groupings)
    assert len(set(groupings)) == len(groupings)


@given(st.sampled_from([0, 9, 10, 99, 100]))
def test_parameters_stand_in_their_order_however_many_there_are(count: int) -> None:
    parameters = tuple(
        Parameter(f"p{number}", "", "string", default=None, optional=True, flag="--p") for number in range(count)
    )
    catalogue = Catalogue((CatalogueEntry("wf", ("v1",), Analysis("A", "", "o/a", "s", parameters)),))
    groupings = [field.grouping for field in workflow_parameters(catalogue) if field.name().startswith("wf")]
    assert groupings == sorted(groupings)


def test_what_an_analysis_needs_and_what_to_cite_is_said_with_it() -> None:
    analysis = Analysis(
        "A",
        "Counts spots.",
        "o/a",
        "s",
        (),
        resources=Resources(gpu=True),
        citations=(Citation("Spots", "10.1/2"), Citation("Counting")),
        requires_zarr=True,
        requires_plate=True,
    )
    field = built(Catalogue((CatalogueEntry("spots", ("v1",), analysis),)))["spots"]
    assert field.description == (
        "Counts spots. Asks for OME-Zarr of whole plates. Needs a GPU. Please cite: Spots (10.1/2); Counting."
    )
