"""The record takes nothing from a process that does not drive the run any more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from worker.engine.lease import Leases
from worker.errors import LeaseLost
from worker.history.database import Database
from worker.history.tracker import TaskSpec, WorkflowTracker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    with Database(url, sqlite_path=tmp_path / "history.sqlite") as database:
        database.migrate()
        yield database


@pytest.fixture
def tracker(database: Database) -> WorkflowTracker:
    return WorkflowTracker(database)


@pytest.fixture
def run_id(tracker: WorkflowTracker) -> UUID:
    return tracker.accept(name="run", description="", user=1, group=1, request={}, tasks=[TaskSpec("export", "1")])


def test_the_holder_of_the_lease_writes(database: Database, tracker: WorkflowTracker, run_id: UUID) -> None:
    leases = Leases(database, "holder")
    leases.take(run_id)
    tracker.fenced(leases.fence(run_id)).intend_step(run_id, "export", "key")
    assert tracker.run(run_id).steps["export"].key == "key"


def test_nobody_else_writes(database: Database, tracker: WorkflowTracker, run_id: UUID) -> None:
    stranger = Leases(database, "stranger")
    with pytest.raises(LeaseLost):
        tracker.fenced(stranger.fence(run_id)).intend_step(run_id, "export", "key")
    assert tracker.run(run_id).steps == {}


def test_a_holder_that_was_paused_does_not_write_over_its_heir(
    database: Database, tracker: WorkflowTracker, run_id: UUID
) -> None:
    paused, heir = Leases(database, "paused", duration_s=0.2), Leases(database, "heir")
    paused.take(run_id)
    late = tracker.fenced(paused.fence(run_id))
    late.intend_step(run_id, "export", "key")
    time.sleep(0.3)
    assert heir.take(run_id) is not None
    with pytest.raises(LeaseLost):
        late.complete_step(run_id, "export", {"files": 1})
    tracker.fenced(heir.fence(run_id)).complete_step(run_id, "export", {"files": 2})
    assert tracker.run(run_id).steps["export"].data == {"files": 2}


def test_what_a_fenced_tracker_writes_is_seen_by_the_others(
    database: Database, tracker: WorkflowTracker, run_id: UUID
) -> None:
    leases = Leases(database, "holder")
    leases.take(run_id)
    task_id = tracker.run(run_id).tasks[0]
    tracker.fenced(leases.fence(run_id)).update_task_status(task_id, "TRANSFERRING")
    assert tracker.task(task_id).status == "TRANSFERRING"
