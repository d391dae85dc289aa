"""The dialog "Slurm Get Update": which jobs and projects it offers, and its fields.

A person is offered their own jobs, from the record of runs, and their own projects, from OMERO. Where these cannot be
looked up in time, the fields are plain texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omero.rtypes import rstring
from omero.scripts import Bool, List, String

from worker.dialogs.looking import PATIENCE_S, look_up

if TYPE_CHECKING:
    from worker.history.database import Database
    from worker.history.jobs import JobRow

TITLE = "Slurm Get Update"
RUNNING, RUNNING_ID = "Running Job", "SLURM Job Id"
COMPLETED, COMPLETED_ID = "Completed Job", "SLURM Job Id (old)"
PROJECT = "Project"

PURPOSE = (
    "See how far a job of yours is, with the end of its log; or attach the log of one that has ended to a project."
)

JUST_ENDED = 20
"""Jobs that have ended which are offered among those that go on."""
MOST_EXPLAINED = 20
"""Running jobs that are explained in the text at the top of the dialog."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the dialog offers to the person who opens it.

    Parameters
    ----------
    jobs : tuple of JobRow
        Their jobs, the newest first.
    projects : tuple of str
        Their projects, as ``<id>: <name>``, the newest first.
    problem : str
        Why it offers less than it could; empty if it does not.
    """

    jobs: tuple[JobRow, ...] = ()
    projects: tuple[str, ...] = ()
    problem: str = ""


def look_up_jobs(*, patience_s: float = PATIENCE_S) -> Offer:
    """Find out what to offer to whoever opens the dialog; this never fails.

    Parameters
    ----------
    patience_s : float
        How long to wait, in seconds.

    Returns
    -------
    Offer
        What was found in time; nothing where no dialog is opened.
    """

    def ask(database: Database, user: int) -> list[JobRow]:
        from worker.history.jobs import jobs_of

        return jobs_of(database, user)

    found = look_up(ask, patience_s=patience_s)
    return Offer(tuple(found.rows), tuple(found.places.get("Project", ())), found.problem)


def parameters(offer: Offer) -> list[Any]:
    """Build the fields of the dialog.

    Parameters
    ----------
    offer : Offer
        What there is to choose from.

    Returns
    -------
    list of omero.scripts.Type
        The fields.
    """
    every = list(dict.fromkeys(str(job.job_id) for job in offer.jobs))
    active = list(dict.fromkeys(str(job.job_id) for job in offer.jobs if job.active))
    ended = [job_id for job_id in every if job_id not in active]
    projects = {"values": [rstring(project) for project in offer.projects]} if offer.projects else {}
    return [
        Bool(RUNNING, optional=True, grouping="01", default=True, description="Say how far a job is."),
        # OMERO takes only what is among the values when Run is pressed; a job may well have ended by then.
        _job(RUNNING_ID, "01.1", "The job; those that go on come first.", [*active, *ended[:JUST_ENDED]]),
        Bool(COMPLETED, optional=True, grouping="02", default=False, description="Attach the log of an ended job."),
        _job(COMPLETED_ID, "02.1", "The job that has ended.", ended),
        List(
            PROJECT,
            # A person without projects could not ask how far a job is, either.
            optional=not offer.projects,
            grouping="02.5",
            description="Project that the log of an ended job is attached to.",
            **projects,
        ).ofType(rstring("")),
    ]


def describe(offer: Offer) -> str:
    """Write the text at the top of the dialog.

    Parameters
    ----------
    offer : Offer
        What there is to choose from.

    Returns
    -------
    str
        What it is for, and how far the jobs are that go on.
    """
    lines = [PURPOSE]
    if offer.problem:
        lines.append(f"Please note: {offer.problem}")
    lines.extend(in_words(job) for job in offer.jobs[:MOST_EXPLAINED] if job.active)
    return "\n".join(lines)


def in_words(job: JobRow) -> str:
    """Say in a line what a job is, and how far.

    Parameters
    ----------
    job : JobRow
        The job.

    Returns
    -------
    str
        Such as ``Job 71 (cellpose v1.0): RUNNING, 43%.``
    """
    what = f"{job.workflow} {job.version}" if job.version else job.workflow
    progress = f", {job.progress}" if job.progress else ""
    return f"Job {job.job_id} ({what}): {job.status or 'not seen on the cluster yet'}{progress}."


def _job(name: str, grouping: str, description: str, job_ids: list[str]) -> Any:
    values = {"values": job_ids} if job_ids else {}
    return String(name, optional=True, grouping=grouping, description=description, **values)
