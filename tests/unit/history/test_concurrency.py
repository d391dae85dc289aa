"""Several processes write and follow at the same time; nothing is lost, nothing is counted twice."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.unit.history.viewing import all_views, rows
from tests.unit.history.writers import PROCESSES, migrate, run_together, write
from worker.history import migration, views
from worker.history.database import Database
from worker.history.migration import VERSION_TABLE
from worker.history.tables import metadata, workflowtracker_events
from worker.history.tracker import WorkflowTracker

if TYPE_CHECKING:
    from uuid import UUID

VERSIONS = sa.table(VERSION_TABLE, sa.column("version_num"))
NEWEST = max(file.name[:4] for file in Path(migration.__file__).parent.glob("migrations/versions/0*.py"))
ROUNDS = 8
EVENTS_OF_A_PROCESS = 4 + 1 + 2 * ROUNDS + 1
"""Accepting, the job id, a status and a step in each round, the end."""


def test_processes_that_write_at_once_leave_a_log_without_gaps_and_views_as_after_a_rebuild(
    database: Database,
) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    tracker = WorkflowTracker(database)
    shared = tracker.initiate_workflow("shared", "", 9, 9)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(run_together, write, url, shared, ROUNDS)
        read: list[int] = []
        while not writing.done():
            # Whoever reads up to a position has read everything before it: nothing turns up there later.
            found = tracker.notification_log.select(start=len(read) + 1, limit=1000)
            read += [notification.id for notification in found]
            assert read == list(range(1, len(read) + 1))
        assert writing.result() == [0] * PROCESSES

    log = rows(database, workflowtracker_events)
    assert [row["id"] for row in log] == list(range(1, 2 + PROCESSES * EVENTS_OF_A_PROCESS))
    versions: dict[UUID, list[int]] = defaultdict(list)
    for row in log:
        versions[row["originator_id"]].append(row["originator_version"])
    assert all(found == list(range(len(found))) for found in versions.values())
    assert len(tracker.run(shared).steps) == PROCESSES * ROUNDS

    assert tracker.projection.lag() == 0
    before = all_views(database)
    assert [row["status"] for row in rows(database, views.RUN_PROGRESS)].count("DONE") == PROCESSES
    tracker.projection.rebuild()
    assert all_views(database) == before


def test_processes_that_migrate_at_once_make_the_tables_once(database_url: str) -> None:
    assert run_together(migrate, database_url) == [0] * PROCESSES

    with Database(database_url) as database, database.engine.connect() as connection:
        assert set(metadata.tables) <= set(sa.inspect(connection).get_table_names())
        assert connection.execute(sa.select(VERSIONS.c.version_num)).scalars().all() == [NEWEST]


def test_the_migration_makes_exactly_the_tables_that_the_code_uses(database: Database) -> None:
    def ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or name in metadata.tables

    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_object": ours,
                "version_table": VERSION_TABLE,
                # SQLite does not tell the types of columns back as they were given.
                "compare_type": database.is_postgresql,
            },
        )
        assert compare_metadata(context, metadata) == []
