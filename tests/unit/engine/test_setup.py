"""What a cluster is to have, and setting this machine up as if it were one."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from worker.analyses.model import Resources
from worker.cluster.local import LocalTransport
from worker.cluster.transport import ProgramTransport
from worker.engine.provisions import find_images, folders_of, pull_options, submissions_of
from worker.engine.setup import initialise, inspect, read_scripts, set_up
from worker.errors import HostKeyRejected, RequestError
from worker.settings.models import ClusterSettings, Settings, SlurmSettings, SshSettings, WorkflowSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from worker.cluster.transport import Program


NOBODY = "docker://127.0.0.1:1/"
"""A registry that does not answer."""


def workflow(folder: Path, name: str, image: str, *, cluster: str = "default", **more: object) -> WorkflowSettings:
    """A workflow whose descriptor is in a local folder."""
    descriptor = folder / "repos" / name / "descriptor.json"
    descriptor.parent.mkdir(parents=True, exist_ok=True)
    described = {
        "name": name,
        "description": "",
        "schema-version": "cytomine-0.1",
        "container-image": {"image": image, "type": "singularity"},
        "command-line": "true",
        "inputs": [],
    }
    descriptor.write_text(json.dumps(described), encoding="utf-8")
    values: dict[str, object] = {"name": name, "image_folder": name, "repo": str(descriptor.parent), "cluster": cluster}
    return WorkflowSettings.model_validate(values | more)


def site(workflows: Iterable[WorkflowSettings], **slurm: object) -> tuple[Settings, ClusterSettings]:
    settings = Settings(
        slurm=SlurmSettings.model_validate({"slurm_images_path": "images", "slurm_converters_path": "conv", **slurm}),
        workflows={each.name: each for each in workflows},
    )
    return settings, settings.cluster("default")


class TestImages:
    def test_each_workflow_of_the_cluster_has_one(self, tmp_path: Path) -> None:
        settings, cluster = site(
            [
                workflow(tmp_path, "cells", "org/w_cells:1.2.0"),
                workflow(tmp_path, "spots", "org/w_spots"),
                workflow(tmp_path, "elsewhere", "org/w_else:1", cluster="gpu"),
            ]
        )
        wanted = find_images(settings, cluster, state_dir=tmp_path)
        assert [(pull.name, pull.address, str(pull.file)) for pull in wanted.pulls] == [
            ("cells 1.2.0", "docker://org/w_cells:1.2.0", "images/cells/w_cells_1.2.0.sif"),
            ("spots latest", "docker://org/w_spots:latest", "images/spots/w_spots_latest.sif"),
        ]
        assert wanted.problems == ()

    def test_one_that_several_share_is_pulled_once(self, tmp_path: Path) -> None:
        each = [workflow(tmp_path, name, "org/w:1", image_folder="shared") for name in ("cells", "cells_gpu")]
        settings, cluster = site(each)
        (pull,) = find_images(settings, cluster, state_dir=tmp_path).pulls
        assert pull.name == "cells 1, cells_gpu 1"

    def test_converters_are_named_after_what_they_convert(self, tmp_path: Path) -> None:
        settings, cluster = site([])
        settings = settings.model_copy(update={"converters": {"zarr_to_tiff": "org/any:1.14", "bad": "org/"}})
        wanted = find_images(settings, cluster, state_dir=tmp_path)
        assert [str(pull.file) for pull in wanted.pulls] == ["conv/convert_zarr_to_tiff_1.14.sif"]
        assert [(item.what, item.state) for item in wanted.problems] == [("converter bad", "failed")]

    def test_a_descriptor_that_cannot_be_read_takes_nothing_from_the_others(self, tmp_path: Path) -> None:
        broken = workflow(tmp_path, "broken", "org/w:1")
        (tmp_path / "repos" / "broken" / "descriptor.json").write_text("{", encoding="utf-8")
        nameless = workflow(tmp_path, "nameless", "org/w:1", repo=None)
        settings, cluster = site([broken, nameless, workflow(tmp_path, "cells", "org/w:1")])
        wanted = find_images(settings, cluster, state_dir=tmp_path)
        assert [pull.name for pull in wanted.pulls] == ["cells 1"]
        assert {item.what: item.state for item in wanted.problems} == {"broken": "failed", "nameless": "failed"}
        assert "nameless_repo" in wanted.problems[-1].remedy

    def test_a_mirror_precedes_every_name(self, tmp_path: Path) -> None:
        settings, cluster = site([workflow(tmp_path, "a", "org/w:1")], image_source="docker://mirror.example.org/")
        (pull,) = find_images(settings, cluster, state_dir=tmp_path).pulls
        assert pull.address == "docker://mirror.example.org/org/w:1"


class TestPullOptions:
    def test_on_the_login_node_there_are_no_options_of_sbatch(self) -> None:
        _, cluster = site([], modules=("apptainer",), apptainer_tmpdir="~/tmp")
        options = pull_options(cluster)
        assert (options.sbatch, options.tmpdir, options.cachedir) == (None, "tmp", "")
        assert options.modules == ("apptainer",)

    def test_a_job_has_the_sites_options_and_its_own_amounts(self) -> None:
        _, cluster = site(
            [],
            slurm_image_pull_via_sbatch=True,
            sbatch_flags={"account": "lab", "exclusive": None, "mem-per-cpu": "9G", "output": "/tmp/x"},
            slurm_default_partition="cpu",
        )
        assert set(pull_options(cluster).sbatch or ()) == {
            "--account=lab",
            "--exclusive",
            "--partition=cpu",
            "--cpus-per-task=8",
            "--mem=32G",
            "--job-name=omero-image-pull",
        }


class TestSubmissions:
    def test_every_kind_of_job_is_asked_about(self, tmp_path: Path) -> None:
        settings, cluster = site(
            [
                workflow(tmp_path, "cells", "org/w:1", user_partitions=("gpu",)),
                workflow(tmp_path, "elsewhere", "org/w:1", cluster="other", user_partitions=("far",)),
            ],
            slurm_conversion_partition="short",
            slurm_image_pull_via_sbatch=True,
        )
        submissions, refused = submissions_of(settings, cluster, {}, {})
        assert list(submissions) == ["cells", "people who choose gpu", "conversions", "image pulls"]
        assert refused == []

    def test_what_the_descriptor_needs_and_the_sites_own_script_says_counts(self, tmp_path: Path) -> None:
        settings, cluster = site([workflow(tmp_path, "cells", "org/w:1")])
        analysis = find_images(settings, cluster, state_dir=tmp_path).analyses["cells"]
        needy = replace(analysis, resources=Resources(gpu=False, cores=16, memory_mib=64 * 1024))
        submissions, _ = submissions_of(settings, cluster, {"cells": needy}, {"cells": {"qos": "long"}})
        assert {"--cpus-per-task=16", "--qos=long"} <= set(submissions["cells"])


def test_a_repository_of_job_scripts_makes_its_own_folder() -> None:
    _, generated = site([])
    assert "script folder" in folders_of(generated)
    _, cloned = site([], slurm_script_repo="https://example.org/scripts.git", apptainer_cachedir="/scratch/cache")
    assert "script folder" not in folders_of(cloned)
    assert folders_of(cloned)["cache of pulls"] == "/scratch/cache"


class Locked(ProgramTransport):
    """A way to a cluster that does not let us in."""

    def started(self, *_: object, **__: object) -> AbstractContextManager[Program]:
        raise HostKeyRejected("The server is not known.", remedy="Run `ssh-keyscan`.")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("way", [initialise, inspect])
def test_a_cluster_that_does_not_let_us_in_is_a_line_of_the_report(way: object, tmp_path: Path) -> None:
    settings, cluster = site([])
    assert callable(way)
    (item,) = way(settings, cluster, Locked(), state_dir=tmp_path).items
    assert (item.what, item.state, item.remedy) == ("ssh", "failed", "Run `ssh-keyscan`.")


def test_setting_up_with_nothing_to_pull_is_done_once(tmp_path: Path) -> None:
    # Nobody answers there, so that the converter cannot be built.
    settings, cluster = site([], slurm_data_path="data", slurm_script_path="scripts", image_source=NOBODY)
    here = LocalTransport(tmp_path)
    said: list[str] = []
    first = initialise(settings, cluster, here, state_dir=tmp_path, report=said.append)
    assert (first.changed, first.failed, first.summary()) == (True, False, "4 changed, 1 warning")
    second = initialise(settings, cluster, here, state_dir=tmp_path)
    assert (second.changed, second.failed, second.summary()) == (False, False, "4 ok, 1 warning")
    assert said


def test_a_template_of_job_scripts_that_is_not_there_is_told(tmp_path: Path) -> None:
    settings, cluster = site([], job_template=tmp_path / "nowhere.j2")
    report = inspect(settings, cluster, LocalTransport(tmp_path), state_dir=tmp_path)
    (item,) = [item for item in report.items if item.what == "job template"]
    assert item.state == "failed"
    assert "slurm_job_template" in item.remedy


def test_the_sites_own_job_scripts_come_from_its_repository(tmp_path: Path) -> None:
    repository = tmp_path / "origin"
    repository.mkdir()
    (repository / "cells.sh").write_text("#!/bin/bash\n#SBATCH --qos=long\ntrue\n")
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "one"]):
        subprocess.run([*git, *command], check=True)
    each = [
        workflow(tmp_path, "cells", "org/w:1", repo=None, job="cells.sh"),
        workflow(tmp_path, "spots", "org/w:1", repo=None, job="spots.sh"),
    ]
    settings, cluster = site(each, slurm_script_repo=str(repository), slurm_script_path="scripts", image_source=NOBODY)
    report = initialise(settings, cluster, LocalTransport(tmp_path), state_dir=tmp_path / "state")
    found = {item.what: item for item in report.items}
    assert found["job scripts"].state == "changed"
    assert (found["job script of cells"].state, found["job script of spots"].state) == ("ok", "failed")
    assert "spots.sh" in found["job script of spots"].detail
    assert read_scripts(LocalTransport(tmp_path), settings, cluster)[0]["cells"] == {"qos": "long"}


def test_a_workflow_of_another_cluster_is_not_looked_for_here(tmp_path: Path) -> None:
    settings, cluster = site([workflow(tmp_path, "far", "org/w:1", cluster="gpu")])
    with pytest.raises(RequestError, match="runs on cluster gpu"):
        set_up(settings, [cluster], state_dir=tmp_path, transports=lambda _: Locked(), report=print, workflow="far")


def test_a_cluster_is_reached_by_its_own_settings(tmp_path: Path) -> None:
    far = ClusterSettings("far", SshSettings(host="far"), SlurmSettings())
    (item,) = inspect(Settings(), far, Locked(), state_dir=tmp_path).items
    assert item.detail.startswith("far: ")
