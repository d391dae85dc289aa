"""Whatever is lost on the way to the cluster: one job, one set of results, and a record that says so."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.clusters import OneCluster
from tests.faults.transport import FaultyTransport
from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from worker.cluster import slurm
from worker.engine.accept import accept
from worker.engine.assembly import open_record, open_resources
from worker.engine.driver import drive
from worker.engine.omero import OwnSession
from worker.engine.request import parse_request
from worker.engine.watcher import Watcher
from worker.pixels.session import who

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    from tests.lab.description import Lab
    from worker.engine.assembly import Record
    from worker.engine.context import Resources

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

USER = "alice"


@pytest.fixture
def record(lab: Lab, tmp_path: Path, database_url: str) -> Iterator[Record]:
    with open_record(Deployment.create(lab, tmp_path, database_url).environ) as opened:
        yield opened


@pytest.fixture
def resources(lab: Lab, record: Record) -> Iterator[Resources]:
    with logged_in(lab, USER) as gateway, open_resources(record, OwnSession(gateway)) as opened:
        faulty = FaultyTransport(opened.clusters.get("default").transport)
        cluster = OneCluster(record.settings, faulty, Watcher(faulty, min_interval_s=0.3))
        yield replace(opened, clusters=cluster, lookup_spacing_s=1.0)


@pytest.fixture
def run_id(lab: Lab, record: Record) -> UUID:
    with logged_in(lab, USER) as gateway:
        image_id = import_image(gateway, samples.nuclei_image()[:96, :96], "corner.tif")
        person = who(gateway)
    request = parse_request(
        {
            "data_type": "Image",
            "ids": [image_id],
            "workflows": [{"name": "nuclei", "version": lab.nuclei_version}],
            "output": {"new_dataset": "found in runs", "zip_to_parent": False},
            "cleanup": False,
            "user_id": person.user_id,
            "user_name": person.user_name,
            "group_id": person.group_id,
            "group_name": person.group_name,
        }
    )
    return accept(record.tracker, request, record.settings)


def way(resources: Resources) -> FaultyTransport:
    """The way to the cluster, on which faults can be made."""
    transport = resources.clusters.get("default").transport
    assert isinstance(transport, FaultyTransport)
    return transport


def drive_to_the_end(resources: Resources, run_id: UUID, timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    with resources.leases.heartbeat():
        while not drive(resources, run_id).finished:
            assert time.monotonic() < deadline, resources.tracker.run(run_id).steps
            time.sleep(0.2)
            resources.clusters.get("default").watcher.tick()


def expect_done_once(resources: Resources, run_id: UUID) -> None:
    run = resources.tracker.run(run_id)
    assert run.status == "COMPLETED", run.error_message
    task = resources.tracker.task(run.tasks[1])
    assert len(task.job_ids) == 1
    # Slurm itself, asked for the key of the submission, knows exactly this job.
    assert slurm.find_by_key(way(resources), str(run.tasks[1])) == task.job_ids
    kinds = [item["kind"] for item in run.steps["import/0"].data["objects"]]
    assert kinds.count("Image") == 1


@pytest.mark.parametrize("fault", ["lose_request", "lose_reply", "lose_both"])
@pytest.mark.parametrize("command", ["submit", "unpack"])
def test_a_fault_on_the_way_costs_nothing_but_time(
    resources: Resources, run_id: UUID, command: str, fault: str
) -> None:
    getattr(way(resources), fault)(command)
    drive_to_the_end(resources, run_id)
    assert not [fault for fault in way(resources).faults if fault.times], "the fault never happened"
    expect_done_once(resources, run_id)


def test_a_job_whose_reply_was_lost_is_adopted_not_submitted_again(resources: Resources, run_id: UUID) -> None:
    way(resources).lose_reply("submit")
    drive_to_the_end(resources, run_id)
    step = resources.tracker.run(run_id).steps["submit/0"]
    assert step.data["adopted"] is True
    assert step.attempts == 1


def test_a_driver_that_is_told_to_stop_leaves_the_rest_to_the_next_one(resources: Resources, run_id: UUID) -> None:
    answers = iter([True, False])
    with resources.leases.heartbeat():
        assert not drive(resources, run_id, go_on=lambda: next(answers)).finished
    assert set(resources.tracker.run(run_id).steps) == {"export"}
    drive_to_the_end(resources, run_id)
    expect_done_once(resources, run_id)


def test_two_holders_at_once_make_one_job(resources: Resources, run_id: UUID) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            drive_to_the_end(resources, run_id)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    expect_done_once(resources, run_id)
