"""How long a person's Run takes to become a Slurm job: from the start of the script's process to sbatch's return.

Both ways run as processes of their own, each started as the Processor starts a script, with a session of the same
person, on the same images, against the same OMERO, sshd and Slurm. The clocks are all those of one machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import omero
import sqlalchemy as sa

from tests.bench.clock import started_at_s
from tests.lab.cluster import Cluster
from tests.lab.deployment import create_database
from tests.lab.description import CHECKOUT
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from tests.lab.description import Lab
    from worker.engine.assembly import Record
    from worker.history.reader import EventRow

TIMEOUT_S = 300.0
LOOK_EVERY_S = 0.5
JOB_SLEEPS_S = 600.0
"""The job is cancelled; it must only not take the processors away meanwhile."""


class BenchFailed(RuntimeError):
    """One of the two ways did not come to its end, so that there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One way, once gone."""

    seconds: float
    """From the start of the process to sbatch's return."""
    stages: Mapping[str, float]
    """When each stage was through, in seconds from the start of the process."""


@dataclass(frozen=True, slots=True)
class OurWay:
    """The worker, in a deployment of its own where no engine is alive, so that the script does everything itself."""

    deployment: Deployment
    record: Record

    @classmethod
    @contextmanager
    def deployed(cls, lab: Lab) -> Iterator[OurWay]:
        """Deploy the worker with an empty database, whose tables are up to date, as those of a running worker are."""
        with tempfile.TemporaryDirectory(prefix="omero-worker-bench-") as directory, fresh_database(lab) as url:
            deployment = Deployment.create(lab, Path(directory), url)
            with deployment.record() as record:
                yield cls(deployment, record)

    def go(self, user: str, dataset_id: int) -> Submission:
        """Press Run, wait for sbatch's return, cancel the run and remove what it leaves on the cluster.

        Parameters
        ----------
        user : str
            Who presses Run.
        dataset_id : int
            What on.

        Returns
        -------
        Submission
            What was measured.
        """
        lab = self.deployment.lab
        before = set(self._runs())
        directory = Path(tempfile.mkdtemp(prefix="script-", dir=self.deployment.directory))
        script = DirectScript(lab, user, dialog(lab, dataset_id), self.deployment.environ, directory)
        try:
            started_s = started_at_s(script.process.pid)
            run_id, events = self._wait_for_job(script, before)
            submitted_s = next(event.at for event in events if event.name == "JobIdAdded").timestamp()
            self.record.tracker.request_cancel(run_id, "bench")
            script.wait(TIMEOUT_S)
        finally:
            script.close()
            for run in set(self._runs()) - before:
                self._tidy(run)
        return Submission(submitted_s - started_s, stages_of(events, started_s))

    def _runs(self) -> list[UUID]:
        return [row.run_id for row in self.record.reader.list_runs()]

    def _wait_for_job(self, script: DirectScript, before: set[UUID]) -> tuple[UUID, list[EventRow]]:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            ended = script.process.poll() is not None
            for run_id in set(self._runs()) - before:
                events = self.record.reader.events(run_id)
                if any(event.name == "JobIdAdded" for event in events):
                    return run_id, events
            if ended:
                raise BenchFailed(f"the script ended before it submitted a job; it says: {script.message()}")
            # A look is three queries; more of them would be felt.
            time.sleep(LOOK_EVERY_S)
        raise BenchFailed(f"no job was submitted within {TIMEOUT_S:.0f} s; the script says: {script.message()}")

    def _tidy(self, run_id: UUID) -> None:
        run = self.record.tracker.run(run_id)
        jobs = [job for task_id in run.tasks for job in self.record.tracker.task(task_id).job_ids]
        clear(Cluster(self.deployment.lab), jobs, [f"{self.deployment.lab.data_path}/biomero_{run_id}"])


def dialog(lab: Lab, dataset_id: int) -> dict[str, object]:
    """What the person fills in."""
    return {
        "Data_Type": "Dataset",
        "IDs": [dataset_id],
        "E-mail": False,
        "Use_ZARR_Format": True,
        "OME-Zarr_version": "0.4",
        "Select how to import your results (one or more)": True,
        "1) Zip attachment to parent": False,
        "3a) Import into NEW Dataset": "labels",
        "nuclei": True,
        "nuclei_Version": lab.nuclei_version,
        "nuclei_|_debug_sleep": JOB_SLEEPS_S,
    }


def stages_of(events: list[EventRow], started_s: float) -> dict[str, float]:
    """When a run was recorded and each of its steps was through, in seconds from a point in time."""
    stages = {"recorded": events[0].at.timestamp() - started_s}
    for event in events:
        if event.name == "StepCompleted":
            stages[str(event.data["step"])] = event.at.timestamp() - started_s
        elif event.name == "JobIdAdded":
            stages["submitted"] = event.at.timestamp() - started_s
    return {name: round(seconds, 3) for name, seconds in stages.items()}


def reference_way(lab: Lab, user: str, dataset_id: int) -> Submission:
    """Go the reference way (`tests.bench.reference_way`) in a process of its own, and tidy up after it.

    Parameters
    ----------
    lab : Lab
        The lab.
    user : str
        Whose session it gets.
    dataset_id : int
        What to export.

    Returns
    -------
    Submission
        What was measured.
    """
    name = f"bench_{uuid.uuid4()}"
    job_ids: list[int] = []
    try:
        said = _go_reference_way(lab, user, dataset_id, name)
        job_ids.append(said["job_id"])
    finally:
        clear(Cluster(lab), job_ids, [f"{lab.data_path}/{name}", f"{lab.data_path}/{name}.zip"])
    started_s, times = said["started"], said["times"]
    stages = {stage: round(at_s - started_s, 3) for stage, at_s in times.items()}
    return Submission(times["submitted"] - started_s, stages)


def _go_reference_way(lab: Lab, user: str, dataset_id: int, name: str) -> dict[str, Any]:
    """Run the process; what it says, and when it was ``started``."""
    client = omero.client(lab.omero_host, lab.omero_port)
    client.createSession(user, lab.omero_users[user])
    with tempfile.TemporaryDirectory(prefix="omero-worker-bench-") as directory:
        config = Path(directory) / "ice.config"
        config.touch(mode=0o600)
        session = client.getSessionId()
        config.write_text(
            f"omero.user={session}\nomero.pass={session}\nomero.host={lab.omero_host}\nomero.port={lab.omero_port}\n",
            encoding="utf-8",
        )
        environ = {**os.environ, "ICE_CONFIG": str(config), "OMERO_WORKER_LAB": str(lab.base), "TMPDIR": directory}
        output, errors = Path(directory) / "out", Path(directory) / "err"
        try:
            with output.open("wb") as out, errors.open("wb") as err:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.bench.reference_way", str(dataset_id), name],
                    cwd=CHECKOUT,
                    env=environ,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                )
            started_s = started_at_s(process.pid)
            try:
                status = process.wait(TIMEOUT_S)
            finally:
                process.kill()
                process.wait()
        finally:
            client.closeSession()
        if status != 0:
            raise BenchFailed(f"the reference way ended with {status}: {errors.read_text(encoding='utf-8')}")
        said: dict[str, Any] = json.loads(output.read_text(encoding="utf-8").splitlines()[-1])
    return {**said, "started": started_s}


def clear(cluster: Cluster, job_ids: list[int], paths: list[str]) -> None:
    """Take jobs off the cluster, wait until they are gone, and remove files and folders."""
    for job_id in job_ids:
        cluster.run("scancel", str(job_id))
    for job_id in job_ids:
        cluster.wait(job_id, timeout_s=TIMEOUT_S)
    for path in paths:
        cluster.run("rm", "-rf", "--", path)


@contextmanager
def fresh_database(lab: Lab) -> Iterator[str]:
    """Create an empty database on the lab's PostgreSQL and drop it at the end; yields its URL."""
    if lab.postgres_url is None:
        raise BenchFailed("this lab has no PostgreSQL")
    name = f"bench_{uuid.uuid4().hex}"
    url = create_database(lab.postgres_url, name)
    try:
        yield url
    finally:
        engine = sa.create_engine(lab.postgres_url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        finally:
            engine.dispose()
