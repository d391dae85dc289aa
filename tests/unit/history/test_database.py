"""The database: its errors, its clock, its loss and its return."""

from __future__ import annotations

import threading
import traceback
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from tests.unit.history.viewing import rows
from worker.errors import HistoryConflict, HistoryError, HistoryUnavailable, SettingsError
from worker.history.database import Database
from worker.history.migration import VERSION_TABLE
from worker.history.reader import RunReader
from worker.history.tables import engine_heartbeat, lease, worker_run, workflowtracker_events
from worker.history.tracker import WorkflowTracker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import PostgresServer


class TestOpening:
    def test_without_a_url_a_file_is_used(self, tmp_path: Path) -> None:
        path = tmp_path / "state" / "history.sqlite"
        with Database(None, sqlite_path=path) as database:
            database.migrate()
        assert path.exists()

    def test_without_either_it_says_what_to_set(self) -> None:
        with pytest.raises(HistoryError, match="SQLALCHEMY_URL"):
            Database(None)

    def test_another_kind_of_database_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="'mysql'"):
            Database("mysql+pymysql://u:p@h/d")

    @pytest.mark.parametrize(
        "url", ["postgresql:user:hunter2@host", "postgresql://u:hunter2@home@h/d", "postgresql://u@h:hunter2/d"]
    )
    def test_a_url_that_cannot_be_read_is_not_quoted(self, url: str) -> None:
        with pytest.raises(SettingsError, match="SQLALCHEMY_URL") as caught:
            Database(url)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value)) + str(caught.value.remedy)

    @pytest.mark.parametrize(
        "url",
        ["postgresql://u@h/d?password=hunter2", "postgresql+asyncpg://u:hunter%402@h/d"],
    )
    def test_a_password_is_not_told_and_the_driver_is_ours(self, url: str) -> None:
        with Database(url) as database:
            assert "hunter" not in database.name
            assert database.engine.driver == "psycopg2"

    def test_two_databases_live_side_by_side(self, tmp_path: Path) -> None:
        first = Database(None, sqlite_path=tmp_path / "first")
        second = Database(None, sqlite_path=tmp_path / "second")
        for database in (first, second):
            database.migrate()
        WorkflowTracker(first).initiate_workflow("in the first", "", 1, 1)
        first.close()

        WorkflowTracker(second).initiate_workflow("in the second", "", 1, 1)

        assert [row.name for row in RunReader(second).list_runs()] == ["in the second"]
        second.close()

    def test_migrating_again_changes_nothing(self, database: Database) -> None:
        WorkflowTracker(database).initiate_workflow("r", "", 1, 1)
        database.migrate()
        assert len(rows(database, workflowtracker_events)) == 1

    def test_tables_of_a_newer_version_are_left_alone(self, database: Database) -> None:
        with database.session() as session:
            session.execute(sa.update(sa.table(VERSION_TABLE, sa.column("version_num"))).values(version_num="9999"))
            session.commit()
        with pytest.raises(HistoryError, match="newer version"):
            database.migrate()

    def test_missing_tables_are_an_error_that_names_the_migration(self, database_url: str) -> None:
        with Database(database_url) as empty, pytest.raises(HistoryError, match="migrate") as caught:
            WorkflowTracker(empty).initiate_workflow("r", "", 1, 1)
        assert not caught.value.transient


class TestTransactions:
    def test_nothing_is_kept_without_a_commit(self, database: Database) -> None:
        with database.session() as session:
            session.execute(sa.insert(engine_heartbeat).values(holder="h", beat_at=datetime.now(UTC)))
        assert rows(database, engine_heartbeat) == []

    def test_the_same_row_twice_is_a_conflict(self, database: Database) -> None:
        def insert() -> None:
            with database.session() as session:
                session.execute(sa.insert(engine_heartbeat).values(holder="h", beat_at=datetime.now(UTC)))
                session.commit()

        insert()
        with pytest.raises(HistoryConflict):
            insert()

    def test_times_come_back_in_utc(self, database: Database) -> None:
        moment = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
        with database.session() as session:
            session.execute(sa.insert(lease).values(run_id=uuid4(), holder="h", token=1, expires_at=moment))
            session.commit()
        (row,) = rows(database, lease)
        assert row["expires_at"] == moment
        assert row["expires_at"].utcoffset() == timedelta(0)

    def test_a_time_without_zone_is_refused(self, database: Database) -> None:
        naive = datetime(2026, 3, 1)  # noqa: DTZ001 - that is the point
        with pytest.raises(HistoryError, match="time zone"), database.session() as session:
            session.execute(sa.insert(engine_heartbeat).values(holder="h", beat_at=naive))

    def test_the_clock_is_in_utc_and_can_be_compared_with_rows(self, database: Database) -> None:
        with database.session() as session:
            now = database.now(session)
            session.execute(sa.insert(engine_heartbeat).values(holder="h", beat_at=now))
            later = engine_heartbeat.c.beat_at < database.after(now, 0.5)
            assert session.execute(sa.select(sa.func.count()).where(later)).scalar_one() == 1
        assert now.utcoffset() == timedelta(0)
        assert abs(now - datetime.now(UTC)) < timedelta(seconds=30)

    def test_readers_do_not_wait_for_a_writer(self, database: Database) -> None:
        tracker = WorkflowTracker(database)
        run_id = tracker.initiate_workflow("r", "", 1, 1)
        with database.session() as session:
            session.execute(sa.update(worker_run).values(message="not yet"))
            assert RunReader(database).run(run_id).message == ""
            assert tracker.run(run_id).name == "r"


class TestLoss:
    def test_a_server_that_is_not_there_is_unavailable_and_transient(self, postgres_server: PostgresServer) -> None:
        # Nothing listens on port 9.
        url = postgres_server.url("nowhere").replace(str(postgres_server.port), "9")
        with Database(url) as database, pytest.raises(HistoryUnavailable, match="does not answer") as caught:
            WorkflowTracker(database).initiate_workflow("r", "", 1, 1)
        assert caught.value.transient
        assert "SQLALCHEMY_URL" in caught.value.remedy
        assert "secret" not in f"{caught.value} {caught.value.__cause__}"

    def test_work_goes_on_by_itself_when_the_server_is_back(
        self, postgres_server: PostgresServer, postgres_url: str
    ) -> None:
        with Database(postgres_url) as database:
            database.migrate()
            tracker = WorkflowTracker(database)
            run_id = tracker.initiate_workflow("r", "", 1, 1)
            postgres_server.stop("fast")
            try:
                with pytest.raises(HistoryUnavailable):
                    tracker.start_workflow(run_id)
            finally:
                postgres_server.start()

            tracker.start_workflow(run_id)

            assert tracker.run(run_id).status == "STARTED"
            assert tracker.projection.lag() == 0

    def test_a_connection_lost_in_the_middle_is_not_noticed_by_the_caller(self, postgres_url: str) -> None:
        with Database(postgres_url) as database:
            database.migrate()
            tracker = WorkflowTracker(database)
            run_id = tracker.initiate_workflow("r", "", 1, 1)
            lost = _lose_connection_once(database, postgres_url, before="INSERT INTO workflowtracker_events")

            tracker.start_workflow(run_id)

            assert lost == ["lost"]
            assert [row["originator_version"] for row in rows(database, workflowtracker_events)] == [0, 1]

    @pytest.mark.parametrize("kept", [False, True])
    def test_a_connection_lost_while_committing_leaves_the_run_accepted_once(
        self, postgres_url: str, *, kept: bool
    ) -> None:
        with Database(postgres_url) as database:
            database.migrate()
            tracker = WorkflowTracker(database)
            lost = _lose_connection_at_first_commit(database, postgres_url, kept=kept)

            run_id = tracker.accept(name="r", description="", user=1, group=1, request={}, tasks=[])

            assert lost == ["lost"]
            assert [row.run_id for row in RunReader(database).list_runs()] == [run_id]

    def test_a_file_that_another_process_holds_is_unavailable(self, tmp_path: Path) -> None:
        path = tmp_path / "history.sqlite"
        with Database(None, sqlite_path=path) as database:
            database.migrate()

            @sa.event.listens_for(database.engine, "connect")
            def wait_shortly(connection: Any, _record: Any) -> None:
                connection.execute("PRAGMA busy_timeout=50")

            database.engine.dispose()
            holding, done = threading.Event(), threading.Event()

            def hold() -> None:
                with Database(None, sqlite_path=path) as other, other.session() as session:
                    session.execute(sa.delete(lease))
                    holding.set()
                    done.wait(30)

            holder = threading.Thread(target=hold)
            holder.start()
            assert holding.wait(30)
            try:
                with pytest.raises(HistoryUnavailable, match="locked"):
                    WorkflowTracker(database).initiate_workflow("r", "", 1, 1)
            finally:
                done.set()
                holder.join()


def _kill(url: str, pid: int) -> None:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_terminate_backend(pid, 5000)))
    engine.dispose()


def _lose_connection_once(database: Database, url: str, *, before: str) -> list[str]:
    """Have the server close the connection before the first statement that begins so."""
    lost: list[str] = []

    @sa.event.listens_for(database.engine, "before_cursor_execute")
    def lose(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(before) and not lost:
            lost.append("lost")
            _kill(url, connection.connection.dbapi_connection.info.backend_pid)  # type: ignore[union-attr]  # psycopg2's

    return lost


def _lose_connection_at_first_commit(database: Database, url: str, *, kept: bool) -> list[str]:
    """Have the server close the connection at the first commit: before it takes effect, or after."""
    lost: list[str] = []

    @sa.event.listens_for(database.engine, "commit")
    def lose(connection: sa.Connection) -> None:
        if not lost:
            lost.append("lost")
            raw: Any = connection.connection.dbapi_connection
            if kept:
                with raw.cursor() as cursor:
                    cursor.execute("COMMIT; BEGIN")
            _kill(url, raw.info.backend_pid)

    return lost


def test_a_status_update_takes_few_statements(postgres_url: str) -> None:
    with Database(postgres_url) as database:
        database.migrate()
        tracker = WorkflowTracker(database)
        run_id = tracker.initiate_workflow("r", "", 1, 1)
        task_id = tracker.add_task_to_workflow(run_id, "cellpose", "v1", {}, {})
        tracker.add_job_id(task_id, 12)
        statements: list[str] = []

        @sa.event.listens_for(database.engine, "before_cursor_execute")
        def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            statements.append(statement)

        tracker.update_task_status(task_id, "RUNNING")

    # The reference takes 70.
    assert len(statements) <= 20, "\n".join(statements)


def test_nothing_of_the_password_is_in_the_name(postgres_url: str) -> None:
    with Database(postgres_url) as database:
        assert "secret" not in database.name
        assert "/test_" in database.name
