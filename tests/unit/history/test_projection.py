"""The views say what has happened, whoever computes them and however often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.history.viewing import all_views, only_row, rows
from worker.history import tables, views
from worker.history.database import Database
from worker.history.followers import JobAccounting, WorkflowProgress
from worker.history.projection import BATCH, TRACKING, Projection
from worker.history.reader import RunReader
from worker.history.tracker import TaskSpec, WorkflowTracker

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    import pytest

EXPORT, ANALYSIS, IMPORT = "_SLURM_Image_Transfer.py", "cellpose", "SLURM_Import_Results.py"


def accept(tracker: WorkflowTracker) -> tuple[UUID, list[UUID]]:
    run_id = tracker.accept(
        name="r",
        description="",
        user=3,
        group=4,
        request={},
        tasks=[TaskSpec(EXPORT, "1"), TaskSpec(ANALYSIS, "v1"), TaskSpec(IMPORT, "1")],
    )
    return run_id, tracker.run(run_id).tasks


def progress(database: Database) -> tuple[Any, Any, Any]:
    row = only_row(database, views.RUN_PROGRESS)
    return row["status"], row["progress"], row["task"]


class TestProgressOfARun:
    def test_a_new_run_is_initializing(self, tracker: WorkflowTracker, database: Database) -> None:
        accept(tracker)
        row = only_row(database, views.RUN_PROGRESS)
        assert (row["status"], row["progress"], row["user"], row["group"]) == ("INITIALIZING", "0%", 3, 4)
        assert (row["name"], row["task"], row["main_task_name"]) == ("r", EXPORT, ANALYSIS)
        assert row["start_time"].tzinfo is None

    def test_an_export_shows_as_soon_as_it_starts(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (export, _, _) = accept(tracker)
        tracker.start_task(export)
        assert progress(database) == ("TRANSFERRING", "5%", EXPORT)

    def test_progress_shows_at_once(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (_, analysis, _) = accept(tracker)
        tracker.update_task_status(analysis, "RUNNING")
        assert progress(database) == ("JOB_RUNNING", "50%", ANALYSIS)
        tracker.update_task_progress(analysis, "43%")
        assert progress(database) == ("JOB_RUNNING", "67.2%", ANALYSIS)

    def test_progress_may_come_before_the_status(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (_, analysis, _) = accept(tracker)
        tracker.update_task_progress(analysis, "43%")
        tracker.update_task_status(analysis, "InProgress")
        assert progress(database) == ("JOB_InProgress", "67.2%", ANALYSIS)

    def test_progress_of_an_earlier_task_is_not_inherited(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (export, analysis, _) = accept(tracker)
        tracker.start_task(export)
        tracker.update_task_progress(export, "100%")
        tracker.update_task_status(analysis, "PENDING")
        assert progress(database) == ("JOB_PENDING", "50%", ANALYSIS)

    def test_an_import_shows(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (_, _, importing) = accept(tracker)
        tracker.start_task(importing)
        assert progress(database) == ("IMPORTING", "90%", IMPORT)
        tracker.update_task_status(importing, "IMPORTED")
        assert progress(database) == ("IMPORTED", "90%", IMPORT)

    def test_a_run_that_has_ended_is_done(self, tracker: WorkflowTracker, database: Database) -> None:
        run_id, (_, _, importing) = accept(tracker)
        tracker.start_task(importing)
        tracker.complete_workflow(run_id)
        assert progress(database) == ("DONE", "100%", IMPORT)

    def test_a_failed_run_keeps_how_far_it_got(self, tracker: WorkflowTracker, database: Database) -> None:
        run_id, (_, analysis, _) = accept(tracker)
        tracker.update_task_status(analysis, "RUNNING")
        tracker.fail_workflow(run_id, "why")
        assert progress(database) == ("FAILED", "50%", ANALYSIS)

    def test_a_late_report_does_not_open_a_run_again(self, tracker: WorkflowTracker, database: Database) -> None:
        run_id, (_, analysis, _) = accept(tracker)
        tracker.fail_workflow(run_id, "why")
        tracker.update_task_status(analysis, "CANCELLED")
        assert progress(database)[0] == "FAILED"


class TestJobs:
    def test_a_job_belongs_to_the_person_of_its_run(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (_, analysis, _) = accept(tracker)
        tracker.add_job_id(analysis, 55)
        assert only_row(database, views.JOBS) == {"slurm_job_id": 55, "user": 3, "group": 4, "task_id": analysis}

    def test_a_job_has_no_progress_before_its_first_report(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (_, analysis, _) = accept(tracker)
        tracker.add_job_id(analysis, 55)
        assert rows(database, views.JOB_PROGRESS) == []

    def test_a_job_whose_status_is_not_known_yet_is_unknown(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (_, analysis, _) = accept(tracker)
        tracker.add_job_id(analysis, 55)
        tracker.update_task_progress(analysis, "5%")
        assert only_row(database, views.JOB_PROGRESS) == {"slurm_job_id": 55, "status": "UNKNOWN", "progress": "5%"}

    def test_status_and_progress_of_a_job_are_kept(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (_, analysis, _) = accept(tracker)
        tracker.add_job_id(analysis, 55)
        tracker.update_task_status(analysis, "RUNNING")
        tracker.update_task_progress(analysis, "5%")
        assert only_row(database, views.JOB_PROGRESS) == {"slurm_job_id": 55, "status": "RUNNING", "progress": "5%"}

    def test_a_second_job_of_a_task_has_a_row_of_its_own(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (_, analysis, _) = accept(tracker)
        for job_id, status in ((55, "NODE_FAIL"), (56, "RUNNING")):
            tracker.add_job_id(analysis, job_id)
            tracker.update_task_status(analysis, status)
        found = [(row["slurm_job_id"], row["status"]) for row in rows(database, views.JOB_PROGRESS)]
        assert found == [(55, "NODE_FAIL"), (56, "RUNNING")]

    def test_an_id_that_slurm_gives_out_again_goes_to_the_new_owner(
        self, tracker: WorkflowTracker, database: Database
    ) -> None:
        _, (_, first, _) = accept(tracker)
        _, (_, second, _) = accept(tracker)
        tracker.add_job_id(first, 55)
        tracker.add_job_id(second, 55)
        assert only_row(database, views.JOBS)["task_id"] == second


class TestTasks:
    def test_a_task_has_times_and_its_last_status(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (_, analysis, _) = accept(tracker)
        tracker.start_task(analysis)
        tracker.update_task_status(analysis, "COMPLETED")
        tracker.complete_task(analysis, "fine")

        (row,) = [row for row in rows(database, views.TASKS) if row["task_id"] == analysis]
        assert (row["task_name"], row["task_version"], row["user_id"], row["group_id"]) == (ANALYSIS, "v1", 3, 4)
        assert (row["status"], row["error_type"]) == ("COMPLETED", None)
        assert row["start_time"] < row["end_time"]

    def test_a_failed_task_keeps_the_whole_message_and_its_status(
        self, tracker: WorkflowTracker, database: Database
    ) -> None:
        _, (export, _, _) = accept(tracker)
        tracker.fail_task(export, "No space left on device.")
        (row,) = [row for row in rows(database, views.TASKS) if row["task_id"] == export]
        assert (row["status"], row["error_type"]) == ("CREATED", "No space left on device.")


class TestFollowing:
    def test_all_positions_are_that_of_the_last_event(self, tracker: WorkflowTracker, database: Database) -> None:
        accept(tracker)
        expected = [{"application_name": "WorkflowTracker", "notification_id": 8}]
        assert [rows(database, tracking) for tracking in TRACKING] == [expected] * 5
        assert tracker.projection.lag() == 0

    def test_any_process_follows_what_another_recorded(self, tracker: WorkflowTracker, database: Database) -> None:
        _, (_, analysis, _) = accept(tracker)
        other = WorkflowTracker(database)
        other.add_job_id(analysis, 55)
        assert JobAccounting(database).get_jobs(user=3) == {3: [55]}

    def test_a_rebuild_begins_with_the_first_event(self, tracker: WorkflowTracker, database: Database) -> None:
        first, _ = accept(tracker)
        second, _ = accept(tracker)
        before = all_views(database)

        assert tracker.projection.rebuild(start=1) == 16

        assert {row["workflow_id"] for row in rows(database, views.RUN_PROGRESS)} == {first, second}
        assert all_views(database) == before

    def test_a_rebuild_begins_with_the_very_event_it_is_told(
        self, tracker: WorkflowTracker, database: Database
    ) -> None:
        accept(tracker)
        second, _ = accept(tracker)
        (initiated,) = [
            notification.id
            for notification in tracker.notification_log.select(start=1, limit=100)
            if notification.originator_id == second and notification.originator_version == 0
        ]
        tracker.projection.rebuild(start=initiated)
        assert [row["workflow_id"] for row in rows(database, views.RUN_PROGRESS)] == [second]

    def test_a_follower_that_is_told_to_begin_at_1_leaves_nothing_out_and_repeats_nothing(
        self, tracker: WorkflowTracker, database: Database
    ) -> None:
        accept(tracker)
        before = all_views(database)
        follower = WorkflowProgress(database)
        follower.pull_and_process(leader_name="WorkflowTracker", start=1)
        assert all_views(database) == before
        assert follower.recorder.max_tracking_id("WorkflowTracker") == 8

    def test_views_that_fell_behind_catch_up_over_several_batches(
        self, tracker: WorkflowTracker, database: Database
    ) -> None:
        run_id, _ = accept(tracker)
        before_last = 8
        run = tracker.run(run_id)
        for number in range(BATCH):
            run.intend_step(f"step/{number}", "key")
        tracker.save(run)
        with database.session() as session:
            for tracking in TRACKING:
                session.execute(sa.update(tracking).values(notification_id=before_last - 1))
            session.commit()

        assert Projection(database).pull() == BATCH + 1
        assert tracker.projection.lag() == 0

    def test_a_view_that_cannot_follow_keeps_neither_rows_nor_position(
        self, tracker: WorkflowTracker, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        accept(tracker)
        before = all_views(database)

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(
                tracker.projection,
                "_views",
                (*views.VIEWS, views.View("Broken", views.JOBS, views.VIEWS[0].tracking, broken)),
            )
            run_id, _ = accept(tracker)
            assert all_views(database) == before
            assert tracker.projection.lag() == 8

        # The command itself was kept, and the next one brings the views up to date.
        tracker.start_workflow(run_id)
        assert tracker.projection.lag() == 0
        assert len(rows(database, views.RUN_PROGRESS)) == 2


STATUSES = st.sampled_from(["PENDING", "RUNNING", "COMPLETED", "FAILED", "IMPORTED"])
TASK_NUMBERS = st.integers(0, 2)
PERCENTS = st.sampled_from([None, "0%", "43%", "100%"])
RUN_NUMBERS = st.integers(0, 1)
ACTIONS = st.one_of(
    st.tuples(st.just("start_task"), RUN_NUMBERS, TASK_NUMBERS),
    st.tuples(st.just("add_job_id"), RUN_NUMBERS, TASK_NUMBERS, st.integers(1, 4)),
    st.tuples(st.just("update_task_status"), RUN_NUMBERS, TASK_NUMBERS, STATUSES),
    st.tuples(st.just("update_task_progress"), RUN_NUMBERS, TASK_NUMBERS, PERCENTS),
    st.tuples(st.just("complete_task"), RUN_NUMBERS, TASK_NUMBERS, st.just("fine")),
    st.tuples(st.just("fail_task"), RUN_NUMBERS, TASK_NUMBERS, st.just("why")),
    st.tuples(st.just("intend_submission"), RUN_NUMBERS, TASK_NUMBERS, st.just("key")),
    st.tuples(st.just("start_workflow"), RUN_NUMBERS, st.none()),
    st.tuples(st.just("complete_workflow"), RUN_NUMBERS, st.none()),
    st.tuples(st.just("fail_workflow"), RUN_NUMBERS, st.none(), st.just("why")),
    st.tuples(st.just("pause_run"), RUN_NUMBERS, st.none(), st.just("why")),
    st.tuples(st.just("resume_run"), RUN_NUMBERS, st.none()),
    st.tuples(st.just("request_cancel"), RUN_NUMBERS, st.none(), st.just("ada")),
)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(actions=st.lists(ACTIONS, min_size=1, max_size=10))
def test_a_rebuild_after_any_history_gives_the_same_rows(
    tracker: WorkflowTracker, database: Database, actions: list[tuple[Any, ...]]
) -> None:
    # The examples share a database: each finds the runs of those before it, which must stay as they are too.
    runs = [accept(tracker) for _ in range(2)]
    for command, run_number, task_number, *arguments in actions:
        run_id, tasks = runs[run_number]
        target = run_id if task_number is None else tasks[task_number]
        getattr(tracker, command)(target, *arguments)
    before = all_views(database)

    tracker.projection.rebuild()

    assert all_views(database) == before
    assert before[tables.worker_run.name]


class TestViewsThatNobodyWants:
    def test_a_view_that_is_left_out_is_not_touched_and_a_rebuild_fills_it_later(self, tmp_path: Path) -> None:
        path = tmp_path / "history.sqlite"
        with Database(None, sqlite_path=path, left_out=("WorkflowProgress", "WorkflowAnalytics")) as database:
            database.migrate()
            tracker = WorkflowTracker(database)
            run_id, _ = accept(tracker)
            tracker.complete_workflow(run_id)
            assert rows(database, views.RUN_PROGRESS) == []
            assert rows(database, views.TASKS) == []
            assert RunReader(database).run(run_id).status == "DONE"
            assert tracker.projection.check() == []
        with Database(None, sqlite_path=path) as database:
            assert {difference.view for difference in Projection(database).check()} == {
                views.RUN_PROGRESS.name,
                views.TASKS.name,
            }
            Projection(database).rebuild()
            assert progress(database)[0] == "DONE"

    def test_a_rebuild_from_some_event_on_leaves_older_runs_out_of_the_views_only(
        self, tracker: WorkflowTracker, database: Database
    ) -> None:
        old, _ = accept(tracker)
        between = datetime.now(UTC)
        new, _ = accept(tracker)
        start = tracker.projection.first_since(between)
        tracker.projection.rebuild(start=start)
        assert [row["workflow_id"] for row in rows(database, views.RUN_PROGRESS)] == [new]
        assert {row.run_id for row in RunReader(database).list_runs()} == {old, new}

    def test_the_first_event_since_the_beginning_and_since_tomorrow(self, tracker: WorkflowTracker) -> None:
        accept(tracker)
        last = tracker.projection.position()
        assert tracker.projection.first_since(datetime(2000, 1, 1, tzinfo=UTC)) == 1
        assert tracker.projection.first_since(datetime.now(UTC) + timedelta(days=1)) == last + 1
