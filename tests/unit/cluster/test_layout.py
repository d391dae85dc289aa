"""Paths of a run."""

from __future__ import annotations

from pathlib import PurePosixPath
from uuid import UUID

import pytest

from worker.cluster.layout import RunLayout, confined, log_beside
from worker.errors import SettingsError

RUN = UUID("27ca7d34-1544-4c6b-9ca3-0b2c6797c752")
TASK = UUID("972ff20a-6a8d-44d7-bf64-3b0e93260a31")


def test_everything_is_below_the_folder_of_the_run() -> None:
    layout = RunLayout("/scratch/data", RUN)
    root = PurePosixPath(f"/scratch/data/biomero_{RUN}")
    assert layout.root == root
    assert layout.input == root / "data/in"
    assert layout.output == root / "data/out"
    assert layout.ground_truth == root / "data/gt"
    assert layout.script(TASK) == root / f"job_{TASK}.sh"
    assert layout.log(12) == root / "omero-12.log"
    assert layout.log(12, 3) == root / "omero-12_3.log"
    assert layout.exit_file(12) == root / "status/12.json"
    assert layout.exit_file(12, 3) == root / "status/12_3.json"


def test_a_log_is_found_from_the_exit_file() -> None:
    layout = RunLayout("data", RUN)
    assert log_beside(layout.exit_file(12)) == layout.log(12)
    assert log_beside(layout.exit_file(12, 3)) == layout.log(12, 3)


def test_a_relative_folder_starts_at_the_home() -> None:
    assert RunLayout("~/my data", RUN) == RunLayout("my data", str(RUN))


@pytest.mark.parametrize("path", ["", ".", "/", "~", "~/", "a/../../b", "a\nb", "-rf"])
def test_a_folder_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(SettingsError, match="slurm_data_path"):
        RunLayout(path, RUN)


def test_a_run_is_an_uuid() -> None:
    with pytest.raises(ValueError, match="badly formed"):
        RunLayout("data", "../../etc")


@pytest.mark.parametrize("path", ["", "/etc/passwd", "..", "a/../b", "a\0b", "."])
def test_a_path_that_leaves_its_folder_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a path below a folder"):
        confined(path)


def test_a_confined_path_is_plain() -> None:
    assert confined("./a//b/./c d") == "a/b/c d"
