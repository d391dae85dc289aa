"""What a person may choose for a job: only what the admin allows, and no more of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from omero.rtypes import RBoolI, RStringI, unwrap

from worker.analyses.catalogue import Catalogue, CatalogueEntry, Choices
from worker.analyses.model import Analysis, Parameter
from worker.dialogs.parameters import offered, workflow_parameters
from worker.dialogs.reading import read_request
from worker.engine.request import JobLimits, WorkflowChoice, parse_request
from worker.errors import RequestError

ALLOWED = Choices(8 * 3600, 64 * 1024, ("cpu", "long"), gpu=False)


def allowing(entry: CatalogueEntry, choices: Choices) -> Catalogue:
    return Catalogue((dataclasses.replace(entry, choices=choices),))


def chosen(inputs: dict[str, Any], catalogue: Catalogue, person: Any) -> WorkflowChoice:
    inputs = {"Data_Type": "Image", "IDs": [51], "nuclei": True, "nuclei_Version": "v2", **inputs}
    return parse_request(read_request(inputs, catalogue, person)).workflows[0]


@pytest.fixture
def allowed(nuclei: CatalogueEntry) -> Catalogue:
    return allowing(nuclei, ALLOWED)


@pytest.fixture
def forbidden(nuclei: CatalogueEntry) -> Catalogue:
    return allowing(nuclei, Choices())


def test_nothing_is_offered_that_the_admin_does_not_allow(forbidden: Catalogue) -> None:
    names = {field.name() for field in workflow_parameters(forbidden)}
    assert not names & {"nuclei_Time", "nuclei_Memory", "nuclei_Partition", "nuclei_Use_GPU"}


def test_what_is_allowed_stands_below_the_parameters_with_its_bounds(allowed: Catalogue) -> None:
    fields = {field.name(): field for field in workflow_parameters(allowed)}
    last = [name for name in fields if name.startswith("nuclei")][-4:]
    assert last == ["nuclei_Time", "nuclei_Memory", "nuclei_Partition", "nuclei_Use_GPU"]
    assert [fields[name].grouping for name in last] == ["03.06", "03.07", "03.08", "03.09"]
    assert "at most 08:00:00" in fields["nuclei_Time"].description
    assert "at most 64G" in fields["nuclei_Memory"].description
    # OMERO.web has no empty line in a list: untouched, it would send the first partition.
    assert unwrap(fields["nuclei_Partition"].values) == ["(as configured)", "cpu", "long"]
    assert unwrap(fields["nuclei_Partition"].prototype) == "(as configured)"
    assert [type(fields[name].prototype) for name in last] == [RStringI, RStringI, RStringI, RBoolI]
    assert [fields[name].useDefault for name in last] == [False, False, True, True]


def test_a_workflow_whose_fields_would_hide_limits_is_left_out(allowed: Catalogue) -> None:
    hiding = CatalogueEntry("nuclei_Time", ("v1",), None)
    assert offered(Catalogue((*allowed.entries, hiding))) == allowed.entries


@pytest.mark.parametrize("partition", ["", "(as configured)"])
def test_what_is_left_alone_is_as_it_is_configured(partition: str, allowed: Catalogue, alice: Any) -> None:
    choice = chosen({"nuclei_Time": "", "nuclei_Memory": " ", "nuclei_Partition": partition}, allowed, alice)
    assert choice.limits == JobLimits()


def test_limits_are_read_as_sbatch_takes_them(allowed: Catalogue, alice: Any) -> None:
    inputs = {"nuclei_Time": "90", "nuclei_Memory": "1.5G", "nuclei_Partition": "long"}
    assert chosen(inputs, allowed, alice).limits == JobLimits(time_s=5400, memory_mib=1536, partition="long")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("nuclei_Time", "08:00:01", r"'nuclei Time' is '08:00:01', and at most 08:00:00 is allowed"),
        ("nuclei_Time", "1-0", r"at most 08:00:00"),
        ("nuclei_Time", "UNLIMITED", r"'nuclei Time': 'UNLIMITED' is not a time.* at most 08:00:00"),
        ("nuclei_Time", "0", r"'nuclei Time': '0' is no time"),
        ("nuclei_Memory", "65G", r"'nuclei Memory' is '65G', and at most 64G is allowed"),
        ("nuclei_Memory", "lots", r"'nuclei Memory': 'lots' is not an amount of memory"),
        ("nuclei_Memory", "-1G", r"is not an amount of memory"),
        ("nuclei_Partition", "gpu", r"'nuclei Partition' is 'gpu'.* one of cpu, long"),
        ("nuclei_Partition", "cpu --uid=0", r"is not allowed"),
    ],
)
def test_whoever_asks_for_too_much_is_told_what_is_allowed(
    field: str, value: str, message: str, allowed: Catalogue, alice: Any
) -> None:
    with pytest.raises(RequestError, match=message):
        chosen({field: value}, allowed, alice)


@pytest.mark.parametrize(
    ("field", "value", "key"),
    [
        ("nuclei_Time", "00:01:00", "user_time_max"),
        ("nuclei_Memory", "1M", "user_memory_max"),
        ("nuclei_Partition", "cpu", "user_partitions"),
        ("nuclei_Use_GPU", True, "inject_gpu_flag"),
    ],
)
def test_what_was_not_offered_is_not_silently_left_out(
    field: str, value: object, key: str, forbidden: Catalogue, alice: Any
) -> None:
    with pytest.raises(RequestError, match=f"cannot be chosen for 'nuclei'.*{key}"):
        chosen({field: value}, forbidden, alice)


@pytest.mark.parametrize(("given", "used"), [({}, False), ({"nuclei_Use_GPU": True}, True)])
def test_a_gpu_is_chosen_where_that_is_allowed(
    given: dict[str, Any], used: bool, allowed: Catalogue, alice: Any
) -> None:
    assert chosen(given, allowed, alice).use_gpu is used


def test_a_gpu_is_as_it_is_configured_where_it_cannot_be_chosen(forbidden: Catalogue, alice: Any) -> None:
    assert chosen({}, forbidden, alice).use_gpu is None


def test_a_parameter_of_the_analysis_says_whether_it_gets_a_gpu(alice: Any) -> None:
    parameter = Parameter("use_gpu", "GPU", "boolean", default=True, optional=True, flag="--use_gpu")
    analysis = Analysis("A", "", "o/a", "s", (parameter,))
    catalogue = Catalogue((CatalogueEntry("nuclei", ("v2",), analysis, choices=ALLOWED),))
    assert "nuclei_Use_GPU" not in {field.name() for field in workflow_parameters(catalogue)}
    assert chosen({}, catalogue, alice).use_gpu is True
    choice = chosen({"nuclei_|_use_gpu": False}, catalogue, alice)
    assert (choice.use_gpu, choice.parameters) == (False, {"use_gpu": False})
