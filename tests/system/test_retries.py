"""A job that runs out of memory, or that Slurm loses, is followed by another; one job is never two."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.clusters import OneCluster
from tests.faults.transport import FaultyTransport
from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.lab.slurm.configuration import has_control_groups
from tests.system.deployment import Deployment
from worker.engine import interventions
from worker.engine.accept import accept
from worker.engine.assembly import open_record, open_resources
from worker.engine.driver import drive
from worker.engine.omero import OwnSession
from worker.engine.request import parse_request
from worker.engine.watcher import Watcher
from worker.history.domain import Resubmission
from worker.pixels.session import who

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab
    from worker.engine.assembly import Record
    from worker.engine.context import Resources

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

USER = "alice"

needs_control_groups = pytest.mark.skipif(
    not has_control_groups(), reason="without control groups, Slurm never says OUT_OF_MEMORY"
)


@pytest.fixture
def deployment(lab: Lab, tmp_path: Path, database_url: str) -> Deployment:
    return Deployment.create(lab, tmp_path, database_url)


@pytest.fixture
def opened(lab: Lab, deployment: Deployment) -> Iterator[Callable[[], tuple[Record, Resources]]]:
    """Open record and resources, once the deployment is configured."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def open_all() -> tuple[Record, Resources]:
            record = stack.enter_context(open_record({**deployment.environ, "OMERO_WORKER_UNKNOWN_GRACE_S": "1"}))
            gateway = stack.enter_context(logged_in(lab, USER))
            resources = stack.enter_context(open_resources(record, OwnSession(gateway)))
            faulty = FaultyTransport(resources.clusters.get("default").transport)
            watcher = Watcher(faulty, min_interval_s=0.3)
            return record, replace(resources, clusters=OneCluster(record.settings, faulty, watcher))

        yield open_all


def accepted(lab: Lab, record: Record, **parameters: object) -> UUID:
    with logged_in(lab, USER) as gateway:
        image_id = import_image(gateway, samples.nuclei_image()[:96, :96], "corner.tif")
        person = who(gateway)
    request = {
        "data_type": "Image",
        "ids": [image_id],
        "workflows": [{"name": "nuclei", "version": lab.nuclei_version, "parameters": parameters}],
        "output": {"new_dataset": "found in runs", "zip_to_parent": False},
        "user_id": person.user_id,
        "user_name": person.user_name,
        "group_id": person.group_id,
        "group_name": person.group_name,
    }
    return accept(record.tracker, parse_request(request), record.settings)


def drive_until(
    resources: Resources, run_id: UUID, done: Callable[[Any], bool], timeout_s: float = 90.0
) -> tuple[Any, list[str]]:
    """Drive a run until something is true of it; return it and what the person was told."""
    deadline = time.monotonic() + timeout_s
    said: list[str] = []
    with resources.leases.heartbeat():
        while not done(run := resources.tracker.run(run_id)):
            assert time.monotonic() < deadline, (run.steps, run.error_message, run.paused_reason)
            drive(resources, run_id, report=said.append)
            resources.clusters.get("default").watcher.tick()
            time.sleep(0.2)
    return run, said


def ended(run: Any) -> bool:
    return bool(run.ended or run.paused_reason)


def memory_of(cluster: Cluster, job_id: int) -> str:
    """State and memory of a job that has ended, as accounting has them; it lags by some seconds."""
    deadline = time.monotonic() + 20
    while True:
        answer = cluster.ssh("sacct", "-n", "-X", "-P", "-j", str(job_id), "-o", "State,ReqMem")
        said = answer.stdout.decode().strip()
        if (said and "RUNNING" not in said) or time.monotonic() > deadline:
            return said
        time.sleep(0.5)


@pytest.mark.slow
@needs_control_groups
def test_a_job_that_runs_out_of_memory_gets_more(
    lab: Lab, cluster: Cluster, deployment: Deployment, opened: Callable[[], tuple[Record, Resources]]
) -> None:
    deployment.configure("WORKFLOWS", nuclei_job_mem="200M", nuclei_retry_max="2", nuclei_retry_memory_factor="4")
    record, resources = opened()
    run_id = accepted(lab, record, debug_memory=400)
    run, said = drive_until(resources, run_id, ended)
    assert run.status == "COMPLETED", run.error_message
    task = record.tracker.task(run.tasks[1])
    first, second = task.job_ids
    assert any("ran out of memory with 200M" in text and "trying again with 800M (2 of 3)" in text for text in said)
    assert memory_of(cluster, first) == "OUT_OF_MEMORY|200M"
    assert memory_of(cluster, second) == "COMPLETED|800M"
    assert (task.attempt, task.flags, task.earlier_attempts[0]["cause"]) == (2, {"mem": "800M"}, "OUT_OF_MEMORY")
    kinds = [item["kind"] for item in run.steps["import/0"].data["objects"]]
    assert kinds.count("Image") == 1
    assert record.reader.run(run_id).status == "DONE"


@pytest.mark.slow
@needs_control_groups
def test_a_job_that_has_all_it_may_have_fails_and_says_what_was_tried(
    lab: Lab, deployment: Deployment, opened: Callable[[], tuple[Record, Resources]]
) -> None:
    deployment.configure("WORKFLOWS", nuclei_job_mem="200M", nuclei_retry_max="3", nuclei_retry_memory_max="220M")
    record, resources = opened()
    run, _ = drive_until(resources, accepted(lab, record, debug_memory=400), ended)
    assert run.status == "FAILED"
    assert "ran out of memory with 200M" in run.error_message
    assert "220M is the most that it may have" in run.error_message
    assert len(record.tracker.task(run.tasks[1]).job_ids) == 2


def test_a_job_that_slurm_has_lost_before_it_began_is_submitted_again_once(
    lab: Lab, cluster: Cluster, deployment: Deployment, opened: Callable[[], tuple[Record, Resources]]
) -> None:
    """A job that never was stands for a lost one: to Slurm, both are numbers that it does not know."""
    record, resources = opened()
    run_id = accepted(lab, record)
    never = 4_000_000
    submit_nothing(resources, run_id, never)

    run, said = drive_until(resources, run_id, ended)

    assert run.status == "COMPLETED", run.error_message
    task = record.tracker.task(run.tasks[1])
    assert [text for text in said if f"Slurm lost job {never}" in text and "submitting it again" in text]
    assert (task.job_ids[0], len(task.job_ids), task.attempt) == (never, 2, 2)
    assert task.submission_key == f"{task.id}.2"


def test_a_job_that_slurm_loses_twice_is_left_to_a_person(
    lab: Lab, deployment: Deployment, opened: Callable[[], tuple[Record, Resources]]
) -> None:
    record, resources = opened()
    run_id = accepted(lab, record)
    submit_nothing(resources, run_id, 4_000_001)
    task_id = record.tracker.run(run_id).tasks[1]
    record.tracker.reopen_steps(
        run_id, [], reason="Slurm lost it.", by="engine", resubmissions={task_id: Resubmission(2, "LOST")}
    )
    submit_nothing(resources, run_id, 4_000_002)
    run, _ = drive_until(resources, run_id, ended)
    assert "does not know job 4000002" in run.paused_reason
    assert "a second time" in run.paused_reason

    # A person knows better, and takes the step again.
    interventions.retry(record.tracker, run_id, by="ada", start="submit")
    run, _ = drive_until(resources, run_id, ended)
    assert run.status == "COMPLETED", run.error_message


@pytest.mark.slow
def test_a_failed_job_is_retried_by_hand_and_its_old_output_is_not_taken_for_a_result(
    lab: Lab, deployment: Deployment, opened: Callable[[], tuple[Record, Resources]]
) -> None:
    record, resources = opened()
    run_id = accepted(lab, record, debug_exit=3)
    run, _ = drive_until(resources, run_id, ended)
    assert "exit code 3" in run.error_message

    interventions.retry(record.tracker, run_id, by="ada")
    run, _ = drive_until(resources, run_id, ended)

    assert "exit code 3" in run.error_message
    task = record.tracker.task(run.tasks[1])
    assert len(task.job_ids) == 2
    assert record.reader.run(run_id).status == "FAILED"
    layout_out = f"{lab.data_path}/biomero_{run_id}/data/out"
    listed = (
        resources.clusters.get("default").transport.run(["find", layout_out, "-mindepth", "1", "-maxdepth", "1"]).text
    )
    assert f"{layout_out}/attempt-2" in listed


def submit_nothing(resources: Resources, run_id: UUID, job_id: int) -> None:
    """Export, and then record a submission that Slurm knows nothing of."""
    if "export" not in resources.tracker.run(run_id).steps:
        with resources.leases.heartbeat():
            answers = iter([True, False])
            drive(resources, run_id, go_on=lambda: next(answers))
    task = resources.tracker.task(resources.tracker.run(run_id).tasks[1])
    resources.tracker.start_task(task.id)
    resources.tracker.intend_submission(task.id, task.next_key)
    resources.tracker.add_job_id(task.id, job_id)
