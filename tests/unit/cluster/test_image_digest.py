"""Which image a job ran: told by the pull where that is still true, else found out by the job itself."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path, PurePosixPath
from uuid import UUID

import pytest

from tests.unit.cluster.nodes import Node
from worker.cluster.jobscript import JobRequest
from worker.cluster.layout import RunLayout

TASK = UUID("972ff20a-6a8d-44d7-bf64-3b0e93260a31")
CONTENT = b"an image"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def job() -> JobRequest:
    return JobRequest(
        key=str(TASK),
        task_id=TASK,
        workflow="nuclei",
        version="v1",
        image=PurePosixPath("images/nuclei_v1.sif"),
        arguments=(),
        layout=RunLayout("scratch", UUID("27ca7d34-1544-4c6b-9ca3-0b2c6797c752")),
    )


@pytest.fixture
def node(tmp_path: Path, job: JobRequest) -> Node:
    made = Node(tmp_path, job.layout)
    image(made).write_bytes(CONTENT)
    return made


def image(node: Node) -> Path:
    return node.home / "images" / "nuclei_v1.sif"


def note(node: Node) -> Path:
    return image(node).with_name("nuclei_v1.sif.sha256")


def write_note(node: Node, digest: str, *, size: int = len(CONTENT)) -> None:
    modified = int(image(node).stat().st_mtime)
    note(node).write_text(f"{digest}  nuclei_v1.sif\n# {size} {modified} docker://org/nuclei:v1\n")


def told(node: Node) -> tuple[str, str]:
    content = node.exit_file()
    return content["image_sha256"], content["image_source"]


def test_a_job_finds_out_which_image_it_runs(node: Node, job: JobRequest) -> None:
    code, log = node.execute(job)
    assert code == 0, log
    assert told(node) == (DIGEST, "")
    assert node.exit_file()["runtime"] == "apptainer version 1.4.5"


def test_it_leaves_what_it_found_for_the_next(node: Node, job: JobRequest) -> None:
    node.execute(job)
    assert note(node).read_text().splitlines()[0] == f"{DIGEST}  nuclei_v1.sif"
    (node.bin / "sha256sum").unlink()
    node.execute(job)
    assert told(node) == (DIGEST, "")


def test_what_the_pull_has_found_out_is_not_found_out_again(node: Node, job: JobRequest) -> None:
    write_note(node, "0" * 64)
    node.execute(job)
    assert told(node) == ("0" * 64, "docker://org/nuclei:v1")


@pytest.mark.parametrize("change", ["another size", "another time", "no digest", "cut short"])
def test_a_note_about_another_image_is_not_believed(node: Node, job: JobRequest, change: str) -> None:
    write_note(node, "0" * 64, size=99 if change == "another size" else len(CONTENT))
    if change == "another time":
        os.utime(image(node), (1, 1))
    elif change == "no digest":
        note(node).write_text(note(node).read_text().replace("0" * 64, "0" * 63))
    elif change == "cut short":
        note(node).write_text(note(node).read_text()[:70])
    node.execute(job)
    assert told(node) == (DIGEST, "")


def test_of_an_image_that_is_replaced_while_it_runs_nothing_is_claimed(node: Node, job: JobRequest) -> None:
    node.environment["CONTAINER"] += f"; printf other >'{image(node)}.new'; mv '{image(node)}.new' '{image(node)}'"
    code, log = node.execute(job)
    assert code == 0, log
    assert told(node) == ("", "")
    assert not note(node).exists()


def test_where_jobs_may_not_write_beside_images_nothing_fails(node: Node, job: JobRequest) -> None:
    # Also not for root.
    note(node).mkdir()
    code, log = node.execute(job)
    assert code == 0, log
    assert told(node)[0] == DIGEST


def test_a_cancelled_job_does_not_wait_for_it(node: Node, job: JobRequest) -> None:
    (node.bin / "sha256sum").unlink()
    (node.bin / "sha256sum").write_text("#!/bin/bash\nexec sleep 60\n")
    (node.bin / "sha256sum").chmod(0o755)
    node.environment["CONTAINER"] = "touch started; exec sleep 60"
    process = node.start(job)
    deadline = time.monotonic() + 10
    while not (node.home / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    begun = time.monotonic()
    process.terminate()
    process.communicate(timeout=20)
    assert time.monotonic() - begun < 5
    assert node.exit_file()["signal"] == "TERM"
    assert told(node) == ("", "")


def test_a_script_of_the_site_tells_of_the_image_that_it_was_given(node: Node, job: JobRequest) -> None:
    write_note(node, "0" * 64)
    code, log = node.execute(replace(job, template='touch data/out/x "$DATA_PATH/data/out/y" || true\n'))
    assert told(node)[0] == "0" * 64, (code, log)
