"""The four views that dashboards and web plugins read, each a function from an event to changed rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker.history import tables
from worker.history.domain import Task, WorkflowRun, job_number
from worker.history.status import is_main_task, percent_of, stage_of, stage_of_step

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa
    from eventsourcing.domain import AggregateEvent

    from worker.history.overview import TaskContext
    from worker.history.rows import Rows

JOBS = tables.biomero_job_view
JOB_PROGRESS = tables.biomero_job_progress_view
RUN_PROGRESS = tables.biomero_workflow_progress_view
TASKS = tables.biomero_task_execution


@dataclass(frozen=True, slots=True)
class View:
    """One view: where it is kept, how far it has got, and how it follows an event."""

    name: str
    table: sa.Table
    tracking: sa.Table
    follow: Callable[[Rows, AggregateEvent, TaskContext | None], None]


def _naive(moment: datetime) -> datetime:
    """Write a time as these views have it: UTC without zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def follow_jobs(rows: Rows, event: AggregateEvent, task: TaskContext | None) -> None:
    """Keep whose job each Slurm job is. Slurm may give an id out again: the latest owner counts."""
    if isinstance(event, Task.JobIdAdded) and task is not None and task.user is not None:
        number = job_number(event.job_id)
        if number is not None:
            key = {"slurm_job_id": number}
            rows.put(JOBS, key, user=task.user, group=task.group, task_id=task.task_id)


def follow_job_progress(rows: Rows, event: AggregateEvent, task: TaskContext | None) -> None:
    """Keep status and progress of each Slurm job."""
    if isinstance(event, (Task.StatusUpdated, Task.ProgressUpdated)) and task is not None and task.job_id is not None:
        key = {"slurm_job_id": task.job_id}
        rows.put(JOB_PROGRESS, key, status=task.status or "UNKNOWN", progress=task.progress)


def follow_run_progress(rows: Rows, event: AggregateEvent, task: TaskContext | None) -> None:
    """Keep how far each run is."""
    match event:
        case WorkflowRun.WorkflowInitiated():
            rows.put(
                RUN_PROGRESS,
                {"workflow_id": event.originator_id},
                status="INITIALIZING",
                progress="0%",
                user=event.user,
                group=event.group,
                name=event.name,
                start_time=_naive(event.timestamp),
            )
        case WorkflowRun.WorkflowCompleted():
            rows.change(RUN_PROGRESS, event.originator_id, status="DONE", progress="100%")
        case WorkflowRun.WorkflowFailed():
            rows.change(RUN_PROGRESS, event.originator_id, status="FAILED")
        case WorkflowRun.StepsReopened():
            # A run that goes on all the time says by its tasks how far it is.
            row = rows.get(RUN_PROGRESS, event.originator_id)
            if row is not None and row["status"] == "FAILED":
                anew = stage_of_step(event.steps[0] if event.steps else "")
                rows.change(RUN_PROGRESS, event.originator_id, status=anew.status, progress=percent_of(anew, None))
        case Task.TaskCreated():
            # Before any task is at work, the first one stands for the run.
            names = ["task", *(["main_task_name"] if is_main_task(event.task_name) else [])]
            row = rows.get(RUN_PROGRESS, event.workflow_id)
            if row is not None:
                first = {name: event.task_name for name in names if row[name] is None}
                rows.change(RUN_PROGRESS, event.workflow_id, **first)
        case Task.TaskStarted() | Task.StatusUpdated() | Task.ProgressUpdated():
            # What a task still reports after the end of its run does not open the run again.
            stage = stage_of(task.task_name, task.status) if task is not None and not task.run_ended else None
            if task is not None and stage is not None:
                percent = percent_of(stage, task.progress)
                rows.change(RUN_PROGRESS, task.run_id, status=stage.status, progress=percent, task=task.task_name)


def follow_tasks(rows: Rows, event: AggregateEvent, task: TaskContext | None) -> None:
    """Keep when each task was at work, and why it failed; its status is the one that was last reported."""
    if task is None:
        return
    at = _naive(event.timestamp)
    match event:
        case Task.TaskCreated():
            rows.put(
                TASKS,
                {"task_id": task.task_id},
                task_name=task.task_name,
                task_version=task.task_version,
                user_id=task.user,
                group_id=task.group,
                status="CREATED",
                start_time=at,
            )
        case Task.TaskStarted():
            rows.change(TASKS, task.task_id, start_time=at)
        case Task.StatusUpdated():
            rows.change(TASKS, task.task_id, status=event.status)
        case Task.TaskCompleted():
            rows.change(TASKS, task.task_id, end_time=at)
        case Task.TaskFailed():
            rows.change(TASKS, task.task_id, end_time=at, error_type=event.error_message)
        case Task.TaskReopened() | Task.ResubmissionPlanned():
            rows.change(TASKS, task.task_id, status="CREATED", end_time=None, error_type=None)


VIEWS = (
    View("JobAccounting", JOBS, tables.jobaccounting_tracking, follow_jobs),
    View("JobProgress", JOB_PROGRESS, tables.jobprogress_tracking, follow_job_progress),
    View("WorkflowProgress", RUN_PROGRESS, tables.workflowprogress_tracking, follow_run_progress),
    View("WorkflowAnalytics", TASKS, tables.workflowanalytics_tracking, follow_tasks),
)
