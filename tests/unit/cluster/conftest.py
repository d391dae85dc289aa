"""What the tests of this room stand on: a real SSH server, and Slurm's programs as they were once seen."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.unit.cluster.outputs import Outputs
from tests.unit.cluster.programs import RUN, TASK, Cluster
from tests.unit.cluster.ssh_server import SSHD, SshServer
from worker.cluster import hosts
from worker.cluster import ssh as ssh_module
from worker.cluster.jobscript import JobRequest
from worker.cluster.layout import RunLayout
from worker.cluster.local import LocalTransport
from worker.cluster.ssh import SshTransport
from worker.settings.models import SshSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.cluster.transport import Transport


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An sshd of our own."""
    if SSHD is None:
        pytest.fail("there is no sshd: run 'make install'")
    server = SshServer(tmp_path_factory.mktemp("sshd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def ssh(ssh_server: SshServer) -> Iterator[SshTransport]:
    """A transport to it."""
    transport = SshTransport(hosts.resolve("cluster", ssh_server.client()), command_timeout_s=20)
    yield transport
    transport.close()


@pytest.fixture
def here(tmp_path: Path) -> LocalTransport:
    """A transport to this machine, starting in an empty folder."""
    return LocalTransport(tmp_path, command_timeout_s=20)


@pytest.fixture(params=["local", "ssh"])
def transport(request: pytest.FixtureRequest, here: LocalTransport, ssh_server: SshServer) -> Iterator[Transport]:
    """Each way to a far side in turn."""
    if request.param == "local":
        yield here
        return
    pool = ssh_module.connect_pool(SshSettings(host="cluster", ssh_config=ssh_server.client()), size=2)
    yield pool
    pool.close()


@pytest.fixture
def far(tmp_path: Path) -> PurePosixPath:
    """A folder of the far side."""
    return PurePosixPath(tmp_path / "far side" / "in")


@pytest.fixture
def outputs(tmp_path: Path, here: LocalTransport) -> Outputs:
    """The results of a run, on a far side that is this machine."""
    return Outputs(tmp_path, here)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Slurm's programs on the PATH."""
    made = Cluster(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin), prepend=":")
    return made


@pytest.fixture
def layout() -> RunLayout:
    """A run's places on the cluster, below the folder in which `here` starts."""
    return RunLayout("my data", RUN)


@pytest.fixture
def job(layout: RunLayout) -> JobRequest:
    """A job of that run."""
    return JobRequest(str(TASK), TASK, "nuclei", "v1", PurePosixPath("images/n_v1.sif"), ("--local", "it's"), layout)
