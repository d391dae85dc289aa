"""What does not answer at the moment: the circuits of each process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "worker_circuit",
        sa.Column("holder", sa.String, primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("since", Moment, nullable=False),
        sa.Column("retry_at", Moment),
        sa.Column("problem", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Remove it again."""
    op.drop_table("worker_circuit")
