"""Cases have names that lead back to them, and the matrix is what it promises to be."""

from __future__ import annotations

import pytest

from tests.faults import cases
from tests.faults.boundary import Boundary, Stop, label
from tests.faults.cases import Case
from tests.faults.faults import FAULTS
from tests.faults.injections import INJECTIONS, OUTAGES
from tests.faults.kinds import KINDS
from worker.history.domain import WorkflowRun

STEPS = ("export", "submit/0", "watch/0", "fetch/0", "import/0", "tidy")
EVENTS = [f"{name}:{step}" for step in STEPS for name in ("StepIntended", "StepCompleted")]
PLACES = [
    *(Boundary(side, event) for event in EVENTS for side in ("before", "after")),
    Boundary("before", "Command:unpack"),
    Boundary("after", "Command:unpack"),
    Boundary("before", "Command:submit"),
    Boundary("after", "Omero:import/0"),
    Boundary("before", "Archive:verify"),
    Boundary("after", "Orders:place"),
]
EVERYWHERE = dict.fromkeys(KINDS, PLACES)


def test_a_case_is_found_again_by_its_name() -> None:
    for case in cases.matrix(EVERYWHERE):
        assert Case.parse(str(case)) == case


def test_a_clock_that_is_set_back_is_found_again() -> None:
    case = Case.parse("clock-jump@after-StepIntended:watch/0+-3600")
    assert case.amount == -3600
    assert str(case) == "clock-jump@after-StepIntended:watch/0+-3600"


def test_without_an_amount_it_is_the_faults_own() -> None:
    assert Case.parse("ssh-cut@after-StepIntended:export").amount == FAULTS["ssh-cut"].amounts[0]


@pytest.mark.parametrize(
    "text", ["sigkill", "nothing@after-X", "dance/sigkill@after-X", "sigkill@nowhere", "sigkill@beside-X"]
)
def test_what_is_no_case_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no (case|boundary)"):
        Case.parse(text)


def test_an_engine_is_killed_at_every_place() -> None:
    killed = [case.boundary for case in cases.matrix({"analysis": PLACES}) if case.fault.name == "sigkill"]
    assert killed == PLACES
    for kind in KINDS:
        everywhere = cases.matrix({kind: PLACES}, thinned=False)
        assert [case.boundary for case in everywhere if case.fault.name == "sigkill"] == PLACES


def test_every_fault_is_in_the_matrix_and_can_be_made_to_happen() -> None:
    assert {case.fault.name for case in cases.matrix(EVERYWHERE)} == set(FAULTS)
    assert {name for name, fault in FAULTS.items() if fault.together} == set(OUTAGES)
    assert {name for name, fault in FAULTS.items() if not fault.together} == set(INJECTIONS)


def test_the_same_seed_draws_the_same_cases() -> None:
    drawn = cases.drawn(EVERYWHERE, 7, 40)
    assert drawn == cases.drawn(EVERYWHERE, 7, 40)
    assert drawn != cases.drawn(EVERYWHERE, 8, 40)
    assert all(case.fault.matters(case.kind, case.boundary) for case in drawn)


def test_cases_are_chosen_by_name_beginning_or_pattern() -> None:
    assert {case.fault.name for case in cases.only(cases.matrix(EVERYWHERE), EVERYWHERE, "ssh-cut")} == {"ssh-cut"}
    chosen = cases.only(cases.matrix(EVERYWHERE), EVERYWHERE, "sigkill@*:import/0, host-key")
    assert {case.fault.name for case in chosen} == {"sigkill", "host-key"}
    assert all("import/0" in str(case) for case in chosen if case.fault.name == "sigkill")


def test_cases_are_chosen_for_all_kinds_of_runs_or_for_one() -> None:
    chosen = cases.only(cases.matrix(EVERYWHERE), EVERYWHERE, "cancel")
    assert {case.kind.name for case in chosen} == set(KINDS)
    (case,) = cases.only(cases.matrix(EVERYWHERE), EVERYWHERE, "in-place/sigkill@after-Orders:place")
    assert (case.kind.name, str(case)) == ("in-place", "in-place/sigkill@after-Orders:place+0")


def test_a_place_where_no_run_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="no run comes to"):
        cases.only(cases.matrix(EVERYWHERE), EVERYWHERE, "sigkill@after-StepIntended:dance")


def test_an_event_is_named_by_what_tells_it_from_others() -> None:
    run = WorkflowRun(name="a", description="b", user=1, group=1)
    run.intend_step("submit/0", "key")
    assert [label(event, {}) for event in run.collect_events()] == ["WorkflowInitiated", "StepIntended:submit/0"]


def test_a_place_that_a_run_comes_to_again_is_another_one() -> None:
    passed: list[Boundary] = []
    halted: list[Boundary] = []
    second = Boundary("before", "Orders:place#2")
    stop = Stop(second, {}, lambda place, _: halted.append(place), passed.append)
    for _ in range(3):
        with stop.around("Orders:place"):
            pass
    assert halted == [second]
    assert list(map(str, passed[:4])) == [
        "before-Orders:place",
        "after-Orders:place",
        "before-Orders:place#2",
        "after-Orders:place#2",
    ]
