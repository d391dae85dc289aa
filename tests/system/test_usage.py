"""What the jobs of a run have used is on record, whether they ended by themselves or were cancelled."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from worker.engine.accept import accept
from worker.engine.assembly import open_record, open_resources
from worker.engine.driver import drive
from worker.engine.omero import OwnSession
from worker.engine.request import parse_request
from worker.pixels.session import who

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.description import Lab
    from worker.history.usage import By

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

USER = "alice"


def test_cancelled_jobs_count_as_well(lab: Lab, tmp_path: Path, database_url: str) -> None:
    deployment = Deployment.create(lab, tmp_path, database_url)
    with (
        open_record(deployment.environ) as record,
        logged_in(lab, USER) as gateway,
        open_resources(record, OwnSession(gateway)) as resources,
    ):
        image_id, person = import_image(gateway, samples.nuclei_image()[:96, :96], "corner.tif"), who(gateway)
        # The second one is cancelled while it sleeps.
        for sleep_s in (1.0, 100.0):
            request = {
                "data_type": "Image",
                "ids": [image_id],
                "workflows": [
                    {"name": "nuclei", "version": lab.nuclei_version, "parameters": {"debug_sleep": sleep_s}}
                ],
                "output": {"new_dataset": "found in runs", "zip_to_parent": False},
                "user_id": person.user_id,
                "user_name": person.user_name,
                "group_id": person.group_id,
                "group_name": person.group_name,
            }
            run_id = accept(record.tracker, parse_request(request), record.settings)
            (task_id,) = (
                task for task in record.tracker.run(run_id).tasks if record.tracker.task(task).task_name == "nuclei"
            )
            deadline = time.monotonic() + 80
            while not drive(resources, run_id).finished:
                assert time.monotonic() < deadline, record.tracker.run(run_id).steps
                resources.clusters.get("default").watcher.tick()
                if sleep_s > 10 and record.tracker.task(task_id).status == "RUNNING":
                    time.sleep(2)
                    record.tracker.request_cancel(run_id, by=USER)
                time.sleep(0.2)
            usage = record.tracker.task(task_id).usage
            (used,) = usage.values()
            assert used["elapsed_s"] >= min(sleep_s, 2)
            assert used["cpu_s"] >= used["elapsed_s"]
        record.tracker.pull_and_process()
        keys: dict[By, object] = {"user": person.user_id, "group": person.group_id, "workflow": "nuclei"}
        for by, key in keys.items():
            (row,) = record.reader.usage(by=by)
            assert (row.key, row.jobs, row.failed_jobs) == (key, 2, 0)
            assert row.cpu_s >= 3
