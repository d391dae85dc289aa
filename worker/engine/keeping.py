"""How long the data of a run are kept on the cluster, and here: a pure function of the run and the settings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from worker.engine.view import view_of

if TYPE_CHECKING:
    from worker.cluster.storage import StoredFolder
    from worker.history.domain import WorkflowRun
    from worker.settings.models import WorkerKnobs


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long the data of a run are kept."""

    until: datetime | None
    """Until when; None: until somebody removes them, or the run ends."""
    why: str
    """Why so long, for a person."""


def keeping_of(run: WorkflowRun, folder: StoredFolder | None, knobs: WorkerKnobs) -> Keeping:
    """Say how long the data of a run are kept.

    Parameters
    ----------
    run : WorkflowRun
        The run that has made them.
    folder : StoredFolder or None
        Where they are on the cluster; None: here.
    knobs : WorkerKnobs
        What the admin has set.

    Returns
    -------
    Keeping
        Until when, and why.
    """
    if run.request is None:
        return Keeping(None, "another tool has made it")
    if not run.ended:
        return Keeping(None, "the run waits to be resumed" if run.paused_reason else "the run is at work")
    view = view_of(run)
    if folder is not None and not view.course.owns_folder:
        return Keeping(None, "it is an earlier run's")
    ended = since_of(run, folder)
    if run.status == "FAILED":
        days = knobs.keep_failed_days
        return Keeping(ended + timedelta(days=days), f"the run has failed, and can be retried for {_days(days)}")
    if view.course.after == "" and folder is not None:
        return Keeping(None, "a transfer, for later use")
    if view.cleanup or folder is None:
        return Keeping(ended, "left over: its results are in OMERO")
    if knobs.keep_results_days is None:
        return Keeping(None, "the person wished to keep it")
    days = knobs.keep_results_days
    return Keeping(ended + timedelta(days=days), f"the person wished to keep it, which is possible for {_days(days)}")


def since_of(run: WorkflowRun, folder: StoredFolder | None) -> datetime:
    """Say from when on the time of some data is counted: later work of other runs in a folder counts as well."""
    return max(run.modified_on, folder.changed) if folder is not None else run.modified_on


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"
