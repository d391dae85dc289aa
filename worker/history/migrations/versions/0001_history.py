"""The log, the views, our overview, and the engine's rows.

Tables that exist already, from another tool on the same history, are taken over; columns they lack are added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import op

if TYPE_CHECKING:
    from uuid import UUID

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Id: sa.types.TypeEngine[UUID] = sa.Uuid().with_variant(sa.BINARY(16), "sqlite")
Moment = sa.DateTime(timezone=True)


def tracking(name: str) -> sa.Table:
    """One row: how far a view has followed the log."""
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("application_name", sa.String(32), primary_key=True),
        sa.Column("notification_id", Big),
    )


def tables() -> list[sa.Table]:
    """List the tables as this revision has them; later ones are the business of later revisions."""
    metadata = sa.MetaData()

    def table(name: str, *parts: Any) -> sa.Table:
        return sa.Table(name, metadata, *parts)

    return [
        table(
            "workflowtracker_events",
            sa.Column("id", Big, primary_key=True, autoincrement=True),
            sa.Column("originator_id", Id, nullable=False),
            sa.Column("originator_version", Big, nullable=False),
            sa.Column("topic", sa.Text, nullable=False),
            sa.Column("state", sa.LargeBinary, nullable=False),
            sa.Index("workflowtracker_events_aggregate_idx", "originator_id", "originator_version", unique=True),
        ),
        table(
            "worker_snapshot",
            sa.Column("originator_id", Id, primary_key=True),
            sa.Column("originator_version", Big, nullable=False),
            sa.Column("format", sa.Integer, nullable=False),
            sa.Column("topic", sa.Text, nullable=False),
            sa.Column("state", sa.LargeBinary, nullable=False),
        ),
        tracking("jobaccounting_tracking"),
        tracking("jobprogress_tracking"),
        tracking("workflowprogress_tracking"),
        tracking("workflowanalytics_tracking"),
        tracking("worker_run_tracking"),
        table(
            "biomero_job_view",
            sa.Column("slurm_job_id", sa.Integer, primary_key=True),
            sa.Column("user", sa.Integer, nullable=False),
            sa.Column("group", sa.Integer, nullable=False),
            sa.Column("task_id", Id),
        ),
        table(
            "biomero_job_progress_view",
            sa.Column("slurm_job_id", sa.Integer, primary_key=True),
            sa.Column("status", sa.String, nullable=False),
            sa.Column("progress", sa.String),
        ),
        table(
            "biomero_workflow_progress_view",
            sa.Column("workflow_id", Id, primary_key=True),
            sa.Column("status", sa.String),
            sa.Column("progress", sa.String),
            sa.Column("user", sa.Integer),
            sa.Column("group", sa.Integer),
            sa.Column("name", sa.String),
            sa.Column("task", sa.String),
            sa.Column("main_task_name", sa.String),
            sa.Column("start_time", sa.DateTime, nullable=False),
        ),
        table(
            "biomero_task_execution",
            sa.Column("task_id", Id, primary_key=True),
            sa.Column("task_name", sa.String, nullable=False),
            sa.Column("task_version", sa.String),
            sa.Column("user_id", sa.Integer),
            sa.Column("group_id", sa.Integer),
            sa.Column("status", sa.String, nullable=False),
            sa.Column("start_time", sa.DateTime, nullable=False),
            sa.Column("end_time", sa.DateTime),
            sa.Column("error_type", sa.String),
        ),
        table(
            "worker_run",
            sa.Column("run_id", Id, primary_key=True),
            sa.Column("user", sa.Integer, nullable=False),
            sa.Column("group", sa.Integer, nullable=False),
            sa.Column("name", sa.String, nullable=False),
            sa.Column("main_task_name", sa.String),
            sa.Column("state", sa.String(16), nullable=False),
            sa.Column("step", sa.String),
            sa.Column("message", sa.Text, nullable=False),
            sa.Column("has_request", sa.Boolean, nullable=False),
            sa.Column("paused", sa.Boolean, nullable=False),
            sa.Column("cancel_requested_by", sa.String),
            sa.Column("next_attempt_at", Moment),
            sa.Column("created_at", Moment, nullable=False),
            sa.Column("updated_at", Moment, nullable=False),
            sa.Index("worker_run_user_idx", "user", "created_at"),
            sa.Index("worker_run_state_idx", "state"),
        ),
        table(
            "worker_run_task",
            sa.Column("task_id", Id, primary_key=True),
            sa.Column("run_id", Id, nullable=False),
            sa.Column("position", sa.Integer, nullable=False),
            sa.Column("task_name", sa.String, nullable=False),
            sa.Column("task_version", sa.String),
            sa.Column("state", sa.String(16), nullable=False),
            sa.Column("status", sa.String),
            sa.Column("progress", sa.String),
            sa.Column("job_id", sa.Integer),
            sa.Index("worker_run_task_run_idx", "run_id", "position"),
        ),
        table(
            "worker_lease",
            sa.Column("run_id", Id, primary_key=True),
            sa.Column("holder", sa.String, nullable=False),
            sa.Column("token", sa.BigInteger, nullable=False),
            sa.Column("expires_at", Moment, nullable=False),
        ),
        table(
            "worker_engine_heartbeat",
            sa.Column("holder", sa.String, primary_key=True),
            sa.Column("beat_at", Moment, nullable=False),
        ),
    ]


def upgrade() -> None:
    """Make what is missing."""
    connection = op.get_bind()
    inspector = sa.inspect(connection)
    for table in tables():
        if not inspector.has_table(table.name):
            table.create(connection)
            continue
        present = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in present:
                op.add_column(table.name, sa.Column(column.name, column.type, nullable=True))


def downgrade() -> None:
    """Remove what is ours alone; the log and the views of other tools stay."""
    for name in (
        "worker_engine_heartbeat",
        "worker_lease",
        "worker_run_task",
        "worker_run",
        "worker_run_tracking",
        "worker_snapshot",
    ):
        op.drop_table(name)
