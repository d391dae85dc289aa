"""What the dialogs about results offer to the person who opens them: their own jobs, projects, datasets and plates.

They are offered those of their own jobs whose results may still be on the cluster. Where these cannot be looked up in
time, the fields are plain texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from worker.dialogs.looking import PATIENCE_S, look_up
from worker.dialogs.parameters import field_parameter
from worker.dialogs.result_fields import FILES_TO, JOB_ID, OWN, TABLES_TO, ZIP_TO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from worker.dialogs.fields import Dialog
    from worker.dialogs.looking import Kind
    from worker.history.database import Database
    from worker.history.jobs import JobRow
    from worker.history.requests import RequestRow

MOST_EXPLAINED = 20
"""Jobs that are explained in the text at the top of the dialog."""
MOST_IDS = 3
"""Ids of what was analysed that are named there."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a dialog offers to the person who opens it.

    Parameters
    ----------
    jobs : tuple of JobRow
        Their jobs whose results may be on the cluster, the newest first.
    asked : Mapping
        What their runs were asked for, and when, by run.
    places : Mapping
        Their projects, datasets and plates, as ``<id>: <name>``, by kind.
    problem : str
        Why it offers less than it could; empty if it does not.
    """

    jobs: tuple[JobRow, ...] = ()
    asked: Mapping[UUID, str] = field(default_factory=dict)
    places: Mapping[Kind, list[str]] = field(default_factory=dict)
    problem: str = ""


def look_up_results(*, patience_s: float = PATIENCE_S) -> Offer:
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

    def ask(database: Database, user: int) -> list[tuple[JobRow, str]]:
        from worker.history.jobs import jobs_of
        from worker.history.requests import requests_of

        runs = requests_of(database, user)
        asked = {run.run_id: what_was_asked(run) for run in runs}
        return [(job, asked.get(job.run_id, "")) for job in importable(jobs_of(database, user), runs)]

    found = look_up(ask, kinds=("Project", "Dataset", "Plate"), patience_s=patience_s)
    return Offer(
        tuple(job for job, _ in found.rows),
        {job.run_id: asked for job, asked in found.rows},
        dict(found.places),
        found.problem,
    )


def importable(jobs: Sequence[JobRow], runs: Sequence[RequestRow]) -> list[JobRow]:
    """Choose the jobs whose results may still be on the cluster, as far as the views know.

    Parameters
    ----------
    jobs : sequence of JobRow
        A person's jobs.
    runs : sequence of RequestRow
        Their runs.

    Returns
    -------
    list of JobRow
        The jobs of analyses that have completed, in runs that have failed all the same or were not to be cleaned up;
        unless a later import of theirs has cleaned up.
    """
    removed = {
        str((run.request.get("finished") or {}).get("run_id"))
        for run in runs
        if run.state == "COMPLETED" and run.request.get("kind") == "results" and run.request.get("cleanup", True)
    }
    kept = {
        run.run_id
        for run in runs
        if run.request.get("kind", "analysis") == "analysis"
        and str(run.run_id) not in removed
        and (run.state == "FAILED" or (run.state == "COMPLETED" and not run.request.get("cleanup", True)))
    }
    return [job for job in jobs if job.run_id in kept and job.status == "COMPLETED"]


def what_was_asked(run: RequestRow) -> str:
    """Say in a few words what a run was asked for, and when.

    Parameters
    ----------
    run : RequestRow
        The run.

    Returns
    -------
    str
        Such as ``Dataset 51, 2026-11-21 22:30``.
    """
    ids = [str(each) for each in run.request.get("ids", ())]
    kind = str(run.request.get("data_type", "")) + ("s" if len(ids) > 1 else "")
    listed = ", ".join(ids[:MOST_IDS]) + (" …" if len(ids) > MOST_IDS else "")
    return f"{kind} {listed}, {run.created_at:%Y-%m-%d %H:%M}"


def parameters(dialog: Dialog, offer: Offer) -> list[Any]:
    """Build the fields of a dialog.

    Parameters
    ----------
    dialog : Dialog
        `GET` or `IMPORT`.
    offer : Offer
        What there is to choose from.

    Returns
    -------
    list of omero.scripts.Type
        The fields.
    """
    values = {JOB_ID.name: tuple(dict.fromkeys(str(job.job_id) for job in offer.jobs))}
    for places in (ZIP_TO, TABLES_TO, FILES_TO):
        for kind, (_, chosen) in places.items():
            places_of_kind = offer.places.get(kind, ())
            # Without it OMERO.web would have chosen the newest, wherever the analysed images are.
            values[chosen.name] = (OWN, *places_of_kind) if places_of_kind else ()
    return [field_parameter(replace(each, values=values.get(each.name, each.values))) for each in dialog.fixed]


def describe(dialog: Dialog, offer: Offer) -> str:
    """Write the text at the top of a dialog.

    Parameters
    ----------
    dialog : Dialog
        `GET` or `IMPORT`.
    offer : Offer
        What there is to choose from.

    Returns
    -------
    str
        What it is for, and which jobs can be chosen.
    """
    lines = [dialog.purpose]
    if offer.problem:
        lines.append(f"Please note: {offer.problem}")
    elif not offer.jobs:
        lines.append(
            "None of your jobs has results on the cluster. They stay there when a run fails, and when it was started"
            " without 'Cleanup?'."
        )
    lines.extend(_in_words(job, offer.asked.get(job.run_id, "")) for job in offer.jobs[:MOST_EXPLAINED])
    if len(offer.jobs) > MOST_EXPLAINED:
        lines.append(f"And {len(offer.jobs) - MOST_EXPLAINED} earlier ones.")
    return "\n".join(lines)


def _in_words(job: JobRow, asked: str) -> str:
    what = " ".join(filter(None, (job.workflow, job.version)))
    return f"Job {job.job_id}: {what}{f' on {asked}' if asked else ''} (run {job.run_id})."
