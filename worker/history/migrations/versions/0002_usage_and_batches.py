"""What jobs have used, which batch of which run a run is, and the names of its user and group.

The overview of runs is computed anew from the log at the first write or look after this, so that the runs that are
there already have the new columns too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import op

if TYPE_CHECKING:
    from uuid import UUID

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Id: sa.types.TypeEngine[UUID] = sa.Uuid().with_variant(sa.BINARY(16), "sqlite")
Moment = sa.DateTime(timezone=True)
OPEN = "state IN ('INITIALIZED', 'STARTED')"

RUN_COLUMNS = (
    ("user_name", sa.String()),
    ("group_name", sa.String()),
    ("parent_id", Id),
    ("batch_index", sa.Integer()),
    ("batch_total", sa.Integer()),
)


def upgrade() -> None:
    """Add the table, the columns and their indexes."""
    op.create_table(
        "worker_job_usage",
        sa.Column("task_id", Id, primary_key=True),
        sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run_id", Id, nullable=False),
        sa.Column("workflow", sa.String, nullable=False),
        sa.Column("version", sa.String),
        sa.Column("user", sa.Integer),
        sa.Column("group", sa.Integer),
        sa.Column("state", sa.String),
        sa.Column("exit_code", sa.Integer),
        sa.Column("elapsed_s", sa.Float, nullable=False),
        sa.Column("cpu_s", sa.Float, nullable=False),
        sa.Column("gpu_s", sa.Float, nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger),
        sa.Column("cpus", sa.Integer),
        sa.Column("gpus", sa.Integer),
        sa.Column("nodes", sa.Text, nullable=False),
        sa.Column("partition", sa.String),
        sa.Column("started_at", Moment),
        sa.Column("ended_at", Moment, nullable=False),
    )
    op.create_index("worker_job_usage_ended_idx", "worker_job_usage", ["ended_at"])
    for name, kind in RUN_COLUMNS:
        op.add_column("worker_run", sa.Column(name, kind, nullable=True))
    op.add_column("worker_run", sa.Column("task_count", sa.Integer, nullable=False, server_default="0"))
    op.create_index("worker_run_parent_idx", "worker_run", ["parent_id", "batch_index"])
    op.drop_index("worker_run_state_idx", "worker_run")
    op.create_index(
        "worker_run_open_idx",
        "worker_run",
        ["updated_at", "run_id"],
        postgresql_where=sa.text(OPEN),
        sqlite_where=sa.text(OPEN),
    )
    op.execute("DELETE FROM worker_run_tracking")


def downgrade() -> None:
    """Remove them again."""
    op.drop_index("worker_run_open_idx", "worker_run")
    op.create_index("worker_run_state_idx", "worker_run", ["state"])
    op.drop_index("worker_run_parent_idx", "worker_run")
    for name in ("task_count", *(name for name, _ in RUN_COLUMNS)):
        op.drop_column("worker_run", name)
    op.drop_table("worker_job_usage")
