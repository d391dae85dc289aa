"""The containers at work: Processor-0 joins a grid, the engine drives a run, and either may be restarted."""

from __future__ import annotations

import shutil
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.docker.grid import NODE, running_grid
from tests.lab import samples
from tests.lab.deployment import configuration
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in, start_script
from tests.system.deployment import CONFIGURED_FIELDS
from worker.engine.assembly import open_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.docker.engine import Engine
    from tests.docker.grid import Grid
    from tests.lab.description import Lab

pytestmark = [pytest.mark.docker, pytest.mark.lab, pytest.mark.timeout(3600)]

USER = "alice"
UID = 1000
HOME = "/opt/omero/server"


@dataclass(frozen=True, slots=True)
class Containers:
    """Processor-0 and the engine, as compose would run them, but in the network of this machine."""

    docker: Engine
    image: str
    grid: Grid
    directory: Path
    database_url: str
    suffix: str

    def write_files(self) -> None:
        """Write what an admin mounts: keys, settings and secrets, for the user of the image alone."""
        lab = self.grid.lab
        ssh, secrets, state = (self.directory / name for name in ("ssh", "secrets", "state"))
        shutil.copytree(str(lab.ssh_directory), ssh)
        config = ssh / "config"
        config.write_text(config.read_text().replace(str(lab.ssh_directory), f"{HOME}/.ssh"), encoding="utf-8")
        shutil.copytree(str(lab.nuclei_repo), self.directory / "w_nuclei.git")
        shutil.copytree(str(lab.echo_repo), self.directory / "w_echo.git")
        facts = {name: getattr(lab, name) for name in CONFIGURED_FIELDS}
        facts |= {"ssh_config": f"{HOME}/.ssh/config", "nuclei_repo": "/w_nuclei.git", "echo_repo": "/w_echo.git"}
        (self.directory / "slurm-config.ini").write_text(configuration(facts), encoding="utf-8")
        secrets.mkdir()
        state.mkdir()
        (secrets / "sqlalchemy-url").write_text(self.database_url, encoding="utf-8")
        password = lab.omero_users[str(lab.omero_service_user)]
        (secrets / "omero-service-password").write_text(password, encoding="utf-8")
        for path in [self.directory, *self.directory.rglob("*")]:
            shutil.chown(path, UID, UID)
            if path.parent == secrets:
                path.chmod(0o400)

    def processor(self, worker: str) -> str:
        """Which process Processor-0 is, by the time of its start: a restarted container gives its number out again."""
        stat = self.docker.run("exec", worker, "cat", f"/proc/{self.grid.processor_pid() or 'none'}/stat", check=False)
        return stat.stdout.rpartition(")")[2].split()[19] if stat.returncode == 0 else ""

    def start(self, role: str, name: str) -> str:
        """Start one of them."""
        mounts = {
            "ssh": "/tmp/.ssh:ro",
            "slurm-config.ini": f"{HOME}/slurm-config.ini:ro",
            "w_nuclei.git": "/w_nuclei.git:ro",
            "w_echo.git": "/w_echo.git:ro",
            "state": "/var/lib/omero-worker",
            "secrets/sqlalchemy-url": "/run/secrets/sqlalchemy-url:ro",
        }
        environ = {
            "OMERO_WORKER_ROLE": role,
            "OMERO_WORKER_NAME": name,
            "OMERO_WORKER_HOST": "localhost",
            "CONFIG_omero_master_host": "localhost",
            "CONFIG_omero_ports_registry": str(self.grid.registry_port),
            "CONFIG_omero_ports_ssl": str(self.grid.lab.omero_port),
            "OMERO_HOST": "localhost",
            "OMERO_PORT": str(self.grid.lab.omero_port),
            "SQLALCHEMY_URL_FILE": "/run/secrets/sqlalchemy-url",
            "PERSISTENCE_MODULE": "eventsourcing_sqlalchemy",
        }
        if role == "engine":
            mounts["secrets/omero-service-password"] = "/run/secrets/omero-service-password:ro"
            environ["OMERO_SERVICE_USER"] = str(self.grid.lab.omero_service_user)
            environ["OMERO_SERVICE_PASSWORD_FILE"] = "/run/secrets/omero-service-password"
        options = [part for source, target in mounts.items() for part in ("-v", f"{self.directory}/{source}:{target}")]
        options += [part for variable, value in environ.items() for part in ("--env", f"{variable}={value}")]
        container = f"{name}-{self.suffix}"
        self.docker.run("run", "--detach", "--network", "host", "--name", container, *options, self.image)
        return container

    def logs(self, container: str) -> str:
        """What a container has said."""
        done = self.docker.run("logs", container)
        return done.stdout + done.stderr

    def healthy(self, container: str) -> bool:
        """Whether its own health check is content."""
        return self.docker.run("exec", container, "omero-worker-health", check=False).returncode == 0

    def runs(self) -> Any:
        """The record of runs, read from outside."""
        environ = {"SQLALCHEMY_URL": self.database_url, "OMERO_WORKER_STATE_DIR": str(self.directory / "outside")}
        environ["OMERO_WORKER_CONFIG_FILE"] = str(self.directory / "slurm-config.ini")
        with open_record(environ) as record:
            return record.reader.list_runs()


@pytest.fixture(scope="module")
def grid(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    with running_grid(tmp_path_factory.mktemp("grid"), lab) as grid:
        yield grid


@pytest.fixture
def containers(docker: Engine, image: str, grid: Grid, tmp_path: Path, database_url: str) -> Iterator[Containers]:
    suffix = uuid.uuid4().hex[:8]
    made = Containers(docker, image, grid, tmp_path / "worker", database_url, suffix)
    made.directory.mkdir()
    made.write_files()
    try:
        yield made
    finally:
        names = docker.run("ps", "--all", "--filter", f"name={suffix}", "--format", "{{.Names}}").stdout.split()
        for name in names:
            (tmp_path / f"{name}.log").write_text(made.logs(name), encoding="utf-8")
            docker.run("rm", "--force", "--volumes", name)


@pytest.fixture
def worker(containers: Containers, grid: Grid) -> str:
    """The container of Processor-0, up and registered."""
    container = containers.start("node", NODE)
    grid.wait_until("Processor-0 is active", lambda: grid.processor_pid() > 0)
    return container


def dialog(lab: Lab, image_id: int) -> dict[str, object]:
    """What a person fills in."""
    return {
        "Data_Type": "Image",
        "IDs": [image_id],
        "E-mail": False,
        "Use_ZARR_Format": True,
        "Select how to import your results (one or more)": True,
        "1) Zip attachment to parent": False,
        "3a) Import into NEW Dataset": "labels",
        "4) Upload result CSVs as OMERO tables": True,
        "nuclei": True,
        "nuclei_Version": lab.nuclei_version,
    }


def test_the_node_joins_the_grid_and_is_healthy(containers: Containers, grid: Grid, worker: str) -> None:
    assert NODE in grid.ask("node list").split()
    assert containers.healthy(worker)


def test_a_restarted_node_joins_again_each_time(containers: Containers, grid: Grid, worker: str) -> None:
    for _ in range(2):
        before = containers.processor(worker)
        containers.docker.run("restart", "--time", "20", worker)
        grid.wait_until(
            "a new Processor-0 is active",
            lambda: containers.processor(worker) not in ("", before),  # noqa: B023
        )
        assert containers.healthy(worker)


def test_a_crashed_processor_comes_back_by_itself(containers: Containers, grid: Grid, worker: str) -> None:
    before = containers.processor(worker)
    containers.docker.run("exec", worker, "bash", "-c", f"kill -KILL {grid.processor_pid()}")
    grid.wait_until("a new Processor-0 is active", lambda: containers.processor(worker) not in ("", before))


def test_a_person_runs_an_analysis_and_finds_the_results(containers: Containers, grid: Grid, worker: str) -> None:
    engine = containers.start("engine", "biomeroengine")
    grid.wait_until("the engine is healthy", lambda: containers.healthy(engine))
    grid.wait_until("the catalogue is there", (containers.directory / "state" / "catalogue.json").exists)
    with logged_in(grid.lab, USER) as gateway:
        image_id = import_image(gateway, samples.nuclei_image()[:128, :128], "corner.tif")
        outcome = start_script(gateway, dialog(grid.lab, image_id)).wait(300)
        assert outcome.exit_status == 0, f"{outcome.message}\n{outcome.stdout}\n{outcome.stderr}"
        assert outcome.stderr == ""
        assert outcome.job_status == "Finished"
        (run,) = containers.runs()
        assert run.status == "DONE"
        names = [image.getName() for image in gateway.getObjects("Image") if image.getParent() is not None]
        assert names
    assert "service_started" in containers.logs(engine)


def test_a_run_outlives_the_processor_that_started_it(containers: Containers, grid: Grid, worker: str) -> None:
    engine = containers.start("engine", "biomeroengine")
    grid.wait_until("the engine is healthy", lambda: containers.healthy(engine))
    grid.wait_until("the catalogue is there", (containers.directory / "state" / "catalogue.json").exists)
    with logged_in(grid.lab, USER) as gateway:
        image_id = import_image(gateway, samples.nuclei_image()[:128, :128], "corner.tif")
        start_script(gateway, dialog(grid.lab, image_id))
        grid.wait_until("the run is recorded", lambda: len(containers.runs()) == 1)
        containers.docker.run("kill", worker)
        deadline = time.monotonic() + 300
        while (run := containers.runs()[0]).status not in ("DONE", "FAILED"):
            assert time.monotonic() < deadline, run
            time.sleep(1)
    assert run.status == "DONE"
