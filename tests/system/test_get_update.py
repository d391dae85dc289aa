"""A person asks how far a job is, and keeps the log of one that has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import omero.model
import pytest
from omero.rtypes import rstring, unwrap

from tests.lab import samples
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in, start_script
from worker.engine.assembly import open_record
from worker.history.jobs import JobRow, jobs_of

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

SCRIPT = "SLURM_Get_Update.py"
OLD = "SLURM Job Id (old)"
NAMESPACE = "openmicroscopy.org/omero/scripts/results/created/SLURM/SLURM_GET_UPDATE"


def wait_for_job(lab: Lab, user: int, *, active: bool, status: str) -> JobRow:
    """Wait until the record says that of the person's newest job."""
    environ = {str(name): str(value) for name, value in lab.other["worker_environment"].items()}
    deadline = time.monotonic() + 60
    with open_record(environ) as record:
        while True:
            jobs = jobs_of(record.database, user, limit=1)
            if jobs and jobs[0].active is active and jobs[0].status == status:
                return jobs[0]
            assert time.monotonic() < deadline, jobs
            time.sleep(0.2)


def dialog(gateway: BlitzGateway) -> dict[str, Any]:
    """What OMERO says of the dialog, to this person: the values of its fields."""
    service = gateway.c.sf.getScriptService()
    script_id = next(script.id.val for script in service.getScripts() if script.name.val == SCRIPT)
    for _ in range(5):
        params = service.getParams(script_id)
        # On a machine that is busy, what takes too long is left out.
        if "did not answer in time" not in params.description:
            break
    return {name: unwrap(field.values) for name, field in params.inputs.items()}


def make_project(gateway: BlitzGateway, name: str) -> int:
    project = omero.model.ProjectI()
    project.setName(rstring(name))
    return int(gateway.getUpdateService().saveAndReturnObject(project).getId().getValue())


def logs_of(gateway: BlitzGateway, project_id: int) -> list[Any]:
    return list(gateway.getObject("Project", project_id).listAnnotations(ns=NAMESPACE))


def test_a_person_sees_how_far_a_job_is_and_keeps_its_log_and_nobody_else_does(lab: Lab, cluster: Cluster) -> None:
    with logged_in(lab, "alice") as alice, logged_in(lab, "bob") as bob:
        image_id = import_image(alice, samples.nuclei_image()[:64, :64], "corner.tif")
        project_id = make_project(alice, "logs: of jobs")
        run = start_script(
            alice,
            {
                "Data_Type": "Image",
                "IDs": [image_id],
                "E-mail": False,
                "Select how to import your results (one or more)": True,
                "1) Zip attachment to parent": False,
                "3a) Import into NEW Dataset": "found in runs",
                "4) Upload result CSVs as OMERO tables": True,
                "nuclei": True,
                "nuclei_Version": lab.nuclei_version,
                "nuclei_|_debug_sleep": 100.0,
            },
        )
        job = wait_for_job(lab, alice.getUserId(), active=True, status="RUNNING")
        number = str(job.job_id)

        offered = dialog(alice)
        assert offered["SLURM Job Id"][0] == number
        assert number not in (offered["SLURM Job Id (old)"] or [])
        assert offered["Project"][0] == f"{project_id}: logs: of jobs"

        project = [f"{project_id}: logs: of jobs"]
        seen = start_script(alice, {"SLURM Job Id": number, "Project": project}, name=SCRIPT).wait()
        assert seen.exit_status == 0, seen.message
        assert f"Job {number} (nuclei {lab.nuclei_version}): RUNNING" in seen.message
        assert "On the cluster now: RUNNING" in seen.message
        assert "Its log ends with:" in seen.message

        assert number not in (dialog(bob)["SLURM Job Id"] or [])
        refused = start_script(bob, {"SLURM Job Id": number, "Project": project}, name=SCRIPT).wait()
        assert (refused.exit_status, refused.job_status) == (1, "Error")
        assert f"There is no Slurm job {number} among your runs." in refused.message

        early = {"Running Job": False, "Completed Job": True, "Project": project}
        cluster.ssh("scancel", number).check_returncode()
        assert run.wait().exit_status == 1
        wait_for_job(lab, alice.getUserId(), active=False, status="CANCELLED")
        assert number in dialog(alice)[OLD]
        for _ in range(2):  # once only, however often it is asked for
            kept = start_script(alice, {**early, OLD: number}, name=SCRIPT).wait()
            assert kept.exit_status == 0, kept.message
            (log,) = logs_of(alice, project_id)
            assert log.getFile().getName() == f"omero-{number}.log"
            assert kept.outputs["File_Annotation"].getId().getValue() == log.getId()
            assert b"".join(log.getFileInChunks())
