"""``omero-worker cluster`` on a worker that is its own cluster (``host = local:``)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from worker.analyses import catalogue
from worker.cli.cluster import app
from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

CONFIGURATION = """\
[SSH]
host = local:

[SLURM]
slurm_data_path = data
slurm_images_path = images
slurm_converters_path = converters
slurm_script_path = scripts
# Nobody is there, so that the converter cannot be built.
slurm_image_source = docker://127.0.0.1:1/

[SSH:other]
host = local:

[SLURM:other]
slurm_data_path = other/data

[WORKFLOWS]
{workflows}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the worker, where folders of the cluster are, too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OMERO_WORKER_CONFIG_FILE", str(tmp_path / "slurm-config.ini"))
    monkeypatch.setenv("OMERO_WORKER_STATE_DIR", str(tmp_path / "state"))
    configure(tmp_path)
    return tmp_path


def configure(home: Path, workflows: str = "") -> None:
    (home / "slurm-config.ini").write_text(CONFIGURATION.format(workflows=workflows), encoding="utf-8")


def run(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    return result


def report(*arguments: str, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json", status=status).stdout)
    return found


def test_the_second_time_changes_nothing_and_says_so(home: Path) -> None:
    first = report("init")
    assert (first["changed"], first["failed"]) == (True, False)
    assert list(first["clusters"]) == ["default", "other"]
    assert (home / "other" / "data").is_dir()
    second = run("init").stdout
    assert "Nothing was changed." in second
    assert "default: 4 ok" in second
    assert not report("init")["changed"]


def test_the_dialogs_know_at_once(home: Path) -> None:
    configure(home, "cells = cells")
    path = catalogue.catalogue_path(home / "state")
    run("init", "--dry-run", status=1)
    assert not path.exists()
    # Nobody can say which image it needs, which takes nothing from the rest.
    found = report("init", status=1)
    assert found["failed"]
    assert (home / "images").is_dir()
    assert catalogue.load(path).entry("cells") is not None


def test_one_cluster_can_be_chosen(home: Path) -> None:
    assert list(report("init", "--cluster", "other")["clusters"]) == ["other"]
    assert not (home / "data").exists()
    with pytest.raises(SettingsError, match="no cluster 'othr'") as refused:
        CliRunner().invoke(app, ["init", "--cluster", "othr"], catch_exceptions=False)
    assert "Did you mean other?" in refused.value.remedy


def test_a_machine_without_slurm_fails_the_check(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = home / "bin"
    programs.mkdir()
    for name in ("sbatch", "squeue", "scancel", "sinfo", "scontrol", "sacct", "sacctmgr"):
        # Stands in the way of a Slurm that this machine may have.
        (programs / name).write_text("#!/bin/sh\necho no cluster >&2\nexit 1\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    found = report("check", "--cluster", "default", status=1)
    items = {item["what"]: item for item in found["clusters"]["default"]["items"]}
    assert items["ssh"]["state"] == "ok", items["ssh"]
    assert (items["squeue"]["state"], items["sacct"]["state"]) == ("failed", "warning")
    assert "no cluster" in items["squeue"]["detail"]
    assert items["data folder"]["state"] == "warning"
    table = run("check", "--cluster", "default", status=1).stdout
    assert "What to do" in table
