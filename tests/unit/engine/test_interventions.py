"""What a person can do about a run, whatever state it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from tests.clusters import settings_with
from worker.engine import batches, interventions
from worker.engine.accept import accept
from worker.engine.request import parse_request
from worker.errors import RequestError
from worker.history.database import Database
from worker.history.tracker import WorkflowTracker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[WorkflowTracker]:
    with Database(None, sqlite_path=tmp_path / "history.sqlite") as database:
        database.migrate()
        yield WorkflowTracker(database)


def accepted(tracker: WorkflowTracker, **more: object) -> UUID:
    run_id = accept(
        tracker,
        parse_request(
            {
                "data_type": "Image",
                "ids": [1, 2, 3],
                "workflows": [{"name": "nuclei", "version": "v1"}],
                "user_id": 2,
                "user_name": "ada",
                "group_id": 3,
                "group_name": "lab",
                **more,
            }
        ),
        settings_with("nuclei"),
    )
    tracker.start_workflow(run_id)
    return run_id


def with_failed_job(tracker: WorkflowTracker) -> UUID:
    run_id = accepted(tracker)
    job = tracker.run(run_id).tasks[1]
    tracker.complete_step(run_id, "export", {"files": 1})
    tracker.intend_submission(job, str(job))
    tracker.add_job_id(job, 12)
    tracker.complete_step(run_id, "submit/0", {"job_id": 12})
    tracker.fail_task(job, "Exit code 3.")
    for step in ("watch/0", "fetch/0", "import/0"):
        tracker.complete_step(run_id, step, {"ok": False, "job_id": 12})
    tracker.fail_workflow(run_id, "Exit code 3.")
    return run_id


def test_a_failed_job_is_submitted_again_under_another_key(tracker: WorkflowTracker) -> None:
    run_id = with_failed_job(tracker)
    assert "goes on from submit/0" in interventions.retry(tracker, run_id, by="grace")
    run = tracker.run(run_id)
    task = tracker.task(run.tasks[1])
    assert (run.status, set(run.steps)) == ("STARTED", {"export"})
    assert (task.attempt, task.next_key, task.flags) == (2, f"{task.id}.2", {})
    assert task.earlier_attempts[0]["cause"] == "BY_HAND"


def test_a_run_is_retried_as_often_as_somebody_wants(tracker: WorkflowTracker) -> None:
    run_id = with_failed_job(tracker)
    for attempt in (2, 3):
        interventions.retry(tracker, run_id, by="grace")
        job = tracker.run(run_id).tasks[1]
        assert tracker.task(job).attempt == attempt
        tracker.intend_submission(job, tracker.task(job).next_key)
        tracker.complete_step(run_id, "submit/0", {"job_id": 12 + attempt})
        tracker.complete_step(run_id, "watch/0", {"ok": False})
        tracker.fail_workflow(run_id, "Exit code 3.")


def test_a_key_that_was_never_used_is_not_used_up(tracker: WorkflowTracker) -> None:
    run_id = accepted(tracker)
    tracker.fail_attempt(run_id, "export", attempt=1, error="E", message="No.", retry_at=None)
    tracker.fail_workflow(run_id, "No.")
    interventions.retry(tracker, run_id, by="grace")
    assert tracker.task(tracker.run(run_id).tasks[1]).attempt == 1


def test_a_run_that_is_going_on_is_not_retried(tracker: WorkflowTracker) -> None:
    with pytest.raises(RequestError, match="still going"):
        interventions.retry(tracker, accepted(tracker), by="grace")


def test_a_run_that_has_completed_is_not_retried(tracker: WorkflowTracker) -> None:
    run_id = accepted(tracker)
    tracker.complete_workflow(run_id)
    with pytest.raises(RequestError, match=r"has completed.*nothing is left on the cluster"):
        interventions.retry(tracker, run_id, by="grace")


def test_a_paused_run_is_resumed_unless_a_step_is_named(tracker: WorkflowTracker) -> None:
    run_id = with_failed_job(tracker)
    interventions.retry(tracker, run_id, by="grace")
    tracker.complete_step(run_id, "submit/0", {"job_id": 13})
    tracker.pause_run(run_id, "Slurm does not know job 13.")
    with pytest.raises(RequestError, match=r"is paused: Slurm does not know job 13.*runs resume"):
        interventions.retry(tracker, run_id, by="grace")
    interventions.retry(tracker, run_id, by="grace", start="submit")
    run = tracker.run(run_id)
    assert (run.paused_reason, set(run.steps)) == (None, {"export"})


def test_a_run_of_another_tool_is_only_shown(tracker: WorkflowTracker) -> None:
    run_id = tracker.initiate_workflow("r", "", 1, 1)
    with pytest.raises(RequestError, match="not recorded by this worker"):
        interventions.retry(tracker, run_id, by="grace")


def test_a_cancelled_run_can_be_retried_from_its_export(tracker: WorkflowTracker) -> None:
    run_id = accepted(tracker)
    tracker.complete_step(run_id, "export", {})
    tracker.request_cancel(run_id, "ada")
    tracker.complete_step(run_id, "cancel", {"job_ids": [], "removed": "data/biomero_x"})
    tracker.fail_workflow(run_id, "Cancelled by ada.")
    assert "goes on from export" in interventions.retry(tracker, run_id, by="ada")
    run = tracker.run(run_id)
    assert (run.status, run.cancel_requested_by, run.steps) == ("STARTED", None, {})


def test_the_batches_that_failed_are_taken_up_with_their_run(tracker: WorkflowTracker) -> None:
    parent = accepted(tracker, batch={"size": 2, "parallel": 2})
    tracker.complete_step(parent, "split", {"data_type": "Image", "batches": [[1, 2], [3]]})
    for number, ok in ((1, True), (2, False)):
        child = batches.child_id(parent, number)
        request = parse_request(
            {
                **(tracker.run(parent).request or {}),
                "batch": None,
                "parent": {"run_id": parent, "index": number, "total": 2},
            }
        )
        accept(tracker, request, settings_with("nuclei"), run_id=child)
        tracker.complete_step(child, "export", {})
        if ok:
            tracker.complete_workflow(child)
        else:
            tracker.fail_attempt(child, "submit/0", attempt=1, error="E", message="No.", retry_at=None)
            tracker.fail_workflow(child, "No.")
        tracker.complete_step(parent, f"child/{number}", {"run_id": str(child), "status": "DONE" if ok else "FAILED"})
    tracker.fail_workflow(parent, "PARTIAL")
    failed = batches.child_id(parent, 2)

    with pytest.raises(RequestError, match=f"is a batch of run {parent}"):
        interventions.retry(tracker, failed, by="grace")
    assert "1 of its 2 batches" in interventions.retry(tracker, parent, by="grace")

    assert tracker.run(failed).status == "STARTED"
    assert tracker.run(batches.child_id(parent, 1)).status == "COMPLETED"
    assert set(tracker.run(parent).steps) == {"split", "child/1"}


def test_cancelling_twice_is_no_error(tracker: WorkflowTracker) -> None:
    run_id = accepted(tracker)
    assert "will be cancelled" in interventions.cancel(tracker, run_id, by="ada")
    assert "being cancelled already, as ada asked" in interventions.cancel(tracker, run_id, by="grace")
    tracker.fail_workflow(run_id, "Cancelled by ada.")
    assert "was cancelled before. Cancelled by ada." in interventions.cancel(tracker, run_id, by="grace")


def test_a_run_that_ended_otherwise_cannot_be_cancelled(tracker: WorkflowTracker) -> None:
    with pytest.raises(RequestError, match="has failed already"):
        interventions.cancel(tracker, with_failed_job(tracker), by="ada")


def test_resuming_what_is_not_paused_is_no_error_unless_it_has_ended(tracker: WorkflowTracker) -> None:
    assert "is not paused" in interventions.resume(tracker, accepted(tracker))
    with pytest.raises(RequestError, match=r"it has failed.*runs retry"):
        interventions.resume(tracker, with_failed_job(tracker))


def test_resuming_a_paused_run_lets_it_go_on(tracker: WorkflowTracker) -> None:
    run_id = accepted(tracker)
    tracker.pause_run(run_id, "No key.")
    assert "goes on where it stopped" in interventions.resume(tracker, run_id)
    assert tracker.run(run_id).paused_reason is None


def test_a_run_that_there_is_not_is_not_found(tracker: WorkflowTracker) -> None:
    from worker.errors import RunNotFound

    for command in (interventions.retry, interventions.cancel):
        with pytest.raises(RunNotFound):
            command(tracker, uuid4(), by="ada")
