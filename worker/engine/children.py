"""The runs that a parent's batches have become, read from the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.engine.batches import at_work, child_id, started
from worker.engine.view import notes_of, produced, view_of
from worker.errors import RunNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from worker.engine.view import RunView
    from worker.history.domain import WorkflowRun
    from worker.history.tracker import WorkflowTracker


def children_of(tracker: WorkflowTracker, run: WorkflowRun) -> dict[int, WorkflowRun]:
    """Read the runs of all batches that have been started.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    run : WorkflowRun
        The parent; a run that is not split has none.

    Returns
    -------
    dict of int to WorkflowRun
        The children, by the numbers of their batches.
    """
    return _read(tracker, run.id, started(view_of(run)))


def children_at_work(tracker: WorkflowTracker, run_id: UUID, view: RunView) -> dict[int, WorkflowRun]:
    """Read the runs of those batches that were not seen to have ended.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    run_id : UUID
        The parent.
    view : RunView
        Its picture.

    Returns
    -------
    dict of int to WorkflowRun
        The children, by the numbers of their batches.
    """
    return _read(tracker, run_id, at_work(view))


def results_of(run: WorkflowRun, children: Iterable[WorkflowRun] = ()) -> tuple[list[dict[str, Any]], list[str]]:
    """What a run and its children have brought into OMERO, and what a person should know about it.

    Parameters
    ----------
    run : WorkflowRun
        The run.
    children : iterable of WorkflowRun
        The runs of its batches.

    Returns
    -------
    objects : list of dict
        ``kind``, ``object_id`` and ``name`` of each object, each once.
    notes : list of str
        The notes, each once.
    """
    objects: dict[tuple[str, int], dict[str, Any]] = {}
    notes: dict[str, None] = {}
    for view in map(view_of, (run, *children)):
        objects.update({(item["kind"], item["object_id"]): item for item in produced(view)})
        notes.update(dict.fromkeys(notes_of(view)))
    return list(objects.values()), list(notes)


def _read(tracker: WorkflowTracker, parent_id: UUID, numbers: Iterable[int]) -> dict[int, WorkflowRun]:
    found: dict[int, WorkflowRun] = {}
    for number in numbers:
        try:
            found[number] = tracker.run(child_id(parent_id, number))
        except RunNotFound:
            continue  # about to be started
    return found
