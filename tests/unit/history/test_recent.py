"""Runs and tasks are kept in memory between commands, and are always up to date all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from worker.errors import HistoryConflict, RunNotFound
from worker.history.codec import TolerantMapper
from worker.history.domain import Task, WorkflowRun
from worker.history.event_log import SNAPSHOT_INTERVAL
from worker.history.recent import Recent
from worker.history.tables import workflowtracker_events
from worker.history.tracker import TaskSpec, WorkflowTracker

if TYPE_CHECKING:
    from eventsourcing.domain import DomainEventProtocol
    from eventsourcing.persistence import StoredEvent

    from worker.history.database import Database


def accept(tracker: WorkflowTracker) -> UUID:
    return tracker.accept(
        name="r", description="", user=1, group=2, request={}, tasks=[TaskSpec("cellpose", "v1", {}, {})]
    )


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The topics of all events that are read, one after the other."""
    topics: list[str] = []
    decode = TolerantMapper.to_domain_event

    def counted(mapper: TolerantMapper, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        topics.append(stored_event.topic)
        return decode(mapper, stored_event)

    monkeypatch.setattr(TolerantMapper, "to_domain_event", counted)
    return topics


def test_what_another_process_recorded_is_seen(tracker: WorkflowTracker, database: Database) -> None:
    run_id = accept(tracker)
    other = WorkflowTracker(database)
    tracker.start_workflow(run_id)
    other.intend_step(run_id, "export", "key")
    other.complete_step(run_id, "export", {})
    with pytest.raises(HistoryConflict):
        tracker.intend_step(run_id, "export", "another key")
    tracker.request_cancel(run_id, "ada")
    other.pause_run(run_id, "why")
    assert [tracker.run(run_id).version, tracker.run(run_id).cancel_requested_by] == [7, "ada"]


def test_a_command_that_failed_leaves_nothing_behind(tracker: WorkflowTracker) -> None:
    def refuse(_: object) -> None:
        raise HistoryConflict("Not now.")

    run_id = accept(tracker)
    tracker.start_workflow(run_id)

    def half(run: WorkflowRun) -> None:
        run.pause("why")
        refuse(run)

    with pytest.raises(HistoryConflict):
        tracker._command(WorkflowRun, run_id, half)
    tracker.request_cancel(run_id, "ada")
    assert tracker.run(run_id).paused_reason is None


def test_a_history_that_was_put_back_is_noticed(tracker: WorkflowTracker, database: Database) -> None:
    run_id = accept(tracker)
    tracker.start_workflow(run_id)
    with database.session() as session:
        session.execute(sa.delete(workflowtracker_events).where(workflowtracker_events.c.id > 4))
        session.commit()
    tracker.request_cancel(run_id, "ada")
    run = tracker.run(run_id)
    assert (run.status, run.cancel_requested_by, run.version) == ("INITIALIZED", "ada", 3)


def test_a_task_is_not_a_run_in_memory_either(tracker: WorkflowTracker) -> None:
    task_id = tracker.run(accept(tracker)).tasks[0]
    tracker.start_task(task_id)
    with pytest.raises(RunNotFound, match="is not a run"):
        tracker.start_workflow(task_id)


def test_only_those_that_were_used_last_are_kept() -> None:
    recent = Recent(2)
    first, second, third = (Task(uuid4(), "t", "1", {}, {}) for _ in range(3))
    for task in (first, second, first, third):
        recent.keep(task)
    assert [recent.take(task.id) for task in (first, second, third)] == [first, None, third]
    assert recent.take(first.id) is None


def test_reading_a_task_of_4000_events_costs_no_more_than_its_last_ones(
    tracker: WorkflowTracker, database: Database, decoded: list[str]
) -> None:
    """A job that reports for days costs as much to read as one that has just begun."""
    task = tracker.task(tracker.run(accept(tracker)).tasks[0])
    for number in range(4000):
        task.update_task_status(f"STATUS_{number}")
    tracker.save(task)

    decoded.clear()
    assert tracker.task(task.id).version == 4000
    assert len(decoded) <= SNAPSHOT_INTERVAL

    decoded.clear()
    WorkflowTracker(database).update_task_progress(task.id, "43%")
    # And the views follow that one event.
    assert len(decoded) <= SNAPSHOT_INTERVAL + 1

    tracker.update_task_progress(task.id, "44%")
    decoded.clear()
    tracker.update_task_progress(task.id, "45%")
    assert len(decoded) == 2
