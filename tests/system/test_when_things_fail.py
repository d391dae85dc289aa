"""What the person in front of OMERO.web and the admin read when something fails, and that the record is true."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from omero.rtypes import unwrap

from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript, Ended

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.description import Lab
    from tests.postgres import PostgresServer

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


def run(deployment: Deployment, image_id: int, **parameters: Any) -> Ended:
    """Press Run and wait for the end of the script."""
    return begin(deployment, image_id, **parameters).wait()


def begin(deployment: Deployment, image_id: int, *, group: str | None = None, **changes: object) -> DirectScript:
    """Press Run. A change whose name is no field of the dialog is a parameter of the analysis."""
    inputs: dict[str, object] = {
        "Data_Type": "Image",
        "IDs": [image_id],
        "E-mail": False,
        "Use_ZARR_Format": False,
        "Select how to import your results (one or more)": True,
        "1) Zip attachment to parent": False,
        "3a) Import into NEW Dataset": "found in runs",
        "4) Upload result CSVs as OMERO tables": True,
        "nuclei": True,
        "nuclei_Version": deployment.lab.nuclei_version,
    }
    where = deployment.directory / "script"
    where.mkdir()
    for name, value in changes.items():
        inputs[f"nuclei_|_{name}" if name.isidentifier() else name] = value
    return DirectScript(deployment.lab, USER, inputs, deployment.environ, where, group=group)


def shown_to_admin(deployment: Deployment) -> dict[str, Any]:
    """The run as ``omero-worker runs show`` tells it."""
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
    # What OMERO.web makes buttons of.
    log = ended.outputs["Job_Log"].getValue().getFile()
    assert unwrap(ended.outputs["URL"])["href"].endswith(f"/webclient/get_original_file/{log.getId().getValue()}/")


def test_an_analysis_that_writes_nothing(deployment: Deployment, image_id: int) -> None:
    ended = run(deployment, image_id, debug_write=False)
    expect_failed(deployment, ended, "nothing")


def test_postgresql_stops_in_the_middle_of_a_run_and_comes_back(
    lab: Lab, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str, image_id: int
) -> None:
    deployment = Deployment.create(lab, tmp_path, postgres_url)
    with deployment.engine():
        script = begin(deployment, image_id, debug_sleep=3.0)
        script.wait_until("RUNNING")
        postgres_server.stop("immediate")
        try:
            message = script.wait_until("does not answer")
            assert "The run's record cannot be read at the moment" in message
            listed = deployment.command("runs", "list", check=False)
            assert listed.returncode == 1
            assert "Check that PostgreSQL runs" in " ".join(listed.stderr.split())
            time.sleep(4)  # the job ends while nothing can be recorded
        finally:
            postgres_server.start()
        ended = script.wait()
    assert ended.exit_status == 0, ended.message
    shown = shown_to_admin(deployment)
    assert shown["status"] == "DONE"
    assert [len(task["jobs"]) for task in shown["tasks"]] == [0, 1, 0]
    with deployment.record() as record:
        log = (deployment.directory / "engine.log").read_text(encoding="utf-8")
        assert "database_unavailable" in log
        assert record.reader.events(shown["run_id"])


def test_postgresql_that_is_not_there_starts_nothing(deployment: Deployment, image_id: int) -> None:
    (deployment.directory / "sqlalchemy-url").write_text("postgresql+psycopg2://x:secret@127.0.0.1:1/x", "utf-8")
    ended = run(deployment, image_id)
    assert ended.exit_status != 0
    assert "Not started" in ended.message
    assert "does not answer" in ended.message
    assert "secret" not in ended.message + ended.stdout + ended.stderr


def test_images_that_may_not_be_annotated_are_refused_before_the_cluster_is_used(
    deployment: Deployment, image_id: int
) -> None:
    lab = deployment.lab
    with logged_in(lab, "root", group="lab-r") as gateway:
        foreign = import_image(gateway, samples.nuclei_image()[:64, :64], "read only.tif")
    ended = begin(deployment, foreign, group="lab-r", **{"2) Attach to original images": True}).wait()
    shown = shown_to_admin(deployment)
    assert shown["status"] == "FAILED"
    assert "not" in ended.message
    assert ended.exit_status != 0
    assert not [job for task in shown["tasks"] for job in task["jobs"]]
