"""What jobs have used, and by whom."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tests.unit.history.viewing import only_row, rows
from worker.history.tables import worker_job_usage, workflowtracker_events
from worker.history.tracker import TaskSpec, WorkflowTracker
from worker.history.usage import UsageRow

if TYPE_CHECKING:
    from uuid import UUID

    from worker.history.database import Database
    from worker.history.reader import RunReader

USAGE: dict[str, Any] = {
    "elapsed_s": 1800.0,
    "cpu_s": 3600.0,
    "gpu_s": 900.0,
    "peak_memory_bytes": 2**31,
    "exit_code": 0,
    "nodes": ("c1", "c2"),
    "cpus": 4,
    "gpus": 1,
    "partition": "gpu",
    "started": "2026-03-01T11:30:00+00:00",
    "ended": "2026-03-01T12:00:00+00:00",
}


def task(tracker: WorkflowTracker, *, user: int = 3, name: str = "ada", workflow: str = "cellpose", job: int) -> UUID:
    """A task of a run whose job has run."""
    run_id = tracker.accept(
        name="r",
        description="",
        user=user,
        group=user + 1,
        request={"user_name": name, "group_name": f"{name}'s lab"},
        tasks=[TaskSpec(workflow, "v1")],
    )
    (task_id,) = tracker.run(run_id).tasks
    tracker.add_job_id(task_id, job)
    tracker.update_task_status(task_id, "COMPLETED")
    return task_id


def test_a_job_is_accounted(tracker: WorkflowTracker, database: Database) -> None:
    task_id = task(tracker, job=55)
    tracker.account_job(task_id, 55, USAGE)
    row = only_row(database, worker_job_usage)
    assert (row["task_id"], row["job_id"], row["run_id"]) == (task_id, 55, tracker.task(task_id).workflow_id)
    assert (row["user"], row["group"], row["workflow"], row["version"]) == (3, 4, "cellpose", "v1")
    assert (row["elapsed_s"], row["cpu_s"], row["gpu_s"], row["peak_memory_bytes"]) == (1800, 3600, 900, 2**31)
    assert (row["state"], row["exit_code"], row["nodes"], row["partition"]) == ("COMPLETED", 0, "c1 c2", "gpu")
    assert (row["started_at"], row["ended_at"]) == (
        datetime(2026, 3, 1, 11, 30, tzinfo=UTC),
        datetime(2026, 3, 1, 12, tzinfo=UTC),
    )


def test_the_same_account_twice_is_recorded_once(tracker: WorkflowTracker, database: Database) -> None:
    task_id = task(tracker, job=55)
    tracker.account_job(task_id, 55, USAGE)
    before = rows(database, workflowtracker_events)
    tracker.account_job(task_id, 55, USAGE)
    assert rows(database, workflowtracker_events) == before


def test_a_later_account_replaces_the_earlier_one(tracker: WorkflowTracker, database: Database) -> None:
    task_id = task(tracker, job=55)
    tracker.account_job(task_id, 55, {"elapsed_s": 1, "exit_code": 0, "ended": None})
    tracker.account_job(task_id, 55, USAGE)
    assert only_row(database, worker_job_usage)["cpu_s"] == 3600


def test_what_slurm_does_not_say_is_not_known(tracker: WorkflowTracker, database: Database) -> None:
    task_id = task(tracker, job=55)
    tracker.account_job(task_id, 55, {})
    row = only_row(database, worker_job_usage)
    assert (row["cpu_s"], row["peak_memory_bytes"], row["exit_code"], row["nodes"]) == (0, None, None, "")
    assert row["ended_at"] is not None


def test_usage_is_summed_up_by_user_those_who_used_most_first(tracker: WorkflowTracker, reader: RunReader) -> None:
    for user, name, job, cpu_s in ((3, "ada", 1, 10.0), (5, "grace", 2, 100.0), (3, "ada", 3, 20.0)):
        tracker.account_job(task(tracker, user=user, name=name, job=job), job, {**USAGE, "cpu_s": cpu_s})
    assert reader.usage(by="user") == [
        UsageRow(5, "grace", 1, 0, 1800, 100, 900, 2**31),
        UsageRow(3, "ada", 2, 0, 3600, 30, 1800, 2**31),
    ]


def test_usage_is_summed_up_by_group_and_by_workflow(tracker: WorkflowTracker, reader: RunReader) -> None:
    tracker.account_job(task(tracker, job=1), 1, USAGE)
    assert [(row.key, row.name) for row in reader.usage(by="group")] == [(4, "ada's lab")]
    assert [(row.key, row.name) for row in reader.usage(by="workflow")] == [("cellpose", "cellpose")]


def test_jobs_that_ended_earlier_are_left_out(tracker: WorkflowTracker, reader: RunReader) -> None:
    tracker.account_job(task(tracker, job=1), 1, USAGE)
    assert reader.usage(by="user", since=datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)) == []
    assert len(reader.usage(by="user", since=datetime(2026, 3, 1, 12, tzinfo=UTC))) == 1


def test_failed_jobs_are_counted_but_not_cancelled_ones(tracker: WorkflowTracker, reader: RunReader) -> None:
    for job, (state, code) in enumerate((("TIMEOUT", 0), ("COMPLETED", 0), ("FAILED", 2), ("CANCELLED", 15)), 1):
        task_id = task(tracker, job=job)
        tracker.update_task_status(task_id, state)
        tracker.account_job(task_id, job, {**USAGE, "exit_code": code})
    (row,) = reader.usage(by="user")
    assert (row.jobs, row.failed_jobs) == (4, 2)


def test_a_batch_knows_its_parent(tracker: WorkflowTracker, reader: RunReader) -> None:
    parent = tracker.initiate_workflow("parent", "", 1, 2)
    for index in (2, 1):
        request = {"parent": {"run_id": str(parent), "index": index, "total": 2}}
        tracker.accept(name=f"batch {index}", description="", user=1, group=2, request=request, tasks=[])
    found = reader.batches(parent)
    assert [(row.name, row.parent_id, row.batch_index, row.batch_total) for row in found] == [
        ("batch 1", parent, 1, 2),
        ("batch 2", parent, 2, 2),
    ]
    assert reader.batches(uuid4()) == []
