"""Cases have names that lead back to them, and the matrix is what it promises to be."""

from __future__ import annotations

import pytest

from tests.faults import cases
from tests.faults.boundary import Boundary, label
from tests.faults.cases import Case
from tests.faults.faults import FAULTS
from tests.faults.injections import INJECTIONS, OUTAGES
from worker.history.domain import WorkflowRun

STEPS = ("export", "submit/0", "watch/0", "fetch/0", "import/0", "tidy")
EVENTS = [f"{name}:{step}" for step in STEPS for name in ("StepIntended", "StepCompleted")]
PLACES = [
    *(Boundary(side, event) for event in EVENTS for side in ("before", "after")),
    Boundary("before", "Command:unpack"),
    Boundary("after", "Command:unpack"),
    Boundary("before", "Command:submit"),
    Boundary("after", "Omero:import/0"),
]


def test_a_case_is_found_again_by_its_name() -> None:
    for case in cases.matrix(PLACES):
        assert Case.parse(str(case)) == case


def test_a_clock_that_is_set_back_is_found_again() -> None:
    case = Case.parse("clock-jump@after-StepIntended:watch/0+-3600")
    assert case.amount == -3600
    assert str(case) == "clock-jump@after-StepIntended:watch/0+-3600"


def test_without_an_amount_it_is_the_faults_own() -> None:
    assert Case.parse("ssh-cut@after-StepIntended:export").amount == FAULTS["ssh-cut"].amounts[0]


@pytest.mark.parametrize("text", ["sigkill", "nothing@after-X", "sigkill@nowhere", "sigkill@beside-X"])
def test_what_is_no_case_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no (case|boundary)"):
        Case.parse(text)


def test_an_engine_is_killed_at_every_place() -> None:
    killed = [case.boundary for case in cases.matrix(PLACES) if case.fault.name == "sigkill"]
    assert killed == PLACES


def test_every_fault_is_in_the_matrix_and_can_be_made_to_happen() -> None:
    assert {case.fault.name for case in cases.matrix(PLACES)} == set(FAULTS)
    assert {name for name, fault in FAULTS.items() if fault.together} == set(OUTAGES)
    assert {name for name, fault in FAULTS.items() if not fault.together} == set(INJECTIONS)


def test_the_same_seed_draws_the_same_cases() -> None:
    drawn = cases.drawn(PLACES, 7, 40)
    assert drawn == cases.drawn(PLACES, 7, 40)
    assert drawn != cases.drawn(PLACES, 8, 40)
    assert all(case.fault.matters_at(case.boundary) for case in drawn)


def test_cases_are_chosen_by_name_beginning_or_pattern() -> None:
    assert {case.fault.name for case in cases.only(cases.matrix(PLACES), PLACES, "ssh-cut")} == {"ssh-cut"}
    chosen = cases.only(cases.matrix(PLACES), PLACES, "sigkill@*:import/0, host-key")
    assert {case.fault.name for case in chosen} == {"sigkill", "host-key"}
    assert all("import/0" in str(case) for case in chosen if case.fault.name == "sigkill")


def test_a_place_where_no_run_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="no run comes to"):
        cases.only(cases.matrix(PLACES), PLACES, "sigkill@after-StepIntended:dance")


def test_an_event_is_named_by_what_tells_it_from_others() -> None:
    run = WorkflowRun(name="a", description="b", user=1, group=1)
    run.intend_step("submit/0", "key")
    assert [label(event, {}) for event in run.collect_events()] == ["WorkflowInitiated", "StepIntended:submit/0"]
