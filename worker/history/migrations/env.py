"""Alembic's environment; run by `worker.history.migration`, which hands over an open transaction."""

from __future__ import annotations

from alembic import context

from worker.history.migration import VERSION_TABLE
from worker.history.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
