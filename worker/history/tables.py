"""Every table of the history, as the database has them.

Three kinds: the event log, which is the truth; the views, which are computed from it and may be thrown away; and the
engine's own rows (lease, heartbeat). Names, columns and types of the log, of the four ``biomero_*`` views and of the
``*_tracking`` tables are a contract with web plugins and dashboards, and with histories that other software has
written.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

LEADER = "WorkflowTracker"
"""Name of the application whose log the views follow, as it stands in the tracking tables."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in time: aware in Python, ``timestamptz`` in PostgreSQL, UTC without zone in SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without zone, whose meaning would depend on the machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the time {value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the time back in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class AggregateId(TypeDecorator[UUID]):
    """Id of a run or a task: ``uuid`` in PostgreSQL, 16 bytes in SQLite (as eventsourcing_sqlalchemy has it)."""

    impl = sa.Uuid
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Choose the column's type in the given database."""
        return dialect.type_descriptor(sa.BINARY(16) if dialect.name == "sqlite" else sa.Uuid())

    def process_bind_param(self, value: UUID | str | None, dialect: Dialect) -> Any:
        """Turn the id into what the database stores; people write it as text."""
        value = UUID(value) if isinstance(value, str) else value
        return value.bytes if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:
        """Turn what the database stores into the id."""
        return UUID(bytes=value) if value is not None and dialect.name == "sqlite" else value


Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A 64-bit integer; SQLite counts only columns of type INTEGER up by itself."""

metadata = sa.MetaData()

# --- the log ------------------------------------------------------------------------------------------------------

workflowtracker_events = sa.Table(
    "workflowtracker_events",
    metadata,
    sa.Column("id", Big, primary_key=True, autoincrement=True),
    sa.Column("originator_id", AggregateId, nullable=False),
    sa.Column("originator_version", Big, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
    sa.Index("workflowtracker_events_aggregate_idx", "originator_id", "originator_version", unique=True),
)
"""Everything that ever happened, in order; rows are only ever added."""

worker_snapshot = sa.Table(
    "worker_snapshot",
    metadata,
    sa.Column("originator_id", AggregateId, primary_key=True),
    sa.Column("originator_version", Big, nullable=False),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)
"""The latest snapshot of each long aggregate, so that reading it does not replay everything."""

# --- how far the views have followed the log -----------------------------------------------------------------------


def _tracking(name: str) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("application_name", sa.String(32), primary_key=True),
        # Positions come from the log; the tracking table must not count by itself.
        sa.Column("notification_id", Big, nullable=True),
    )


jobaccounting_tracking = _tracking("jobaccounting_tracking")
jobprogress_tracking = _tracking("jobprogress_tracking")
workflowprogress_tracking = _tracking("workflowprogress_tracking")
workflowanalytics_tracking = _tracking("workflowanalytics_tracking")
worker_run_tracking = _tracking("worker_run_tracking")

# --- the views that dashboards and web plugins read ------------------------------------------------------------------

biomero_job_view = sa.Table(
    "biomero_job_view",
    metadata,
    sa.Column("slurm_job_id", sa.Integer, primary_key=True),
    sa.Column("user", sa.Integer, nullable=False),
    sa.Column("group", sa.Integer, nullable=False),
    sa.Column("task_id", AggregateId),
)

biomero_job_progress_view = sa.Table(
    "biomero_job_progress_view",
    metadata,
    sa.Column("slurm_job_id", sa.Integer, primary_key=True),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("progress", sa.String),
)

biomero_workflow_progress_view = sa.Table(
    "biomero_workflow_progress_view",
    metadata,
    sa.Column("workflow_id", AggregateId, primary_key=True),
    sa.Column("status", sa.String),
    sa.Column("progress", sa.String),
    sa.Column("user", sa.Integer),
    sa.Column("group", sa.Integer),
    sa.Column("name", sa.String),
    sa.Column("task", sa.String),
    sa.Column("main_task_name", sa.String),
    sa.Column("start_time", sa.DateTime, nullable=False),
)

biomero_task_execution = sa.Table(
    "biomero_task_execution",
    metadata,
    sa.Column("task_id", AggregateId, primary_key=True),
    sa.Column("task_name", sa.String, nullable=False),
    sa.Column("task_version", sa.String),
    sa.Column("user_id", sa.Integer),
    sa.Column("group_id", sa.Integer),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("start_time", sa.DateTime, nullable=False),
    sa.Column("end_time", sa.DateTime),
    sa.Column("error_type", sa.String),
)

# --- our own overview: what the engine looks for, and the context of the other views ----------------------------------

RUN_IS_OPEN = "state IN ('INITIALIZED', 'STARTED')"
"""Condition on `worker_run` under which its index of open runs is used."""

worker_run = sa.Table(
    "worker_run",
    metadata,
    sa.Column("run_id", AggregateId, primary_key=True),
    sa.Column("user", sa.Integer, nullable=False),
    sa.Column("group", sa.Integer, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("main_task_name", sa.String),
    # INITIALIZED, STARTED, COMPLETED or FAILED.
    sa.Column("state", sa.String(16), nullable=False),
    # The step that was last begun, ended or failed, and what a person should know about it.
    sa.Column("step", sa.String),
    sa.Column("message", sa.Text, nullable=False),
    # Whether the run was accepted with its request. A run of another tool has none, and is not ours to drive.
    sa.Column("has_request", sa.Boolean, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("cancel_requested_by", sa.String),
    sa.Column("next_attempt_at", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    # Their names, as they were when the run was accepted; known of runs that have a request.
    sa.Column("user_name", sa.String),
    sa.Column("group_name", sa.String),
    sa.Column("task_count", sa.Integer, nullable=False, server_default="0"),
    # Which batch of which run it is, from 1.
    sa.Column("parent_id", AggregateId),
    sa.Column("batch_index", sa.Integer),
    sa.Column("batch_total", sa.Integer),
    sa.Index("worker_run_user_idx", "user", "created_at"),
    sa.Index("worker_run_parent_idx", "parent_id", "batch_index"),
    sa.Index(
        "worker_run_open_idx",
        "updated_at",
        "run_id",
        postgresql_where=sa.text(RUN_IS_OPEN),
        sqlite_where=sa.text(RUN_IS_OPEN),
    ),
)

worker_run_task = sa.Table(
    "worker_run_task",
    metadata,
    sa.Column("task_id", AggregateId, primary_key=True),
    sa.Column("run_id", AggregateId, nullable=False),
    # Place of the task in its run, from 0.
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("task_name", sa.String, nullable=False),
    sa.Column("task_version", sa.String),
    # CREATED, STARTED, COMPLETED or FAILED.
    sa.Column("state", sa.String(16), nullable=False),
    # What was last reported of it, as it was reported; and of its present job.
    sa.Column("status", sa.String),
    sa.Column("progress", sa.String),
    sa.Column("job_id", sa.Integer),
    sa.Index("worker_run_task_run_idx", "run_id", "position"),
)

worker_job_usage = sa.Table(
    "worker_job_usage",
    metadata,
    sa.Column("task_id", AggregateId, primary_key=True),
    sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("run_id", AggregateId, nullable=False),
    # The task's name: that of the analysis.
    sa.Column("workflow", sa.String, nullable=False),
    sa.Column("version", sa.String),
    sa.Column("user", sa.Integer),
    sa.Column("group", sa.Integer),
    # The job's last status, in Slurm's words.
    sa.Column("state", sa.String),
    sa.Column("exit_code", sa.Integer),
    sa.Column("elapsed_s", sa.Float, nullable=False),
    sa.Column("cpu_s", sa.Float, nullable=False),
    sa.Column("gpu_s", sa.Float, nullable=False),
    sa.Column("peak_memory_bytes", sa.BigInteger),
    sa.Column("cpus", sa.Integer),
    sa.Column("gpus", sa.Integer),
    # With a space between each two.
    sa.Column("nodes", sa.Text, nullable=False),
    sa.Column("partition", sa.String),
    sa.Column("started_at", UtcDateTime),
    # When it was accounted, if Slurm does not say when it ended.
    sa.Column("ended_at", UtcDateTime, nullable=False),
    sa.Index("worker_job_usage_ended_idx", "ended_at"),
)
"""What each Slurm job has used."""

# --- the engine's own rows --------------------------------------------------------------------------------------------

lease = sa.Table(
    "worker_lease",
    metadata,
    sa.Column("run_id", AggregateId, primary_key=True),
    sa.Column("holder", sa.String, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("step", sa.String),
    sa.Column("lost_in", sa.String),
)
"""Who drives a run, what it is doing, and what its predecessor was doing when it was lost; see the engine."""

engine_heartbeat = sa.Table(
    "worker_engine_heartbeat",
    metadata,
    sa.Column("holder", sa.String, primary_key=True),
    sa.Column("beat_at", UtcDateTime, nullable=False),
)
"""Which engine services are alive; see the engine."""

circuit = sa.Table(
    "worker_circuit",
    metadata,
    sa.Column("holder", sa.String, primary_key=True),
    # cluster or OMERO.
    sa.Column("name", sa.String(32), primary_key=True),
    # closed, open or half-open.
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("retry_at", UtcDateTime),
    sa.Column("problem", sa.Text, nullable=False),
)
"""What does not answer at the moment, as each process sees it; see the engine."""
