"""Runs that import the results of a job which ended before: whose they may be, and what they do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from worker.engine.accept import accept
from worker.engine.places import layout_of
from worker.engine.plan import plan
from worker.engine.reopening import reopening
from worker.engine.request import parse_request
from worker.engine.view import view_of
from worker.errors import RequestError
from worker.history.database import Database
from worker.history.tracker import WorkflowTracker
from worker.settings.models import Settings, SlurmSettings, WorkflowSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADA = {"user_id": 2, "user_name": "ada", "group_id": 3, "group_name": "lab"}
GRACE = {"user_id": 4, "user_name": "grace", "group_id": 5, "group_name": "others"}
SETTINGS = Settings(
    slurm=SlurmSettings(slurm_data_path="scratch/data"),
    workflows={"nuclei": WorkflowSettings(name="nuclei", image_folder="nuclei")},
)
JOB_ID = 71


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[WorkflowTracker]:
    with Database(None, sqlite_path=tmp_path / "history.sqlite") as database:
        database.migrate()
        yield WorkflowTracker(database)


def analysed(tracker: WorkflowTracker, *, ok: bool = True, ended: bool = True, removed: bool = False) -> UUID:
    """A run of Ada's whose job has ended."""
    asked = {**ADA, "data_type": "Dataset", "ids": [5], "workflows": [{"name": "nuclei", "version": "v1"}]}
    run_id = accept(tracker, parse_request(asked), SETTINGS)
    tracker.start_workflow(run_id)
    for step, data in (
        ("export", {"sources": []}),
        ("submit/0", {"job_id": JOB_ID}),
        ("watch/0", {"job_id": JOB_ID, "ok": ok, "state": "COMPLETED", "message": ""}),
        *((("tidy", {"removed": "scratch/data/x"}),) if removed else ()),
    ):
        tracker.intend_step(run_id, step, str(uuid4()))
        tracker.complete_step(run_id, step, data)
    if ended:
        tracker.fail_workflow(run_id, "The import failed.")
    return run_id


def ask(tracker: WorkflowTracker, run_id: UUID, person: dict[str, Any] = ADA, **changes: Any) -> UUID:
    finished = {"run_id": run_id, "task_id": tracker.run(run_id).tasks[1], "job_id": JOB_ID, **changes}
    return accept(
        tracker,
        parse_request({**person, "kind": "results", "finished": finished, "output": {"zip_to_parent": True}}),
        SETTINGS,
    )


def test_it_works_in_the_folder_of_the_job_and_in_its_group(tracker: WorkflowTracker) -> None:
    maker = analysed(tracker)
    run = tracker.run(ask(tracker, maker, {**ADA, "group_id": 99, "group_name": "elsewhere"}))
    assert layout_of(run, SETTINGS).root == layout_of(tracker.run(maker), SETTINGS).root
    assert run.request is not None
    assert (run.request["group_id"], run.request["data_type"], run.request["ids"]) == (3, "Dataset", [5])
    assert [tracker.task(task_id).task_name for task_id in run.tasks] == ["SLURM_Get_Results.py"]


def test_it_fetches_imports_and_tidies(tracker: WorkflowTracker) -> None:
    run_id = ask(tracker, analysed(tracker))
    taken = []
    for _ in range(3):
        step: Any = plan(view_of(tracker.run(run_id)), datetime.now(UTC))
        taken.append(step.name)
        tracker.intend_step(run_id, step.name, "key")
        tracker.complete_step(run_id, step.name, {})
    assert taken == ["fetch/0", "import/0", "tidy"]
    end: Any = plan(view_of(tracker.run(run_id)), datetime.now(UTC))
    assert end.ok


def test_a_failed_import_is_retried_from_there(tracker: WorkflowTracker) -> None:
    run_id = ask(tracker, analysed(tracker))
    tracker.start_workflow(run_id)
    tracker.intend_step(run_id, "fetch/0", "key")
    tracker.complete_step(run_id, "fetch/0", {})
    tracker.intend_step(run_id, "import/0", "key")
    tracker.fail_attempt(run_id, "import/0", attempt=1, error="ResultsError", message="No.", retry_at=None)
    tracker.fail_workflow(run_id, "No.")
    run = tracker.run(run_id)
    again = reopening(view_of(run), run.tasks)
    assert (again.steps, again.jobs) == (("import/0", "tidy", "cancel"), ())


def test_other_peoples_jobs_are_as_good_as_none(tracker: WorkflowTracker) -> None:
    with pytest.raises(RequestError, match=f"You have no job {JOB_ID}"):
        ask(tracker, analysed(tracker), GRACE)


def test_what_there_is_nothing_to_import_of_is_said_at_the_door(tracker: WorkflowTracker) -> None:
    with pytest.raises(RequestError, match="has no results to import"):
        ask(tracker, analysed(tracker, ok=False))
    with pytest.raises(RequestError, match="has no results to import"):
        ask(tracker, analysed(tracker), job_id=72)
    with pytest.raises(RequestError, match="still at work"):
        ask(tracker, analysed(tracker, ended=False))
    with pytest.raises(RequestError, match="not on the cluster any more"):
        ask(tracker, analysed(tracker, removed=True))
