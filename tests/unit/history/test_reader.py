"""Reading runs and their events, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from worker.errors import RunNotFound
from worker.history.tables import RUN_IS_OPEN, worker_run, worker_run_task
from worker.history.tracker import TaskSpec, WorkflowTracker

if TYPE_CHECKING:
    from uuid import UUID

    from worker.history.database import Database
    from worker.history.reader import RunReader

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def accept(tracker: WorkflowTracker, *, user: int = 1, name: str = "r") -> UUID:
    return tracker.accept(
        name=name, description="", user=user, group=2, request={"a": 1}, tasks=[TaskSpec("cellpose", "v1")]
    )


def test_runs_are_listed_newest_first(tracker: WorkflowTracker, reader: RunReader) -> None:
    ids = [accept(tracker, name=f"run {number}") for number in range(3)]
    assert [row.run_id for row in reader.list_runs()] == ids[::-1]
    assert [row.run_id for row in reader.list_runs(limit=1)] == ids[2:]


def test_a_run_is_seen_at_a_glance(tracker: WorkflowTracker, reader: RunReader) -> None:
    run_id = accept(tracker)
    task_id = tracker.run(run_id).tasks[0]
    tracker.start_workflow(run_id)
    tracker.update_task_status(task_id, "RUNNING")
    tracker.update_task_progress(task_id, "43%")
    tracker.fail_attempt(run_id, "watch/0", attempt=1, error="E", message="No route.", retry_at=NOW)

    row = reader.run(run_id)

    assert (row.user, row.group, row.name, row.main_task_name) == (1, 2, "r", "cellpose")
    assert (row.state, row.status, row.progress) == ("STARTED", "JOB_RUNNING", "67.2%")
    assert (row.step, row.message, row.next_attempt_at) == ("watch/0", "No route.", NOW)
    assert row.created_at <= row.updated_at
    assert row.created_at.utcoffset() == timedelta(0)


def test_people_see_their_own_runs_only(tracker: WorkflowTracker, reader: RunReader) -> None:
    mine, theirs = accept(tracker, user=1), accept(tracker, user=2)

    assert [row.run_id for row in reader.list_runs(user=1)] == [mine]
    assert reader.run(mine, user=1).run_id == mine
    with pytest.raises(RunNotFound):
        reader.run(theirs, user=1)
    with pytest.raises(RunNotFound):
        reader.events(theirs, user=1)


def test_events_of_a_run_and_its_tasks_come_in_their_order(tracker: WorkflowTracker, reader: RunReader) -> None:
    run_id = accept(tracker)
    accept(tracker, name="another")
    task_id = tracker.run(run_id).tasks[0]
    tracker.start_task(task_id)
    tracker.intend_step(run_id, "export", "key")

    events = reader.events(run_id)

    assert [event.name for event in events] == [
        "WorkflowInitiated",
        "RequestRecorded",
        "TaskCreated",
        "TaskAdded",
        "TaskStarted",
        "StepIntended",
    ]
    assert [event.position for event in events] == sorted(event.position for event in events)
    assert {event.run_id for event in events} == {run_id}
    created = events[2]
    assert (created.task_id, created.task_name) == (task_id, "cellpose")
    assert created.data["workflow_id"] == str(run_id)
    assert (events[5].task_id, events[5].data) == (None, {"step": "export", "key": "key"})
    assert events[5].at.utcoffset() == timedelta(0)


class TestOpenRuns:
    def test_a_new_run_is_due(self, tracker: WorkflowTracker, reader: RunReader) -> None:
        run_id = accept(tracker)
        assert reader.open_runs() == [run_id]

    def test_a_run_that_waits_is_due_when_its_time_has_come(self, tracker: WorkflowTracker, reader: RunReader) -> None:
        run_id = accept(tracker)
        tracker.fail_attempt(run_id, "export", attempt=1, error="E", message="m", retry_at=NOW)
        assert reader.open_runs(NOW - timedelta(seconds=1)) == []
        assert reader.open_runs(NOW) == [run_id]

    def test_a_run_whose_step_went_on_is_due(self, tracker: WorkflowTracker, reader: RunReader) -> None:
        run_id = accept(tracker)
        tracker.fail_attempt(run_id, "export", attempt=1, error="E", message="m", retry_at=NOW)
        tracker.complete_step(run_id, "export", {})
        assert reader.open_runs(NOW - timedelta(days=1)) == [run_id]

    def test_a_paused_run_is_not_due_until_it_is_resumed(self, tracker: WorkflowTracker, reader: RunReader) -> None:
        run_id = accept(tracker)
        tracker.pause_run(run_id, "why")
        assert reader.open_runs() == []
        tracker.resume_run(run_id)
        assert reader.open_runs() == [run_id]

    def test_a_paused_run_that_is_to_be_cancelled_is_due(self, tracker: WorkflowTracker, reader: RunReader) -> None:
        run_id = accept(tracker)
        tracker.pause_run(run_id, "why")
        tracker.request_cancel(run_id, "ada")
        assert reader.open_runs() == [run_id]

    @pytest.mark.parametrize("end", ["complete", "fail"])
    def test_a_run_that_has_ended_is_not_due(self, tracker: WorkflowTracker, reader: RunReader, end: str) -> None:
        run_id = accept(tracker)
        if end == "complete":
            tracker.complete_workflow(run_id)
        else:
            tracker.fail_workflow(run_id, "why")
        assert reader.open_runs() == []

    def test_a_run_without_a_request_is_left_alone(self, tracker: WorkflowTracker, reader: RunReader) -> None:
        tracker.initiate_workflow("of another tool", "", 1, 2)
        assert reader.open_runs() == []


class TestChangedSince:
    def test_nothing_has_changed_at_first(self, tracker: WorkflowTracker, reader: RunReader) -> None:
        assert reader.changed_since(None) == (0, set())
        accept(tracker)
        assert reader.changed_since(None) == (4, set())

    def test_a_run_and_the_run_of_a_task_have_changed(self, tracker: WorkflowTracker, reader: RunReader) -> None:
        first, second, _ = (accept(tracker) for _ in range(3))
        position, _ = reader.changed_since(None)
        tracker.request_cancel(first, "ada")
        tracker.start_task(tracker.run(second).tasks[0])
        assert reader.changed_since(position) == (position + 2, {first, second})
        assert reader.changed_since(position + 2) == (position + 2, set())

    def test_only_the_events_that_were_named_count(self, tracker: WorkflowTracker, reader: RunReader) -> None:
        first, second = (accept(tracker) for _ in range(2))
        position, _ = reader.changed_since(None)
        tracker.request_cancel(first, "ada")
        tracker.start_workflow(second)
        assert reader.changed_since(position, names=["CancelRequested"]) == (position + 2, {first})

    def test_a_task_that_the_views_do_not_know_yet_is_not_passed(
        self, tracker: WorkflowTracker, reader: RunReader, database: Database
    ) -> None:
        run_id = accept(tracker)
        task_id = tracker.run(run_id).tasks[0]
        position, _ = reader.changed_since(None)
        tracker.start_workflow(run_id)
        tracker.start_task(task_id)
        with database.session() as session:
            session.execute(sa.delete(worker_run_task))
            session.commit()

        assert reader.changed_since(position) == (position + 1, {run_id})

        tracker.projection.rebuild()
        assert reader.changed_since(position + 1) == (position + 2, {run_id})


def test_looking_for_open_runs_or_for_changes_is_one_statement(
    tracker: WorkflowTracker, reader: RunReader, database: Database
) -> None:
    accept(tracker)
    statements: list[str] = []
    sa.event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    reader.open_runs()
    reader.changed_since(1)
    assert len([statement for statement in statements if statement != "BEGIN"]) == 2


def test_open_runs_are_found_by_their_index(tracker: WorkflowTracker, database: Database) -> None:
    accept(tracker)
    query = sa.select(worker_run.c.run_id).where(sa.text(RUN_IS_OPEN)).order_by("updated_at", "run_id")
    explain = "EXPLAIN" if database.is_postgresql else "EXPLAIN QUERY PLAN"
    with database.reading() as session:
        if database.is_postgresql:
            session.execute(sa.text("SET LOCAL enable_seqscan = off"))
        plan = " ".join(str(row) for row in session.execute(sa.text(f"{explain} {query}")))
    assert "worker_run_open_idx" in plan
