"""``startup/99-run.sh``, run by bash with stand-ins for the programs of the image."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parents[3] / "startup" / "99-run.sh"


class Image:
    """A folder of programs, an OMERO folder, and a port that answers."""

    def __init__(self, directory: Path, port: int) -> None:
        self.programs = directory / "bin"
        self.omero = directory / "OMERO.server"
        self.programs.mkdir()
        (self.omero / "etc").mkdir(parents=True)
        self.environ = {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "OMERODIR": str(self.omero),
            "OMERO_WORKER_NAME": "biomeroworker",
            "CONFIG_omero_master_host": "omeroserver",
            "CONFIG_omero_ports_registry": str(port),
            "OMERO_WORKER_START_TIMEOUT_S": "2",
        }
        self.program("omero", 'echo "omero $* in $PWD"')
        self.program("omero-worker", 'echo "omero-worker $*"')
        self.program("getent", 'case $2 in omeroserver|biomeroworker) echo "127.0.0.1 STREAM $2";; *) exit 2;; esac')

    def program(self, name: str, body: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        path.chmod(0o755)

    def start(self, **changes: str) -> subprocess.CompletedProcess[str]:
        environ = {**self.environ, **changes}
        return subprocess.run(["bash", str(SCRIPT)], env=environ, capture_output=True, text=True, check=False)

    @property
    def node_config(self) -> str:
        return (self.omero / "etc" / "biomeroworker.cfg").read_text(encoding="utf-8")


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    with socket.socket() as registry:
        registry.bind(("127.0.0.1", 0))
        registry.listen()
        yield Image(tmp_path, registry.getsockname()[1])


def test_a_node_joins_the_grid_under_its_name(image: Image) -> None:
    started = image.start()
    assert started.stdout == f"omero node biomeroworker start --foreground in {image.omero}\n"
    assert "IceGrid.Node.Name=biomeroworker\n" in image.node_config
    assert "IceGrid.Node.Endpoints=tcp -h 127.0.0.1\n" in image.node_config


def test_an_internal_configuration_of_an_earlier_start_is_removed(image: Image) -> None:
    stale = image.omero / "etc" / "internal.cfg"
    stale.write_text("Ice.Default.Locator=IceGrid/Locator:tcp -h 10.0.0.9 -p 4061\n", encoding="utf-8")
    assert image.start().returncode == 0
    assert not stale.exists()


def test_a_restart_writes_the_same(image: Image) -> None:
    image.start()
    first = image.node_config
    image.start()
    assert image.node_config == first


def test_a_name_that_is_not_there_yet_is_asked_for_again(image: Image, tmp_path: Path) -> None:
    body = f'test -e {tmp_path}/asked && echo "127.0.0.1 STREAM $2" || {{ touch {tmp_path}/asked; exit 2; }}'
    image.program("getent", body)
    assert image.start().returncode == 0


def test_a_name_that_never_comes_is_said(image: Image) -> None:
    started = image.start(CONFIG_omero_master_host="nowhere")
    assert started.returncode == 1
    assert "the name nowhere could not be resolved for 2 s" in started.stderr


def test_a_registry_that_does_not_answer_is_said(image: Image) -> None:
    started = image.start(CONFIG_omero_ports_registry="1")
    assert started.returncode == 1
    assert "the registry of OMERO.grid at 127.0.0.1:1 did not answer for 2 s" in started.stderr


def test_a_node_that_listens_elsewhere_can_say_where(image: Image) -> None:
    image.program("getent", 'case $2 in omeroserver|worker.example) echo "127.0.0.1 STREAM $2";; *) exit 2;; esac')
    assert image.start(OMERO_WORKER_HOST="worker.example").returncode == 0


@pytest.mark.parametrize("name", ["CONFIG_omero_master_host", "OMERO_WORKER_NAME", "OMERODIR"])
def test_what_is_not_set_is_named(image: Image, name: str) -> None:
    started = image.start(**{name: ""})
    assert started.returncode == 1
    assert f"{name} is not set" in started.stderr


def test_a_name_that_no_node_can_have_is_refused(image: Image) -> None:
    assert "cannot be the name of a node" in image.start(OMERO_WORKER_NAME="a b").stderr


def test_the_engine_needs_no_grid(image: Image) -> None:
    started = image.start(OMERO_WORKER_ROLE="engine", CONFIG_omero_master_host="")
    assert started.stdout == "omero-worker serve\n"


def test_another_role_is_refused(image: Image) -> None:
    started = image.start(OMERO_WORKER_ROLE="both")
    assert started.returncode == 1
    assert "it must be node or engine" in started.stderr
