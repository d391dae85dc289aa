"""The dialog "Slurm Get Update": which jobs and projects it offers, and its fields.

A person is offered their own jobs, from the record of runs, and their own projects, from OMERO. That takes a connection
to each, which may be slow or fail; the dialog must neither wait nor fail. So they are looked up beside the building of
the dialog, for a short while, and only where a dialog is opened. Without an answer, the fields are plain texts.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import Ice
import omero
from omero.rtypes import rstring
from omero.scripts import Bool, List, String

from worker.errors import WorkerError

if TYPE_CHECKING:
    from worker.history.jobs import JobRow

TITLE = "Slurm Get Update"
RUNNING, RUNNING_ID = "Running Job", "SLURM Job Id"
COMPLETED, COMPLETED_ID = "Completed Job", "SLURM Job Id (old)"
PROJECT = "Project"

PURPOSE = (
    "See how far a job of yours is, with the end of its log; or attach the log of one that has ended to a project."
)

PATIENCE_S = 3.0
"""How long the opening of a dialog waits for jobs and projects."""

MOST_PROJECTS = 500
JUST_ENDED = 20
"""Jobs that have ended which are offered among those that go on."""
MOST_EXPLAINED = 20
"""Running jobs that are explained in the text at the top of the dialog."""

_PROJECTS = "select p.id, p.name from Project p where p.details.owner.id = :id order by p.id desc"


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


@dataclass(slots=True)
class _Found:
    """What has been found so far, by a thread that may never come back."""

    jobs: tuple[JobRow, ...] = ()
    projects: tuple[str, ...] = ()
    missing: list[str] = field(default_factory=lambda: ["OMERO", "the record of runs"])


def look_up(*, patience_s: float = PATIENCE_S) -> Offer:
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
    client = _opening(patience_s)
    if client is None:
        return Offer()
    found = _Found()
    # It cannot be interrupted while it waits for a name server or a silent network; so it is left behind.
    thread = threading.Thread(target=_look_up, args=(client, found), name="look-up", daemon=True)
    thread.start()
    thread.join(patience_s)
    missing = list(found.missing)
    problem = f"{' and '.join(missing)} did not answer in time, so that less can be chosen from." if missing else ""
    return Offer(found.jobs, found.projects, problem)


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


def _opening(patience_s: float) -> Any:
    """Prepare the session of whoever opens the dialog; None where there is none, as the script runs or is only read."""
    if Ice.createProperties([]).getProperty("omero.scripts.parse") in ("", "only"):
        return None
    timeout_ms = int(patience_s * 1000)
    return omero.client(
        [f"--Ice.Override.ConnectTimeout={timeout_ms}", f"--Ice.Default.InvocationTimeout={timeout_ms}"]
    )


def _look_up(client: Any, found: _Found) -> None:
    """Find everything, one after the other; whatever goes wrong, the rest stays missing."""
    try:
        user = _ask_omero(client, found)
        found.missing.remove("OMERO")
        found.jobs = _ask_record(user)
        found.missing.remove("the record of runs")
    except Exception as error:  # noqa: BLE001 - whatever it is, the dialog opens
        # The texts of foreign exceptions may hold session keys.
        known = isinstance(error, WorkerError)
        print(f"Jobs and projects cannot be looked up: {error if known else type(error).__name__}", flush=True)


def _ask_omero(client: Any, found: _Found) -> int:
    """Find the person and their projects in all of their groups."""
    import omero.sys

    try:
        session = client.createSession()
        # It is the person's, not ours.
        session.detachOnDestroy()
        user: int = session.getAdminService().getEventContext().userId
        query = omero.sys.ParametersI()
        query.addId(user)
        query.page(0, MOST_PROJECTS)
        rows = session.getQueryService().projection(_PROJECTS, query, {"omero.group": "-1"})
        found.projects = tuple(f"{project_id.val}: {name.val}" for project_id, name in rows)
        return user
    finally:
        client.__del__()


def _ask_record(user: int) -> tuple[JobRow, ...]:
    """Find the jobs of a person."""
    # Only here: a dialog that is merely read, and a script that runs, look nothing up and need none of this.
    from worker.history.database import Database
    from worker.history.jobs import jobs_of
    from worker.settings.environment import read_environment
    from worker.settings.loader import load_settings

    environment = read_environment()
    url = environment.sqlalchemy_url or load_settings(environment.config_file).analytics.sqlalchemy_url
    file = environment.state_dir / "history.sqlite"
    if url is None and not file.exists():
        return ()
    with Database(url.get_secret_value() if url else None, sqlite_path=file) as database:
        return tuple(jobs_of(database, user))
