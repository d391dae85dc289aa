"""An OMERO.grid on this machine: a real IceGrid registry, and the stand-in for the server registered with it.

A real master describes its nodes' servers in the same way; here the only one is Processor-0, on the node
``biomeroworker`` that the worker's container becomes.
"""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.docker.build import CHECKOUT
from tests.docker.engine import SYSTEM_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.lab.description import Lab

NODE = "biomeroworker"
SERVER = "Processor-0"

REGISTRY = """\
IceGrid.InstanceName=IceGrid
Ice.Default.Locator=IceGrid/Locator:tcp -h 127.0.0.1 -p {port}
IceGrid.Registry.Client.Endpoints=tcp -h 127.0.0.1 -p {port}
IceGrid.Registry.Server.Endpoints=tcp -h 127.0.0.1
IceGrid.Registry.Internal.Endpoints=tcp -h 127.0.0.1
IceGrid.Registry.LMDB.Path={directory}/registry
IceGrid.Registry.AdminPermissionsVerifier=IceGrid/NullPermissionsVerifier
IceGrid.Registry.DynamicRegistration=1
"""

APPLICATION = f"""\
<icegrid><application name="OMERO">
 <node name="{NODE}">
  <server id="{SERVER}" exe="python" activation="always" pwd="/opt/omero/server/OMERO.server">
   <option>-m</option><option>runProcessor</option>
   <env>OMERODIR=/opt/omero/server/OMERO.server</env><env>OMERO_STARTUP_WAIT=1000</env>
   <adapter name="ProcessorAdapter" endpoints="tcp -h 127.0.0.1" server-lifetime="true"/>
   <properties>
    <property name="Ice.ImplicitContext" value="Shared"/>
    <property name="Ice.MessageSizeMax" value="250000"/>
    <property name="Ice.ThreadPool.Server.Size" value="4"/>
    <property name="Ice.ThreadPool.Server.SizeMax" value="20"/>
    <property name="omero.logging.level" value="20"/>
    <property name="omero.logging.logsize" value="5000000"/>
    <property name="omero.logging.lognum" value="9"/>
   </properties>
  </server>
 </node>
</application></icegrid>
"""


@dataclass(frozen=True, slots=True)
class Grid:
    """A running grid.

    Parameters
    ----------
    directory : Path
        Everything that it writes.
    registry_port : int
        Where the registry listens.
    lab : Lab
        The lab, with this grid's OMERO in the place of its own.
    """

    directory: Path
    registry_port: int
    lab: Lab

    def ask(self, command: str) -> str:
        """Ask the registry, as ``omero admin`` does; an answer may be an error."""
        config = f"--Ice.Config={self.directory}/registry.cfg"
        argv = ["icegridadmin", config, "-u", "null", "-p", "null", "-e", command]
        done = subprocess.run(
            argv, env={"PATH": SYSTEM_PATH}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        return (done.stdout + done.stderr).strip()

    def wait_until(self, what: str, true: Callable[[], bool], timeout_s: float = 90.0) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + timeout_s
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout_s:.0f} s: {what}")
            time.sleep(0.5)

    def processor_pid(self) -> int:
        """Process id of Processor-0, or 0 if it is not active."""
        state = self.ask(f"server state {SERVER}")
        return int(state.partition("pid = ")[2].split(",")[0].rstrip(") \n")) if state.startswith("active ") else 0


@contextmanager
def running_grid(directory: Path, lab: Lab) -> Iterator[Grid]:
    """Start a registry and a stand-in of the OMERO server that is registered with it.

    Parameters
    ----------
    directory : Path
        Where their files go.
    lab : Lab
        The lab of which all but OMERO is used.

    Yields
    ------
    Grid
        The grid, which waits for the node with Processor-0.
    """
    registry_port, internal, port, insecure = free_ports(4)
    (directory / "registry").mkdir(parents=True)
    config = directory / "registry.cfg"
    config.write_text(REGISTRY.format(port=registry_port, directory=directory), encoding="utf-8")
    application = directory / "application.xml"
    application.write_text(APPLICATION, encoding="utf-8")
    with ExitStack() as stack:
        stack.enter_context(_daemon(directory, "icegridregistry", ["icegridregistry", f"--Ice.Config={config}"]))
        _wait_for_port(registry_port)
        server = [sys.executable, "-m", "tests.lab.omero", "--base", str(directory), "--port", str(port)]
        server += ["--insecure", str(insecure), "--scripts", str(CHECKOUT / "scripts")]
        server += ["--property", "omero.process.python=worker.processor.process.WorkerProcess"]
        server += ["--internal", f"tcp -h 127.0.0.1 -p {internal}"]
        server += ["--locator", f"IceGrid/Locator:tcp -h 127.0.0.1 -p {registry_port}"]
        stack.enter_context(_daemon(directory, "omero", server))
        _wait_for_port(insecure)
        password = (directory / "omero" / "service-password").read_text(encoding="ascii").strip()
        users = {**lab.omero_users, str(lab.omero_service_user): password}
        own = dataclasses.replace(lab, omero_port=port, omero_insecure_port=insecure, omero_users=users)
        grid = Grid(directory, registry_port, own)
        grid.ask(f"application add '{application}'")
        yield grid


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@contextmanager
def _daemon(directory: Path, name: str, argv: Sequence[str]) -> Iterator[None]:
    """Run a daemon as long as the block lasts."""
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            cwd=CHECKOUT,
            env={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_port(port: int, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
