"""What a result was made from: recorded while it is true, told in OMERO, in the zip and in the report of the run."""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import zipfile
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from rocrate.rocrate import ROCrate

from tests.lab import samples
from tests.lab.omero.images import import_image, make_dataset, make_project
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript
from tests.system.results_bench import content, files_on, maps_on

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

USER = "alice"


def on_the_cluster(lab: Lab, *command: str) -> str:
    """Ask the login node, with the system's own ssh."""
    ssh = ["ssh", "-F", str(lab.ssh_config), str(lab.ssh_alias), *command]
    return subprocess.run(ssh, capture_output=True, check=True, text=True, stdin=subprocess.DEVNULL).stdout


def descriptor_of(lab: Lab) -> bytes:
    """The descriptor as git has it."""
    shown = ["git", "-C", str(lab.nuclei_repo), "show", f"{lab.nuclei_version}:descriptor.json"]
    return subprocess.run(shown, capture_output=True, check=True).stdout


def commit_of(lab: Lab) -> str:
    asked = ["git", "-C", str(lab.nuclei_repo), "rev-parse", f"{lab.nuclei_version}^{{commit}}"]
    return subprocess.run(asked, capture_output=True, check=True, text=True).stdout.strip()


def test_a_result_can_be_traced_to_what_it_was_made_from(lab: Lab, tmp_path: Path, database_url: str) -> None:
    deployment = Deployment.create(lab, tmp_path, database_url)
    deployment.configure("WORKER", omero_web_url="https://omero.example.org")
    with logged_in(lab, USER) as gateway:
        project_id = make_project(gateway, "traced")
        dataset_id = make_dataset(gateway, "corners | <of> micrographs", project_id=project_id)
        image_id = import_image(gateway, samples.nuclei_image()[:128, :128], "corner | 1.tif", dataset_id)
    inputs: dict[str, object] = {
        "Data_Type": "Image",
        "IDs": [image_id],
        "E-mail": False,
        "1) Zip attachment to parent": True,
        "3a) Import into NEW Dataset": "traced labels",
        "4) Upload result CSVs as OMERO tables": False,
        "nuclei": True,
        "nuclei_Version": lab.nuclei_version,
    }
    where = tmp_path / "script"
    where.mkdir()
    ended = DirectScript(lab, USER, inputs, deployment.environ, where).wait()
    assert ended.exit_status == 0, ended.stderr

    # Recomputed by other programs than ours.
    with deployment.record() as record:
        (row,) = record.reader.list_runs()
        run = record.tracker.run(row.run_id)
        task = record.tracker.task(run.tasks[1])
        settings_digest = record.settings.digest()
    (facts,), (ending,) = task.described.values(), task.endings.values()
    image = facts["image"]["file"]
    image_sha256 = on_the_cluster(lab, "sha256sum", image).split()[0]
    descriptor, commit = descriptor_of(lab), commit_of(lab)
    descriptor_sha256 = hashlib.sha256(descriptor).hexdigest()
    slurm_version = on_the_cluster(lab, "scontrol", "--version").strip()
    assert run.request is not None
    assert run.request["workflows"][0]["descriptor_sha256"] == descriptor_sha256
    assert facts["descriptor"]["text"].encode() == descriptor
    assert (facts["settings_sha256"], facts["descriptor"]["commit"]) == (settings_digest, commit)
    assert (ending["image_sha256"], ending["slurm"], ending["exit_code"]) == (image_sha256, slurm_version, 0)

    objects = run.steps["import/0"].data["objects"]
    (result_id,) = [item["object_id"] for item in objects if item["kind"] == "Image"]
    job_id = str(task.job_id)
    with logged_in(lab, USER) as fresh:
        maps = {namespace: found for namespace, (found,) in maps_on(fresh, "Image", result_id).items()}
        zipped = content(files_on(fresh, "Project", project_id)[f"{job_id}_out.zip"])
    assert maps["biomero/workflow"]["Settings_SHA256"] == settings_digest
    analysis = maps["biomero/workflow/task/nuclei"]
    assert (analysis["Image_SHA256"], analysis["Descriptor_SHA256"]) == (image_sha256, descriptor_sha256)
    assert commit in analysis["Descriptor_Source"]
    job = maps["biomero/workflow/task/nuclei/job"]
    assert (job["Job_ID"], job["Exit_Code"], job["Slurm_Version"]) == (job_id, "0", slurm_version)
    assert job["Command"].startswith("sbatch ")
    assert job["Env_IMAGE_VERSION"] == lab.nuclei_version

    crate = tmp_path / "unzipped"
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        archive.extractall(crate)
    read = ROCrate(crate)
    assert read.mainEntity["sha256"] == descriptor_sha256
    assert (crate / read.mainEntity.id).read_bytes() == descriptor
    parts = [part for part in read.root_dataset["hasPart"] if part.type == "File"]
    assert len(parts) >= 3
    for part in parts:
        assert hashlib.sha256((crate / unquote(part.id)).read_bytes()).hexdigest() == part["sha256"]
    rows = dict(csv.reader((crate / f"metadata_{row.run_id}.csv").read_text().splitlines()))
    assert rows["Task_nuclei_Image_SHA256"] == image_sha256

    report(deployment, str(row.run_id), image_id, result_id, image_sha256, tmp_path)


def report(
    deployment: Deployment, run_id: str, image_id: int, result_id: int, image_sha256: str, tmp_path: Path
) -> None:
    """The report of the run, for persons and for programs."""
    markdown = deployment.command("runs", "report", run_id).stdout
    assert markdown.startswith(f"# Run {run_id}")
    assert f"(<https://omero.example.org/webclient/?show=image-{result_id}>)" in markdown
    assert f"?show=image-{image_id}" in markdown
    assert image_sha256 in markdown
    assert "corner \\| 1.tif" in markdown
    # Nobody has pulled the lab's image with a worker; everything else is known.
    gaps = markdown.partition("## What is not known")[2].splitlines()
    assert [gap for gap in gaps if gap.startswith("- ") and "pulled" not in gap and "used is not" not in gap] == []

    folder = tmp_path / "crate"
    deployment.command("runs", "report", run_id, "--format", "ro-crate", "--output", str(folder))
    read = ROCrate(folder)
    (action,) = [each for each in read.get_entities() if each.type == "CreateAction"]
    assert action["instrument"] == read.mainEntity
    assert action["containerImage"]["sha256"] == image_sha256
    assert f"OMERO Image:{result_id}" in {each.get("identifier") for each in action["result"]}
