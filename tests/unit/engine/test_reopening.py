"""What is taken anew when a run is retried."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from worker.engine.reopening import Reopening, reopening
from worker.engine.view import Branch, Progress, RunView, StepView
from worker.errors import RequestError

EXPORT_TASK = UUID(int=9)
ONE = (Branch(0, UUID(int=1), UUID(int=2)),)
TWO = (*ONE, Branch(1, UUID(int=3), UUID(int=4)))


def done(**data: Any) -> StepView:
    return StepView(Progress.DONE, data)


FAILED = StepView(Progress.FAILED, message="No.")


def run(branches: tuple[Branch, ...] = ONE, **steps: StepView) -> RunView:
    """A failed run; ``submit_0`` stands for ``submit/0``."""
    named = {name.replace("_", "/"): step for name, step in steps.items()}
    return RunView("FAILED", branches, {"export": done(), **named})


def again(view: RunView, start: str | None = None) -> Reopening:
    tasks = [task for branch in view.branches for task in (branch.task_id, branch.import_task_id)]
    return reopening(view, [EXPORT_TASK, *tasks], start)


def test_a_failed_import_is_taken_again_by_itself() -> None:
    view = run(submit_0=done(), watch_0=done(ok=True), fetch_0=done(), import_0=FAILED)
    assert again(view) == Reopening(("import/0", "tidy", "cancel"), (), (UUID(int=2),))


def test_an_import_that_lacked_something_is_taken_again() -> None:
    view = run(submit_0=done(), watch_0=done(ok=True), fetch_0=done(), import_0=done(problems=["a.tif is no image."]))
    assert again(view) == Reopening(("import/0", "tidy", "cancel"), (), (UUID(int=2),))


def test_a_failed_job_is_followed_by_another_one() -> None:
    view = run(submit_0=done(), watch_0=done(ok=False), fetch_0=done(), import_0=done())
    assert again(view) == Reopening(
        ("submit/0", "watch/0", "fetch/0", "import/0", "tidy", "cancel"), (UUID(int=1),), (UUID(int=2),)
    )


def test_a_refused_submission_is_taken_again() -> None:
    assert again(run(submit_0=FAILED)).jobs == (UUID(int=1),)


def test_a_failed_export_takes_everything_anew() -> None:
    view = run(TWO, export=FAILED)
    found = again(view)
    assert found.steps[:2] == ("export", "submit/0")
    assert (found.jobs, found.tasks) == ((UUID(int=1), UUID(int=3)), (EXPORT_TASK, UUID(int=2), UUID(int=4)))


def test_branches_that_ended_well_are_left_alone() -> None:
    view = run(TWO, submit_0=done(), watch_0=done(ok=True), fetch_0=done(), import_0=done(), submit_1=FAILED)
    assert again(view).steps == ("submit/1", "watch/1", "fetch/1", "import/1", "tidy", "cancel")
    assert again(view, "submit").jobs == (UUID(int=3),)


def test_a_branch_that_ended_well_is_taken_again_if_it_is_named() -> None:
    view = run(TWO, submit_0=done(), watch_0=done(ok=True), fetch_0=done(), import_0=done(), submit_1=FAILED)
    assert again(view, "import/0").steps == ("import/0", "tidy", "cancel")


def test_a_job_that_was_cancelled_is_submitted_again() -> None:
    assert again(run(submit_0=done(), cancel=done(job_ids=[12]))).jobs == (UUID(int=1),)


def test_a_cancelled_run_whose_data_are_gone_begins_with_its_export() -> None:
    view = run(submit_0=done(), cancel=done(job_ids=[12], removed="data/biomero_x"))
    assert again(view).steps[0] == "export"
    with pytest.raises(RequestError, match=r"were removed when it ended.*from export"):
        again(view, "submit")


def test_another_look_at_the_same_job_submits_nothing() -> None:
    view = run(submit_0=done(), watch_0=done(ok=False), fetch_0=done(), import_0=done())
    found = again(view, "watch")
    assert (found.jobs, found.tasks) == ((), (UUID(int=1), UUID(int=2)))


@pytest.mark.parametrize("start", ["watch/1", "tidy", "cancel", "banana", "submit/x", ""])
def test_a_step_that_there_is_not_is_refused_with_those_that_there_are(start: str) -> None:
    with pytest.raises(RequestError, match="Name one of export, submit/0, watch/0, fetch/0, import/0"):
        again(run(submit_0=FAILED), start)


def test_a_step_that_has_nothing_to_build_on_is_refused() -> None:
    with pytest.raises(RequestError, match="'submit/0' is not done"):
        again(run(submit_0=FAILED), "import/0")


def test_results_of_a_failed_job_cannot_be_fetched() -> None:
    view = run(submit_0=done(), watch_0=done(ok=False), fetch_0=done(), import_0=done())
    with pytest.raises(RequestError, match=r"the job itself failed.*submit/0"):
        again(view, "fetch")


def test_a_run_in_which_nothing_failed_is_not_retried() -> None:
    view = run(submit_0=done(), watch_0=done(ok=True), fetch_0=done(), import_0=done())
    with pytest.raises(RequestError, match="nothing to retry"):
        again(view)
