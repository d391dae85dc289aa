"""What Slurm jobs have used: a row per task and job, and the sums by person, group and workflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from worker.history.domain import Task
from worker.history.tables import worker_job_usage, worker_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventsourcing.domain import AggregateEvent

    from worker.history.overview import TaskContext
    from worker.history.rows import Rows

By = Literal["user", "group", "workflow"]

FAILURES = ("BOOT_FAIL", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT")
"""Statuses of a job that came to nothing. One that somebody cancelled has not failed."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What the jobs of one person, one group or one workflow have used."""

    key: int | str | None
    """OMERO id of the person or the group, or name of the workflow; None: not known."""
    name: str | None
    """Name of the person, the group or the workflow; None: not known."""
    jobs: int
    failed_jobs: int
    elapsed_s: float
    """Time on the cluster, summed up over the jobs."""
    cpu_s: float
    gpu_s: float
    peak_memory_bytes: int | None
    """The most that any of the jobs had; None: not known."""


def follow(rows: Rows, event: AggregateEvent, task: TaskContext | None) -> None:
    """Keep what each job has used; of a job that is accounted again, the last word counts."""
    if not isinstance(event, Task.JobAccounted) or task is None:
        return
    usage: Mapping[str, Any] = event.usage
    rows.put(
        worker_job_usage,
        {"task_id": task.task_id, "job_id": event.job_id},
        run_id=task.run_id,
        workflow=task.task_name,
        version=task.task_version,
        user=task.user,
        group=task.group,
        state=usage.get("state") or task.status,
        exit_code=usage.get("exit_code"),
        elapsed_s=float(usage.get("elapsed_s") or 0),
        cpu_s=float(usage.get("cpu_s") or 0),
        gpu_s=float(usage.get("gpu_s") or 0),
        peak_memory_bytes=usage.get("peak_memory_bytes"),
        cpus=usage.get("cpus"),
        gpus=usage.get("gpus"),
        nodes=" ".join(usage.get("nodes") or ()),
        partition=usage.get("partition"),
        started_at=_moment(usage.get("started")),
        ended_at=_moment(usage.get("ended")) or event.timestamp,
    )


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def sums(by: By, since: datetime | None) -> sa.Select[Any]:
    """Make the query for `UsageRow`, those who have used most first.

    Parameters
    ----------
    by : str
        Whose jobs to sum up: ``user``, ``group`` or ``workflow``.
    since : datetime or None
        Only jobs that ended then or later (with time zone); None: all.

    Returns
    -------
    Select
        The query; its columns are the fields of `UsageRow`.
    """
    usage = worker_job_usage.c
    names: dict[By, sa.ColumnElement[Any]] = {
        # Names may change: that of the last run counts, as far as letters tell.
        "user": sa.func.max(worker_run.c.user_name),
        "group": sa.func.max(worker_run.c.group_name),
        "workflow": sa.func.max(usage.workflow),
    }
    failed = sa.or_(
        usage.state.in_(FAILURES),
        sa.and_(usage.exit_code != 0, sa.func.coalesce(usage.state, "").not_like("CANCELLED%")),
    )
    key = usage[by]
    query = (
        sa.select(
            key.label("key"),
            names[by].label("name"),
            sa.func.count().label("jobs"),
            sa.func.sum(sa.case((failed, 1), else_=0)).label("failed_jobs"),
            sa.func.sum(usage.elapsed_s).label("elapsed_s"),
            sa.func.sum(usage.cpu_s).label("cpu_s"),
            sa.func.sum(usage.gpu_s).label("gpu_s"),
            sa.func.max(usage.peak_memory_bytes).label("peak_memory_bytes"),
        )
        .select_from(worker_job_usage.outerjoin(worker_run, worker_run.c.run_id == usage.run_id))
        .group_by(key)
        .order_by(sa.func.sum(usage.cpu_s).desc(), key)
    )
    return query if since is None else query.where(usage.ended_at >= since)
