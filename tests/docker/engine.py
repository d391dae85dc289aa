"""A Docker Engine of our own: started where nobody else's is touched, ended by its process id."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_BASE = Path("/var/tmp/omero-worker-docker")
"""Where the engine keeps images between two runs, unless ``$OMERO_WORKER_DOCKER`` says otherwise."""

SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


class DockerFailed(RuntimeError):
    """A command of Docker's ended with a status other than 0."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running Docker Engine.

    Parameters
    ----------
    base : Path
        Directory of everything that it writes.
    """

    base: Path

    @property
    def environment(self) -> dict[str, str]:
        """Environment for Docker's own commands."""
        return {
            "PATH": SYSTEM_PATH,
            "HOME": str(self.base),
            "DOCKER_HOST": f"unix://{self.base}/docker.sock",
            "DOCKER_BUILDKIT": "1",
            "BUILDKIT_PROGRESS": "plain",
        }

    def run(
        self,
        *arguments: str,
        program: str = "docker",
        check: bool = True,
        timeout_s: float = 1800.0,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of Docker's.

        Parameters
        ----------
        *arguments : str
            Its arguments.
        program : str
            ``docker`` or ``docker-compose``.
        check : bool
            Whether a status other than 0 is an error.
        timeout_s : float
            How long it may take.
        cwd : Path, optional
            Where to run it.
        environ : mapping, optional
            Variables on top of `environment`.

        Returns
        -------
        subprocess.CompletedProcess
            What it said.

        Raises
        ------
        DockerFailed
            It ended with a status other than 0.
        """
        done = subprocess.run(
            [program, *arguments],
            env={**self.environment, **(environ or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if check and done.returncode:
            raise DockerFailed(
                f"{program} {' '.join(arguments)} ended with status {done.returncode}:\n"
                f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            )
        return done

    def has_image(self, name: str) -> bool:
        """Whether there is an image of that name."""
        return self.run("image", "inspect", name, check=False).returncode == 0


def engine_base() -> Path:
    """Return the directory of our engine: ``$OMERO_WORKER_DOCKER``, or :data:`DEFAULT_BASE`."""
    return Path(os.environ.get("OMERO_WORKER_DOCKER") or DEFAULT_BASE)


@contextmanager
def running_engine(base: Path) -> Iterator[Engine]:
    """Start a Docker Engine, and stop it at the end.

    Containers use the network of the host, so that no bridge and no firewall rule is made on it.

    Parameters
    ----------
    base : Path
        Its directory; images in it are kept.

    Yields
    ------
    Engine
        The engine.

    Raises
    ------
    DockerFailed
        It does not start.
    """
    if shutil.which("dockerd", path=SYSTEM_PATH) is None:
        raise DockerFailed("there is no dockerd: install the package docker.io")
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = Engine(base)
    log = (base / "dockerd.log").open("wb")
    command = ["dockerd", "--data-root", f"{base}/data", "--exec-root", f"{base}/exec"]
    command += ["--pidfile", f"{base}/dockerd.pid", "--host", f"unix://{base}/docker.sock", "--iptables=false"]
    command += ["--ip6tables=false", "--bridge=none", "--default-ulimit", "nofile=20000:20000"]
    with log:
        daemon = subprocess.Popen(
            command, env={**os.environ, "PATH": SYSTEM_PATH}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        _wait_until_up(engine, daemon)
        yield engine
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _wait_until_up(engine: Engine, daemon: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while engine.run("version", check=False).returncode:
        if daemon.poll() is not None or time.monotonic() > deadline:
            tail = (engine.base / "dockerd.log").read_text(encoding="utf-8", errors="replace")[-2000:]
            raise DockerFailed(f"dockerd does not come up:\n{tail}")
        time.sleep(0.1)
