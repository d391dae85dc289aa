"""What the catalogue tells the dialogs that people may choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.analyses.catalogue import Choices
from worker.analyses.model import Analysis, Resources
from worker.engine.catalogue import choices_of
from worker.settings.loader import load_settings

if TYPE_CHECKING:
    from pathlib import Path

NEEDS_GPU = Analysis("A", "", "o/a", "s", (), resources=Resources(gpu=True))


def choices(tmp_path: Path, slurm: str = "", workflow: str = "", analysis: Analysis | None = None) -> Choices:
    file = tmp_path / "slurm-config.ini"
    file.write_text(f"[SLURM]\n{slurm}\n[WORKFLOWS]\nwf = wf\nwf_repo = https://github.com/o/r\n{workflow}\n")
    settings = load_settings(file, environ={}, default_paths=())
    return choices_of(settings, settings.workflow("wf"), analysis)


def test_nothing_may_be_chosen_unless_the_admin_says_so(tmp_path: Path) -> None:
    assert choices(tmp_path, analysis=NEEDS_GPU) == Choices()


def test_what_holds_for_all_workflows_may_be_said_otherwise_for_one(tmp_path: Path) -> None:
    slurm = "user_time_max = 08:00:00\nuser_partitions = cpu, long"
    own = "wf_user_time_max = 01:00:00\nwf_user_memory_max = 64G"
    assert choices(tmp_path, slurm, own) == Choices(3600, 65536, ("cpu", "long"))


@pytest.mark.parametrize(
    ("workflow", "analysis", "gpu"),
    [
        ("", None, False),
        ("", NEEDS_GPU, True),
        ("wf_use_gpu = false", NEEDS_GPU, False),
        ("wf_use_gpu = yes", None, True),
    ],
)
def test_a_gpu_may_be_chosen_where_jobs_are_told(
    tmp_path: Path, workflow: str, analysis: Analysis | None, gpu: bool
) -> None:
    assert choices(tmp_path, "inject_gpu_flag = true", workflow, analysis).gpu is gpu
