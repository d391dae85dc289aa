"""What is there when all runs have ended: asked of Slurm, OMERO, the cluster's disk and the record, each by itself.

Three words sum it up. *Lost*: something that should be there is not. *Doubled*: something is there more than once.
*False*: somebody is told what is not so.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import omero.sys
import sqlalchemy as sa
from omero.rtypes import unwrap

from tests.lab.cluster import Cluster
from tests.lab.person import logged_in
from tests.unit.history.viewing import all_views
from worker.history import tables
from worker.history.projection import Projection
from worker.pixels.session import call_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from omero.gateway import BlitzGateway

    from tests.soak.stage import Stage
    from worker.engine.assembly import Record
    from worker.history.database import Database
    from worker.history.domain import WorkflowRun

QUIET_S = 30.0
"""How long leases, jobs and accounting may take to come to rest after the last run has ended."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_IMAGES = """
select i.id, i.description from Image i join i.datasetLinks link where link.parent.id = :dataset
"""

_PROVENANCE = """
select a.id, pair.value from MapAnnotation a join a.mapValue pair
where a.ns = 'biomero/workflow' and pair.name = 'Workflow_ID'
"""

_REGISTERED = """
select i.id, u.clientPath from Fileset fs join fs.usedFiles u join fs.images i
where fs.details.owner.id = :user and u.clientPath like :inside
"""

_ROIS = "select r.name from Roi r where r.image.id = :image"
_LOGS = """
select a.id, file.name from FileAnnotation a join a.file file where file.name like 'omero-%.log'
"""


@dataclass(slots=True)
class Verdict:
    """What was found, in sentences; empty lists are what everybody hopes for."""

    runs: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether there is nothing to say."""
        return not (self.lost or self.doubled or self.false)

    @property
    def line(self) -> str:
        """Everything in one line."""
        return f"soak: runs {self.runs}, lost {len(self.lost)}, doubled {len(self.doubled)}, false {len(self.false)}"

    def expect_once(self, what: str, expected: Iterable[str], found: Counter[str]) -> None:
        """Note what is not there, there more than once, or there for nobody."""
        expected = set(expected)
        for name in sorted(expected - set(found)):
            self.lost.append(f"{what}: none for {name}")
        for name, count in sorted(found.items()):
            if name not in expected:
                self.doubled.append(f"{what}: {count} for {name}, which nobody asked for")
            elif count > 1:
                self.doubled.append(f"{what}: {count} for {name}")


def judge(stage: Stage, record: Record, run_ids: Sequence[UUID], since: datetime) -> Verdict:
    """Ask everybody what is there.

    Parameters
    ----------
    stage : Stage
        What the runs worked with.
    record : Record
        The record of the runs.
    run_ids : sequence of UUID
        All runs that were accepted.
    since : datetime
        When the first was accepted.

    Returns
    -------
    Verdict
        What was found.
    """
    verdict = Verdict(len(run_ids))
    runs = {run_id: record.tracker.run(run_id) for run_id in run_ids}
    for run_id, run in runs.items():
        if run.status == "FAILED":
            verdict.false.append(f"run {run_id} is said to have failed: {run.error_message}")
        elif run.status != "COMPLETED":
            verdict.lost.append(f"run {run_id} is {run.status}: {run.paused_reason or 'it has not ended'}")
    _judge_cluster(verdict, stage, record, runs, since)
    _judge_omero(verdict, stage, record, runs)
    _judge_record(verdict, record.database)
    return verdict


def _judge_cluster(
    verdict: Verdict, stage: Stage, record: Record, runs: dict[UUID, WorkflowRun], since: datetime
) -> None:
    cluster = Cluster(stage.lab)
    ours = {str(run_id) for run_id in runs}
    keys = {}
    for run in runs.values():
        task = record.tracker.task(run.tasks[1])
        keys[task.submission_key or str(task.id)] = task.job_ids
    # Accounting lags behind; what it does not know after a while it will never know.
    until_none(lambda: [*(set(keys) - set(jobs_by_key(cluster, since)))])
    jobs = jobs_by_key(cluster, since)
    verdict.expect_once("Slurm jobs of a submission", keys, _counts(jobs, keys))
    for key, job_ids in keys.items():
        if len(jobs.get(key, [])) == 1 and list(job_ids) != jobs[key]:
            verdict.false.append(f"the record says job {job_ids} for {key}, Slurm {jobs[key]}")
    left = until_none(lambda: queue(cluster))
    verdict.doubled += [f"still in the queue: {line}" for line in left]
    folders = cluster.run("ls", "-1", "--", str(stage.lab.data_path)).split()
    verdict.doubled += [
        f"folder left on the cluster: {name}" for name in folders if name.removeprefix("biomero_") in ours
    ]
    staging = stage.deployment.directory / "state" / "runs"
    if staging.exists():
        verdict.doubled += [
            f"folder left beside the engine: {path}" for path in staging.iterdir() if any(path.rglob("*"))
        ]


def _counts(jobs: Mapping[str, list[int]], keys: Iterable[str]) -> Counter[str]:
    return Counter({key: len(jobs[key]) for key in keys if key in jobs})


def jobs_by_key(cluster: Cluster, since: datetime) -> dict[str, list[int]]:
    """Ask accounting for all jobs since a time, by the key at the end of their name."""
    start = since.astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    user = str(cluster.lab.ssh_user)
    rows = cluster.run("sacct", "-n", "-P", "-X", "-D", "-u", user, "-S", start, "-o", "JobID,JobName").splitlines()
    jobs: dict[str, list[int]] = {}
    for job_id, _, name in (row.partition("|") for row in rows):
        key = _UUID.search(name)
        if key:
            # Tasks of an array have its number before their own.
            jobs.setdefault(name[key.start() :], []).append(int(job_id.partition("_")[0]))
    return jobs


def queue(cluster: Cluster) -> list[str]:
    """What of ours waits or runs."""
    return cluster.run("squeue", "-h", "-u", str(cluster.lab.ssh_user), "-o", "%i %T %j").splitlines()


def _judge_omero(verdict: Verdict, stage: Stage, record: Record, runs: dict[UUID, WorkflowRun]) -> None:
    # By id: people of one group see each other's.
    images: dict[int, str] = {}
    provenance: dict[int, str] = {}
    logs: dict[int, str] = {}
    for person in stage.people:
        with logged_in(stage.lab, person.name) as gateway:
            for image_id, description in result_images(gateway, person.dataset_id).items():
                images[image_id] = run_named_in(description)
            provenance.update(described_runs(gateway))
            logs.update(job_logs(gateway))
    ended_well = {str(run_id) for run_id, run in runs.items() if run.status == "COMPLETED"}
    verdict.expect_once("result images", ended_well, Counter(images.values()))
    # Other runs than ours may have left some.
    verdict.expect_once("descriptions of a run", ended_well, _only(provenance, ended_well))
    names = {
        f"omero-{job_id}.log"
        for run in runs.values()
        if run.status == "COMPLETED"
        for job_id in record.tracker.task(run.tasks[1]).job_ids
    }
    verdict.expect_once("logs of a job", names, _only(logs, names))


def _only(found: Mapping[int, str], names: set[str]) -> Counter[str]:
    return Counter(name for name in found.values() if name in names)


def run_named_in(description: str | None) -> str:
    """Which run the description of an image names."""
    found = _UUID.search(description or "")
    return found[0] if found else "no run"


def result_images(gateway: BlitzGateway, dataset_id: int) -> dict[int, str]:
    """Descriptions of the images of a dataset, by their id."""
    return dict(_rows(gateway, _IMAGES, dataset_id))


def described_runs(gateway: BlitzGateway) -> dict[int, str]:
    """Runs whose description somebody can see, by the id of the annotation."""
    return dict(_rows(gateway, _PROVENANCE))


def roi_names(gateway: BlitzGateway, image_id: int) -> list[str]:
    """Names of the ROIs of an image."""
    parameters = omero.sys.ParametersI()
    parameters.addLong("image", image_id)
    rows = gateway.c.sf.getQueryService().projection(_ROIS, parameters, call_context(gateway))
    return [name for (name,) in unwrap(rows)]


def registered_paths(gateway: BlitzGateway, user_id: int) -> tuple[str, ...]:
    """Where files came from that an importer has made images of for somebody, a path for each image."""
    parameters = omero.sys.ParametersI()
    parameters.addLong("user", user_id)
    parameters.addString("inside", "%.analyzed/%")
    rows = gateway.c.sf.getQueryService().projection(_REGISTERED, parameters, call_context(gateway))
    return tuple(path for _, path in unwrap(rows))


def job_logs(gateway: BlitzGateway) -> dict[int, str]:
    """Names of logs of jobs that somebody can see, by the id of the annotation."""
    return dict(_rows(gateway, _LOGS))


def _rows(gateway: BlitzGateway, query: str, dataset_id: int | None = None) -> list[tuple[int, str]]:
    parameters = omero.sys.ParametersI()
    if dataset_id is not None:
        parameters.addLong("dataset", dataset_id)
    rows: list[tuple[int, str]] = unwrap(
        gateway.c.sf.getQueryService().projection(query, parameters, call_context(gateway))
    )
    return rows


def _judge_record(verdict: Verdict, database: Database) -> None:
    for run_id in until_none(lambda: leases(database)):
        verdict.doubled.append(f"the lease of run {run_id} was not given back")
    verdict.false += differing_views(database)


def differing_views(database: Database) -> list[str]:
    """Views that are not what the events give, each in a sentence; the views are built anew by this."""
    before = all_views(database)
    Projection(database).rebuild()
    after = all_views(database)
    sentences = []
    for name, rows in before.items():
        if rows != after[name]:
            differing = [row for row in rows if row not in after[name]]
            differing += [row for row in after[name] if row not in rows]
            sentences.append(f"{name} is not what the events give; {len(differing)} rows, such as {differing[0]}")
    return sentences


def leases(database: Database) -> list[str]:
    """Runs that some engine holds."""
    table = tables.lease
    with database.reading() as session:
        held = session.execute(sa.select(table.c.run_id).where(table.c.expires_at > database.now(session)))
        return [str(run_id) for run_id in held.scalars()]


def until_none(look: Callable[[], list[str]]) -> list[str]:
    """Wait for a list to become empty; what is still in it after a while."""
    deadline = time.monotonic() + QUIET_S
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left
