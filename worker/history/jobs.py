"""Slurm jobs of a person, as the views have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from worker.history.tables import worker_job_usage, worker_run, worker_run_task

if TYPE_CHECKING:
    from uuid import UUID

    from worker.history.database import Database


@dataclass(frozen=True, slots=True)
class JobRow:
    """One Slurm job at a glance."""

    job_id: int
    run_id: UUID
    task_id: UUID
    workflow: str
    """Name of its task: that of the analysis."""
    version: str | None
    status: str | None
    """What Slurm last said of it."""
    progress: str | None
    """What its log last said, such as ``43%``."""
    active: bool
    """Whether it has not ended, as far as the record knows."""


def jobs_of(database: Database, user: int | None, *, job_id: int | None = None, limit: int = 500) -> list[JobRow]:
    """List the jobs of runs, those of earlier attempts too, the newest run first.

    Parameters
    ----------
    database : Database
        Where the history is kept; migrated.
    user : int or None
        OMERO id of the person, who sees no jobs of others; None sees all (admins).
    job_id : int, optional
        Only jobs of this number. Slurm may give a number out again, and so may another cluster.
    limit : int
        At most so many.

    Returns
    -------
    list of JobRow
        The jobs.
    """
    run, task, usage = worker_run.c, worker_run_task.c, worker_job_usage.c
    open_run = run.state.in_(("INITIALIZED", "STARTED"))
    present = sa.select(
        task.job_id,
        task.run_id,
        task.task_id,
        task.task_name.label("workflow"),
        task.task_version.label("version"),
        task.status,
        task.progress,
        sa.and_(open_run, task.state.in_(("CREATED", "STARTED"))).label("active"),
        run.created_at,
    ).join_from(worker_run_task, worker_run, run.run_id == task.run_id)
    # A job that was followed by another attempt; the task knows only its last one.
    earlier = sa.select(
        usage.job_id,
        usage.run_id,
        usage.task_id,
        usage.workflow,
        usage.version,
        usage.state,
        sa.null(),
        sa.false(),
        run.created_at,
    ).select_from(
        worker_job_usage.join(worker_run, run.run_id == usage.run_id).join(
            worker_run_task,
            sa.and_(task.task_id == usage.task_id, sa.or_(task.job_id.is_(None), task.job_id != usage.job_id)),
        )
    )
    wanted = task.job_id.is_not(None) if job_id is None else task.job_id == job_id
    before = sa.true() if job_id is None else usage.job_id == job_id
    whose = sa.true() if user is None else run.user == user
    both = sa.union_all(present.where(whose, wanted), earlier.where(whose, before)).subquery()
    query = sa.select(*(column for column in both.c if column.name != "created_at"))
    query = query.order_by(both.c.created_at.desc(), both.c.job_id.desc()).limit(limit)
    with database.reading() as session:
        return [JobRow(**row) for row in session.execute(query).mappings()]
