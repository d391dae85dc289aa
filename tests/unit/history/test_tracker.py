"""Commands of the tracker, on both databases."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.unit.history.viewing import rows
from worker.errors import HistoryConflict, RunNotFound
from worker.history.event_log import SNAPSHOT_INTERVAL
from worker.history.tables import worker_snapshot
from worker.history.tracker import TaskSpec, WorkflowTracker

if TYPE_CHECKING:
    from uuid import UUID

    from worker.history.database import Database
    from worker.history.domain import WorkflowRun

TASKS = [TaskSpec("_SLURM_Image_Transfer.py", "1"), TaskSpec("cellpose", "v1.0", {"in": 1}, {"diameter": 30})]


def accept(tracker: WorkflowTracker) -> UUID:
    return tracker.accept(
        name="segmentation", description="of cells", user=3, group=4, request={"ids": [7]}, tasks=TASKS
    )


def topics(tracker: WorkflowTracker) -> list[str]:
    found = tracker.notification_log.select(start=1, limit=1000)
    return [notification.topic.removeprefix("biomero.eventsourcing:") for notification in found]


def test_accepting_records_run_request_and_tasks_in_order(tracker: WorkflowTracker) -> None:
    accept(tracker)
    assert topics(tracker) == [
        "WorkflowRun.WorkflowInitiated",
        "WorkflowRun.RequestRecorded",
        "Task.TaskCreated",
        "WorkflowRun.TaskAdded",
        "Task.TaskCreated",
        "WorkflowRun.TaskAdded",
    ]


def test_an_accepted_run_can_be_read(tracker: WorkflowTracker) -> None:
    run = tracker.run(accept(tracker))
    assert (run.name, run.description, run.user, run.group) == ("segmentation", "of cells", 3, 4)
    assert run.request == {"ids": [7]}
    task = tracker.task(run.tasks[1])
    assert (task.workflow_id, task.task_name, task.task_version) == (run.id, "cellpose", "v1.0")
    assert (task.input_data, task.params) == ({"in": 1}, {"diameter": 30})


def test_accepting_is_all_or_nothing(tracker: WorkflowTracker) -> None:
    not_json = TaskSpec("cellpose", "v1", {"in": object()})
    with pytest.raises(TypeError):
        tracker.accept(name="r", description="", user=1, group=1, request={}, tasks=[*TASKS, not_json])
    assert topics(tracker) == []


def test_a_run_goes_through_the_commands_that_existing_scripts_give(tracker: WorkflowTracker) -> None:
    run_id = tracker.initiate_workflow("r", "d", 1, 2)
    task_id = tracker.add_task_to_workflow(run_id, "cellpose", "v1", {"a": 1}, {"b": 2})
    tracker.start_task(task_id)
    tracker.add_job_id(task_id, "123")
    result = SimpleNamespace(command="sbatch", env={"A": "1"}, stdout="Submitted", stderr="", exited=0)
    tracker.add_result(task_id, result)
    tracker.update_task_status(task_id, "RUNNING")
    tracker.update_task_progress(task_id, "43%")
    tracker.complete_task(task_id, "fine")
    tracker.complete_workflow(run_id)

    task = tracker.task(task_id)
    assert task.job_ids == [123]
    assert task.results == [{"command": "sbatch", "env": {"A": "1"}, "stdout": "Submitted", "stderr": ""}]
    assert (task.status, task.progress, task.state, task.result_message) == ("RUNNING", "43%", "COMPLETED", "fine")
    assert tracker.run(run_id).status == "COMPLETED"
    assert topics(tracker)[:3] == ["WorkflowRun.WorkflowInitiated", "Task.TaskCreated", "WorkflowRun.TaskAdded"]


def test_a_run_goes_through_the_commands_that_the_engine_gives(tracker: WorkflowTracker) -> None:
    run_id = accept(tracker)
    task_id = tracker.run(run_id).tasks[1]
    tracker.start_workflow(run_id)
    tracker.intend_step(run_id, "export", "key")
    tracker.fail_attempt(run_id, "export", attempt=1, error="E", message="Busy.", retry_at="2026-03-01T00:00:00+00:00")
    tracker.pause_run(run_id, "Too busy.")
    tracker.resume_run(run_id)
    tracker.complete_step(run_id, "export", {"files": 2})
    tracker.intend_submission(task_id, "task-key")
    tracker.request_cancel(run_id, "ada")
    tracker.fail_workflow(run_id, "Cancelled by ada.")

    run = tracker.run(run_id)
    assert (run.status, run.cancel_requested_by, run.steps["export"].data) == ("FAILED", "ada", {"files": 2})
    assert tracker.task(task_id).submission_key == "task-key"


def test_a_command_that_changes_nothing_records_nothing(tracker: WorkflowTracker) -> None:
    run_id = accept(tracker)
    tracker.start_workflow(run_id)
    before = topics(tracker)
    tracker.start_workflow(run_id)
    assert topics(tracker) == before


def test_an_unknown_run_is_not_found(tracker: WorkflowTracker) -> None:
    with pytest.raises(RunNotFound, match="There is no run"):
        tracker.run(uuid4())
    with pytest.raises(RunNotFound):
        tracker.start_workflow(uuid4())


def test_a_task_is_not_a_run(tracker: WorkflowTracker) -> None:
    task_id = tracker.run(accept(tracker)).tasks[0]
    with pytest.raises(RunNotFound, match="is not a run"):
        tracker.run(task_id)


def test_a_stale_run_cannot_be_saved(tracker: WorkflowTracker) -> None:
    run_id = accept(tracker)
    stale: WorkflowRun = tracker.repository.get(run_id)
    tracker.start_workflow(run_id)
    stale.request_cancel("ada")

    with pytest.raises(HistoryConflict, match="Somebody else has written"):
        tracker.save(stale)

    assert tracker.run(run_id).cancel_requested_by is None
    assert len(topics(tracker)) == 7


def test_a_conflict_costs_no_position_in_the_log(tracker: WorkflowTracker) -> None:
    run_id = accept(tracker)
    stale: WorkflowRun = tracker.repository.get(run_id)
    tracker.start_workflow(run_id)
    stale.request_cancel("ada")
    with pytest.raises(HistoryConflict):
        tracker.save(stale)
    tracker.request_cancel(run_id, "grace")

    positions = [notification.id for notification in tracker.notification_log.select(start=1, limit=1000)]
    assert positions == list(range(1, 9))


def test_a_run_that_was_read_and_changed_can_be_saved(tracker: WorkflowTracker) -> None:
    run: WorkflowRun = tracker.repository.get(accept(tracker))
    run.request_cancel("ada")
    tracker.save(run)
    assert tracker.run(run.id).cancel_requested_by == "ada"


def test_a_long_run_is_read_from_its_snapshot(tracker: WorkflowTracker, database: Database) -> None:
    run_id = accept(tracker)
    for number in range(SNAPSHOT_INTERVAL):
        tracker.intend_step(run_id, f"step/{number}", str(number))

    (snapshot,) = rows(database, worker_snapshot)
    assert (snapshot["originator_id"], snapshot["originator_version"]) == (run_id, SNAPSHOT_INTERVAL)
    run = tracker.run(run_id)
    assert run.version == SNAPSHOT_INTERVAL + 3
    assert list(run.steps) == [f"step/{number}" for number in range(SNAPSHOT_INTERVAL)]


def test_an_earlier_version_of_a_long_run_can_be_read(tracker: WorkflowTracker) -> None:
    run_id = accept(tracker)
    for number in range(SNAPSHOT_INTERVAL):
        tracker.intend_step(run_id, f"step/{number}", str(number))

    early: WorkflowRun = tracker.repository.get(run_id, version=5)
    assert list(early.steps) == ["step/0", "step/1"]
