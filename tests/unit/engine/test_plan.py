"""The plan, state by state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from worker.engine import courses
from worker.engine.plan import Decision, End, Finished, Step, Wait, plan
from worker.engine.view import Branch, Progress, RunView, StepView

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)
BRANCHES = tuple(Branch(index, UUID(int=10 + index), UUID(int=20 + index)) for index in range(2))
DONE = StepView(Progress.DONE)
JOB_OK = StepView(Progress.DONE, {"ok": True})
JOB_BAD = StepView(Progress.DONE, {"ok": False, "message": "exit code 3"})
INTENDED = StepView(Progress.INTENDED)
WAITING = StepView(Progress.INTENDED, attempts=1, message="cluster unreachable", retry_at=SOON)
REFUSED = StepView(Progress.FAILED, attempts=1, message="sbatch refused")

EXPORTED = {"export": DONE}
SUBMITTED = EXPORTED | {"submit/0": DONE}
ENDED = SUBMITTED | {"watch/0": JOB_OK}
FETCHED = ENDED | {"fetch/0": DONE}
IMPORTED = FETCHED | {"import/0": DONE}


def run(steps: dict[str, StepView], *, branches: int = 1, **fields: object) -> RunView:
    values: dict[str, object] = {"status": "STARTED", "branches": BRANCHES[:branches], "steps": steps}
    return RunView(**(values | fields))  # type: ignore[arg-type]  # fields of a frozen dataclass


def named(decision: Decision) -> str:
    match decision:
        case Step(name=name):
            return name
        case Wait(until=until):
            return f"wait until {until}"
        case End(ok=ok, message=message):
            return f"end {'well' if ok else 'badly'}: {message}"
        case Finished():
            return "finished"


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        pytest.param(run({}), "export", id="a new run is exported"),
        pytest.param(run({"export": INTENDED}), "export", id="an export that was begun is taken up again"),
        pytest.param(run({"export": WAITING}), f"wait until {SOON}", id="an export waits for its next attempt"),
        pytest.param(run({"export": REFUSED}), "end badly: sbatch refused", id="an export that failed ends the run"),
        pytest.param(run(EXPORTED), "submit/0", id="what is exported is submitted"),
        pytest.param(
            run(FETCHED | {"import/0": StepView(Progress.DONE, {"problems": ["a.tif is no image."]})}),
            "end badly: Not everything could be brought into OMERO: a.tif is no image. Everything else is there.",
            id="an import that lacks something ends the run, with its data left on the cluster",
        ),
        pytest.param(run(EXPORTED | {"submit/0": INTENDED}), "submit/0", id="an unconfirmed submission is looked into"),
        pytest.param(
            run(EXPORTED | {"submit/0": REFUSED}), "end badly: sbatch refused", id="a refused job ends the run"
        ),
        pytest.param(run(SUBMITTED), "watch/0", id="a submitted job is watched"),
        pytest.param(run(ENDED), "fetch/0", id="results of a job that ended well are fetched"),
        pytest.param(run(SUBMITTED | {"watch/0": JOB_BAD}), "fetch/0", id="so is the log of a job that failed"),
        pytest.param(run(FETCHED), "import/0", id="what is fetched is imported"),
        pytest.param(run(IMPORTED), "tidy", id="what is imported is removed from the cluster"),
        pytest.param(run(IMPORTED, cleanup=False), "end well: ", id="unless the person wants to keep it"),
        pytest.param(run(IMPORTED | {"tidy": DONE}), "end well: ", id="a tidy run has ended well"),
        pytest.param(run(IMPORTED | {"tidy": REFUSED}), "end well: ", id="results count, not the dust that stays"),
        pytest.param(
            run(FETCHED | {"watch/0": JOB_BAD, "import/0": DONE}),
            "end badly: exit code 3",
            id="a failed job is never reported as success, and its data stay",
        ),
        pytest.param(run(EXPORTED, branches=2), "submit/0", id="the first analysis is submitted first"),
        pytest.param(run(SUBMITTED, branches=2), "submit/1", id="the second is submitted before anything is watched"),
        pytest.param(
            run(EXPORTED | {"submit/0": REFUSED}, branches=2), "submit/1", id="one that is refused holds up no other"
        ),
        pytest.param(
            run(ENDED | {"submit/1": DONE}, branches=2), "fetch/0", id="results come home while another job runs"
        ),
        pytest.param(
            run(IMPORTED | {"submit/1": REFUSED}, branches=2),
            "end badly: 1 of 2 analyses failed: sbatch refused",
            id="a partial success is called one",
        ),
        pytest.param(run({}, paused="disk full"), "wait until None", id="a paused run waits"),
        pytest.param(run(SUBMITTED, cancelled_by="ann"), "cancel", id="a cancelled run is cancelled"),
        pytest.param(run({}, cancelled_by="ann", paused="disk full"), "cancel", id="even when it is paused"),
        pytest.param(
            run(SUBMITTED | {"cancel": DONE}, cancelled_by="ann"), "end badly: Cancelled by ann.", id="and then ends"
        ),
        pytest.param(
            run(IMPORTED | {"cancel": StepView(Progress.DONE, {"notes": ["It was late."]})}, cancelled_by="ann"),
            "end badly: Cancelled by ann. It was late.",
            id="and says what cannot be called back",
        ),
        pytest.param(
            run(SUBMITTED | {"cancel": REFUSED}, cancelled_by="ann"),
            "end badly: Cancelled by ann, but not on the cluster: sbatch refused",
            id="a cancellation that failed says so",
        ),
        pytest.param(run({}, status="COMPLETED"), "finished", id="a completed run is finished"),
        pytest.param(run({}, status="FAILED"), "finished", id="a failed run is finished"),
    ],
)
def test_what_comes_next(view: RunView, expected: str) -> None:
    assert named(plan(view, NOW)) == expected


def test_a_step_is_tried_again_once_its_time_has_come() -> None:
    assert named(plan(run({"export": WAITING}), SOON)) == "export"


def test_a_time_from_before_the_clock_was_set_back_is_not_waited_for() -> None:
    assert named(plan(run({"export": WAITING}), NOW - timedelta(hours=3))) == "export"


def test_a_job_that_still_runs_does_not_hold_up_the_other_one() -> None:
    view = run(SUBMITTED | {"submit/1": DONE}, branches=2)
    assert named(plan(view, NOW, {"watch/0": None})) == "watch/1"
    assert named(plan(view, NOW, {"watch/0": None, "watch/1": SOON})) == f"wait until {SOON}"


def test_a_run_whose_jobs_all_run_waits_for_news() -> None:
    assert plan(run(SUBMITTED), NOW, {"watch/0": None}) == Wait(None, "jobs are running")


@pytest.mark.parametrize(
    ("course", "steps", "expected"),
    [
        pytest.param(courses.WITH_FILES, EXPORTED, "files", id="files follow the images"),
        pytest.param(courses.WITH_FILES, EXPORTED | {"files": DONE}, "submit/0", id="then the job"),
        pytest.param(
            courses.WITH_FILES,
            EXPORTED | {"files": REFUSED},
            "end badly: sbatch refused",
            id="no job without its files",
        ),
        pytest.param(courses.TRANSFER, {}, "export", id="a transfer exports"),
        pytest.param(courses.TRANSFER, EXPORTED, "end well: ", id="and that is all"),
        pytest.param(courses.FILE_TRANSFER, {}, "files", id="a transfer of files exports nothing"),
        pytest.param(courses.CONVERSION, {}, "prepare", id="a conversion looks for its inputs"),
        pytest.param(courses.CONVERSION, {"prepare": DONE}, "submit/0", id="submits one array"),
        pytest.param(courses.CONVERSION, {"prepare": DONE, "submit/0": DONE}, "watch/0", id="watches it"),
        pytest.param(
            courses.CONVERSION,
            {"prepare": DONE, "submit/0": DONE, "watch/0": JOB_OK},
            "settle",
            id="and settles once all of it has succeeded",
        ),
        pytest.param(
            courses.CONVERSION,
            {"prepare": DONE, "submit/0": DONE, "watch/0": JOB_BAD},
            "end badly: exit code 3",
            id="what was to be converted stays if one task failed",
        ),
    ],
)
def test_a_run_takes_the_course_of_its_kind(course: courses.Course, steps: dict[str, StepView], expected: str) -> None:
    branches = 1 if course.branch else 0
    assert named(plan(run(steps, branches=branches, course=course), NOW)) == expected


def test_a_conversion_settles_even_if_its_inputs_are_kept() -> None:
    steps = {"prepare": DONE, "submit/0": DONE, "watch/0": JOB_OK}
    assert named(plan(run(steps, course=courses.CONVERSION, cleanup=False), NOW)) == "settle"
