"""``docker-compose.yml``, as docker-compose understands it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.build import CHECKOUT
from tests.docker.engine import SYSTEM_PATH
from worker.settings.environment import read_environment

pytestmark = pytest.mark.docker

SERVICES = {
    "database",
    "database-biomero",
    "omeroserver",
    "omeroworker-1",
    "biomeroworker",
    "biomeroengine",
    "omeroweb",
}
OURS = ("biomeroworker", "biomeroengine")


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The whole configuration, with the defaults of all variables."""
    if shutil.which("docker-compose", path=SYSTEM_PATH) is None:
        pytest.fail("there is no docker-compose: install the package docker-compose")
    command = ["docker-compose", "--file", str(CHECKOUT / "docker-compose.yml"), "config"]
    environ = {"PATH": SYSTEM_PATH, "HOME": "/home/admin"}
    directory = tmp_path_factory.mktemp("compose")
    done = subprocess.run(command, env=environ, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def test_it_has_the_services_of_the_deployments_in_the_wild_and_the_engine(compose: Any) -> None:
    assert set(compose["services"]) == SERVICES


def test_the_roles_of_the_nodes_are_as_they_ever_were(compose: Any) -> None:
    assert compose["services"]["omeroserver"]["environment"]["CONFIG_omero_server_nodedescriptors"] == (
        "master:Blitz-0"
        " omeroworker-1:Tables-0,Indexer-0,PixelData-0,DropBox,MonitorServer,FileServer,Storm"
        " biomeroworker:Processor-0"
    )


def test_the_server_makes_processors_use_our_class(compose: Any) -> None:
    environment = compose["services"]["omeroserver"]["environment"]
    assert environment["CONFIG_omero_process_python"] == "worker.processor.process.WorkerProcess"


def test_every_service_comes_back_after_a_crash(compose: Any) -> None:
    assert {service["restart"] for service in compose["services"].values()} == {"unless-stopped"}


def test_every_service_that_others_wait_for_says_how_it_is(compose: Any) -> None:
    waited_for = {
        name
        for service in compose["services"].values()
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert waited_for == {"database", "database-biomero", "omeroserver"}
    assert all("healthcheck" in compose["services"][name] for name in waited_for)


def test_no_password_stands_in_an_environment(compose: Any) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if "PASS" in variable.upper() or variable.endswith("_URL"):
                assert variable.endswith("_FILE"), f"{name}: {variable}"
            assert "://" not in str(value), f"{name}: {variable}"


@pytest.mark.parametrize("name", OURS)
def test_every_secret_that_is_named_is_mounted(compose: Any, name: str) -> None:
    service = compose["services"][name]
    named = {value for variable, value in service["environment"].items() if variable.endswith("_FILE") and value}
    named = {value for value in named if value.startswith("/run/secrets/")}
    assert named == {f"/run/secrets/{secret['source']}" for secret in service["secrets"]}


def test_the_processor_cannot_read_the_password_of_the_service_account(compose: Any) -> None:
    assert "omero-service-password" not in json.dumps(compose["services"]["biomeroworker"])


@pytest.mark.parametrize("name", OURS)
def test_keys_and_settings_are_mounted_where_the_worker_looks_for_them(compose: Any, name: str) -> None:
    targets = {volume.split(":")[1] for volume in compose["services"][name]["volumes"]}
    assert {"/tmp/.ssh", "/opt/omero/server/slurm-config.ini", "/data", "/var/lib/omero-worker"} <= targets


def test_settings_can_be_changed_in_the_engine_and_not_where_scripts_run(compose: Any) -> None:
    ways = {
        name: volume.rpartition(":")[2]
        for name in OURS
        for volume in compose["services"][name]["volumes"]
        if ":/opt/omero/server/slurm-config.ini:" in volume
    }
    assert ways == {"biomeroworker": "ro", "biomeroengine": "rw"}


@pytest.mark.parametrize("name", OURS)
def test_what_other_services_say_of_imports_in_place_is_mounted_where_it_is_looked_for(compose: Any, name: str) -> None:
    volumes = dict(volume.split(":")[1::-1] for volume in compose["services"][name]["volumes"])
    environ = compose["services"][name]["environment"]
    importer = environ["IMPORTER_CONFIG_PATH"].rpartition("/")[0]
    for mounted in (importer, environ["OMERO_BIOMERO_CONFIG_FILE"], environ["OMERO_BIOMERO_GROUP_MAPPINGS_FILE"]):
        # Docker makes a folder in the place of a file that is not there.
        assert Path(volumes[mounted]).exists(), mounted


@pytest.mark.parametrize("name", OURS)
def test_the_worker_can_read_the_environment_that_it_is_given(
    compose: Any, name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {
        key: "" if value is None else str(value) for key, value in compose["services"][name]["environment"].items()
    }
    for key, value in environ.items():
        if value.startswith("/run/secrets/"):
            secret = tmp_path / key
            secret.touch(mode=0o400)
            secret.write_text("postgresql+psycopg2://biomero@database-biomero/biomero", encoding="utf-8")
            environ[key] = str(secret)
    read = read_environment(environ)
    assert (read.omero_host, read.worker_name, read.importer_enabled) == ("omeroserver", name, False)
    assert read.sqlalchemy_url is not None
    assert read.warnings == ()


def test_processor_and_engine_share_the_catalogue(compose: Any) -> None:
    for name in OURS:
        assert any(volume.startswith("worker-state:") for volume in compose["services"][name]["volumes"])


def test_only_the_worker_reaches_the_record_of_runs(compose: Any) -> None:
    inside = {name for name, service in compose["services"].items() if "history" in service["networks"]}
    assert inside == {"database-biomero", *OURS}
