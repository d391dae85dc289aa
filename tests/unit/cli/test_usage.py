"""``omero-worker usage`` and ``omero-worker history`` on a record of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from worker.cli.main import app
from worker.history.tables import worker_run
from worker.history.tracker import TaskSpec

if TYPE_CHECKING:
    from worker.engine.assembly import Record

USAGE = {
    "elapsed_s": 1800,
    "cpu_s": 7200,
    "gpu_s": 900,
    "peak_memory_bytes": 3 * 2**30,
    "exit_code": 0,
    "ended": "2026-03-01T12:00:00+00:00",
}


@pytest.fixture
def accounted(record: Record) -> Record:
    """A record of one run whose job has been accounted."""
    request = {"user_name": "ada", "group_name": "lab"}
    task = TaskSpec("nuclei", "v1")
    run_id = record.tracker.accept(name="r", description="", user=2, group=3, request=request, tasks=[task])
    (task_id,) = record.tracker.run(run_id).tasks
    record.tracker.add_job_id(task_id, 77)
    record.tracker.account_job(task_id, 77, USAGE)
    return record


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.usefixtures("accounted")
@pytest.mark.parametrize(("by", "name"), [("user", "ada"), ("group", "lab"), ("workflow", "nuclei")])
def test_usage_is_a_table_of_hours_and_memory(by: str, name: str) -> None:
    result = command("usage", "--by", by)
    assert result.exit_code == 0
    assert by.capitalize() in result.output
    (line,) = [line for line in result.output.splitlines() if name in line]
    for figure in ("0.50", "2.00", "0.25", "3.00 GiB"):
        assert figure in line


@pytest.mark.usefixtures("accounted")
def test_usage_is_json_with_units_in_its_names() -> None:
    (row,) = json.loads(command("usage", "--by", "user", "--json").output)
    assert row == {
        "key": 2,
        "name": "ada",
        "jobs": 1,
        "failed_jobs": 0,
        "elapsed_s": 1800,
        "cpu_s": 7200,
        "gpu_s": 900,
        "peak_memory_bytes": 3 * 2**30,
    }


@pytest.mark.usefixtures("accounted")
def test_usage_leaves_out_what_ended_earlier() -> None:
    result = command("usage", "--since", "2026-03-05")
    assert (result.exit_code, result.output) == (0, "No job has been accounted since 2026-03-05 00:00.\n")


@pytest.mark.usefixtures("record")
def test_usage_of_nothing_says_so() -> None:
    assert command("usage").output == "No job has been accounted yet.\n"


@pytest.mark.usefixtures("accounted")
def test_views_that_are_right_pass_the_check() -> None:
    result = command("history", "rebuild", "--check")
    assert (result.exit_code, result.output) == (0, "The views are what the log says, up to event 6.\n")


def test_views_that_are_wrong_fail_the_check_until_they_are_computed_anew(accounted: Record) -> None:
    with accounted.database.session() as session:
        session.execute(sa.update(worker_run).values(message="wrong"))
        session.commit()

    result = command("history", "rebuild", "--check")
    assert result.exit_code == 1
    assert "worker_run" in result.output
    assert "is {'message': 'wrong'}, should be {'message': ''}" in result.output

    assert command("history", "rebuild").output == "The views were computed anew from 6 events.\n"
    assert command("history", "rebuild", "--check").exit_code == 0
