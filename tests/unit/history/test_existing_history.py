"""A history that another tool has written opens as it is."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.utils import Environment
from eventsourcing_sqlalchemy.factory import SQLAlchemyFactory

from tests.unit.history.viewing import only_row, rows
from worker.errors import HistoryError
from worker.history import views
from worker.history.database import Database
from worker.history.followers import JobAccounting, WorkflowAnalytics
from worker.history.projection import Projection
from worker.history.reader import RunReader
from worker.history.tracker import WorkflowTracker

if TYPE_CHECKING:
    from collections.abc import Iterator

# The library makes a class for each tracking table, all of one name.
pytestmark = pytest.mark.filterwarnings("ignore:This declarative base already contains:sqlalchemy.exc.SAWarning")

RUN = UUID("747fc951-15ca-4b56-a19e-418e1db97d14")
TASK = UUID("0d3c1c3e-55cf-4c7e-9d8a-5a8f5f0c2f11")
START = datetime(2025, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


def event(originator: UUID, version: int, name: str, /, **fields: Any) -> StoredEvent:
    """An event as the reference writes it."""
    at = (START + timedelta(minutes=version)).isoformat()
    state: dict[str, Any] = {"timestamp": {"_type_": "datetime_iso", "_data_": at}}
    aggregate = name.partition(".")[0]
    if version == 0:
        state["originator_topic"] = f"biomero.eventsourcing:{aggregate}"
    for key, value in fields.items():
        state[key] = {"_type_": "uuid_hex", "_data_": value.hex} if isinstance(value, UUID) else value
    encoded = json.dumps(state, separators=(",", ":"), ensure_ascii=False).encode()
    return StoredEvent(originator, version, f"biomero.eventsourcing:{name}", encoded)


HISTORY = [
    event(RUN, 0, "WorkflowRun.WorkflowInitiated", name="Zelltöne", description="d\n2.8.2", user=52, group=3),
    event(
        TASK,
        0,
        "Task.TaskCreated",
        workflow_id=RUN,
        task_name="cellpose",
        task_version="v1.2.9",
        input_data={"IDs": [7]},
        params={"diameter": 30.0},
    ),
    event(RUN, 1, "WorkflowRun.TaskAdded", task_id=TASK),
    # Of a newer version of the reference; nothing to us, but it counts.
    event(RUN, 2, "WorkflowRun.CanonicalInputsRecorded", export_task_id=TASK, canonical_inputs=[{"ordinal": 0}]),
    event(TASK, 1, "Task.TaskStarted"),
    event(TASK, 2, "Task.JobIdAdded", job_id=-1),
    event(TASK, 3, "Task.JobIdAdded", job_id="2339"),
    event(TASK, 4, "Task.ResultAdded", result={"command": "sbatch", "env": {}, "stdout": "ok", "stderr": ""}),
    event(TASK, 5, "Task.StatusUpdated", status="RUNNING"),
    event(TASK, 6, "Task.ProgressUpdated", progress=None),
    event(TASK, 7, "Task.StatusUpdated", status="RUNNING"),
    event(TASK, 8, "Task.ProgressUpdated", progress="43%"),
    event(TASK, 9, "Task.StorageProvenanceRecorded", target="Plate:10"),
]


def recorder(url: str, name: str = "WorkflowTracker") -> Any:
    """The recorder with which the reference writes; it makes its tables itself."""
    return SQLAlchemyFactory(Environment(name, {"SQLALCHEMY_URL": url})).process_recorder()


@pytest.fixture
def old_url(database_url: str) -> str:
    """A database in which the reference has worked, and left its usual gaps."""
    theirs = recorder(database_url)
    theirs.insert_events(HISTORY)
    theirs.datastore.engine.dispose()
    for name in ("JobAccounting", "JobProgress", "WorkflowProgress"):
        follower = recorder(database_url, name)
        follower.insert_tracking(Tracking("WorkflowTracker", 13))
        follower.datastore.engine.dispose()
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            'CREATE TABLE biomero_job_view (slurm_job_id INTEGER PRIMARY KEY, "user" INTEGER NOT NULL, '
            '"group" INTEGER NOT NULL)'
        )
        connection.exec_driver_sql('INSERT INTO biomero_job_view (slurm_job_id, "user", "group") VALUES (-1, 52, 3)')
    engine.dispose()
    return database_url


@pytest.fixture
def opened(old_url: str) -> Iterator[Database]:
    """The same database, opened with ours."""
    with Database(old_url) as database:
        database.migrate()
        yield database


def test_an_existing_run_loads(opened: Database) -> None:
    run = WorkflowTracker(opened).run(RUN)
    assert (run.name, run.description, run.user, run.group) == ("Zelltöne", "d\n2.8.2", 52, 3)
    assert (run.tasks, run.version, run.created_on) == ([TASK], 2, START)


def test_an_existing_task_loads(opened: Database) -> None:
    task = WorkflowTracker(opened).task(TASK)
    assert (task.workflow_id, task.task_name, task.task_version) == (RUN, "cellpose", "v1.2.9")
    assert (task.input_data, task.params) == ({"IDs": [7]}, {"diameter": 30.0})
    assert (task.job_ids, task.status, task.progress, task.version) == ([2339], "RUNNING", "43%", 9)
    assert task.results == [{"command": "sbatch", "env": {}, "stdout": "ok", "stderr": ""}]


def test_the_log_is_not_touched(opened: Database) -> None:
    stored = WorkflowTracker(opened).notification_log.select(start=1, limit=100)
    assert [(n.originator_id, n.originator_version, n.topic, n.state) for n in stored] == [
        (e.originator_id, e.originator_version, e.topic, e.state) for e in HISTORY
    ]


def test_its_views_are_computed_anew_at_the_first_pull(opened: Database) -> None:
    Projection(opened).pull()

    assert only_row(opened, views.JOBS) == {"slurm_job_id": 2339, "user": 52, "group": 3, "task_id": TASK}
    assert only_row(opened, views.JOB_PROGRESS) == {"slurm_job_id": 2339, "status": "RUNNING", "progress": "43%"}
    assert only_row(opened, views.RUN_PROGRESS) == {
        "workflow_id": RUN,
        "status": "JOB_RUNNING",
        "progress": "67.2%",
        "user": 52,
        "group": 3,
        "name": "Zelltöne",
        "task": "cellpose",
        "main_task_name": "cellpose",
        "start_time": START.replace(tzinfo=None),
    }
    assert WorkflowAnalytics(opened).get_task_counts(user=52) == {("cellpose", "v1.2.9"): 1}
    assert JobAccounting(opened).recorder.max_tracking_id("WorkflowTracker") == 13


def test_its_runs_go_on_where_they_stopped(opened: Database) -> None:
    tracker = WorkflowTracker(opened)
    tracker.complete_task(TASK, "fine")
    tracker.complete_workflow(RUN)
    assert RunReader(opened).run(RUN).status == "DONE"
    assert [row.name for row in RunReader(opened).events(RUN)][-2:] == ["TaskCompleted", "WorkflowCompleted"]


def test_its_runs_are_not_ours_to_drive(opened: Database) -> None:
    Projection(opened).pull()
    assert RunReader(opened).open_runs() == []


def test_the_reference_reads_what_we_write(opened: Database, old_url: str) -> None:
    tracker = WorkflowTracker(opened)
    tracker.update_task_progress(TASK, "50%")

    theirs = recorder(old_url)
    (read,) = theirs.select_events(TASK, gt=9)
    ours = tracker.notification_log.select(start=14, limit=1)[0]
    assert (read.topic, read.state) == ("biomero.eventsourcing:Task.ProgressUpdated", ours.state)
    assert json.loads(read.state)["progress"] == "50%"
    theirs.datastore.engine.dispose()


def test_both_write_to_the_same_log_in_turn(opened: Database, old_url: str) -> None:
    tracker = WorkflowTracker(opened)
    theirs = recorder(old_url)
    tracker.update_task_progress(TASK, "50%")
    (position,) = theirs.insert_events([event(TASK, 11, "Task.StatusUpdated", status="COMPLETED")])
    theirs.datastore.engine.dispose()

    assert position == 15
    assert tracker.task(TASK).status == "COMPLETED"
    tracker.complete_workflow(RUN)
    assert only_row(opened, views.JOB_PROGRESS)["status"] == "COMPLETED"


def test_an_event_of_another_application_is_an_error_that_says_so(opened: Database, old_url: str) -> None:
    theirs = recorder(old_url)
    theirs.insert_events([StoredEvent(UUID(int=1), 0, "shop.orders:Order.Placed", b"{}")])
    theirs.datastore.engine.dispose()
    with pytest.raises(HistoryError, match=r"unknown kind, 'shop.orders:Order.Placed'"):
        Projection(opened).pull()
    assert rows(opened, views.RUN_PROGRESS) == []


def test_columns_that_older_tables_lack_are_added(opened: Database) -> None:
    columns = {column["name"] for column in sa.inspect(opened.engine).get_columns("biomero_job_view")}
    assert columns == {"slurm_job_id", "user", "group", "task_id"}
