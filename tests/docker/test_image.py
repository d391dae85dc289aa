"""The worker's image: what is in it, and what it says when it cannot start."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.docker.build import BASE_IMAGE

if TYPE_CHECKING:
    from tests.docker.engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.timeout(3600)]

FROM_ITS_WHEEL = """
import base64, hashlib, importlib.metadata
file = next(f for f in importlib.metadata.files("omero-py") if str(f) == "omero/processor.py")
digest = hashlib.sha256(file.locate().read_bytes()).digest()
assert file.hash.mode == "sha256"
print(base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value)
"""

ICE = "import hashlib, IcePy, pathlib; print(hashlib.sha256(pathlib.Path(IcePy.__file__).read_bytes()).hexdigest())"


def inside(docker: Engine, image: str, *command: str) -> str:
    """Run a command in a new container, with the image's user and environment."""
    run = ("run", "--rm", "--network", "host", "--entrypoint", command[0], image, *command[1:])
    return docker.run(*run).stdout.strip()


def started(docker: Engine, image: str, **environ: str) -> tuple[int, str]:
    """Start a container as compose would, and wait for its end."""
    options = [part for name, value in environ.items() for part in ("--env", f"{name}={value}")]
    done = docker.run("run", "--rm", "--network", "host", *options, image, check=False)
    return done.returncode, done.stdout + done.stderr


def test_it_runs_as_the_user_of_the_base(docker: Engine, image: str) -> None:
    assert inside(docker, image, "id", "-u", "-n") == "omero-server"
    assert inside(docker, image, "id", "-u") == "1000"


@pytest.mark.parametrize("program", ["ssh", "git", "omero", "omero-worker"])
def test_it_has(docker: Engine, image: str, program: str) -> None:
    assert inside(docker, image, "bash", "-c", f"command -v {program}")


def test_its_packages_fit_together(docker: Engine, image: str) -> None:
    assert inside(docker, image, "python", "-m", "pip", "check") == "No broken requirements found."


def test_omeros_processor_is_the_stock_one(docker: Engine, image: str) -> None:
    assert inside(docker, image, "python", "-c", FROM_ITS_WHEEL) == "True"


def test_ice_is_that_of_the_base(docker: Engine, image: str) -> None:
    base = inside(docker, BASE_IMAGE, "/opt/omero/server/venv3/bin/python", "-c", ICE)
    assert inside(docker, image, "python", "-c", ICE) == base


def test_the_class_that_the_server_names_can_be_loaded(docker: Engine, image: str) -> None:
    load = (
        "from omero.util import load_dotted_class; print(load_dotted_class('worker.processor.process.WorkerProcess'))"
    )
    assert inside(docker, image, "python", "-c", load) == "<class 'worker.processor.process.WorkerProcess'>"


def test_no_workflow_is_baked_in(docker: Engine, image: str) -> None:
    assert inside(docker, image, "bash", "-c", "ls /etc/slurm-config.ini 2>&1 || true").startswith("ls: cannot access")


def test_only_our_start_up_scripts_and_the_configuration_of_the_base_are_run(docker: Engine, image: str) -> None:
    assert inside(docker, image, "ls", "/startup").split() == ["10-mount-ssh.sh", "50-config.py", "99-run.sh"]


def test_no_secret_and_no_address_is_in_its_history(docker: Engine, image: str) -> None:
    history = docker.run("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).stdout
    assert "PASSWORD" not in history
    configuration = json.loads(docker.run("image", "inspect", image).stdout)[0]["Config"]
    assert not [item for item in configuration["Env"] if "PASS" in item or "://" in item]


def test_its_state_folder_belongs_to_its_user(docker: Engine, image: str) -> None:
    assert inside(docker, image, "stat", "--format", "%U", "/var/lib/omero-worker") == "omero-server"


def test_an_engine_without_a_key_ends_and_says_why(docker: Engine, image: str) -> None:
    status, said = started(docker, image, OMERO_WORKER_ROLE="engine")
    assert status == 1
    assert "no SSH folder is mounted at /tmp/.ssh" in said


def test_a_node_without_a_server_ends_and_says_why(docker: Engine, image: str) -> None:
    status, said = started(
        docker,
        image,
        OMERO_WORKER_NAME="localhost",
        CONFIG_omero_master_host="localhost",
        CONFIG_omero_ports_registry="1",
        OMERO_WORKER_START_TIMEOUT_S="2",
    )
    assert status == 1
    assert "the registry of OMERO.grid at 127.0.0.1:1 did not answer for 2 s" in said
