"""What the person in front of OMERO.web and the admin read when something fails, and that the record is true."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript, Ended

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

USER = "alice"


@pytest.fixture
def deployment(lab: Lab, tmp_path: Path, database_url: str) -> Deployment:
    return Deployment.create(lab, tmp_path, database_url)


@pytest.fixture
def client_ssh(deployment: Deployment) -> Path:
    """The client's ``.ssh`` of this deployment alone, to be broken."""
    assert deployment.lab.ssh_directory is not None
    directory = deployment.directory / "ssh"
    shutil.copytree(deployment.lab.ssh_directory, directory)
    config = directory / "config"
    config.write_text(
        config.read_text(encoding="utf-8").replace(str(deployment.lab.ssh_directory), str(directory)), encoding="utf-8"
    )
    deployment.configure("SSH", ssh_config=str(config))
    return directory


@pytest.fixture
def image_id(lab: Lab) -> int:
    with logged_in(lab, USER) as gateway:
        return import_image(gateway, samples.nuclei_image()[:128, :128], "corner.tif")


def run(deployment: Deployment, image_id: int, **parameters: object) -> Ended:
    """Press Run and wait for the end of the script."""
    return begin(deployment, image_id, **parameters).wait()


def begin(deployment: Deployment, image_id: int, **parameters: object) -> DirectScript:
    inputs: dict[str, object] = {
        "Data_Type": "Image",
        "IDs": [image_id],
        "E-mail": False,
        "Use_ZARR_Format": False,
        "Select how to import your results (one or more)": True,
        "1) Zip attachment to parent": False,
        "3a) Import into NEW Dataset": "labels",
        "4) Upload result CSVs as OMERO tables": True,
        "nuclei": True,
        "nuclei_Version": deployment.lab.nuclei_version,
    }
    where = deployment.directory / "script"
    where.mkdir()
    changes = {f"nuclei_|_{name}": value for name, value in parameters.items()}
    return DirectScript(deployment.lab, USER, inputs | changes, deployment.environ, where)


def shown_to_admin(deployment: Deployment) -> dict[str, Any]:
    """The run as ``omero-worker runs show`` tells it."""
    import json

    listed = json.loads(deployment.command("runs", "list", "--json").stdout)
    assert len(listed) == 1
    shown: dict[str, Any] = json.loads(deployment.command("runs", "show", listed[0]["run_id"], "--json").stdout)
    return shown


def expect_paused(deployment: Deployment, ended: Ended, *words: str) -> None:
    """The run waits for an admin, and everybody is told why."""
    shown = shown_to_admin(deployment)
    assert ended.exit_status != 0
    assert "PAUSED" in ended.message
    assert shown["status"] not in ("DONE", "FAILED")
    for word in words:
        assert word in ended.message
        assert word in shown["message"]


def expect_failed(deployment: Deployment, ended: Ended, *words: str) -> None:
    """The run has failed, and everybody is told why."""
    shown = shown_to_admin(deployment)
    assert ended.exit_status != 0
    assert "FAILED" in ended.message
    assert shown["status"] == "FAILED"
    for word in words:
        assert word in ended.message
        assert word in shown["message"]


def resume_and_finish(deployment: Deployment) -> None:
    """Once the cause is mended, the admin resumes the run and it comes to a good end."""
    from tests.system.test_run_workflow import wait_for_end

    run_id = shown_to_admin(deployment)["run_id"]
    deployment.command("runs", "resume", run_id)
    with deployment.engine():
        assert wait_for_end(deployment, run_id) == "DONE"


def test_an_unknown_host_key(deployment: Deployment, client_ssh: Path, image_id: int) -> None:
    known_hosts = client_ssh / "known_hosts"
    good = known_hosts.read_text(encoding="utf-8")
    known_hosts.write_text("", encoding="utf-8")
    ended = run(deployment, image_id)
    expect_paused(deployment, ended, "known_hosts", "ssh-keyscan")
    assert "ssh-keyscan" in deployment.command("check", check=False).stdout
    known_hosts.write_text(good, encoding="utf-8")
    resume_and_finish(deployment)


def test_a_private_key_that_others_can_read(deployment: Deployment, client_ssh: Path, image_id: int) -> None:
    key = client_ssh / str(deployment.lab.key and deployment.lab.key.name)
    key.chmod(0o644)
    ended = run(deployment, image_id)
    expect_paused(deployment, ended, "chmod 600")
    assert "chmod 600" in deployment.command("check", check=False).stdout


def test_a_host_that_cannot_be_reached(deployment: Deployment, client_ssh: Path, image_id: int) -> None:
    config = client_ssh / "config"
    config.write_text(
        config.read_text(encoding="utf-8").replace(f"Port {deployment.lab.ssh_port}", "Port 1"), encoding="utf-8"
    )
    deployment.configure("WORKER", max_attempts="2")
    ended = run(deployment, image_id)
    expect_paused(deployment, ended, "labcluster")


def test_a_partition_that_the_cluster_does_not_have(deployment: Deployment, image_id: int) -> None:
    deployment.configure("WORKFLOWS", nuclei_job_partition="nowhere")
    expect_failed(deployment, run(deployment, image_id), "partition")


def test_an_analysis_that_exits_with_3(deployment: Deployment, image_id: int) -> None:
    ended = run(deployment, image_id, debug_exit=3)
    expect_failed(deployment, ended, "exit code 3", "nuclei", "Slurm job")


def test_an_analysis_that_writes_nothing(deployment: Deployment, image_id: int) -> None:
    ended = run(deployment, image_id, debug_write=False)
    expect_failed(deployment, ended, "nothing")


def test_a_read_only_group_is_refused_before_the_cluster_is_used(deployment: Deployment) -> None:
    with logged_in(deployment.lab, "alice", group="lab-a") as gateway:
        image = import_image(gateway, samples.nuclei_image()[:64, :64], "hers.tif")
    with logged_in(deployment.lab, "bob") as gateway:
        assert gateway.getObject("Image", image) is not None
