"""A person brings the results of a job of theirs into OMERO once more, in another way; nobody else can."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from omero.rtypes import unwrap

from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in, start_script
from tests.system.results_bench import children, keys_of
from worker.engine.assembly import open_record
from worker.history.jobs import JobRow, jobs_of

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(240)]

SCRIPT = "SLURM_Get_Results.py"


def worker_environment(lab: Lab) -> dict[str, str]:
    return {str(name): str(value) for name, value in lab.other["worker_environment"].items()}


def newest_job(lab: Lab, user: int) -> JobRow:
    with open_record(worker_environment(lab)) as record:
        return jobs_of(record.database, user)[0]


def offered(gateway: BlitzGateway) -> list[str]:
    """The jobs that the dialog offers to this person."""
    service = gateway.c.sf.getScriptService()
    script_id = next(script.id.val for script in service.getScripts() if script.name.val == SCRIPT)
    for _ in range(5):
        params = service.getParams(script_id)
        # On a machine that is busy, what takes too long is left out.
        if "did not answer in time" not in params.description:
            break
    return unwrap(params.inputs["SLURM Job Id"].values) or []


def test_results_come_home_once_more_and_only_to_their_owner(lab: Lab, cluster: Cluster) -> None:
    name = f"again {uuid.uuid4()}"
    with logged_in(lab, "alice") as alice, logged_in(lab, "bob") as bob:
        image_id = import_image(alice, samples.nuclei_image()[:64, :64], "corner.tif")
        analysed = {
            "Data_Type": "Image",
            "IDs": [image_id],
            "E-mail": False,
            "Select how to import your results (one or more)": True,
            "1) Zip attachment to parent": True,
            "4) Upload result CSVs as OMERO tables": False,
            "Cleanup?": False,
            "nuclei": True,
            "nuclei_Version": lab.nuclei_version,
        }
        assert start_script(alice, analysed).wait(120).exit_status == 0
        job = newest_job(lab, alice.getUserId())
        assert lab.data_path is not None
        folder = lab.data_path / f"biomero_{job.run_id}"
        assert cluster.ssh("test", "-d", str(folder)).returncode == 0

        assert offered(alice)[0] == str(job.job_id)
        assert str(job.job_id) not in offered(bob)

        def get(gateway: BlitzGateway, **changes: Any) -> Any:
            inputs = {
                "Completed Job": True,
                "SLURM Job Id": str(job.job_id),
                "workflow_uuid": str(job.run_id),
                "Output - Attach as zip to project?": False,
                "Output - Attach as zip to dataset?": False,
                "Output - Attach as zip to plate?": False,
                "Output - Add as attachment to original images": False,
                "Output - Add as new images in NEW dataset": True,
                "New Dataset": name,
                "Allow duplicate?": False,
                "Rename imported files?": True,
                "Rename": "{original_file} again.{ext}",
                "Output - Add csv files as OMERO.table": False,
                "Cleanup?": False,
            }
            return start_script(gateway, inputs | changes, name=SCRIPT).wait(120)

        refused = get(bob)
        assert refused.exit_status == 1
        assert f"There is no Slurm job {job.job_id} among your runs" in refused.message

        first = get(alice)
        assert first.exit_status == 0, first.message + first.stderr
        (dataset,) = alice.getObjects("Dataset", attributes={"name": name})
        (image,) = children(alice, "Dataset", dataset.getId())
        assert image.getName() == "corner again.tif"
        assert f"Workflow {job.run_id}" in image.getDescription()
        before = keys_of(alice, job.run_id)
        # The second time nothing is made twice, and what is no longer needed goes.
        second = get(alice, **{"Cleanup?": True})
        assert second.exit_status == 0, second.message + second.stderr
        assert [each.getId() for each in children(alice, "Dataset", dataset.getId())] == [image.getId()]
        assert keys_of(alice, job.run_id) == before
        assert cluster.ssh("test", "-d", str(folder)).returncode == 1
        assert str(job.job_id) not in offered(alice)
