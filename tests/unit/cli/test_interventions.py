"""``omero-worker runs cancel, resume, retry`` say what they have done, or plainly why not."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from tests.clusters import settings_with
from worker.cli.main import app
from worker.engine.accept import accept
from worker.engine.breaker import Circuit, CircuitState
from worker.engine.circuits import Circuits
from worker.engine.request import parse_request
from worker.errors import RequestError

if TYPE_CHECKING:
    from uuid import UUID

    from typer.testing import Result

    from worker.engine.assembly import Record


@pytest.fixture
def run_id(record: Record) -> UUID:
    request = {"data_type": "Image", "ids": [1], "workflows": [{"name": "nuclei", "version": "v1"}]}
    person = {"user_id": 2, "user_name": "ada", "group_id": 3, "group_name": "lab"}
    return accept(record.tracker, parse_request({**request, **person}), settings_with("nuclei"))


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["runs", *arguments])


def fail(record: Record, run_id: UUID) -> None:
    record.tracker.start_workflow(run_id)
    record.tracker.complete_step(run_id, "export", {})
    record.tracker.fail_attempt(run_id, "submit/0", attempt=1, error="E", message="No partition.", retry_at=None)
    record.tracker.fail_workflow(run_id, "No partition.")


def test_retry_says_from_where_the_run_goes_on_and_who_is_missing(record: Record, run_id: UUID) -> None:
    fail(record, run_id)
    result = command("retry", str(run_id), "--by", "ada")
    assert result.exit_code == 0
    assert f"Run {run_id} goes on from submit/0." in result.output
    assert "No engine service is alive" in result.output
    reopened = [row for row in record.reader.events(run_id) if row.name == "StepsReopened"]
    assert reopened[0].data["by"] == "ada"


def test_retry_with_a_step_that_there_is_not_names_those_that_there_are(record: Record, run_id: UUID) -> None:
    fail(record, run_id)
    result = command("retry", str(run_id), "--from", "sumbit")
    assert isinstance(result.exception, RequestError)
    assert "Name one of export, submit/0" in str(result.exception)


def test_show_lists_what_was_tried(record: Record, run_id: UUID) -> None:
    fail(record, run_id)
    task_id = record.tracker.run(run_id).tasks[1]
    record.tracker.intend_submission(task_id, str(task_id))
    command("retry", str(run_id), "--by", "ada")
    assert "nuclei, attempt 1: Retried from submit/0 by ada." in command("show", str(run_id)).output


def test_show_says_what_a_run_waits_for(record: Record, run_id: UUID) -> None:
    assert "unreachable" not in command("show", str(run_id)).output
    now = datetime.now(UTC)
    state = CircuitState("cluster", Circuit.OPEN, now, now + timedelta(minutes=5), "no route to host")
    Circuits(record.database, "engine").record(state)
    assert "cluster unreachable since" in command("show", str(run_id)).output
    fail(record, run_id)
    assert "unreachable" not in command("show", str(run_id)).output


def test_cancel_may_be_repeated(record: Record, run_id: UUID) -> None:
    assert "will be cancelled" in command("cancel", str(run_id)).output
    result = command("cancel", str(run_id))
    assert result.exit_code == 0
    assert "is being cancelled already" in result.output


def test_cancel_can_wait_until_the_run_has_ended(record: Record, run_id: UUID) -> None:
    def engine() -> None:
        time.sleep(0.2)
        record.tracker.fail_workflow(run_id, "Cancelled by ada.")

    thread = threading.Thread(target=engine)
    thread.start()
    result = command("cancel", str(run_id), "--wait", "--timeout", "20")
    thread.join()
    assert "has ended. Cancelled by ada." in result.output


def test_cancel_does_not_wait_for_ever(record: Record, run_id: UUID) -> None:
    result = command("cancel", str(run_id), "--wait", "--timeout", "0")
    assert "has not ended within 0 s" in str(result.exception)


def test_resume_of_a_run_that_has_failed_points_to_retry(record: Record, run_id: UUID) -> None:
    fail(record, run_id)
    assert f"runs retry {run_id}" in str(command("resume", str(run_id)).exception)
