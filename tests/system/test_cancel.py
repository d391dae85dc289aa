"""A run that is cancelled leaves nothing on the cluster; a script that is cancelled need not cancel its run."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab import samples
from tests.lab.deployment import environment
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in, start_script
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

USER = "alice"
WITH_SCRIPT = "Cancel run with script?"


@pytest.fixture
def deployment(lab: Lab, tmp_path: Path, database_url: str) -> Deployment:
    return Deployment.create(lab, tmp_path, database_url)


@pytest.fixture(scope="module")
def image_id(lab: Lab) -> int:
    with logged_in(lab, USER) as gateway:
        return import_image(gateway, samples.nuclei_image()[:128, :128], "corner.tif")


def start(deployment: Deployment, image_id: int, **changes: object) -> DirectScript:
    """Press Run."""
    directory = deployment.directory / "script"
    directory.mkdir()
    filled_in = inputs(deployment.lab, image_id) | changes
    return DirectScript(deployment.lab, USER, filled_in, deployment.environ, directory)


def inputs(lab: Lab, image_id: int) -> dict[str, object]:
    return {
        "Data_Type": "Image",
        "IDs": [image_id],
        "E-mail": False,
        "Select how to import your results (one or more)": True,
        "1) Zip attachment to parent": False,
        "3a) Import into NEW Dataset": "found in runs",
        "4) Upload result CSVs as OMERO tables": True,
        "nuclei": True,
        "nuclei_Version": lab.nuclei_version,
        "nuclei_|_debug_sleep": 100.0,
    }


def only_run(deployment: Deployment) -> Any:
    with deployment.record() as record:
        (row,) = record.reader.list_runs()
        return record.tracker.run(row.run_id)


def wait_for_end(deployment: Deployment, timeout_s: float = 60.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (run := only_run(deployment)).ended:
        assert time.monotonic() < deadline, run.steps
        time.sleep(0.3)
    return run


def jobs_of(deployment: Deployment) -> list[int]:
    with deployment.record() as record:
        return list(record.tracker.task(only_run(deployment).tasks[1]).job_ids)


def expect_nothing_left(deployment: Deployment, cluster: Cluster, run_id: UUID) -> None:
    """Neither a job nor data on the cluster, nor a lease."""
    for job_id in jobs_of(deployment):
        deadline = time.monotonic() + 20  # accounting lags
        while not (state := state_in_accounting(cluster, job_id)).startswith("CANCELLED"):
            assert time.monotonic() < deadline, state
            time.sleep(0.5)
    assert f"biomero_{run_id}" not in cluster.ssh("ls", "-a", str(deployment.lab.data_path)).stdout.decode()
    with deployment.record() as record:
        assert leases(record) == 0


def state_in_accounting(cluster: Cluster, job_id: int) -> str:
    return cluster.ssh("sacct", "-n", "-X", "-P", "-j", str(job_id), "-o", "State").stdout.decode().strip()


def leases(record: Any) -> int:
    import sqlalchemy as sa

    from worker.history import tables

    with record.database.reading() as session:
        live = sa.select(sa.func.count()).select_from(tables.lease).where(tables.lease.c.expires_at > sa.func.now())
        return int(session.execute(live).scalar_one())


@pytest.mark.parametrize("service", [True, False], ids=["service", "attached"])
def test_a_script_that_is_cancelled_cancels_its_run_if_the_person_wants_that(
    deployment: Deployment, cluster: Cluster, image_id: int, service: bool
) -> None:
    def cancel() -> Any:
        script = start(deployment, image_id, **{WITH_SCRIPT: True})
        script.wait_until("RUNNING")
        script.process.send_signal(signal.SIGTERM)  # what Processor-0 sends
        ended = script.wait(40)
        wait_for_end(deployment)
        return ended

    if service:
        with deployment.engine():
            ended = cancel()
        assert "is cancelled with it" in ended.message
    else:
        ended = cancel()
        assert f"Cancelled by {USER} (cancelled the script)" in ended.message
    run = only_run(deployment)
    assert ended.exit_status == 1
    assert (run.status, run.error_message) == ("FAILED", f"Cancelled by {USER} (cancelled the script).")
    expect_nothing_left(deployment, cluster, run.id)


@pytest.fixture
def grid(lab: Lab) -> Deployment:
    """The lab's own worker: its Processor-0 runs scripts, and its engine service the rest."""
    assert lab.omero_port is not None
    return Deployment(lab, lab.base / "worker", environment(lab.base, lab.omero_port))


def cancel_in_omero(grid: Deployment, how: str, image_id: int, **changes: object) -> tuple[UUID, str]:
    """Start a script as OMERO.web does, end it as OMERO.web does, and return its run and its last message."""
    with logged_in(grid.lab, USER) as gateway:
        before = {row.run_id for row in _runs(grid)}
        script = start_script(gateway, inputs(grid.lab, image_id) | changes)
        deadline = time.monotonic() + 60
        while not (new := [row for row in _runs(grid) if row.run_id not in before and row.status == "JOB_RUNNING"]):
            assert time.monotonic() < deadline, script.exit_status()
            time.sleep(0.3)
        getattr(script.process, how)()
        return new[0].run_id, script.wait(40).message


def _runs(deployment: Deployment) -> list[Any]:
    with deployment.record() as record:
        return record.reader.list_runs(limit=5)


def end_of(deployment: Deployment, run_id: UUID, timeout_s: float = 60.0) -> Any:
    deadline = time.monotonic() + timeout_s
    with deployment.record() as record:
        while not (run := record.tracker.run(run_id)).ended:
            assert time.monotonic() < deadline, run.steps
            time.sleep(0.3)
        return run


def test_cancelling_the_script_in_omero_cancels_the_run_if_the_person_wants_that(
    grid: Deployment, image_id: int
) -> None:
    run_id, message = cancel_in_omero(grid, "cancel", image_id, **{WITH_SCRIPT: True})
    assert f"run {run_id} is cancelled with it" in message
    assert end_of(grid, run_id).error_message == f"Cancelled by {USER} (cancelled the script)."


@pytest.mark.slow
@pytest.mark.parametrize(("how", "wanted"), [("cancel", False), ("kill", True)])
def test_a_script_that_may_say_nothing_more_or_should_not_leaves_its_run_alone(
    grid: Deployment, image_id: int, how: str, wanted: bool
) -> None:
    """A script that is killed cannot say what its person wants; that its run is lost would be worse."""
    run_id, _ = cancel_in_omero(grid, how, image_id, **{WITH_SCRIPT: wanted, "nuclei_|_debug_sleep": 3.0})
    assert end_of(grid, run_id).status == "COMPLETED"


@pytest.mark.slow
def test_a_run_is_cancelled_from_the_command_line_and_can_be_retried(
    deployment: Deployment, cluster: Cluster, image_id: int
) -> None:
    with deployment.engine():
        script = start(deployment, image_id, **{"nuclei_|_debug_sleep": 12.0})
        script.wait_until("RUNNING")
        run_id = str(only_run(deployment).id)
        said = deployment.command("runs", "cancel", run_id, "--wait", "--timeout", "60").stdout
        assert "will be cancelled" in said
        assert "has ended. Cancelled by" in said
        assert "Cancelled by" in script.wait(20).message
        expect_nothing_left(deployment, cluster, only_run(deployment).id)

        assert "goes on from export" in deployment.command("runs", "retry", run_id, "--by", "ada").stdout
        run = wait_for_end(deployment)
    assert run.status == "COMPLETED", run.error_message
    first, second = jobs_of(deployment)
    assert second > first
    assert "attempt 1: Retried from export by ada." in deployment.command("runs", "show", run_id).stdout
