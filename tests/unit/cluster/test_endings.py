"""What a job has said about itself: read whole, and only what was said by that very job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from worker.cluster.endings import read_ending
from worker.cluster.layout import RunLayout

if TYPE_CHECKING:
    from worker.cluster.local import LocalTransport

KEY = "972ff20a-6a8d-44d7-bf64-3b0e93260a31"


@pytest.fixture
def layout(tmp_path: Path) -> RunLayout:
    made = RunLayout(str(tmp_path / "my data"), UUID(int=1))
    (tmp_path / "my data" / made.folder / "status").mkdir(parents=True)
    return made


def leave(layout: RunLayout, name: str, **said: Any) -> None:
    content = {"key": KEY, "exit_code": 0, "host": "n1", "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z"}
    (Path(layout.status) / name).write_text(json.dumps(content | said) + "\n")


def test_what_a_job_said_is_read(here: LocalTransport, layout: RunLayout) -> None:
    leave(layout, "12.json", image_sha256="1" * 64, image_source="", runtime="apptainer version 1.4.5")
    assert read_ending(here, layout, 12, KEY) == {
        "hosts": ["n1"],
        "start": "2026-01-01T00:00:00Z",
        "end": "2026-01-01T00:01:00Z",
        "image_sha256": "1" * 64,
        "runtime": "apptainer version 1.4.5",
    }


def test_a_job_that_said_nothing_is_no_error(here: LocalTransport, layout: RunLayout) -> None:
    assert read_ending(here, layout, 12, KEY) == {}


def test_a_run_that_is_gone_is_no_error(here: LocalTransport, layout: RunLayout) -> None:
    assert read_ending(here, RunLayout("gone", UUID(int=2)), 12, KEY) == {}


def test_another_job_of_the_same_number_is_not_believed(here: LocalTransport, layout: RunLayout) -> None:
    leave(layout, "12.json", key=f"{KEY}.2", image_sha256="1" * 64)
    leave(layout, "120.json", image_sha256="2" * 64)
    assert read_ending(here, layout, 12, KEY) == {}


def test_of_an_array_only_what_its_tasks_agree_about_is_told(here: LocalTransport, layout: RunLayout) -> None:
    leave(layout, "12_1.json", image_sha256="1" * 64, slurm="slurm 22.05.8", host="n1", start="2026-01-01T00:00:30Z")
    leave(layout, "12_2.json", image_sha256="2" * 64, slurm="slurm 22.05.8", host="n2", end="2026-01-01T00:09:00Z")
    ending = read_ending(here, layout, 12, KEY)
    assert ending == {
        "hosts": ["n1", "n2"],
        "slurm": "slurm 22.05.8",
        "start": "2026-01-01T00:00:00Z",
        "end": "2026-01-01T00:09:00Z",
    }


def test_a_damaged_file_says_nothing(here: LocalTransport, layout: RunLayout) -> None:
    (Path(layout.status) / "12.json").write_text('{"key": "' + KEY)
    assert read_ending(here, layout, 12, KEY) == {}
