"""What a script tells its person, whatever happens to it or to its run."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

USER = "alice"


@pytest.fixture
def deployment(lab: Lab, tmp_path: Path, database_url: str) -> Deployment:
    return Deployment.create(lab, tmp_path, database_url)


@pytest.fixture(scope="module")
def image_id(lab: Lab) -> int:
    with logged_in(lab, USER) as gateway:
        return import_image(gateway, samples.nuclei_image()[:128, :128], "corner.tif")


def start(deployment: Deployment, image_id: int, **changes: object) -> DirectScript:
    """Press Run."""
    inputs: dict[str, object] = {
        "Data_Type": "Image",
        "IDs": [image_id],
        "E-mail": False,
        "1) Zip attachment to parent": False,
        "3a) Import into NEW Dataset": "found in runs",
        "4) Upload result CSVs as OMERO tables": True,
        "nuclei": True,
        "nuclei_Version": deployment.lab.nuclei_version,
    }
    directory = deployment.directory / "script"
    directory.mkdir()
    return DirectScript(deployment.lab, USER, inputs | changes, deployment.environ, directory)


def statuses(deployment: Deployment) -> list[str]:
    with deployment.record() as record:
        return [row.status for row in record.reader.list_runs()]


def test_what_cannot_be_done_is_said_and_nothing_is_started(deployment: Deployment, image_id: int) -> None:
    ended = start(deployment, image_id, nuclei_Version="").wait()
    assert ended.exit_status == 1
    assert ended.message.startswith("Not started: 'nuclei Version' is empty. Choose one of")
    assert statuses(deployment) == []


def test_an_image_that_is_not_there_fails_the_run_and_says_so(deployment: Deployment, image_id: int) -> None:
    ended = start(deployment, image_id, IDs=[2**40]).wait()
    assert ended.exit_status == 1
    assert "FAILED" in ended.message
    assert str(2**40) in ended.message
    assert statuses(deployment) == ["FAILED"]


def test_wrong_settings_are_said(deployment: Deployment, image_id: int) -> None:
    deployment.configure("SSH", connect_timeout="soon")
    ended = start(deployment, image_id).wait()
    assert ended.exit_status == 1
    assert ended.message.startswith("Not started: ")
    assert "soon" in ended.message


def test_a_run_that_succeeds_leaves_nothing_on_the_error_output(deployment: Deployment, image_id: int) -> None:
    # OMERO.web shows a button "Error" as soon as there is anything.
    ended = start(deployment, image_id).wait()
    assert ended.exit_status == 0, ended.stderr
    assert ended.stderr == ""
    assert ended.stdout.splitlines()[-1] == ended.message


def test_a_stopped_script_says_that_its_run_goes_on_and_an_engine_ends_it(
    deployment: Deployment, image_id: int
) -> None:
    script = start(deployment, image_id, **{"nuclei_|_debug_sleep": 5.0})
    while not statuses(deployment):
        assert script.process.poll() is None
        time.sleep(0.1)
    script.process.send_signal(signal.SIGTERM)
    # The Processor repeats it.
    time.sleep(0.2)
    script.process.send_signal(signal.SIGTERM)
    ended = script.wait()
    assert ended.exit_status == 1
    assert "This script was stopped" in ended.message
    assert "omero-worker serve" in ended.message
    with deployment.engine():
        deadline = time.monotonic() + 200
        while statuses(deployment)[0] not in ("DONE", "FAILED"):
            assert time.monotonic() < deadline
            time.sleep(0.5)
    assert statuses(deployment) == ["DONE"]


def test_a_script_that_is_stopped_before_its_run_is_recorded_starts_nothing(
    deployment: Deployment, image_id: int
) -> None:
    script = start(deployment, image_id)
    script.process.send_signal(signal.SIGTERM)
    assert script.wait(60).exit_status != 0
    assert statuses(deployment) == []
