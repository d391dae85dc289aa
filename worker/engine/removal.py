"""Data of a run that are removed from the cluster after it has ended: recorded, so that nobody looks for them.

What ends a run (``tidy``, ``settle``, ``cancel``) says itself what it has removed. Whatever is removed later is one
more step, ``remove``. It is intended before it begins: a run whose data may be gone is not retried from the middle.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker.engine.view import Progress, view_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from worker.engine.view import RunView
    from worker.history.tracker import WorkflowTracker

REMOVE = "remove"
"""The step."""

AFTER_ALL = ("tidy", "settle", "cancel", REMOVE)
"""Steps that follow those of the branches."""


def why_removed(view: RunView) -> str | None:
    """Say that the data of a run are not on the cluster any more, and why.

    Parameters
    ----------
    view : RunView
        The run.

    Returns
    -------
    str or None
        A sentence; None if they have not been removed.
    """
    step = view.step(REMOVE)
    if step.progress is Progress.DONE:
        data = step.data
        return f"Its data on the cluster were removed at {data['at'][:16].replace('T', ' ')} UTC: {data['reason']}"
    if step.progress is not Progress.OPEN:
        return "Its data on the cluster are being removed."
    if any(view.step(name).data.get("removed") for name in AFTER_ALL):
        return "Its data on the cluster were removed when it ended."
    return None


def remove_data(
    tracker: WorkflowTracker, run_id: UUID, remove: Callable[[], object], *, place: str, reason: str, by: str
) -> None:
    """Remove the data of a run that has ended, and record it.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    run_id : UUID
        The run.
    remove : callable
        Removes the data; may be called again for data that are gone.
    place : str
        Where the data were.
    reason : str
        Why they are removed, as a sentence.
    by : str
        Who removes them.

    Raises
    ------
    HistoryConflict
        If the run goes on again.
    """
    if view_of(tracker.run(run_id)).step(REMOVE).progress is Progress.DONE:
        remove()
        return
    tracker.intend_removal(run_id, REMOVE, f"{run_id}/{REMOVE}")
    remove()
    at = datetime.now(UTC).isoformat()
    tracker.complete_step(run_id, REMOVE, {"removed": place, "at": at, "reason": reason, "by": by})
