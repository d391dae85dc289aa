"""What cases work with: what they share, and the deployment that each of them has to itself."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tests.bench.submission import fresh_database
from tests.faults.daemons import strange_sshd
from tests.faults.engine import EngineProcess, Orders
from tests.faults.importing import importing, in_place
from tests.faults.proxy import Proxy
from tests.lab.cluster import Cluster
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.soak.stage import job_flags, person, stub_runtime, tiny
from tests.system.deployment import Deployment
from worker.history.database import Database
from worker.history.tracker import WorkflowTracker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from tests.faults.importing import InPlace
    from tests.faults.kinds import Kind
    from tests.lab.description import Lab
    from tests.lab.importer.service import Importer
    from tests.soak.stage import Person
    from worker.engine.assembly import Record
    from worker.history.domain import WorkflowRun

USER = "alice"
LEASE_S = 3.0
BEFORE_TIMEOUT_S = 90.0
"""How long a run may take that has to have ended before another one can begin."""

HOST_KEY_ALIAS = "fault-cluster"


@dataclass(frozen=True, slots=True)
class Grounds:
    """What all cases share: one cluster, one OMERO with two images, and a database to make copies of."""

    lab: Lab
    directory: Path
    person: Person
    bin_folder: str
    template: str
    """URL of a database without runs that is up to date; nobody is connected to it."""
    strange_port: int
    """Where an SSH server of the cluster listens that has another host key."""
    second_image_id: int
    """An image like that of the person."""
    annotation_id: int
    """A file that is attached to something."""
    importer: Importer | None = None
    """What imports in place; None where no case wants that."""
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Make a copy of the template, and drop it at the end; yields its URL."""
        name = f"fault_{uuid.uuid4().hex}"
        template = sa.make_url(self.template)
        with self._one_at_a_time:
            self._administrate(f'CREATE DATABASE "{name}" TEMPLATE "{template.database}"')
        try:
            yield template.set(database=name).render_as_string(hide_password=False)
        finally:
            self._administrate(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _administrate(self, statement: str) -> None:
        engine = sa.create_engine(str(self.lab.postgres_url), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text(statement))

    @contextmanager
    def case(self, kind: Kind) -> Iterator[CaseStage]:
        """Deploy the worker for one case with a kind of run, with a network of its own."""
        with ExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix="case-", dir=self.directory))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            deployment = Deployment.create(self.lab, directory, stack.enter_context(self.database()))
            deployment.environ["OMERO_WORKER_NAME"] = directory.name
            proxy = Proxy(int(self.lab.ssh_port or 0))
            stack.callback(proxy.close)
            deployment.configure(
                "SSH",
                ssh_config=str(_ssh_config(self.lab, directory, proxy.port)),
                connect_timeout="4",
                command_timeout="10",
                keepalive="2",
            )
            data_path = Path(str(self.lab.cluster_home)) / directory.name
            data_path.mkdir()
            shutil.chown(data_path, str(self.lab.ssh_user))
            stack.callback(shutil.rmtree, data_path, ignore_errors=True)
            deployment.configure(
                "SLURM",
                slurm_data_path=str(data_path),
                slurm_converters_path=self.bin_folder,
                sbatch_export=f"ALL,PATH={self.bin_folder}:/usr/bin:/bin",
            )
            deployment.configure("WORKFLOWS", **job_flags(self.bin_folder))
            deployment.configure(
                "WORKER",
                poll_interval_min_s="0.2",
                poll_interval_max_s="1",
                lease_s=f"{LEASE_S:g}",
                max_attempts="12",
            )
            importing = None
            if kind.in_place:
                assert self.importer is not None
                importing = stack.enter_context(in_place(self.importer, deployment))
            with self._one_at_a_time:  # what brings tables up to date keeps its state in globals
                record = stack.enter_context(deployment.record())
            yield CaseStage(self, kind, deployment, record, proxy, importing)


@dataclass(frozen=True, slots=True)
class CaseStage:
    """What one case has to itself."""

    grounds: Grounds
    kind: Kind
    """The kind of its run."""
    deployment: Deployment
    record: Record
    proxy: Proxy
    """The way to the cluster."""
    in_place: InPlace | None = None
    """What it has of the importer."""

    @property
    def lab(self) -> Lab:
        """The lab."""
        return self.grounds.lab

    @property
    def state_directory(self) -> Path:
        """Where engines keep what they stage."""
        return self.deployment.directory / "state"

    @property
    def data_path(self) -> Path:
        """Where runs have their folders on the cluster (which is this machine)."""
        return Path(self.record.settings.slurm.slurm_data_path)

    @property
    def folder(self) -> str:
        """Name of the folder on the cluster of a run that makes one by name."""
        return f"FAULTS_{self.deployment.directory.name}"

    def accept(self) -> UUID:
        """Record a run, as a script does, after what must have happened before it."""
        return self.kind.accept(self)

    def ended(self, run_id: UUID) -> WorkflowRun:
        """Bring a run to its end that has to be there before the run that meets the fault."""
        log = self.deployment.directory / "engine-before.log"
        engine = EngineProcess(Orders(environ=self.environ, log=log))
        try:
            run = self.wait_for_end(run_id, BEFORE_TIMEOUT_S)
        finally:
            engine.end()
        if run.status != "COMPLETED":
            raise NotReady(f"{run.status} {run.error_message or run.paused_reason}\n{log.read_text('utf-8')}")
        return run

    @property
    def environ(self) -> dict[str, str]:
        """The environment of engines."""
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **self.deployment.environ}

    def wait_for_end(self, run_id: UUID, timeout_s: float) -> WorkflowRun:
        """Wait until a run has ended or paused, or for so long; return it as it is then."""
        deadline = time.monotonic() + timeout_s
        while True:
            run = self.record.tracker.run(run_id)
            if run.ended or run.paused_reason or time.monotonic() > deadline:
                return run
            time.sleep(0.1)

    def tasks(self, run_id: UUID) -> dict[UUID, str]:
        """Names of the tasks of a run."""
        if not self.kind.tasks:
            return {}  # they are added as its batches begin
        return dict(zip(self.record.tracker.run(run_id).tasks, self.kind.tasks, strict=True))


class NotReady(RuntimeError):
    """A run without faults did not come to its end: there is nothing to test faults on."""


@contextmanager
def grounds(lab: Lab, *, with_importer: bool = False) -> Iterator[Grounds]:
    """Set up what all cases share, and remove it at the end.

    Parameters
    ----------
    lab : Lab
        A running lab.
    with_importer : bool
        Whether there are cases whose results are imported in place.

    Yields
    ------
    Grounds
        What cases need.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="omero-worker-faults-")))
        template = stack.enter_context(fresh_database(lab))
        with Database(template) as database:
            database.migrate()
            WorkflowTracker(database).pull_and_process()
        bin_folder = stack.enter_context(stub_runtime(lab))
        # Nobody looks into it: the stub is called with its name.
        Cluster(lab).write(PurePosixPath(bin_folder) / "convert_zarr_to_tiff_latest.sif", b"a converter")
        port = stack.enter_context(strange_sshd(lab))
        someone = stack.enter_context(person(lab, USER))
        second, annotation = stack.enter_context(_more_in_omero(lab, directory))
        importer = stack.enter_context(importing(lab)) if with_importer else None
        yield Grounds(lab, directory, someone, bin_folder, template, port, second, annotation, importer)


@contextmanager
def _more_in_omero(lab: Lab, directory: Path) -> Iterator[tuple[int, int]]:
    """Give the person a second image and an attached file."""
    table = directory / "plate map.csv"
    table.write_bytes(b"well,compound\nA1,DMSO\n" * 1000)
    with logged_in(lab, USER) as gateway:
        image_id = import_image(gateway, tiny(), "tiny")
        annotation_id = gateway.createFileAnnfromLocalFile(str(table)).getId()
    try:
        yield image_id, annotation_id
    finally:
        with logged_in(lab, USER) as gateway:
            gateway.deleteObjects("Image", [image_id], deleteAnns=True, deleteChildren=True, wait=True)
            gateway.deleteObjects("Annotation", [annotation_id], wait=True)


def _ssh_config(lab: Lab, directory: Path, port: int) -> Path:
    """Write an ssh configuration that goes through a port of ours, to the server that is known."""
    assert lab.ssh_config is not None
    assert lab.known_hosts is not None
    known_hosts = directory / "known_hosts"
    _, _, keys = lab.known_hosts.read_text(encoding="ascii").partition(" ")
    known_hosts.write_text(f"{HOST_KEY_ALIAS} {keys}", encoding="ascii")
    config = directory / "ssh_config"
    config.write_text(
        lab.ssh_config.read_text(encoding="utf-8")
        .replace(f"Port {lab.ssh_port}", f"Port {port}\n    HostKeyAlias {HOST_KEY_ALIAS}")
        .replace(str(lab.known_hosts), str(known_hosts)),
        encoding="utf-8",
    )
    return config
