"""Runs and tasks record what changes them, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest

from worker.errors import HistoryConflict
from worker.history.domain import StepState, Task, WorkflowRun, job_number


@pytest.fixture
def run() -> WorkflowRun:
    run = WorkflowRun("a run", "why", 3, 4)
    run.collect_events()
    return run


@pytest.fixture
def task() -> Task:
    task = Task(uuid4(), "cellpose", "v1", {}, {})
    task.collect_events()
    return task


def names(aggregate: WorkflowRun | Task) -> list[str]:
    return [type(event).__name__ for event in aggregate.collect_events()]


def test_a_step_goes_from_intended_to_done(run: WorkflowRun) -> None:
    run.intend_step("submit/0", "key-1")
    assert run.steps["submit/0"] == StepState(state="intended", key="key-1")

    run.complete_step("submit/0", {"job": 12})
    assert run.steps["submit/0"] == StepState(state="done", key="key-1", data={"job": 12})


def test_a_repeated_intention_is_not_recorded(run: WorkflowRun) -> None:
    run.intend_step("export", "key")
    run.intend_step("export", "key")
    assert names(run) == ["StepIntended"]


def test_an_intention_under_another_key_begins_the_step_anew(run: WorkflowRun) -> None:
    run.intend_step("export", "key-1")
    run.fail_attempt("export", attempt=2, error="E", message="broken", retry_at=None)
    run.intend_step("export", "key-2")
    assert run.steps["export"] == StepState(key="key-2", attempts=2)


def test_a_repeated_completion_is_not_recorded(run: WorkflowRun) -> None:
    run.complete_step("export", {"files": 3})
    run.complete_step("export", {"files": 3})
    assert names(run) == ["StepCompleted"]


def test_a_completion_is_the_same_after_it_was_read_back(run: WorkflowRun) -> None:
    run.complete_step("import/0", {"objects": ((1, "a"),), "by_id": {1: "x"}})
    assert run.steps["import/0"].data == {"objects": [[1, "a"]], "by_id": {"1": "x"}}
    run.complete_step("import/0", {"objects": ((1, "a"),), "by_id": {1: "x"}})
    assert names(run) == ["StepCompleted"]


def test_a_step_that_is_done_can_be_neither_begun_nor_failed_nor_done_differently(run: WorkflowRun) -> None:
    run.complete_step("export", {"files": 3})
    with pytest.raises(HistoryConflict, match="done already"):
        run.intend_step("export", "key")
    with pytest.raises(HistoryConflict):
        run.complete_step("export", {"files": 4})
    with pytest.raises(HistoryConflict):
        run.fail_attempt("export", attempt=1, error="E", message="m", retry_at=None)


def test_a_failed_attempt_says_why_and_when_to_try_again_in_utc(run: WorkflowRun) -> None:
    berlin = timezone(timedelta(hours=2))
    run.intend_step("export", "key")
    retry_at = datetime(2026, 3, 1, 14, tzinfo=berlin)
    run.fail_attempt("export", attempt=1, error="HostUnreachable", message="No route.", retry_at=retry_at)
    assert run.steps["export"] == StepState(
        key="key", attempts=1, last_error="No route.", retry_at="2026-03-01T12:00:00+00:00"
    )


def test_a_time_without_zone_is_refused(run: WorkflowRun) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        run.fail_attempt("export", attempt=1, error="E", message="m", retry_at="2026-03-01T12:00:00")


def test_completion_forgets_the_last_error(run: WorkflowRun) -> None:
    run.intend_step("export", "key")
    run.fail_attempt("export", attempt=1, error="E", message="m", retry_at=datetime.now(UTC))
    run.complete_step("export", {})
    assert run.steps["export"] == StepState(state="done", key="key", attempts=1)


def test_resuming_gives_waiting_steps_a_fresh_budget_and_leaves_hopeless_ones(run: WorkflowRun) -> None:
    run.intend_step("fetch/0", "a")
    run.fail_attempt("fetch/0", attempt=8, error="E", message="m", retry_at=datetime.now(UTC))
    run.intend_step("fetch/1", "b")
    run.fail_attempt("fetch/1", attempt=1, error="E", message="gone", retry_at=None)
    run.pause("Tried 8 times.")
    assert run.paused_reason == "Tried 8 times."

    run.resume()

    assert run.paused_reason is None
    assert run.steps["fetch/0"] == StepState(key="a")
    assert run.steps["fetch/1"] == StepState(key="b", attempts=1, last_error="gone")


def test_losses_are_counted_apart_from_failed_attempts(run: WorkflowRun) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    run.intend_step("import/0", "key")
    run.fail_attempt("import/0", attempt=2, error="E", message="m", retry_at=at)
    run.lose_holder("import/0", losses=1, headway=0, message="lost", retry_at=at)
    run.lose_holder("import/0", losses=1, headway=0, message="lost", retry_at=at)  # the reply was lost: said twice
    run.lose_holder("import/0", losses=1, headway=7, message="lost", retry_at=at)
    assert names(run) == ["StepIntended", "AttemptFailed", "HolderLost", "HolderLost"]
    assert run.steps["import/0"] == StepState(
        key="key", attempts=2, last_error="lost", retry_at=at.isoformat(), losses=1, headway=7
    )


def test_a_step_that_has_survived_begins_anew_with_the_attempts_that_it_has_spent(run: WorkflowRun) -> None:
    run.survive_step("import/0")
    run.intend_step("import/0", "key")
    run.survive_step("import/0")
    run.fail_attempt("import/0", attempt=2, error="E", message="m", retry_at=datetime.now(UTC))
    run.lose_holder("import/0", losses=1, headway=0, message="lost", retry_at=datetime.now(UTC))
    run.survive_step("import/0")
    assert names(run) == ["StepIntended", "AttemptFailed", "HolderLost", "StepIntended"]
    assert run.steps["import/0"] == StepState(key="key", attempts=2)


def test_what_is_done_is_lost_no_more(run: WorkflowRun) -> None:
    run.complete_step("import/0", {})
    with pytest.raises(HistoryConflict, match="done already"):
        run.lose_holder("import/0", losses=1, headway=0, message="lost", retry_at=datetime.now(UTC))


def test_the_first_to_cancel_is_remembered(run: WorkflowRun) -> None:
    run.request_cancel("ada")
    run.request_cancel("grace")
    assert run.cancel_requested_by == "ada"


def test_a_run_that_has_ended_cannot_be_cancelled(run: WorkflowRun) -> None:
    run.complete_workflow()
    run.request_cancel("ada")
    assert run.cancel_requested_by is None


def test_a_run_has_a_status(run: WorkflowRun) -> None:
    seen: list[str] = [run.status]
    run.start_workflow()
    seen.append(run.status)
    run.fail_workflow("No disk.")
    seen.append(run.status)
    assert seen == ["INITIALIZED", "STARTED", "FAILED"]
    assert (run.error_message, run.ended) == ("No disk.", True)


def test_status_and_progress_are_recorded_only_when_they_change(task: Task) -> None:
    for _ in range(3):
        task.update_task_status("RUNNING")
        task.update_task_progress("43%")
    assert names(task) == ["StatusUpdated", "ProgressUpdated"]


def test_a_new_job_of_a_task_starts_over(task: Task) -> None:
    task.add_job_id(11)
    task.update_task_status("RUNNING")
    task.update_task_progress("90%")
    task.add_job_id("12")
    assert (task.job_ids, task.status, task.progress) == ([11, 12], "CREATED", None)


def test_a_job_that_is_adopted_again_is_not_recorded_again(task: Task) -> None:
    task.add_job_id(11)
    task.add_job_id(11)
    assert names(task) == ["JobIdAdded"]


@pytest.mark.parametrize("nonsense", [-1, 0, "", "Submitted batch job", None])
def test_what_is_not_a_job_id_is_refused(task: Task, nonsense: object) -> None:
    assert job_number(nonsense) is None
    with pytest.raises(ValueError, match="not the id"):
        task.add_job_id(nonsense)  # type: ignore[arg-type]  # callers of other tools hand over anything


def test_a_task_ends_once(task: Task) -> None:
    task.start_task()
    task.start_task()
    task.complete_task("5 objects")
    task.complete_task("5 objects")
    assert names(task) == ["TaskStarted", "TaskCompleted"]
    assert (task.state, task.result_message) == ("COMPLETED", "5 objects")
