"""Views are computed anew on a copy, and compared with one, while work goes on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.unit.history.viewing import all_views, rows
from tests.unit.history.writers import PROCESSES, run_together, write
from worker.history import views
from worker.history.database import Database
from worker.history.projection import TRACKING, TRY_LOCK, Projection
from worker.history.rows import Rows
from worker.history.tables import worker_run
from worker.history.tracker import TaskSpec, WorkflowTracker

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from worker.history.copies import Copies

ROUNDS = 3


def accept(tracker: WorkflowTracker) -> UUID:
    return tracker.accept(
        name="r", description="", user=1, group=2, request={}, tasks=[TaskSpec("cellpose", "v1", {}, {})]
    )


def change(database: Database, *statements: sa.Executable) -> None:
    with database.session() as session:
        for statement in statements:
            session.execute(statement)
        session.commit()


class TestChecking:
    def test_views_that_are_right_do_not_differ(self, tracker: WorkflowTracker) -> None:
        accept(tracker)
        assert tracker.projection.check() == []

    def test_a_row_that_is_wrong_is_told_with_what_it_should_be(
        self, tracker: WorkflowTracker, database: Database
    ) -> None:
        run_id = accept(tracker)
        change(database, sa.update(worker_run).values(message="wrong"))
        (difference,) = tracker.projection.check()
        assert (difference.view, difference.key) == ("worker_run", (run_id,))
        assert (difference.present, difference.computed) == ({"message": "wrong"}, {"message": ""})

    def test_rows_that_are_missing_or_too_many_are_told(self, tracker: WorkflowTracker, database: Database) -> None:
        accept(tracker)
        extra = sa.insert(views.JOBS).values(slurm_job_id=7, user=1, group=2, task_id=uuid4())
        change(database, sa.delete(views.RUN_PROGRESS), extra)
        differences = {difference.view: difference for difference in tracker.projection.check()}
        assert differences.keys() == {"biomero_job_view", "biomero_workflow_progress_view"}
        assert differences["biomero_job_view"].computed is None
        assert differences["biomero_workflow_progress_view"].present is None

    def test_nothing_is_changed(self, tracker: WorkflowTracker, database: Database) -> None:
        accept(tracker)
        change(database, sa.update(worker_run).values(message="wrong"))
        before = all_views(database)
        tracker.projection.check()
        assert all_views(database) == before


class TestRebuilding:
    def test_mends_views_that_are_wrong(self, tracker: WorkflowTracker, database: Database) -> None:
        accept(tracker)
        before = all_views(database)
        change(database, sa.delete(views.RUN_PROGRESS), sa.update(worker_run).values(message="wrong"))
        tracker.projection.rebuild()
        assert all_views(database) == before

    def test_can_be_repeated(self, tracker: WorkflowTracker, database: Database) -> None:
        accept(tracker)
        before = all_views(database)
        for _ in range(2):
            tracker.projection.rebuild()
            assert tracker.projection.check() == []
        assert all_views(database) == before

    def test_holds_up_nobody_while_it_computes_and_loses_nothing(
        self, tracker: WorkflowTracker, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        accept(tracker)
        other = WorkflowTracker(database)
        seen: list[int] = []
        follow_onto = Projection._follow_onto

        def interrupted(projection: Projection, made: Copies, position: int) -> tuple[int, int]:
            result = follow_onto(projection, made, position)
            # Everything has been computed; now somebody records more, before the copy takes the views' place.
            accept(other)
            seen.append(len(rows(database, worker_run)))
            return result

        with monkeypatch.context() as patch:
            patch.setattr(Projection, "_follow_onto", interrupted)
            tracker.projection.rebuild()

        assert seen == [2]
        assert len(rows(database, worker_run)) == 2
        assert tracker.projection.lag() == 0
        assert tracker.projection.check() == []

    def test_readers_see_the_old_rows_or_the_new_ones(
        self, tracker: WorkflowTracker, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        accept(tracker)
        seen: list[int] = []
        write_position = Projection._write_position

        def looked_at(projection: Projection, session: Session, position: int) -> None:
            # The views are replaced, but not for others yet.
            seen.append(len(rows(database, worker_run)))
            write_position(projection, session, position)

        monkeypatch.setattr(Projection, "_write_position", looked_at)
        tracker.projection.rebuild()
        assert seen == [1]

    def test_goes_on_while_several_processes_write(self, database: Database) -> None:
        url = database.engine.url.render_as_string(hide_password=False)
        tracker = WorkflowTracker(database)
        shared = tracker.initiate_workflow("shared", "", 9, 9)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(run_together, write, url, shared, ROUNDS)
            fewest = 0
            while not writing.done():
                tracker.projection.rebuild()
                count = len(rows(database, worker_run))
                assert count >= max(1, fewest)
                fewest = count
            assert writing.result() == [0] * PROCESSES
        assert tracker.projection.lag() == 0
        assert tracker.projection.check() == []
        assert len(rows(database, worker_run)) == 1 + PROCESSES


def test_a_command_does_not_wait_for_another_that_follows(postgres_url: str) -> None:
    with Database(postgres_url) as database:
        database.migrate()
        tracker = WorkflowTracker(database)
        run_id = accept(tracker)
        with database.session() as session:
            tracker.projection._lock(session)
            tracker.start_workflow(run_id)
            assert tracker.projection.lag() == 1

        # Whoever comes next follows that too.
        tracker.request_cancel(run_id, "ada")

        assert tracker.projection.lag() == 0
        assert rows(database, worker_run)[0]["state"] == "STARTED"
        assert [rows(database, table)[0]["notification_id"] for table in TRACKING] == [6] * len(TRACKING)


@pytest.mark.parametrize("how", ["command", "pull", "rebuild", "check"])
def test_what_comes_while_a_process_follows_is_followed_by_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with Database(postgres_url) as database:
        database.migrate()
        tracker, other = WorkflowTracker(database), WorkflowTracker(database)
        run_id = accept(tracker)
        flush, other_waits = Rows.flush, [True]

        def meanwhile(followed: Rows) -> None:
            flush(followed)
            with database.reading() as session:
                held = not session.execute(TRY_LOCK).scalar_one()
            if held and other_waits:
                # This command cannot follow itself.
                other_waits.clear()
                other.request_cancel(run_id, "ada")

        monkeypatch.setattr(Rows, "flush", meanwhile)
        if how == "command":
            tracker.start_workflow(run_id)
        else:
            getattr(tracker.projection, how)()
        assert not other_waits

        assert tracker.projection.lag() == 0
        assert rows(database, worker_run)[0]["cancel_requested_by"] == "ada"
