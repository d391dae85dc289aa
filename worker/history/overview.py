"""Our own view: a row per run for the engine and the web page, and a row per task as context of the other views.

Events of a task do not say whose they are. The other views therefore take user, run and task name from the rows here,
which are in the database: whichever process computes a view, it knows what all others have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from worker.history.domain import Task, WorkflowRun, job_number
from worker.history.status import is_main_task
from worker.history.tables import (
    biomero_task_execution,
    biomero_workflow_progress_view,
    worker_run,
    worker_run_task,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventsourcing.domain import AggregateEvent

    from worker.history.rows import Row, Rows

TABLES = (worker_run, worker_run_task)


@dataclass(frozen=True, slots=True)
class TaskContext:
    """A task and its run, as they are right after an event of the task."""

    task_id: UUID
    run_id: UUID
    task_name: str
    task_version: str | None
    status: str | None
    """As last reported for the task or its present job; None before that."""
    progress: str | None
    """As last reported for the task or its present job; None before that."""
    job_id: int | None
    """The present job."""
    user: int | None
    """None if the run is not in the log."""
    group: int | None
    run_ended: bool


def expect(rows: Rows, events: Sequence[AggregateEvent]) -> None:
    """Say which rows a batch of events is going to look at.

    Parameters
    ----------
    rows : Rows
        The rows.
    events : sequence of AggregateEvent
        The batch.
    """
    new_tasks = {event.originator_id for event in events if isinstance(event, Task.TaskCreated)}
    runs = {event.originator_id for event in events if isinstance(event, WorkflowRun.Event)}
    runs |= {event.workflow_id for event in events if isinstance(event, Task.TaskCreated)}
    tasks = {event.originator_id for event in events if isinstance(event, Task.Event)}
    rows.expect(worker_run_task, tasks)
    for task_id in tasks - new_tasks:
        task = rows.get(worker_run_task, task_id)
        if task is not None:
            runs.add(task["run_id"])
    for table in (worker_run, biomero_workflow_progress_view):
        rows.expect(table, runs)
    rows.expect(biomero_task_execution, tasks)


def follow(rows: Rows, event: AggregateEvent) -> TaskContext | None:
    """Bring the rows up to date with an event.

    Parameters
    ----------
    rows : Rows
        The rows.
    event : AggregateEvent
        The event.

    Returns
    -------
    TaskContext or None
        The context of a task's event; None for a run's event, and for a task that is not in the log.
    """
    if isinstance(event, WorkflowRun.Event):
        _follow_run(rows, event)
        return None
    if isinstance(event, Task.TaskCreated):
        _insert_task(rows, event)
    return _follow_task(rows, event)


def _follow_run(rows: Rows, event: AggregateEvent) -> None:
    run_id = event.originator_id
    if isinstance(event, WorkflowRun.WorkflowInitiated):
        rows.put(
            worker_run,
            {"run_id": run_id},
            user=event.user,
            group=event.group,
            name=event.name,
            state="INITIALIZED",
            message="",
            has_request=False,
            paused=False,
            task_count=0,
            created_at=event.timestamp,
            updated_at=event.timestamp,
        )
        return
    run = rows.get(worker_run, run_id)
    if run is not None:
        rows.change(worker_run, run_id, updated_at=event.timestamp, **_run_changes(event, run))


def _run_changes(event: AggregateEvent, run: Row) -> dict[str, Any]:
    """Columns of a run's row that an event changes."""
    match event:
        case WorkflowRun.RequestRecorded():
            return {"has_request": True, **_asked(event.request)}
        case WorkflowRun.WorkflowStarted():
            return {"state": "STARTED"}
        case WorkflowRun.WorkflowCompleted():
            return {"state": "COMPLETED", "message": "", "next_attempt_at": None}
        case WorkflowRun.WorkflowFailed():
            return {"state": "FAILED", "message": event.error_message, "next_attempt_at": None}
        case WorkflowRun.StepIntended() | WorkflowRun.StepCompleted() if run["state"] in ("COMPLETED", "FAILED"):
            return {}  # its data were removed: how it has ended stays what a person should know
        case WorkflowRun.StepIntended():
            return {"step": event.step, "next_attempt_at": None}
        case WorkflowRun.StepCompleted():
            return {"step": event.step, "message": "", "next_attempt_at": None}
        case WorkflowRun.AttemptFailed():
            retry_at = datetime.fromisoformat(event.retry_at) if event.retry_at else None
            return {"step": event.step, "message": event.message or event.error, "next_attempt_at": retry_at}
        case WorkflowRun.HolderLost():
            return {
                "step": event.step,
                "message": event.message,
                "next_attempt_at": datetime.fromisoformat(event.retry_at),
            }
        case WorkflowRun.RunPaused():
            return {"paused": True, "message": event.reason}
        case WorkflowRun.RunResumed():
            return {"paused": False, "message": "", "next_attempt_at": None}
        case WorkflowRun.CancelRequested():
            return {"cancel_requested_by": event.by, "next_attempt_at": None}
        case WorkflowRun.StepsReopened():
            return _reopened(event, run)
    return {}


def _asked(request: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a run that say who asked for it, and whose batch it is."""
    parent = request.get("parent") or {}
    return {
        "user_name": request.get("user_name"),
        "group_name": request.get("group_name"),
        "parent_id": UUID(str(parent["run_id"])) if "run_id" in parent else None,
        "batch_index": parent.get("index"),
        "batch_total": parent.get("total"),
    }


def _reopened(event: WorkflowRun.StepsReopened, run: Row) -> dict[str, Any]:
    """Columns of a run some of whose steps are taken anew; the run goes on if it had failed."""
    anew = {"state": "STARTED", "cancel_requested_by": None, "paused": False} if run["state"] == "FAILED" else {}
    step = event.steps[0] if event.steps else run["step"]
    return {"step": step, "message": event.reason, "next_attempt_at": None, **anew}


def _insert_task(rows: Rows, event: Task.TaskCreated) -> None:
    run = rows.get(worker_run, event.workflow_id)
    rows.put(
        worker_run_task,
        {"task_id": event.originator_id},
        run_id=event.workflow_id,
        position=0 if run is None else run["task_count"],
        task_name=event.task_name,
        task_version=event.task_version,
        state="CREATED",
    )
    if run is None:
        return
    rows.change(worker_run, event.workflow_id, task_count=run["task_count"] + 1)
    if is_main_task(event.task_name) and run["main_task_name"] is None:
        rows.change(worker_run, event.workflow_id, main_task_name=event.task_name)


def _follow_task(rows: Rows, event: AggregateEvent) -> TaskContext | None:
    task = rows.change(worker_run_task, event.originator_id, **_task_changes(event))
    if task is None:
        return None
    run = rows.change(worker_run, task["run_id"], updated_at=event.timestamp)
    return TaskContext(
        task_id=task["task_id"],
        run_id=task["run_id"],
        task_name=task["task_name"],
        task_version=task["task_version"],
        status=task["status"],
        progress=task["progress"],
        job_id=task["job_id"],
        user=run["user"] if run else None,
        group=run["group"] if run else None,
        run_ended=run is not None and run["state"] in ("COMPLETED", "FAILED"),
    )


def _task_changes(event: AggregateEvent) -> dict[str, Any]:
    """Columns of a task's row that an event changes."""
    match event:
        case Task.TaskStarted():
            return {"state": "STARTED"}
        case Task.TaskCompleted():
            return {"state": "COMPLETED"}
        case Task.TaskFailed():
            return {"state": "FAILED"}
        case Task.TaskReopened():
            return {"state": "CREATED", "status": None, "progress": None}
        case Task.ResubmissionPlanned():
            return {"state": "CREATED", "status": None, "progress": None, "job_id": None}
        case Task.StatusUpdated():
            return {"status": event.status}
        case Task.ProgressUpdated():
            return {"progress": event.progress}
        case Task.JobIdAdded():
            job_id = job_number(event.job_id)
            # A new job has not got anywhere yet.
            return {"job_id": job_id, "status": None, "progress": None} if job_id else {}
    return {}
