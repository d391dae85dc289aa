"""What "Slurm Get Update" does: say how far a job of one's own is, or attach its log to a project."""

from __future__ import annotations

import hashlib
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

from omero.constants.namespaces import NSCREATED
from omero.rtypes import robject

from worker.cluster import slurm
from worker.dialogs import own_jobs
from worker.dialogs.giving import give_objects
from worker.engine.assembly import open_record, open_transport
from worker.engine.attached import RunOutcome
from worker.engine.children import results_of
from worker.engine.circuits import what_does_not_answer
from worker.engine.places import cluster_of, layout_of
from worker.errors import CommandFailed, NotPermitted, RequestError, RunNotFound, TransportError
from worker.history.jobs import jobs_of
from worker.pixels import session
from worker.pixels.attachments import read_attachment
from worker.results.attachments import Attachment, attach
from worker.results.ledger import Key, Ledger
from worker.results.surroundings import read_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omero.gateway import BlitzGateway

    from worker.cluster.layout import RunLayout
    from worker.cluster.transport import Transport
    from worker.dialogs.launch import Teller
    from worker.engine.assembly import Record
    from worker.history.domain import WorkflowRun
    from worker.history.jobs import JobRow

NS_UPDATE = NSCREATED + "/SLURM/SLURM_GET_UPDATE"
"""Namespace of the logs that are attached."""

LOG_LINES = 20
"""Lines of a job's log that are shown."""


def update(teller: Teller, gateway: BlitzGateway) -> None:
    """Do what was filled in.

    Parameters
    ----------
    teller : Teller
        Gives the person the answer.
    gateway : omero.gateway.BlitzGateway
        The script's own connection.

    Raises
    ------
    RequestError
        What was filled in cannot be done.
    RunNotFound
        The job is not one of this person's.
    WorkerError
        OMERO, the record or the cluster does not do it.
    """
    with session.translated("read the inputs of the script"):
        inputs: dict[str, Any] = gateway.c.getInputs(unwrap=True)
    user = session.who(gateway).user_id
    running, completed = bool(inputs.get(own_jobs.RUNNING, True)), bool(inputs.get(own_jobs.COMPLETED, False))
    if not running and not completed:
        raise RequestError(
            "Nothing is chosen.", remedy=f"Tick '{own_jobs.RUNNING}' or '{own_jobs.COMPLETED}', and choose a job."
        )
    # A person who only ticks the second leaves the first, which is ticked when the dialog opens, without a job.
    running = running and not (completed and not inputs.get(own_jobs.RUNNING_ID))
    with open_record() as record:
        shown = _own_job(record, user, inputs, own_jobs.RUNNING_ID) if running else None
        ended = _own_job(record, user, inputs, own_jobs.COMPLETED_ID) if completed else None
        projects = _project_ids(inputs) if ended else []
        said = _state(record, shown) if shown else []
        if ended:
            said.append(_attach_log(record, teller, gateway, ended, projects))
        teller.say("\n".join(said))
        if shown and not shown.active:
            run = record.tracker.run(shown.run_id)
            objects = tuple((item["kind"], item["object_id"], item["name"]) for item in results_of(run)[0])
            give_objects(teller, gateway, RunOutcome(run.id, run.status, "", objects))


def _own_job(record: Record, user: int, inputs: Mapping[str, Any], field: str) -> JobRow:
    """Find the job that was named, among the person's own."""
    text = str(inputs.get(field) or "").strip()
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise RequestError(
            f"'{field}' is {text!r}, which is not the number of a job." if text else f"'{field}' is empty.",
            remedy="Choose one of your jobs, or give its number, which the message of its run names.",
        )
    jobs = jobs_of(record.database, user, job_id=int(text))
    if not jobs:
        # The same for a job of somebody else: whose it is is nobody's business.
        raise RunNotFound(
            f"There is no Slurm job {text} among your runs.", remedy="Only jobs of your own runs can be looked at."
        )
    return jobs[0]


def _state(record: Record, job: JobRow) -> list[str]:
    """Say how far a job is: from the record, and from the cluster as long as the job goes on."""
    run = record.tracker.run(job.run_id)
    row = record.reader.run(job.run_id)
    lines = [own_jobs.in_words(job), f"Run {job.run_id}: {row.status}, {row.progress}."]
    if row.message:
        lines.append(row.message)
    if not job.active:
        return lines
    lines.extend(what_does_not_answer(record.database))
    try:
        with closing(_transport(record, run)) as transport:
            lines.extend(
                _live(transport, layout_of(run, record.settings), record.tracker.task(job.task_id).submission_key, job)
            )
    except TransportError as error:
        lines.append(f"This is what was recorded last, as the cluster does not answer now: {error}")
    return lines


def _live(transport: Transport, layout: RunLayout, key: str | None, job: JobRow) -> list[str]:
    """Ask the cluster itself."""
    keys = {job.job_id: key} if key else {}
    report = slurm.query(
        transport, [job.job_id], {job.job_id: layout.exit_file(job.job_id)}, keys=keys, ask_accounting=False
    )[job.job_id]
    why = f" ({report.reason})" if report.reason and report.reason != "None" else ""
    progress = f", {report.progress}" if report.progress else ""
    lines = [f"On the cluster now: {report.state.value}{why}{progress}."]
    try:
        tail = slurm.read_log(transport, layout, job.job_id, tail_lines=LOG_LINES).decode("utf-8", "replace").strip()
    except CommandFailed:
        tail = ""
    lines.append(f"Its log ends with:\n{tail}" if tail else "It has not written to its log yet.")
    return lines


def _attach_log(record: Record, teller: Teller, gateway: BlitzGateway, job: JobRow, projects: list[int]) -> str:
    """Attach the log of a job that has ended to projects, once to each."""
    if job.active:
        raise RequestError(
            f"Slurm job {job.job_id} has not ended.", remedy=f"See how far it is with '{own_jobs.RUNNING}'."
        )
    log = _read_log(record, gateway, job)
    name = f"omero-{job.job_id}.log"
    attachment = Attachment(name, lambda: [log], f"Log of job {job.job_id}", NS_UPDATE)
    said = []
    before = gateway.SERVICE_OPTS.getOmeroGroup()
    try:
        for project_id in projects:
            with session.translated(f"attach the log to project {project_id}"):
                gateway.SERVICE_OPTS.setOmeroGroup(str(_group_of(gateway, project_id)))
                place = read_place(gateway, "Project", project_id)
                if not place.may_annotate:
                    raise NotPermitted(
                        f"You may not attach anything to {place}.", remedy="Choose a project of your own."
                    )
                key = Key(
                    str(job.task_id), f"Project:{project_id}", f"update:{job.job_id}", hashlib.sha256(log).hexdigest()
                )
                annotation_id = attach(Ledger.open(gateway, str(job.run_id)), key, attachment, [place])
                # Loaded, so that OMERO.web knows the file's name and type.
                annotation = gateway.getObject("FileAnnotation", annotation_id)
            said.append(f"The log of job {job.job_id} is attached to {place} as {name} ({len(log)} bytes).")
            teller.give("File_Annotation", robject(annotation._obj))  # noqa: SLF001 - the wrapped object
    finally:
        gateway.SERVICE_OPTS.setOmeroGroup(before)
    return "\n".join(said)


def _group_of(gateway: BlitzGateway, project_id: int) -> int:
    """Find the group of a project that may be in any of the person's groups."""
    gateway.SERVICE_OPTS.setOmeroGroup("-1")
    project = gateway.getObject("Project", project_id)
    if project is None:
        raise RequestError(f"There is no project {project_id} that you can see.", remedy="Choose one of yours.")
    group: int = project.getDetails().getGroup().getId()
    return group


def _read_log(record: Record, gateway: BlitzGateway, job: JobRow) -> bytes:
    """Read the log of a job that has ended: what the run has brought into OMERO, else what is on the cluster."""
    run = record.tracker.run(job.run_id)
    for item in results_of(run)[0]:
        if item["kind"] == "FileAnnotation" and item["name"] == f"omero-{job.job_id}.log":
            try:
                return b"".join(read_attachment(gateway, item["object_id"]).chunks)
            except RequestError:
                break  # somebody has deleted it
    try:
        with closing(_transport(record, run)) as transport:
            return slurm.read_log(transport, layout_of(run, record.settings), job.job_id)
    except CommandFailed as error:
        raise RequestError(
            f"Job {job.job_id} has left no log, or it was removed from the cluster with the data of its run.",
            remedy=f"Run {job.run_id} says what became of it.",
        ) from error


def _transport(record: Record, run: WorkflowRun) -> Transport:
    """The way to the cluster of a run."""
    return open_transport(record.settings.cluster(cluster_of(run)).ssh)


def _project_ids(inputs: Mapping[str, Any]) -> list[int]:
    """Read the projects; the dialog offers them as ``<id>: <name>``."""
    given = inputs.get(own_jobs.PROJECT) or ()
    ids = []
    for text in [given] if isinstance(given, str) else given:
        number = str(text).partition(":")[0].strip()
        if not re.fullmatch(r"[0-9]{1,18}", number):
            raise RequestError(f"'{own_jobs.PROJECT}' holds {text!r}.", remedy="Give the id of a project, such as 51.")
        ids.append(int(number))
    if not ids:
        raise RequestError(
            f"'{own_jobs.PROJECT}' is empty.", remedy="Choose the project to which the log is to be attached."
        )
    return list(dict.fromkeys(ids))
