"""What is made of a cluster whose programs do not work, played by scripts that say what was once seen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.cluster.programs import Cluster
from worker.cluster.inspection import Questions, inspect_cluster

if TYPE_CHECKING:
    from pathlib import Path

    from worker.cluster.local import LocalTransport
    from worker.cluster.report import Item

PARTITIONS = """\
cpu*|up|3|idle|(null)|2-00:00:00
gpu|up|2|mixed|gpu:a100:2|infinite
old|down|1|idle|(null)|5:00
night|up|2|drained|(null)|5:00
"""
VERSION = "slurm 24.11.5\n"
CONFIG = "MaxArraySize            = 1001\nAccountingStorageType   = accounting_storage/slurmdbd\nClusterName = big\n"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster on which everything works."""
    made = Cluster(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin), prepend=":")
    for name, out in {
        "sbatch": VERSION,
        "squeue": VERSION,
        "scancel": VERSION,
        "sacct": VERSION,
        "sinfo": PARTITIONS,
        "scontrol": CONFIG,
        "sacctmgr": "lab\nother\n",
        "apptainer": "apptainer version 1.4.5\n",
    }.items():
        made.says(name, out)
    return made


def found(
    here: LocalTransport, submissions: dict[str, tuple[str, ...]] | None = None, **folders: str
) -> dict[str, Item]:
    questions = Questions("big", folders, submissions or {})
    return {item.what: item for item in inspect_cluster(here, questions)}


def test_a_cluster_that_works_has_nothing_to_mend(here: LocalTransport, cluster: Cluster) -> None:
    items = found(here, {"nuclei": ("--mem=5G",)}, data=".")
    assert {item.state for item in items.values()} == {"ok"}
    assert items["sbatch"].detail == "slurm 24.11.5"
    assert items["job arrays"].detail == "up to 1000 tasks"
    assert items["containers"].detail.startswith("apptainer version 1.4.5")


def test_a_program_that_is_not_found_needs_another_path(
    here: LocalTransport, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that is on no PATH of any machine.
    (cluster.bin / "sinfo").write_text('#!/bin/sh\nexec "no such program"\n')
    item = found(here)["sinfo"]
    assert item.state == "failed"
    assert "PATH in ~/.bashrc" in item.remedy


def test_a_program_that_fails_is_told_in_its_own_words(here: LocalTransport, cluster: Cluster) -> None:
    cluster.says("squeue", error="squeue: error: Unable to contact slurm controller\n", status=1)
    item = found(here)["squeue"]
    assert item.state == "failed"
    assert item.detail == "squeue ended with status 1: squeue: error: Unable to contact slurm controller"
    assert "It is there, but does not work" in item.remedy


def test_a_program_that_does_not_answer_is_not_waited_for(here: LocalTransport, cluster: Cluster) -> None:
    cluster.says("sbatch", status=124)  # what timeout(1) makes of it
    item = found(here)["sbatch"]
    assert item.detail == "sbatch had no answer in time"
    assert "whether its controller" in item.remedy


def test_a_cluster_without_accounting_will_do(here: LocalTransport, cluster: Cluster) -> None:
    cluster.says("sacct", error="Slurm accounting storage is disabled\n", status=1)
    cluster.says("scontrol", "AccountingStorageType = accounting_storage/none\nMaxArraySize = 1001\n")
    items = found(here)
    assert (items["sacct"].state, items["accounting"].state) == ("warning", "warning")
    assert "exit file alone" in items["sacct"].remedy


def test_a_cluster_without_arrays_cannot_convert_many(here: LocalTransport, cluster: Cluster) -> None:
    cluster.says("scontrol", CONFIG.replace("1001", "0"))
    assert found(here)["job arrays"].state == "warning"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            "sbatch: error: invalid partition specified: gpuu\nallocation failure: Invalid partition name specified",
            "gpu?",
        ),
        ("allocation failure: Invalid account or account/partition combination specified", "lab, other"),
        ("allocation failure: Requested node configuration is not available", "gpu:a100:2 in gpu"),
        ("allocation failure: Requested time limit is invalid (missing or exceeds some limit)", "less time"),
        ("sbatch: unrecognized option '--frobnicate=1'", "_job_ settings"),
    ],
)
def test_what_sbatch_would_refuse_is_told_with_what_there_is(
    here: LocalTransport, cluster: Cluster, said: str, remedy: str
) -> None:
    cluster.says("sbatch", error=f"{said}\n", status=1)
    item = found(here, {"nuclei": ("--partition=gpuu",)})["jobs of nuclei"]
    assert item.state == "failed"
    assert "sbatch would refuse them: " in item.detail
    assert remedy in item.remedy


def test_sbatch_gets_what_a_job_would_give_it(here: LocalTransport, cluster: Cluster) -> None:
    arguments = ('--comment=it\'s $(not) a "program"', "--exclusive", "--partition=cpu")
    items = found(here, {"nuclei": arguments, "cells": arguments}, data="a folder")
    assert cluster.arguments("sbatch") == ["--test-only", *arguments, "--wrap=true"]
    assert items["jobs of nuclei, cells"].state == "ok"


@pytest.mark.parametrize(
    ("partition", "time_limit", "state"),
    [("cpu", "47:59:59", "ok"), ("cpu", "2-00:00:01", "warning"), ("gpu", "99-00", "ok"), ("cpu", "UNLIMITED", "ok")],
)
def test_jobs_that_would_wait_for_ever_are_told(
    here: LocalTransport, cluster: Cluster, partition: str, time_limit: str, state: str
) -> None:
    cluster.says(
        "sbatch", error=f"sbatch: Job 7 to start at 2026-01-02T03:04:05 on nodes n1 in partition {partition}\n"
    )
    item = found(here, {"nuclei": (f"--time={time_limit}",)})["jobs of nuclei"]
    assert item.state == state
    if state == "warning":
        assert "2-00:00:00 at most" in item.detail


def test_partitions_that_jobs_name_must_have_a_node_that_works(here: LocalTransport, cluster: Cluster) -> None:
    items = found(here, {name: (f"--partition={name}",) for name in ("cpu", "old", "night")})
    assert [items[f"partition {name}"].state for name in ("cpu", "old", "night")] == ["ok", "failed", "warning"]
    assert "2 drained" in items["partition night"].detail


def test_clocks_that_differ_are_told(here: LocalTransport, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr("worker.cluster.inspection.time.time", lambda: now + 300)
    item = found(here)["clock"]
    assert item.state == "warning"
    assert "behind" in item.detail


def test_folders_are_told_with_their_room(here: LocalTransport, cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "with blanks").mkdir()
    items = found(here, there="with blanks", missing="not/yet", foreign="/proc/self")
    assert (items["there"].state, "GB free" in items["there"].detail) == ("ok", True)
    assert items["missing"].state == "warning"
    assert "cluster init" in items["missing"].remedy
    assert items["foreign"].state == "failed"
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "with blanks"}
    assert list((tmp_path / "with blanks").iterdir()) == []


def test_a_quota_that_is_used_up_is_told(here: LocalTransport, cluster: Cluster) -> None:
    cluster.says("quota", "Disk quotas for user me: /home 5120* 5000 5000\n", status=1)
    assert found(here)["quota"].state == "failed"


def test_modules_that_cannot_be_loaded_are_told(here: LocalTransport, cluster: Cluster) -> None:
    cluster.says("module", error="Unable to locate a modulefile for 'apptainer/9'\n", status=1)
    items = {item.what: item for item in inspect_cluster(here, Questions("big", {}, {}, ("apptainer/9",)))}
    assert items["modules"].state == "failed"
    assert "apptainer/9" in items["modules"].detail
