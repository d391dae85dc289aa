"""A fenced tracker records nothing that its check forbids."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.unit.history.viewing import rows
from worker.errors import LeaseLost, RunNotFound
from worker.history.tables import lease, workflowtracker_events
from worker.history.tracker import TaskSpec, WorkflowTracker

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from worker.history.database import Database


def refuse(_: Session) -> None:
    raise LeaseLost("It is another's.")


def initiate(tracker: WorkflowTracker) -> UUID:
    return tracker.initiate_workflow("r", "", 1, 2)


def test_a_check_that_raises_aborts_every_command(tracker: WorkflowTracker, database: Database) -> None:
    run = tracker.run(initiate(tracker))
    run.request_cancel("ada")
    fenced = tracker.fenced(refuse)

    with pytest.raises(LeaseLost):
        fenced.start_workflow(run.id)
    with pytest.raises(LeaseLost):
        initiate(fenced)
    with pytest.raises(LeaseLost):
        fenced.save(run)

    assert len(rows(database, workflowtracker_events)) == 1


def test_a_check_that_passes_lets_the_command_be(tracker: WorkflowTracker) -> None:
    run_id = initiate(tracker)
    tracker.fenced(lambda _: None).start_workflow(run_id)
    assert tracker.run(run_id).status == "STARTED"


def test_a_check_comes_before_anything_is_read(tracker: WorkflowTracker) -> None:
    with pytest.raises(LeaseLost):
        tracker.fenced(refuse).start_workflow(uuid4())


def test_a_check_sees_the_database_in_the_commands_transaction(tracker: WorkflowTracker, database: Database) -> None:
    def mark(session: Session) -> None:
        now = database.now(session)
        session.execute(sa.insert(lease).values(run_id=run_id, holder="h", token=1, expires_at=now))

    run_id = initiate(tracker)
    with pytest.raises(RunNotFound):
        tracker.fenced(mark).start_workflow(uuid4())
    assert rows(database, lease) == []
    tracker.fenced(mark).start_workflow(run_id)
    assert len(rows(database, lease)) == 1


def test_the_tracker_itself_is_not_fenced(tracker: WorkflowTracker) -> None:
    tracker.fenced(refuse)
    assert tracker.run(initiate(tracker)).status == "INITIALIZED"


def test_checks_add_up(tracker: WorkflowTracker) -> None:
    calls: list[str] = []
    twice = tracker.fenced(lambda _: calls.append("first")).fenced(lambda _: calls.append("second"))
    initiate(twice)
    assert calls == ["first", "second"]


class TestAcceptingUnderAGivenUuid:
    def accept(self, tracker: WorkflowTracker, run_id: UUID, name: str = "r") -> UUID:
        return tracker.accept(
            name=name, description="", user=1, group=2, request={}, tasks=[TaskSpec("cellpose", "v1")], run_id=run_id
        )

    def test_the_run_is_known_by_it(self, tracker: WorkflowTracker) -> None:
        run_id = uuid4()
        assert self.accept(tracker, run_id) == run_id
        run = tracker.run(run_id)
        assert (run.id, run.name, len(run.tasks)) == (run_id, "r", 1)

    def test_the_second_time_nothing_happens(self, tracker: WorkflowTracker, database: Database) -> None:
        run_id = self.accept(tracker, uuid4())
        before = rows(database, workflowtracker_events)
        assert self.accept(tracker, run_id, "another name") == run_id
        assert rows(database, workflowtracker_events) == before

    def test_a_tasks_uuid_is_refused(self, tracker: WorkflowTracker) -> None:
        (task_id,) = tracker.run(self.accept(tracker, uuid4())).tasks
        with pytest.raises(RunNotFound, match="is not a run"):
            self.accept(tracker, task_id)
