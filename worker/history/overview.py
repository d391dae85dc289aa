"""Our own view: a row per run for the engine and the web page, and a row per task as context of the other views.

Events of a task do not say whose they are. The other views therefore take user, run and task name from the rows here,
which are in the database: whichever process computes a view, it knows what all others have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from worker.history.domain import Task, WorkflowRun, job_number
from worker.history.status import is_main_task
from worker.history.tables import worker_run, worker_run_task
from worker.history.upsert import upsert

if TYPE_CHECKING:
    from uuid import UUID

    from eventsourcing.domain import AggregateEvent
    from sqlalchemy.orm import Session

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


def follow(session: Session, event: AggregateEvent) -> TaskContext | None:
    """Bring the rows up to date with an event.

    Parameters
    ----------
    session : Session
        The transaction.
    event : AggregateEvent
        The event.

    Returns
    -------
    TaskContext or None
        The context of a task's event; None for a run's event, and for a task that is not in the log.
    """
    if isinstance(event, WorkflowRun.Event):
        _follow_run(session, event)
        return None
    if isinstance(event, Task.TaskCreated):
        _insert_task(session, event)
    return _follow_task(session, event)


def _follow_run(session: Session, event: AggregateEvent) -> None:
    if isinstance(event, WorkflowRun.WorkflowInitiated):
        upsert(
            session,
            worker_run,
            {"run_id": event.originator_id},
            user=event.user,
            group=event.group,
            name=event.name,
            state="INITIALIZED",
            message="",
            has_request=False,
            paused=False,
            created_at=event.timestamp,
            updated_at=event.timestamp,
        )
        return
    session.execute(
        sa.update(worker_run)
        .where(worker_run.c.run_id == event.originator_id)
        .values(updated_at=event.timestamp, **_run_changes(event))
    )


def _run_changes(event: AggregateEvent) -> dict[str, Any]:
    """Columns of a run's row that an event changes."""
    match event:
        case WorkflowRun.RequestRecorded():
            return {"has_request": True}
        case WorkflowRun.WorkflowStarted():
            return {"state": "STARTED"}
        case WorkflowRun.WorkflowCompleted():
            return {"state": "COMPLETED", "message": "", "next_attempt_at": None}
        case WorkflowRun.WorkflowFailed():
            return {"state": "FAILED", "message": event.error_message, "next_attempt_at": None}
        case WorkflowRun.StepIntended():
            return {"step": event.step, "next_attempt_at": None}
        case WorkflowRun.StepCompleted():
            return {"step": event.step, "message": "", "next_attempt_at": None}
        case WorkflowRun.AttemptFailed():
            retry_at = datetime.fromisoformat(event.retry_at) if event.retry_at else None
            return {"step": event.step, "message": event.message or event.error, "next_attempt_at": retry_at}
        case WorkflowRun.RunPaused():
            return {"paused": True, "message": event.reason}
        case WorkflowRun.RunResumed():
            return {"paused": False, "message": "", "next_attempt_at": None}
        case WorkflowRun.CancelRequested():
            return {"cancel_requested_by": event.by, "next_attempt_at": None}
        case WorkflowRun.StepsReopened():
            return _reopened(event)
    return {}


def _reopened(event: WorkflowRun.StepsReopened) -> dict[str, Any]:
    """Columns of a run some of whose steps are taken anew; the run goes on if it had failed."""
    run = worker_run.c
    failed = run.state == "FAILED"
    return {
        "state": sa.case((failed, "STARTED"), else_=run.state),
        "cancel_requested_by": sa.case((failed, sa.null()), else_=run.cancel_requested_by),
        "paused": sa.case((failed, sa.false()), else_=run.paused),
        "step": event.steps[0] if event.steps else run.step,
        "message": event.reason,
        "next_attempt_at": None,
    }


def _insert_task(session: Session, event: Task.TaskCreated) -> None:
    table = worker_run_task
    run_id = event.workflow_id
    position = session.execute(
        sa.select(sa.func.coalesce(sa.func.max(table.c.position) + 1, 0)).where(table.c.run_id == run_id)
    ).scalar_one()
    upsert(
        session,
        table,
        {"task_id": event.originator_id},
        run_id=run_id,
        position=position,
        task_name=event.task_name,
        task_version=event.task_version,
        state="CREATED",
    )
    if is_main_task(event.task_name):
        session.execute(
            sa.update(worker_run)
            .where(worker_run.c.run_id == run_id, worker_run.c.main_task_name.is_(None))
            .values(main_task_name=event.task_name)
        )


def _follow_task(session: Session, event: AggregateEvent) -> TaskContext | None:
    # Changing the rows gives them back, so that the context costs no query of its own. A task whose event changes
    # nothing is written to all the same: setting the id to itself.
    table = worker_run_task
    changes = _task_changes(event) or {"task_id": event.originator_id}
    task = session.execute(
        sa.update(table).where(table.c.task_id == event.originator_id).values(**changes).returning(table)
    ).one_or_none()
    if task is None:
        return None
    run = session.execute(
        sa.update(worker_run)
        .where(worker_run.c.run_id == task.run_id)
        .values(updated_at=event.timestamp)
        .returning(worker_run.c.user, worker_run.c.group, worker_run.c.state)
    ).one_or_none()
    return TaskContext(
        task_id=task.task_id,
        run_id=task.run_id,
        task_name=task.task_name,
        task_version=task.task_version,
        status=task.status,
        progress=task.progress,
        job_id=task.job_id,
        user=run.user if run else None,
        group=run.group if run else None,
        run_ended=run is not None and run.state in ("COMPLETED", "FAILED"),
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
