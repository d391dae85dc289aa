"""Questions that other software asks of the views."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from worker.errors import HistoryError
from worker.history import views
from worker.history.followers import JobAccounting, JobProgress, WorkflowAnalytics, WorkflowProgress

if TYPE_CHECKING:
    from uuid import UUID

    from worker.history.database import Database
    from worker.history.tracker import WorkflowTracker


def add(tracker: WorkflowTracker, user: int, group: int, *names: str) -> list[UUID]:
    run_id = tracker.initiate_workflow("r", "", user, group)
    return [tracker.add_task_to_workflow(run_id, name, "v1", {}, {}) for name in names]


def test_jobs_are_listed_by_user(tracker: WorkflowTracker, database: Database) -> None:
    (first,), (second,) = add(tracker, 1, 2, "a"), add(tracker, 3, 2, "b")
    tracker.add_job_id(first, 10)
    tracker.add_job_id(first, 11)
    tracker.add_job_id(second, 12)
    accounting = JobAccounting(database)

    assert accounting.get_jobs() == {1: [10, 11], 3: [12]}
    assert accounting.get_jobs(user=1) == {1: [10, 11]}
    assert accounting.get_jobs(group=2) == {1: [10, 11], 3: [12]}
    assert accounting.get_jobs(user=5) == {5: []}


def test_a_job_leads_to_its_task(tracker: WorkflowTracker, database: Database) -> None:
    (task_id,) = add(tracker, 1, 2, "a")
    tracker.add_job_id(task_id, 10)
    assert JobAccounting(database).get_task_id(10) == task_id
    assert JobAccounting(database).get_task_id(99) is None


def test_tasks_are_counted_by_name_and_version(tracker: WorkflowTracker, database: Database) -> None:
    add(tracker, 1, 2, "a", "a")
    add(tracker, 2, 2, "b")
    add(tracker, 1, 3, "c")
    analytics = WorkflowAnalytics(database)

    assert analytics.get_task_counts() == {("a", "v1"): 2, ("b", "v1"): 1, ("c", "v1"): 1}
    assert analytics.get_task_counts(user=1) == {("a", "v1"): 2, ("c", "v1"): 1}
    assert analytics.get_task_counts(user=1, group=2) == {("a", "v1"): 2}


def test_failures_are_listed_in_their_order(tracker: WorkflowTracker, database: Database) -> None:
    first, second = add(tracker, 1, 2, "a", "a")
    tracker.fail_task(second, "later task")
    tracker.fail_task(first, "earlier task")
    assert WorkflowAnalytics(database).get_task_failures() == {("a", "v1"): ["earlier task", "later task"]}
    assert WorkflowAnalytics(database).get_task_failures(user=9) == {}


def test_durations_are_averaged_over_the_tasks_that_have_ended(tracker: WorkflowTracker, database: Database) -> None:
    tasks = add(tracker, 1, 2, "a", "a", "a")
    for task_id in tasks[:2]:
        tracker.complete_task(task_id, "fine")
    table = views.TASKS.c
    with database.session() as session:
        for task_id, minute in ((tasks[0], 30), (tasks[1], 45)):
            start, end = sa.text("'2026-03-01 12:00:00.000000'"), sa.text(f"'2026-03-01 12:{minute}:00.000000'")
            change = sa.update(views.TASKS).where(table.task_id == task_id)
            session.execute(change.values(start_time=start, end_time=end))
        session.commit()

    analytics = WorkflowAnalytics(database)
    assert analytics.get_average_task_duration() == {("a", "v1"): 37.5 * 60}
    assert analytics.get_task_usage_over_time("a")["2026-03-01"] == 2


@pytest.mark.parametrize("follower", [JobAccounting, JobProgress, WorkflowProgress, WorkflowAnalytics])
def test_a_follower_follows_the_tracker_only(database: Database, follower: type[JobAccounting]) -> None:
    with pytest.raises(HistoryError, match="WorkflowTracker"):
        follower(database).pull_and_process(leader_name="Shop")


def test_a_follower_has_a_position_once_it_has_followed(tracker: WorkflowTracker, database: Database) -> None:
    recorder = JobProgress(database).recorder
    assert recorder.max_tracking_id("WorkflowTracker") is None
    tracker.initiate_workflow("r", "", 1, 1)
    assert recorder.max_tracking_id("WorkflowTracker") == 1
