"""Names of the history that other software relies on, and that stand in databases: they never change."""

from __future__ import annotations

import dataclasses
import inspect
import json

import pytest
from eventsourcing.domain import Aggregate
from eventsourcing.utils import get_topic, resolve_topic
from sqlalchemy.dialects import registry
from sqlalchemy.schema import CreateTable

from worker.history import codec, tables
from worker.history.domain import StepState, Task, WorkflowRun
from worker.history.recorder import SNAPSHOT_FORMAT
from worker.history.tracker import WorkflowTracker
from worker.history.views import VIEWS

FIELDS_OF_ALL = ["originator_id", "originator_version", "timestamp"]

EVENTS = {
    # Histories of other tools hold these.
    "biomero.eventsourcing:WorkflowRun.WorkflowInitiated": ["name", "description", "user", "group"],
    "biomero.eventsourcing:WorkflowRun.TaskAdded": ["task_id"],
    "biomero.eventsourcing:WorkflowRun.WorkflowStarted": [],
    "biomero.eventsourcing:WorkflowRun.WorkflowCompleted": [],
    "biomero.eventsourcing:WorkflowRun.WorkflowFailed": ["error_message"],
    "biomero.eventsourcing:Task.TaskCreated": ["workflow_id", "task_name", "task_version", "input_data", "params"],
    "biomero.eventsourcing:Task.JobIdAdded": ["job_id"],
    "biomero.eventsourcing:Task.StatusUpdated": ["status"],
    "biomero.eventsourcing:Task.ProgressUpdated": ["progress"],
    "biomero.eventsourcing:Task.ResultAdded": ["result"],
    "biomero.eventsourcing:Task.TaskStarted": [],
    "biomero.eventsourcing:Task.TaskCompleted": ["result"],
    "biomero.eventsourcing:Task.TaskFailed": ["error_message"],
    # Ours.
    "biomero.eventsourcing:WorkflowRun.RequestRecorded": ["request"],
    "biomero.eventsourcing:WorkflowRun.StepIntended": ["step", "key"],
    "biomero.eventsourcing:WorkflowRun.StepCompleted": ["step", "data"],
    "biomero.eventsourcing:WorkflowRun.AttemptFailed": ["step", "attempt", "error", "message", "retry_at"],
    "biomero.eventsourcing:WorkflowRun.HolderLost": ["step", "losses", "headway", "message", "retry_at"],
    "biomero.eventsourcing:WorkflowRun.RunPaused": ["reason"],
    "biomero.eventsourcing:WorkflowRun.RunResumed": [],
    "biomero.eventsourcing:WorkflowRun.CancelRequested": ["by"],
    "biomero.eventsourcing:WorkflowRun.StepsReopened": ["steps", "reason", "by"],
    "biomero.eventsourcing:Task.SubmissionIntended": ["key"],
    "biomero.eventsourcing:Task.TaskReopened": ["reason"],
    "biomero.eventsourcing:Task.ResubmissionPlanned": ["attempt", "cause", "flags", "reason"],
    "biomero.eventsourcing:Task.JobAccounted": ["job_id", "usage"],
    "biomero.eventsourcing:Task.JobDescribed": ["key", "facts"],
    "biomero.eventsourcing:Task.JobEnded": ["job_id", "facts"],
    "biomero.eventsourcing:Task.ImportPlanned": ["plan"],
}

NEVER_RECORDED = {"Event", "Created"}

# As PostgreSQL's own dump of a database of the reference has them.
DDL = {
    "workflowtracker_events": [
        "id BIGSERIAL NOT NULL",
        "originator_id UUID NOT NULL",
        "originator_version BIGINT NOT NULL",
        "topic TEXT NOT NULL",
        "state BYTEA NOT NULL",
        "PRIMARY KEY (id)",
    ],
    "biomero_job_view": [
        "slurm_job_id SERIAL NOT NULL",
        '"user" INTEGER NOT NULL',
        '"group" INTEGER NOT NULL',
        "task_id UUID",
        "PRIMARY KEY (slurm_job_id)",
    ],
    "biomero_job_progress_view": [
        "slurm_job_id SERIAL NOT NULL",
        "status VARCHAR NOT NULL",
        "progress VARCHAR",
        "PRIMARY KEY (slurm_job_id)",
    ],
    "biomero_workflow_progress_view": [
        "workflow_id UUID NOT NULL",
        "status VARCHAR",
        "progress VARCHAR",
        '"user" INTEGER',
        '"group" INTEGER',
        "name VARCHAR",
        "task VARCHAR",
        "main_task_name VARCHAR",
        "start_time TIMESTAMP WITHOUT TIME ZONE NOT NULL",
        "PRIMARY KEY (workflow_id)",
    ],
    "biomero_task_execution": [
        "task_id UUID NOT NULL",
        "task_name VARCHAR NOT NULL",
        "task_version VARCHAR",
        "user_id INTEGER",
        "group_id INTEGER",
        "status VARCHAR NOT NULL",
        "start_time TIMESTAMP WITHOUT TIME ZONE NOT NULL",
        "end_time TIMESTAMP WITHOUT TIME ZONE",
        "error_type VARCHAR",
        "PRIMARY KEY (task_id)",
    ],
    **{
        f"{name}_tracking": [
            "application_name VARCHAR(32) NOT NULL",
            "notification_id BIGINT",
            "PRIMARY KEY (application_name)",
        ]
        for name in ("jobaccounting", "jobprogress", "workflowprogress", "workflowanalytics")
    },
}

COMMANDS = {
    "initiate_workflow": ["name", "description", "user", "group"],
    "add_task_to_workflow": ["workflow_id", "task_name", "task_version", "input_data", "kwargs"],
    "start_workflow": ["workflow_id"],
    "complete_workflow": ["workflow_id"],
    "fail_workflow": ["workflow_id", "error_message"],
    "start_task": ["task_id"],
    "complete_task": ["task_id", "message"],
    "fail_task": ["task_id", "error_message"],
    "add_job_id": ["task_id", "slurm_job_id"],
    "add_result": ["task_id", "result"],
    "update_task_status": ["task_id", "status"],
    "update_task_progress": ["task_id", "progress"],
    "pull_and_process": ["leader_name", "start", "stop"],
}


def recorded_events() -> dict[str, type[Aggregate.Event]]:
    """All kinds of events that can be recorded, by topic."""
    return {
        get_topic(value): value
        for aggregate in (WorkflowRun, Task)
        for name, value in vars(aggregate).items()
        if isinstance(value, type) and issubclass(value, Aggregate.Event) and name not in NEVER_RECORDED
    }


def test_no_kind_of_event_is_added_or_lost_unnoticed() -> None:
    assert recorded_events().keys() == EVENTS.keys()


@pytest.mark.parametrize("topic", EVENTS)
def test_a_topic_resolves_to_the_event_with_its_fields(topic: str) -> None:
    event = resolve_topic(topic)

    assert event is recorded_events()[topic]
    names = [field.name for field in dataclasses.fields(event)]
    assert sorted(set(names) - {*FIELDS_OF_ALL, "originator_topic"}) == sorted(EVENTS[topic])
    assert set(FIELDS_OF_ALL) <= set(names)


def test_aggregates_begin_at_version_0_under_their_topics() -> None:
    assert (WorkflowRun.INITIAL_VERSION, Task.INITIAL_VERSION) == (0, 0)
    assert get_topic(WorkflowRun) == "biomero.eventsourcing:WorkflowRun"
    assert get_topic(Task) == "biomero.eventsourcing:Task"


def test_an_event_is_stored_as_json_with_typed_ids_and_times() -> None:
    run = WorkflowRun("a run", "why", 3, 4)
    task = Task(run.id, "cellpose", "v1", {"IDs": [1]}, {"diameter": 0.5})
    run.add_task(task.id)

    created = codec.mapper().to_stored_event(task.pending_events[0])
    added = codec.mapper().to_stored_event(run.pending_events[1])

    assert json.loads(created.state) == {
        "timestamp": {"_type_": "datetime_iso", "_data_": task.created_on.isoformat()},
        "originator_topic": "biomero.eventsourcing:Task",
        "workflow_id": {"_type_": "uuid_hex", "_data_": run.id.hex},
        "task_name": "cellpose",
        "task_version": "v1",
        "input_data": {"IDs": [1]},
        "params": {"diameter": 0.5},
    }
    assert json.loads(added.state)["task_id"] == {"_type_": "uuid_hex", "_data_": task.id.hex}
    assert task.created_on.utcoffset() is not None


@pytest.mark.parametrize("name", DDL)
def test_a_table_has_exactly_these_columns(name: str) -> None:
    ddl = str(CreateTable(tables.metadata.tables[name]).compile(dialect=registry.load("postgresql")()))

    columns = [line.strip().rstrip(",").strip() for line in ddl.strip().splitlines()[1:-1]]
    assert columns == DDL[name]


def test_an_aggregate_can_have_only_one_event_of_a_version() -> None:
    (index,) = tables.workflowtracker_events.indexes
    assert index.unique
    assert [column.name for column in index.columns] == ["originator_id", "originator_version"]


def test_views_are_followed_under_their_names() -> None:
    assert {view.name: (view.table.name, view.tracking.name) for view in VIEWS} == {
        "JobAccounting": ("biomero_job_view", "jobaccounting_tracking"),
        "JobProgress": ("biomero_job_progress_view", "jobprogress_tracking"),
        "WorkflowProgress": ("biomero_workflow_progress_view", "workflowprogress_tracking"),
        "WorkflowAnalytics": ("biomero_task_execution", "workflowanalytics_tracking"),
    }
    assert tables.LEADER == "WorkflowTracker"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_tracker_has_a_command(command: str) -> None:
    parameters = list(inspect.signature(getattr(WorkflowTracker, command)).parameters)
    assert parameters == ["self", *COMMANDS[command]]


def test_snapshots_have_a_new_format_number_when_an_aggregate_changes() -> None:
    run = WorkflowRun("a run", "", 1, 1)
    shapes = {
        "run": {name for name in vars(run) if not name.startswith("_")},
        "task": {name for name in vars(Task(run.id, "t", "1", {}, {})) if not name.startswith("_")},
        "step": {field.name for field in dataclasses.fields(StepState)},
    }

    # Whoever changes this raises SNAPSHOT_FORMAT with it, so that older snapshots are left unread.
    assert SNAPSHOT_FORMAT == 5
    assert {name: " ".join(sorted(attributes)) for name, attributes in shapes.items()} == {
        "run": "cancel_requested_by description error_message group name paused_reason request status steps tasks user",
        "task": "attempt described earlier_attempts endings flags import_plan input_data job_id job_ids params "
        "progress result_message results state status submission_key task_name task_version usage workflow_id",
        "step": "attempts data headway key last_error losses retry_at state",
    }


def test_every_public_table_is_frozen() -> None:
    ours_alone = {name for name in tables.metadata.tables if name.startswith("worker_")}
    assert set(tables.metadata.tables) - ours_alone == DDL.keys()
