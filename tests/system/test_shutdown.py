"""An engine that is told to stop: in time, wherever it is, and at no cost but time."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from worker.engine.accept import accept
from worker.engine.request import parse_request
from worker.pixels.session import who

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

GRACE_S = 20
"""The default of ``omero-worker serve --grace``."""


def accepted_run(deployment: Deployment) -> UUID:
    """Accept a run as a script does, and leave it to the engine."""
    with logged_in(deployment.lab, "alice") as gateway:
        image_id = import_image(gateway, samples.nuclei_image()[:96, :96], "corner.tif")
        person = who(gateway)
    request = parse_request(
        {
            "data_type": "Image",
            "ids": [image_id],
            "workflows": [{"name": "nuclei", "version": deployment.lab.nuclei_version}],
            "output": {"attach_to_images": True, "zip_to_parent": False},
            "user_id": person.user_id,
            "user_name": person.user_name,
            "group_id": person.group_id,
            "group_name": person.group_name,
        }
    )
    with deployment.record() as record:
        return accept(record.tracker, request, record.settings)


def test_an_engine_that_is_stopped_again_and_again_ends_in_time_and_finishes_its_run(
    lab: Lab, tmp_path: Path, database_url: str
) -> None:
    deployment = Deployment.create(lab, tmp_path, database_url)
    run_id = accepted_run(deployment)
    with deployment.record() as record:
        for pause_s in (0.3, 0.6, 0.9, 1.2, 120.0):
            with deployment.engine() as engine:
                deadline = time.monotonic() + pause_s
                while not record.tracker.run(run_id).ended and time.monotonic() < deadline:
                    time.sleep(0.1)
                engine.send_signal(signal.SIGTERM)
                assert engine.wait(timeout=GRACE_S + 5) == 0
        run = record.tracker.run(run_id)
        assert run.status == "COMPLETED", run.error_message
        assert len(record.tracker.task(run.tasks[1]).job_ids) == 1
        # Stopping is no failure: not one attempt was spent on it.
        assert {name: step.attempts for name, step in run.steps.items() if step.attempts} == {}
        names = [event.name for event in record.reader.events(run_id)]
    assert names.count("SubmissionIntended") == 1
    assert names.count("WorkflowCompleted") == 1
