"""The main job: from a selection in OMERO to label images and measurements beside it."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.lab import samples
from tests.lab.omero.images import import_image, make_plate
from tests.lab.person import logged_in, start_script
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript
from worker.engine.assembly import open_record

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

USER = "alice"


@pytest.fixture
def deployment(lab: Lab, tmp_path: Path, database_url: str) -> Deployment:
    return Deployment.create(lab, tmp_path, database_url)


@pytest.fixture
def image_id(lab: Lab) -> int:
    """A corner of the real micrograph, so that tests are quick."""
    with logged_in(lab, USER) as gateway:
        return import_image(gateway, samples.nuclei_image()[:128, :128], "corner.tif")


def dialog(lab: Lab, *image_ids: int, **changes: object) -> dict[str, object]:
    """What a person fills in."""
    inputs: dict[str, object] = {
        "Data_Type": "Image",
        "IDs": list(image_ids),
        "E-mail": False,
        "Use_ZARR_Format": False,
        "Select how to import your results (one or more)": True,
        "1) Zip attachment to parent": False,
        "3a) Import into NEW Dataset": "found in runs",
        "4) Upload result CSVs as OMERO tables": True,
        "6a) Create ROIs from label images": True,
        "nuclei": True,
        "nuclei_Version": lab.nuclei_version,
    }
    return inputs | changes


def only_run(deployment: Deployment) -> Any:
    with deployment.record() as record:
        rows = record.reader.list_runs()
        assert len(rows) == 1
        return rows[0]


def run_directly(deployment: Deployment, directory: Path, inputs: dict[str, object]) -> Any:
    where = directory / "script"
    where.mkdir()
    return DirectScript(deployment.lab, USER, inputs, deployment.environ, where)


def results_of(deployment: Deployment, run_id: UUID) -> list[dict[str, Any]]:
    with deployment.record() as record:
        return list(record.tracker.run(run_id).steps["import/0"].data["objects"])


def jobs_of(deployment: Deployment, run_id: UUID) -> list[int]:
    with deployment.record() as record:
        run = record.tracker.run(run_id)
        return [job for task_id in run.tasks for job in record.tracker.task(task_id).job_ids]


@pytest.mark.parametrize("zarr", [None, "0.4", "0.5"], ids=["tiff", "zarr-0.4", "zarr-0.5"])
def test_a_script_drives_its_own_run_where_no_engine_is_alive(
    deployment: Deployment, tmp_path: Path, image_id: int, zarr: str | None
) -> None:
    formats: dict[str, object] = {} if zarr is None else {"Use_ZARR_Format": True, "OME-Zarr_version": zarr}
    script = run_directly(deployment, tmp_path, dialog(deployment.lab, image_id, **formats))
    ended = script.wait()
    assert ended.exit_status == 0, ended.stderr
    assert "Done" in ended.message
    row = only_run(deployment)
    assert row.status == "DONE"
    objects = results_of(deployment, row.run_id)
    with logged_in(deployment.lab, USER) as gateway:
        images = [item for item in objects if item["kind"] == "Image"]
        assert len(images) == 1
        labels = gateway.getObject("Image", images[0]["object_id"])
        plane = labels.getPrimaryPixels().getPlane(0, 0, 0)
        assert plane.dtype == np.uint16
        assert plane.shape == (128, 128)
        assert plane.max() > 3
        assert labels.getParent().getName() == "found in runs"
        assert rois_on(gateway, image_id) == plane.max()


@pytest.mark.parametrize("zarr", [False, True], ids=["tiff", "zarr"])
def test_a_plate_comes_back_as_a_plate_of_labels_of_each_of_its_fields(
    deployment: Deployment, tmp_path: Path, zarr: bool
) -> None:
    with logged_in(deployment.lab, USER) as gateway:
        corner = samples.nuclei_image()[:96, :96]
        plate_id = make_plate(gateway, "plate 1", rows=1, columns=2, fields=2, maker=lambda *_: corner)
    changes = {"Data_Type": "Plate", "IDs": [plate_id], "Use_ZARR_Format": zarr}
    changes |= {"3a) Import into NEW Screen": "found in runs", "3a) Import into NEW Dataset": "--NO THANK YOU--"}
    ended = run_directly(deployment, tmp_path, dialog(deployment.lab, **changes)).wait()
    assert ended.exit_status == 0, ended.message
    objects = results_of(deployment, only_run(deployment).run_id)
    with logged_in(deployment.lab, USER) as gateway:
        images = [gateway.getObject("Image", item["object_id"]) for item in objects if item["kind"] == "Image"]
        (derived_id,) = [item["object_id"] for item in objects if item["kind"] == "Plate"]
        derived = gateway.getObject("Plate", derived_id)
        assert (derived.getName(), derived.getParent().getName()) == ("plate 1_labels", "found in runs")
        assert {image.getId() for image in fields_of(gateway, derived_id)} == {image.getId() for image in images}
        fields = {image.getId() for image in fields_of(gateway, plate_id)}
        sources = {int(image.getDescription().rpartition("(id: ")[2].rstrip(")")) for image in images}
        assert all(rois_on(gateway, image_id) > 1 for image_id in fields)
    assert len(images) == len(fields) == 4
    assert sources == fields


def rois_on(gateway: Any, image_id: int) -> int:
    """How many objects are drawn on an image."""
    return len(gateway.getRoiService().findByImage(image_id, None, gateway.SERVICE_OPTS).rois)


def fields_of(gateway: Any, plate_id: int) -> list[Any]:
    """The images of a plate."""
    plate = gateway.getObject("Plate", plate_id)
    return [sample.getImage() for well in plate.listChildren() for sample in well.listChildren()]


def test_omero_cli_zarr_is_the_selectable_other_exporter(deployment: Deployment, tmp_path: Path, image_id: int) -> None:
    deployment.configure("WORKER", exporter="omero-cli-zarr")
    formats = {"Use_ZARR_Format": True, "OME-Zarr_version": "0.5"}
    ended = run_directly(deployment, tmp_path, dialog(deployment.lab, image_id, **formats)).wait()
    assert ended.exit_status == 0, ended.message
    assert [item for item in results_of(deployment, only_run(deployment).run_id) if item["kind"] == "Image"]


def test_the_processor_runs_the_script_and_the_service_drives_the_run(lab: Lab, image_id: int) -> None:
    environ = {str(name): str(value) for name, value in lab.other["worker_environment"].items()}
    with logged_in(lab, USER) as gateway, open_record(environ) as record:
        outcome = start_script(gateway, dialog(lab, image_id)).wait()
        assert outcome.exit_status == 0, outcome.stderr
        assert outcome.job_status == "Finished"
        row = record.reader.list_runs(limit=1)[0]
        assert str(row.run_id) in outcome.message
        assert row.status == "DONE"


def test_what_a_person_types_reaches_the_analysis_unchanged_and_nothing_else(
    deployment: Deployment, tmp_path: Path, image_id: int
) -> None:
    typed = f"""x"; touch {tmp_path}/pwned; "$(touch {tmp_path}/pwned) `touch {tmp_path}/pwned` ' é\\"""
    tmp_path.chmod(0o777)
    script = run_directly(deployment, tmp_path, dialog(deployment.lab, image_id, **{"nuclei_|_note": typed}))
    ended = script.wait()
    assert ended.exit_status == 0, ended.stderr
    assert not (tmp_path / "pwned").exists()
    row = only_run(deployment)
    with deployment.record() as record:
        assert record.tracker.run(row.run_id).request["workflows"][0]["parameters"]["note"] == typed  # type: ignore[index]  # a run of ours has a request
    with logged_in(deployment.lab, USER) as gateway:
        assert typed in log_of(gateway, results_of(deployment, row.run_id))


def test_two_analyses_in_one_run_keep_their_results_apart(
    deployment: Deployment, tmp_path: Path, image_id: int
) -> None:
    lab = deployment.lab
    repository = f"file://{lab.nuclei_repo}/tree/{lab.nuclei_version}"
    deployment.configure("WORKFLOWS", again="nuclei", again_repo=repository, again_job_mem="1GB")
    deployment.command("refresh")
    chosen = {"again": True, "again_Version": lab.nuclei_version, "again_|_label_suffix": "_again"}
    script = run_directly(deployment, tmp_path, dialog(lab, image_id, **chosen))
    ended = script.wait()
    assert ended.exit_status == 0, ended.message
    row = only_run(deployment)
    assert len(set(jobs_of(deployment, row.run_id))) == 2
    with deployment.record() as record:
        steps = record.tracker.run(row.run_id).steps
        names = [
            [item["name"] for item in steps[f"import/{branch}"].data["objects"] if item["kind"] == "Image"]
            for branch in (0, 1)
        ]
    assert sorted(names) == [["corner_again.tif"], ["corner_labels.tif"]]


def test_an_image_folder_with_spaces_and_quotes(
    deployment: Deployment, cluster: Cluster, tmp_path: Path, image_id: int
) -> None:
    odd = """odd 'na"me $(touch pwned)"""
    lab = deployment.lab
    cluster.ssh("cp", "-r", "--", f"{lab.images_path}/nuclei", f"{lab.images_path}/{odd}").check_returncode()
    try:
        deployment.configure("WORKFLOWS", nuclei=odd)
        script = run_directly(deployment, tmp_path, dialog(lab, image_id))
        ended = script.wait()
        assert ended.exit_status == 0, ended.message
        assert [item for item in results_of(deployment, only_run(deployment).run_id) if item["kind"] == "Image"]
        assert b"pwned" not in cluster.ssh("ls", "-a").stdout
    finally:
        cluster.ssh("rm", "-rf", "--", f"{lab.images_path}/{odd}")


def log_of(gateway: Any, objects: list[dict[str, Any]]) -> str:
    """The job's log, as OMERO has it."""
    log = next(item for item in objects if item["name"].endswith(".log"))
    annotation = gateway.getObject("FileAnnotation", log["object_id"])
    return b"".join(annotation.getFileInChunks()).decode("utf-8")


def test_a_killed_script_costs_nothing_the_service_finishes_the_run(
    deployment: Deployment, tmp_path: Path, image_id: int
) -> None:
    script = run_directly(deployment, tmp_path, dialog(deployment.lab, image_id, **{"nuclei_|_debug_sleep": 4.0}))
    script.wait_until("is RUNNING")
    script.process.send_signal(signal.SIGKILL)
    script.close()
    row = only_run(deployment)
    assert row.status not in ("DONE", "FAILED")
    with deployment.engine():
        wait_for_end(deployment, row.run_id)
    assert only_run(deployment).status == "DONE"
    assert len(jobs_of(deployment, row.run_id)) == 1
    assert [item for item in results_of(deployment, row.run_id) if item["kind"] == "Image"]


def test_a_run_can_be_cancelled_and_its_job_leaves_the_cluster(
    deployment: Deployment, tmp_path: Path, image_id: int
) -> None:
    with deployment.engine():
        script = run_directly(deployment, tmp_path, dialog(deployment.lab, image_id, **{"nuclei_|_debug_sleep": 120.0}))
        script.wait_until("RUNNING")
        row = only_run(deployment)
        assert "will be cancelled" in deployment.command("runs", "cancel", str(row.run_id)).stdout
        ended = script.wait()
    assert ended.exit_status != 0
    assert "Cancelled by" in ended.message
    assert only_run(deployment).status == "FAILED"


def wait_for_end(deployment: Deployment, run_id: UUID, timeout_s: float = 90.0) -> str:
    deadline = time.monotonic() + timeout_s
    with deployment.record() as record:
        while time.monotonic() < deadline:
            row = record.reader.run(run_id)
            if row.status in ("DONE", "FAILED") or record.tracker.run(run_id).paused_reason:
                return str(row.status)
            time.sleep(0.3)
        raise AssertionError(f"run {run_id} is {row.status} after {timeout_s:.0f} s")
