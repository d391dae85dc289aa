"""What the dialogs about results offer to the person who opens them: their own jobs, projects, datasets and plates.

They are offered those of their own jobs whose results may still be on the cluster. Where these cannot be looked up in
time, the fields are plain texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from worker.dialogs.looking import PATIENCE_S, look_up
from worker.dialogs.parameters import field_parameter
from worker.dialogs.result_fields import FILES_TO, JOB_ID, TABLES_TO, ZIP_TO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.dialogs.fields import Dialog
    from worker.dialogs.looking import Kind
    from worker.history.database import Database
    from worker.history.jobs import JobRow
    from worker.history.requests import RequestRow

MOST_EXPLAINED = 20
"""Jobs that are explained in the text at the top of the dialog."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a dialog offers to the person who opens it.

    Parameters
    ----------
    jobs : tuple of JobRow
        Their jobs whose results may be on the cluster, the newest first.
    places : Mapping
        Their projects, datasets and plates, as ``<id>: <name>``, by kind.
    problem : str
        Why it offers less than it could; empty if it does not.
    """

    jobs: tuple[JobRow, ...] = ()
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

    def ask(database: Database, user: int) -> list[JobRow]:
        from worker.history.jobs import jobs_of
        from worker.history.requests import requests_of

        return importable(jobs_of(database, user), requests_of(database, user))

    found = look_up(ask, kinds=("Project", "Dataset", "Plate"), patience_s=patience_s)
    return Offer(tuple(found.rows), dict(found.places), found.problem)


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
        The jobs of analyses that have completed, in runs that have failed all the same or were not to be cleaned up.
    """
    kept = {
        run.run_id
        for run in runs
        if run.request.get("kind", "analysis") == "analysis"
        and (run.state == "FAILED" or (run.state == "COMPLETED" and not run.request.get("cleanup", True)))
    }
    return [job for job in jobs if job.run_id in kept and job.status == "COMPLETED"]


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
            values[chosen.name] = tuple(offer.places.get(kind, ()))
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
    lines.extend(
        f"Job {job.job_id} ({job.workflow} {job.version or ''}), run {job.run_id}."
        for job in offer.jobs[:MOST_EXPLAINED]
    )
    return "\n".join(lines)
