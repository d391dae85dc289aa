"""The dialog "Slurm Get Update": what it offers to whom, and what it does while others keep silent."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from omero.rtypes import RListI, RStringI, unwrap

from worker.dialogs.own_jobs import Offer, describe, parameters
from worker.history.jobs import JobRow

CHECKOUT = Path(__file__).parents[3]
LOOK_UP = """
import json, time
from worker.dialogs.own_jobs import describe, look_up_jobs, parameters
began = time.monotonic()
offer = look_up_jobs(patience_s=1.0)
took_s = time.monotonic() - began
values = [field.values is not None for field in parameters(offer)]
print(json.dumps({"took_s": took_s, "text": describe(offer), "values": values}))
"""


def job(number: int, *, active: bool, status: str | None = "RUNNING", progress: str | None = "43%") -> JobRow:
    return JobRow(number, UUID(int=1), UUID(int=number), "cellpose", "v1.0", status, progress, active)


OFFER = Offer(
    (job(74, active=True, status=None, progress=None), job(73, active=True), job(72, active=False)), ("5: P",)
)


def built(offer: Offer) -> dict[str, Any]:
    return {field.name(): field for field in parameters(offer)}


def test_jobs_that_go_on_come_first_and_those_that_ended_are_not_lost() -> None:
    fields = built(OFFER)
    # A job that ends while the dialog is open must still be among the values when Run is pressed.
    assert unwrap(fields["SLURM Job Id"].values) == ["74", "73", "72"]
    assert unwrap(fields["SLURM Job Id (old)"].values) == ["72"]


def test_a_project_must_be_chosen_where_there_are_any() -> None:
    project = built(OFFER)["Project"]
    assert (type(project.prototype), [type(item) for item in project.prototype.val]) == (RListI, [RStringI])
    assert (unwrap(project.values), project.optional) == (["5: P"], False)


def test_without_an_answer_the_fields_are_plain_texts() -> None:
    for field in parameters(Offer()):
        assert field.values is None
        assert field.optional


def test_how_far_jobs_are_is_said_at_the_top() -> None:
    lines = describe(OFFER).splitlines()
    assert lines[1:] == [
        "Job 74 (cellpose v1.0): not seen on the cluster yet.",
        "Job 73 (cellpose v1.0): RUNNING, 43%.",
    ]


def look_up(directory: Path, properties: str) -> Any:
    """Look jobs and projects up in a process that is given these properties, as OMERO does it."""
    config = directory / "ice.config"
    config.write_text(properties, encoding="utf-8")
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "PYTHONPATH": str(CHECKOUT),
        "ICE_CONFIG": str(config),
        "SQLALCHEMY_URL_FILE": "/nonexistent",
    }
    done = subprocess.run([sys.executable, "-c", LOOK_UP], env=environ, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def router(port: int) -> str:
    return f"omero.user=u\nomero.pass=p\nIce.Default.Router=OMERO.Glacier2/router:tcp -h 127.0.0.1 -p {port}\n"


def test_a_server_that_keeps_silent_holds_the_dialog_up_for_a_moment_only(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = look_up(tmp_path, f"omero.scripts.parse=true\n{router(silent.getsockname()[1])}")
    assert found["took_s"] < 2.5
    assert "OMERO and the record of runs did not answer in time" in found["text"]
    assert not any(found["values"])


def test_a_server_that_is_gone_does_not_take_the_dialog_with_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    found = look_up(tmp_path, f"omero.scripts.parse=true\n{router(port)}")
    assert "Please note" in found["text"]


@pytest.mark.parametrize("properties", ["", "omero.scripts.parse=only\n"], ids=["run", "read"])
def test_nobody_is_asked_where_no_dialog_is_opened(tmp_path: Path, properties: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = look_up(tmp_path, properties + router(silent.getsockname()[1]))
    assert found["took_s"] < 0.5
    assert "Please note" not in found["text"]
