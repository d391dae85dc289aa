"""A Processor under Debian's icegridnode finds the stand-in through Debian's icegridregistry, and runs scripts."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from omero.rtypes import rstring

from tests.lab.omero import grid
from tests.lab.omero.private import CHECKOUT, UPSTREAM_WARNINGS, PrivateOmero, free_port
from tests.lab.parts import plain_environment
from tests.lab.ports import answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="the descriptor runs the Processor as root"),
    *(pytest.mark.filterwarnings(warning) for warning in UPSTREAM_WARNINGS),
]

ECHO = """
import omero.scripts as scripts
from omero.rtypes import rstring

client = scripts.client("Echo.py", "Says what it is told.", scripts.String("Text", optional=False))
client.setOutput("Message", rstring(client.getInput("Text", unwrap=True)))
client.closeSession()
"""


def eventually(what: str, ready: object, timeout_s: float = 60.0) -> None:
    assert callable(ready)
    deadline = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout_s:.0f} s"
        time.sleep(0.1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateOmero]:
    """A stand-in in a grid with one node, which runs nothing but Processor-0."""
    port = free_port()
    directories = {name: tmp_path / name for name in ("registry", "node", "omerodir/etc", "omerodir/var/log", "tmp")}
    for directory in directories.values():
        directory.mkdir(parents=True)
    registry = grid.write_properties(tmp_path / "registry.cfg", grid.registry_properties(directories["registry"], port))
    node = grid.write_properties(tmp_path / "node.cfg", grid.node_properties("worker", directories["node"], port))
    application = tmp_path / "application.xml"
    environment = {
        "OMERODIR": str(tmp_path / "omerodir"),
        "OMERO_TMPDIR": str(tmp_path / "tmp"),
        "OMERO_STARTUP_WAIT": "0",
        "PYTHONPATH": str(CHECKOUT),
        "HOME": str(tmp_path),
    }
    application.write_text(grid.processor_application("worker", environment, tmp_path / "omerodir"), encoding="utf-8")
    omero = PrivateOmero(tmp_path, arguments=["--locator", grid.locator(port), "--internal", "tcp -h 127.0.0.1"])
    # The Processor reaches the sessions of its scripts as a client does.
    client = {"omero.host": "127.0.0.1", "omero.port": str(omero.port)}
    grid.write_properties(tmp_path / "omerodir/etc/ice.config", client)
    daemons = []
    try:
        for program, configuration in (("icegridregistry", registry), ("icegridnode", node)):
            with (tmp_path / f"{program}.log").open("wb") as log:
                argv = [program, f"--Ice.Config={configuration}"]
                daemons.append(
                    subprocess.Popen(argv, env=plain_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                )
            if program == "icegridregistry":
                eventually("the registry", lambda: answers(port))
        omero.start()
        command = grid.administration(port, [f"application add '{application}'"])
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        yield omero
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(timeout=30)
        omero.kill()


def test_a_processor_of_a_grid_runs_scripts(server: PrivateOmero) -> None:
    with server.login("root") as root:
        service = root.getScriptService()
        script_id = service.uploadOfficialScript("/checks/Echo.py", ECHO)
        eventually("a processor", lambda: service.canRunScript(script_id))
        process = service.runScript(script_id, {"Text": rstring("through the grid")}, None)
        eventually("the end of the script", lambda: process.poll() is not None)
        assert process.getResults(0)["Message"].val == "through the grid"
