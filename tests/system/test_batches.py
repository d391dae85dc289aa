"""A selection in batches: each a run of its own, all results once, and a parent that says what became of them."""

from __future__ import annotations

import signal
import time
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.lab import samples
from tests.lab.omero.images import import_image, make_dataset, make_plate
from tests.lab.person import logged_in, start_script
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript
from tests.system.plate_bench import fields_of, plates_of
from worker.engine.accept import accept
from worker.engine.assembly import open_record
from worker.engine.batches import child_id
from worker.engine.children import children_of
from worker.engine.request import parse_request
from worker.pixels.session import who

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from omero.gateway import BlitzGateway

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab
    from worker.engine.assembly import Record
    from worker.history.domain import WorkflowRun

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

USER = "alice"
SCRIPT = "SLURM_Run_Workflow_Batched.py"


@pytest.fixture
def deployment(lab: Lab, tmp_path: Path, database_url: str) -> Deployment:
    return Deployment.create(lab, tmp_path, database_url)


@pytest.fixture
def into() -> str:
    """Name of the dataset for the results; no other test has it."""
    return f"in batches {uuid.uuid4()}"


def images_of(lab: Lab, dataset_id: int | None = None, *, channels: tuple[int, ...]) -> list[int]:
    """Small images with so many channels each."""
    corner = samples.nuclei_image()[:64, :64]
    with logged_in(lab, USER) as gateway:
        return [
            import_image(gateway, np.stack([corner] * count)[np.newaxis, :, np.newaxis], f"corner {n}.tif", dataset_id)
            for n, count in enumerate(channels, 1)
        ]


def dialog(lab: Lab, data_type: str, ids: list[int], into: str, **changes: object) -> dict[str, object]:
    """What a person fills in."""
    inputs: dict[str, object] = {
        "Data_Type": data_type,
        "IDs": ids,
        "Batch_Size": 2,
        "E-mail": False,
        "3a) Import into NEW Dataset": into,
        "4) Upload result CSVs as OMERO tables": True,
        "nuclei": True,
        "nuclei_Version": lab.nuclei_version,
    }
    return inputs | changes


def start(deployment: Deployment, record: Record, ids: list[int], into: str, **parameters: float) -> UUID:
    """Record a run in batches of one image, as the script does."""
    with logged_in(deployment.lab, USER) as gateway:
        person = who(gateway)
    return accept(
        record.tracker,
        parse_request(
            {
                "data_type": "Image",
                "ids": ids,
                "workflows": [
                    {"name": "nuclei", "version": deployment.lab.nuclei_version, "parameters": parameters},
                ],
                "output": {"new_dataset": into, "zip_to_parent": False},
                "batch": {"size": 1, "parallel": 2},
                "user_id": person.user_id,
                "user_name": person.user_name,
                "group_id": person.group_id,
                "group_name": person.group_name,
            }
        ),
        record.settings,
    )


def images_in(gateway: BlitzGateway, dataset_id: int) -> list[Any]:
    """The images of a dataset, each once: rows are repeated for each annotation."""
    children = gateway.getObject("Dataset", dataset_id).listChildren()
    return list({image.getId(): image for image in children}.values())


def results_in(lab: Lab, name: str) -> tuple[int, list[int]]:
    """The only dataset of that name, and of which images there are results in it."""
    with logged_in(lab, USER) as gateway:
        found = {dataset.getId() for dataset in gateway.getObjects("Dataset", attributes={"name": name})}
        assert len(found) == 1
        dataset_id = int(found.pop())
        images = images_in(gateway, dataset_id)
        return dataset_id, sorted(int(image.getDescription().rpartition("(id: ")[2].rstrip(")")) for image in images)


def batches_in(lab: Lab, dataset_id: int) -> list[dict[str, str]]:
    """What the images of a dataset say of the batch that they are of."""
    with logged_in(lab, USER) as gateway:
        return [
            dict(annotation.getValue())
            for image in images_in(gateway, dataset_id)
            for annotation in image.listAnnotations(ns="biomero/workflow/batch")
        ]


def jobs_of(record: Record, run_id: UUID) -> list[int]:
    return [job for task_id in record.tracker.run(run_id).tasks for job in record.tracker.task(task_id).job_ids]


def started(record: Record, run_id: UUID) -> list[WorkflowRun]:
    """The batches of a run that are recorded; one may be about to be started."""
    return list(children_of(record.tracker, record.tracker.run(run_id)).values())


def wait_until(condition: Callable[[], object], timeout_s: float = 90.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def ended(record: Record, run_id: UUID) -> bool:
    return record.tracker.run(run_id).ended


def test_one_batch_that_fails_costs_the_others_nothing_and_is_reported(lab: Lab, into: str) -> None:
    environ = {str(name): str(value) for name, value in lab.other["worker_environment"].items()}
    with logged_in(lab, USER) as gateway:
        dataset_id = make_dataset(gateway, "to be split")
    # Of images with several channels, the analysis is told to look at the third; one has two.
    image_ids = images_of(lab, dataset_id, channels=(1, 1, 1, 2, 1, 1))
    inputs = dialog(lab, "Dataset", [dataset_id], into, **{"nuclei_|_channel": 2, "1) Zip attachment to parent": True})
    with logged_in(lab, USER) as gateway, open_record(environ) as record:
        outcome = start_script(gateway, inputs, name=SCRIPT).wait()
        assert (outcome.exit_status, outcome.job_status) == (1, "Error")
        assert outcome.message.startswith("PARTIAL: 2 of 3 batches are in OMERO, 1 failed: batch 2: nuclei failed")
        assert {"File_Annotation_0", "File_Annotation_1", "File_Annotation_2"} <= set(outcome.outputs)
        run_id = uuid.UUID(outcome.message.rpartition("(Run ")[2].rstrip(")"))
        tasks = [record.tracker.task(task_id) for task_id in record.tracker.run(run_id).tasks]
        children = [child_id(run_id, number) for number in (1, 2, 3)]
        assert [len(jobs_of(record, child)) for child in children] == [1, 1, 1]
    assert [(task.task_name, task.state) for task in tasks] == [
        ("SLURM_Run_Workflow.py", "COMPLETED"),
        ("SLURM_Run_Workflow.py", "FAILED"),
        ("SLURM_Run_Workflow.py", "COMPLETED"),
    ]
    results, sources = results_in(lab, into)
    assert sources == [image_ids[index] for index in (0, 1, 4, 5)]
    assert sorted((each["Batch_Index"], each["Input_Image_IDs"]) for each in batches_in(lab, results)) == [
        ("1", f"{image_ids[0]}, {image_ids[1]}"),
        ("1", f"{image_ids[0]}, {image_ids[1]}"),
        ("3", f"{image_ids[4]}, {image_ids[5]}"),
        ("3", f"{image_ids[4]}, {image_ids[5]}"),
    ]
    assert {each["Batch_Supervisor_Workflow_ID"] for each in batches_in(lab, results)} == {str(run_id)}


def test_a_script_drives_its_run_and_its_batches_into_one_plate_where_no_engine_is_alive(
    deployment: Deployment, tmp_path: Path, into: str
) -> None:
    corner = samples.nuclei_image()[:64, :64]
    with logged_in(deployment.lab, USER) as gateway:
        plate_id = make_plate(gateway, into, 1, 1, 2, lambda *_: corner)
        analysed = fields_of(gateway, plate_id)
    where = tmp_path / "script"
    where.mkdir()
    inputs = dialog(deployment.lab, "Image", [analysed[0, 0, 1], analysed[0, 0, 0]], into, Batch_Size=1)
    inputs["3a) Import into NEW Screen"] = into
    script = DirectScript(deployment.lab, USER, inputs, deployment.environ, where, script=SCRIPT)
    done = script.wait()
    assert done.exit_status == 0, done.stderr
    assert done.message.startswith("Done of 2 batches: ")
    assert "1 plate" in done.message
    assert "Batch 2 of 2: Slurm job " in done.stdout
    with logged_in(deployment.lab, USER) as gateway:
        (screen,) = gateway.getObjects("Screen", attributes={"name": into})
        (derived,) = plates_of(gateway, screen.getId()).values()
        made = {place: gateway.getObject("Image", each) for place, each in fields_of(gateway, derived).items()}
        assert made.keys() == analysed.keys()
        for place, image in made.items():
            assert image.getDescription().endswith(f"(id: {analysed[place]})")


def test_an_engine_that_is_killed_while_batches_are_at_work_doubles_nothing(deployment: Deployment, into: str) -> None:
    image_ids = images_of(deployment.lab, channels=(1, 1))
    with deployment.record() as record:
        run_id = start(deployment, record, image_ids, into, debug_sleep=2.0)
        children = [child_id(run_id, number) for number in (1, 2)]
        with deployment.engine() as engine:
            wait_until(lambda: "child/2" in record.tracker.run(run_id).steps)
            engine.send_signal(signal.SIGKILL)
            engine.wait()
        with deployment.engine() as engine:
            wait_until(lambda: any("import/0" in child.steps for child in started(record, run_id)))
            engine.send_signal(signal.SIGKILL)
            engine.wait()
        with deployment.engine():
            wait_until(lambda: ended(record, run_id))
        run = record.tracker.run(run_id)
        assert (run.status, run.error_message) == ("COMPLETED", "")
        assert [len(jobs_of(record, child)) for child in children] == [1, 1]
        assert {row.run_id for row in record.reader.list_runs()} == {run_id, *children}
        assert len(run.tasks) == 2
    assert results_in(deployment.lab, into)[1] == image_ids


def test_cancelling_a_run_takes_all_of_its_batches_off_the_cluster(
    deployment: Deployment, cluster: Cluster, into: str
) -> None:
    image_ids = images_of(deployment.lab, channels=(1, 1, 1))
    with deployment.record() as record, deployment.engine():
        run_id = start(deployment, record, image_ids, into, debug_sleep=120.0)
        children = [child_id(run_id, number) for number in (1, 2)]
        wait_until(lambda: len(started(record, run_id)) == 2)
        wait_until(lambda: all(jobs_of(record, child) for child in children))
        jobs = [job for child in children for job in jobs_of(record, child)]
        assert "will be cancelled" in deployment.command("runs", "cancel", str(run_id)).stdout
        wait_until(lambda: ended(record, run_id))
        assert "Cancelled by" in record.tracker.run(run_id).error_message
        assert all("Cancelled by" in record.tracker.run(child).error_message for child in children)
        # The third was never started, and never will be.
        assert {row.run_id for row in record.reader.list_runs()} == {run_id, *children}
    assert {cluster.wait(job).state for job in jobs} == {"CANCELLED"}


def test_a_selection_that_cannot_be_read_starts_no_batch(deployment: Deployment, into: str) -> None:
    with deployment.record() as record, deployment.engine():
        run_id = start(deployment, record, [2**40], into)
        wait_until(lambda: ended(record, run_id))
        assert str(2**40) in record.tracker.run(run_id).error_message
        assert len(record.reader.list_runs()) == 1
