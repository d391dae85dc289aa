"""Setting up the lab's cluster, with images from a registry: twice, and with everything that may be wrong there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from omero.rtypes import unwrap

from tests.faults.disks import full, small_disk
from tests.lab import registry as registries
from tests.lab.description import CHECKOUT
from tests.lab.person import logged_in, start_script
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript, Ended
from worker.analyses import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.description import Lab
    from tests.lab.registry import Registry

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

ONE, OTHER = "lab/w_small", "lab/w_large"

CONFIGURATION = """\
[SSH]
host = {alias}
ssh_config = {ssh_config}

[SLURM]
slurm_data_path = {home}/data
slurm_images_path = {home}/images
slurm_converters_path = {home}/converters
slurm_script_path = {home}/scripts
slurm_image_source = {source}
image_pull_cpus = 1
image_pull_mem = 500M
{slurm}

[CONVERTERS]
zarr_to_tiff = lab/converter:1.14.0

[WORKFLOWS]
{workflows}
"""


@pytest.fixture(scope="module")
def registry(lab: Lab) -> Iterator[Registry]:
    """A registry that the login of the cluster trusts."""
    trust = Path(str(lab.cluster_home)) / ".config" / "containers" / "registries.conf"
    with registries.serving() as served:
        served.add(ONE, "v1.0", {"bin/true": b"#!/bin/sh\n"})
        served.add(OTHER, "v2.1", {"data": os.urandom(12_000_000)})
        served.add("lab/converter", "1.14.0", {"bin/true": b"#!/bin/sh\n"})
        trust.parent.mkdir(parents=True, exist_ok=True)
        trust.write_text(served.trust(), encoding="utf-8")
        try:
            yield served
        finally:
            trust.unlink()


class Site:
    """A deployment whose folders on the cluster are its own."""

    def __init__(self, deployment: Deployment, registry: Registry) -> None:
        self.deployment = deployment
        self.home = Path(str(deployment.lab.cluster_home)) / f"site {uuid4()}"
        self._registry = registry

    def configure(self, *, images: dict[str, str], slurm: str = "", more: str = "") -> None:
        """Write slurm-config.ini, and a descriptor for each workflow."""
        lines = [more]
        for name, image in images.items():
            folder = self.deployment.directory / "descriptors" / name
            folder.mkdir(parents=True, exist_ok=True)
            described = {
                "name": name,
                "description": "Does nothing.",
                "schema-version": "cytomine-0.1",
                "container-image": {"image": image, "type": "singularity"},
                "command-line": "true",
                "inputs": [],
            }
            (folder / "descriptor.json").write_text(json.dumps(described), encoding="utf-8")
            lines += [f"{name} = {name}", f"{name}_repo = {folder}", f"{name}_job_mem = 100M"]
        text = CONFIGURATION.format(
            alias=self.deployment.lab.ssh_alias,
            ssh_config=self.deployment.lab.ssh_config,
            home=self.home,
            source=self._registry.source,
            slurm=slurm,
            workflows="\n".join(lines),
        )
        (self.deployment.directory / "slurm-config.ini").write_text(text, encoding="utf-8")

    def run(self, *arguments: str, fails: bool = False) -> dict[str, dict[str, str]]:
        """Run ``omero-worker cluster …``, and give the lines of its report by what they are about."""
        ended = self.deployment.command("cluster", *arguments, "--json", check=False)
        assert ended.returncode == int(fails), ended.stdout + ended.stderr
        report: dict[str, Any] = json.loads(ended.stdout)
        return {item["what"]: item for item in report["clusters"]["default"]["items"]}

    @contextmanager
    def killed(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run ``omero-worker cluster …`` until the end of the block, but no longer."""
        command = [sys.executable, "-m", "worker.cli", "cluster", *arguments]
        environ = {"PATH": os.environ["PATH"], **self.deployment.environ}
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def site(lab: Lab, registry: Registry, tmp_path: Path, database_url: str) -> Iterator[Site]:
    made = Site(Deployment.create(lab, tmp_path, database_url), registry)
    yield made
    shutil.rmtree(made.home, ignore_errors=True)


def states(report: dict[str, dict[str, str]]) -> dict[str, str]:
    return {what: item["state"] for what, item in report.items()}


def test_a_cluster_is_set_up_and_a_second_time_nothing_is_changed(site: Site, registry: Registry) -> None:
    site.configure(images={"small": f"{ONE}:v1.0"})
    foreseen = site.run("init", "--dry-run")
    assert set(states(foreseen).values()) == {"changed"}
    assert not site.home.exists()
    # Killed while images are pulled: they go on, and are not pulled twice.
    sent = registry.blobs_sent
    registry.pause_s = 3.0
    with site.killed("init") as process:
        while registry.blobs_sent < sent + 2:
            assert process.poll() is None
            time.sleep(0.05)
    registry.pause_s = 0.0
    report = site.run("init")
    # "ok" on a slow machine: they have ended before this looks.
    assert {report[what]["state"] for what in ("small v1.0", "converter zarr_to_tiff")} <= {"ok", "changed"}
    assert (report["data folder"]["state"], registry.blobs_sent) == ("ok", sent + 2)
    assert (site.home / "images/small/w_small_v1.0.sif").stat().st_size > 0
    assert (site.home / "converters/convert_zarr_to_tiff_1.14.0.sif").stat().st_size > 0
    # The dialogs know at once.
    known = catalogue.load(catalogue.catalogue_path(site.deployment.directory / "state")).entry("small")
    assert known is not None
    assert known.versions == ("v1.0",)

    again = site.deployment.command("cluster", "init")
    assert "Nothing was changed." in again.stdout
    assert "default: 6 ok" in again.stdout
    checked = site.run("check")
    assert set(states(checked).values()) == {"ok"}, checked
    assert checked["jobs of small"]["detail"].endswith("in partition cpu")
    assert checked["small"]["detail"] == "versions v1.0"


def test_images_are_pulled_in_jobs_and_what_is_wrong_is_told_by_name(site: Site, registry: Registry) -> None:
    more = "small_job_partition = gpuu\nlarge_job_gres = gpu:v100:1"
    images = {"small": f"{ONE}:v1.0", "large": f"{OTHER}:v9", "bare": ONE}
    site.configure(images=images, slurm="slurm_image_pull_via_sbatch = true", more=more)
    report = site.run("init", fails=True)
    assert report["small v1.0"]["state"] == "changed"
    assert report["large v9"]["state"] == "failed"
    assert "manifest unknown" in report["large v9"]["detail"]
    assert "container-image" in report["large v9"]["remedy"]
    assert report["bare latest"]["state"] == "failed"
    # A later time wants what is missing only.
    sent = registry.blobs_sent
    assert states(site.run("init", fails=True))["small v1.0"] == "ok"
    assert registry.blobs_sent == sent

    checked = site.run("check", fails=True)
    assert checked["jobs of small"]["state"] == "failed"
    assert "gpuu" in checked["jobs of small"]["detail"]
    assert "Did you mean gpu?" in checked["jobs of small"]["remedy"]
    assert "gpu:a100:2 in gpu" in checked["jobs of large"]["remedy"]
    assert "manifest unknown" in checked["large"]["detail"]


def test_a_disk_that_is_full_is_named(site: Site) -> None:
    site.configure(images={"small": f"{ONE}:v1.0", "large": f"{OTHER}:v2.1"})
    site.home.mkdir(mode=0o777)
    site.home.chmod(0o777)
    with small_disk(site.home / "images") as disk:
        report = site.run("init", fails=True)
        # The one fits on it, the other does not.
        assert (report["small v1.0"]["state"], report["large v2.1"]["state"]) == ("changed", "failed")
        assert "no space left" in report["large v2.1"]["detail"].lower()
        assert "Make room" in report["large v2.1"]["remedy"]
        assert [path.name for path in (disk / "large").glob("*.sif")] == []
        with full(disk):
            assert "No space left" in site.run("init", fails=True)["image folder"]["detail"]
            checked = site.run("check", fails=True)["image folder"]
            assert (checked["state"], "no space left" in checked["detail"]) == ("failed", True)


def test_a_runtime_that_is_missing_is_named(site: Site, lab: Lab) -> None:
    site.configure(images={"small": f"{ONE}:v1.0"})
    home = Path(str(lab.cluster_home))
    programs = site.home / "programs"
    programs.mkdir(parents=True)
    site.home.chmod(0o777)
    for program in Path("/usr/bin").iterdir():
        if program.name not in ("apptainer", "singularity"):
            (programs / program.name).symlink_to(program)
    # Stands in the way of /etc/profile, which would put everything on the PATH again.
    (programs / "module").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (programs / "module").chmod(0o755)
    profile = home / ".bashrc"
    profile.write_text(f"export PATH='{programs}'\n", encoding="utf-8")
    try:
        report = site.run("init", fails=True)
        checked = site.run("check", fails=True)
    finally:
        profile.unlink()
    assert "neither apptainer nor singularity" in report["small v1.0"]["detail"]
    assert "slurm_modules" in report["small v1.0"]["remedy"]
    assert checked["containers"]["state"] == "warning"
    assert "slurm_image_pull_via_sbatch" in checked["containers"]["remedy"]
    assert "neither apptainer nor singularity" in checked["small"]["detail"]


def test_admins_and_nobody_else_set_up_and_check_from_omero(site: Site, lab: Lab) -> None:
    with logged_in(lab, "alice") as alice:
        refused = start_script(alice, {}, name="SLURM_Init_environment.py").wait()
    assert (refused.exit_status, refused.job_status) == (1, "Error")
    assert refused.message.startswith("ACCESS DENIED: ")

    def script(name: str, **inputs: object) -> Ended:
        """Run a script as root, as the Processor does, with the settings of this site."""
        directory = site.deployment.directory / name
        directory.mkdir()
        return DirectScript(lab, "root", inputs, site.deployment.environ, directory, script=f"{name}.py").wait()

    site.configure(images={"small": f"{ONE}:v1.0", "wrong": f"{ONE}:v9"})
    rebuild = {"Rebuild Analytics Views (skip if only adding new workflows!)": True, "Rebuild From Days Ago": 3650}
    done = script("SLURM_Init_environment", **rebuild)
    assert done.exit_status == 1
    assert "Cluster default: 6 changed, 1 failed." in done.message
    assert "[failed] wrong v9: cannot be pulled" in done.message
    assert "The tables of the dashboards were computed anew from" in done.message
    checked = script("SLURM_check_setup")
    assert checked.exit_status == 0, checked.message
    assert checked.stderr == ""
    file = checked.outputs["File_Annotation"].getValue().getFile()
    with logged_in(lab, "root") as root:
        text = b"".join(root.getObject("OriginalFile", file.getId().getValue()).getFileInChunks()).decode()
    assert "[ok] small: versions v1.0" in text
    assert "[ok] sbatch: slurm" in text
    assert "[failed] wrong: " in text
    address = unwrap(checked.outputs["URL"])
    assert address["href"].endswith(f"/webclient/get_original_file/{file.getId().getValue()}/")
