"""A person asks how far a job is, and keeps the log of one that has ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import omero.model
import pytest
from omero.rtypes import rstring, unwrap

from tests.lab import samples
from tests.lab.description import CHECKOUT
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in, start_script
from tests.system.direct import DirectScript, Ended
from worker.engine.assembly import open_record
from worker.history.jobs import JobRow, jobs_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

SCRIPT = "SLURM_Get_Update.py"
OLD = "SLURM Job Id (old)"
NAMESPACE = "openmicroscopy.org/omero/scripts/results/created/SLURM/SLURM_GET_UPDATE"


def jobs(lab: Lab, user: int) -> dict[int, JobRow]:
    """The jobs of a person, as the record has them."""
    with open_record(worker_environment(lab)) as record:
        return {job.job_id: job for job in jobs_of(record.database, user)}


def wait_for(lab: Lab, user: int, wanted: Callable[[JobRow], bool]) -> JobRow:
    """Wait until the record has such a job."""
    deadline = time.monotonic() + 60
    while True:
        for job in (known := jobs(lab, user)).values():
            if wanted(job):
                return job
        assert time.monotonic() < deadline, known
        time.sleep(0.3)


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


def test_a_person_sees_how_far_a_job_is_and_keeps_its_log_and_nobody_else_does(
    lab: Lab, cluster: Cluster, tmp_path: Path
) -> None:
    with logged_in(lab, "alice") as alice, logged_in(lab, "bob") as bob:
        image_id = import_image(alice, samples.nuclei_image()[:64, :64], "corner.tif")
        project_id = make_project(alice, "logs: of jobs")
        before = jobs(lab, alice.getUserId())
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
        job = wait_for(lab, alice.getUserId(), lambda job: job.job_id not in before and job.status == "RUNNING")
        assert job.active
        number = str(job.job_id)

        offered = dialog(alice)
        assert offered["SLURM Job Id"][0] == number
        assert number not in (offered["SLURM Job Id (old)"] or [])
        assert f"{project_id}: logs: of jobs" in offered["Project"]

        project = [f"{project_id}: logs: of jobs"]
        seen = start_script(alice, {"SLURM Job Id": number, "Project": project}, name=SCRIPT).wait()
        assert seen.exit_status == 0, seen.message
        assert f"Job {number} (nuclei {lab.nuclei_version}): RUNNING" in seen.message
        assert "On the cluster now: RUNNING" in seen.message
        assert "Its log ends with:" in seen.message

        assert number not in (dialog(bob)["SLURM Job Id"] or [])
        refused = directly(lab, "bob", {"SLURM Job Id": number, "Project": project}, tmp_path)
        assert refused.exit_status == 1
        assert f"There is no Slurm job {number} among your runs." in refused.message

        cluster.ssh("scancel", number).check_returncode()
        assert run.wait().exit_status == 1
        ended = wait_for(lab, alice.getUserId(), lambda each: each.job_id == job.job_id and not each.active)
        assert ended.status == "CANCELLED"
        assert number in dialog(alice)[OLD]
        wanted = {"Running Job": False, "Completed Job": True, OLD: number, "Project": project}
        for _ in range(2):  # once only, however often it is asked for
            kept = directly(lab, "alice", wanted, tmp_path)
            assert kept.exit_status == 0, kept.message
            (log,) = logs_of(alice, project_id)
            assert log.getFile().getName() == f"omero-{number}.log"
            assert b"".join(log.getFileInChunks())


def directly(lab: Lab, user: str, inputs: dict[str, object], directory: Path) -> Ended:
    """Run the script as the Processor does, without its looks at the dialog."""
    return DirectScript(lab, user, inputs, worker_environment(lab), directory, script=f"../_data/{SCRIPT}").wait()


def worker_environment(lab: Lab) -> dict[str, str]:
    return {str(name): str(value) for name, value in lab.other["worker_environment"].items()}


def test_a_database_that_keeps_silent_holds_the_dialog_up_for_a_moment_only(lab: Lab, tmp_path: Path) -> None:
    code = (
        "import time; from worker.dialogs.own_jobs import look_up_jobs; began = time.monotonic();"
        "offer = look_up_jobs(patience_s=2.0); print(time.monotonic() - began < 6, offer.projects != (), offer.problem)"
    )
    with logged_in(lab, "alice") as alice, socket.create_server(("127.0.0.1", 0)) as silent:
        make_project(alice, "seen")
        key = alice.c.getSessionId()
        config = tmp_path / "ice.config"
        where = f"omero.host={lab.omero_host}\nomero.port={lab.omero_port}"
        config.write_text(f"omero.scripts.parse=true\nomero.user={key}\nomero.pass={key}\n{where}\n")
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CHECKOUT),
            "HOME": str(tmp_path),
            "ICE_CONFIG": str(config),
            "SQLALCHEMY_URL": f"postgresql+psycopg2://u:p@127.0.0.1:{silent.getsockname()[1]}/d",
        }
        done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
        # The person's session is theirs: looking up must not have ended it.
        assert alice.keepAlive()
    problem = "the record of runs did not answer in time, so that less can be chosen from."
    assert done.stdout.splitlines()[-1] == f"True True {problem}"
