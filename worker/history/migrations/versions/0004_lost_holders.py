"""What the holder of a lease is doing, so that its heir knows what it was lost in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("worker_lease", sa.Column("step", sa.String))
    op.add_column("worker_lease", sa.Column("lost_in", sa.String))


def downgrade() -> None:
    """Remove them again."""
    op.drop_column("worker_lease", "lost_in")
    op.drop_column("worker_lease", "step")
