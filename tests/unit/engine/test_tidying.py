"""A run that has brought the results of an earlier one into OMERO removes its data, unless that one goes on.

On this machine, which is the cluster here, with the real driver and a real record.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.clusters import OneCluster
from worker.cluster.local import LocalTransport
from worker.engine import interventions
from worker.engine.accept import accept
from worker.engine.context import Resources
from worker.engine.driver import drive
from worker.engine.lease import Leases
from worker.engine.places import layout_of
from worker.engine.removal import why_removed
from worker.engine.request import parse_request
from worker.engine.view import view_of
from worker.engine.watcher import Watcher
from worker.history.database import Database
from worker.history.tracker import WorkflowTracker
from worker.settings.models import Settings, SlurmSettings, WorkflowSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

ADA = {"user_id": 2, "user_name": "ada", "group_id": 3, "group_name": "lab"}
JOB_ID = 71


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Resources]:
    settings = Settings(
        slurm=SlurmSettings(slurm_data_path=str(tmp_path / "data")),
        workflows={"nuclei": WorkflowSettings(name="nuclei", image_folder="nuclei")},
    )
    transport = LocalTransport()
    with Database(None, sqlite_path=tmp_path / "history.sqlite") as database:
        database.migrate()
        yield Resources(
            configuration=lambda: settings,
            state_dir=tmp_path / "state",
            tracker=WorkflowTracker(database),
            leases=Leases(database, "engine"),
            clusters=OneCluster(settings, transport, Watcher(transport)),
            omero=cast("Any", None),
        )


@pytest.fixture
def earlier(resources: Resources) -> UUID:
    """A run whose import has failed, with its data on the cluster."""
    asked = {**ADA, "data_type": "Dataset", "ids": [5], "workflows": [{"name": "nuclei", "version": "v1"}]}
    run_id = accept(resources.tracker, parse_request(asked), resources.settings)
    resources.tracker.start_workflow(run_id)
    watched = {"job_id": JOB_ID, "ok": True, "state": "COMPLETED", "message": ""}
    done = {"export": {"sources": []}, "submit/0": {"job_id": JOB_ID}, "watch/0": watched, "fetch/0": {"files": []}}
    for step, data in done.items():
        resources.tracker.complete_step(run_id, step, cast("dict[str, Any]", data))
    resources.tracker.intend_step(run_id, "import/0", "key")
    resources.tracker.fail_attempt(
        run_id, "import/0", attempt=1, error="ResultsError", message="No room.", retry_at=None
    )
    resources.tracker.fail_workflow(run_id, "No room.")
    folder(resources, run_id).joinpath("data", "out").mkdir(parents=True)
    return run_id


@pytest.fixture
def run_id(resources: Resources, earlier: UUID) -> UUID:
    """A run that has brought its results into OMERO, and has only to tidy up."""
    task_id = resources.tracker.run(earlier).tasks[1]
    finished = {"run_id": earlier, "task_id": task_id, "job_id": JOB_ID}
    asked = {**ADA, "kind": "results", "finished": finished, "output": {"zip_to_parent": True}}
    accepted = accept(resources.tracker, parse_request(asked), resources.settings)
    resources.tracker.start_workflow(accepted)
    for step in ("fetch/0", "import/0"):
        resources.tracker.complete_step(accepted, step, {})
    return accepted


def folder(resources: Resources, run_id: UUID) -> Path:
    return Path(layout_of(resources.tracker.run(run_id), resources.settings).root)


def notes(resources: Resources, run_id: UUID) -> list[str]:
    run = resources.tracker.run(run_id)
    assert run.status == "COMPLETED"
    return list(run.steps["tidy"].data.get("notes", []))


def test_what_was_brought_in_is_removed_and_the_earlier_run_knows(
    resources: Resources, earlier: UUID, run_id: UUID
) -> None:
    drive(resources, run_id)
    assert notes(resources, run_id) == []
    assert not folder(resources, earlier).exists()
    assert "has brought its results into OMERO" in (why_removed(view_of(resources.tracker.run(earlier))) or "")


def test_a_run_that_somebody_retries_keeps_its_data(resources: Resources, earlier: UUID, run_id: UUID) -> None:
    interventions.retry(resources.tracker, earlier, by="ada")
    drive(resources, run_id)
    assert notes(resources, run_id) == [f"The data of run {earlier} stay on the cluster: it goes on, and needs them."]
    assert folder(resources, earlier).joinpath("data", "out").is_dir()


def test_a_run_that_somebody_works_with_keeps_its_data(resources: Resources, earlier: UUID, run_id: UUID) -> None:
    other = Leases(resources.tracker.database, "another engine")
    assert other.take(earlier) is not None
    drive(resources, run_id)
    assert len(notes(resources, run_id)) == 1
    assert folder(resources, earlier).joinpath("data", "out").is_dir()
