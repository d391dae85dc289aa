"""Following a run from the script that started it, and driving it where no engine service is alive."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from worker.engine.batches import PARTIAL, batches_of, done_well, failures, starts_another
from worker.engine.beat import service_alive
from worker.engine.children import children_at_work, children_of, results_of
from worker.engine.circuits import what_does_not_answer
from worker.engine.driver import drive
from worker.engine.importplan import waiting_of
from worker.engine.view import view_of
from worker.errors import HistoryUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from worker.engine.context import Resources
    from worker.engine.view import RunView
    from worker.history.database import Database
    from worker.history.domain import WorkflowRun

log = structlog.get_logger(__name__)

Created = tuple[str, int, str]
"""An object in OMERO: kind, id, name."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run has come out, for the person who started it."""

    run_id: UUID
    status: str
    """DONE, FAILED or PAUSED; GOING_ON if it was not followed to its end."""
    message: str
    objects: tuple[Created, ...] = ()
    """Objects in OMERO that the run has created: kind, id, name."""
    batches: tuple[tuple[Created, ...], ...] = ()
    """Those of each batch, where the run was split into batches."""


def follow(
    run_id: UUID,
    *,
    resources: Resources,
    database: Database,
    report: Callable[[str], None],
    tick_s: float = 1.0,
    timeout_s: float | None = None,
) -> RunOutcome:
    """Follow a run to its end, telling a person how far it is.

    Parameters
    ----------
    run_id : UUID
        The run.
    resources : Resources
        What is needed to drive the run from here.
    database : Database
        The record; tells whether an engine service is alive.
    report : callable
        Is told, in words, what is being done, whenever that changes.
    tick_s : float
        How often to look, in seconds.
    timeout_s : float, optional
        How long to follow it at most, in seconds; by default to its end.

    Returns
    -------
    RunOutcome
        How it came out. A run that is paused is not followed any further.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    said: dict[str, str] = {}

    def say(message: str, about: str = "") -> None:
        if message != said.get(about):
            said[about] = message
            report(f"{about}: {message}" if about else message)

    with resources.leases.heartbeat():
        while True:
            try:
                outcome = _look(run_id, resources, database, say)
            except HistoryUnavailable as error:
                # The run goes on, or will: only our view of it is gone for a while.
                say(f"The run's record cannot be read at the moment; looking again. {error}")
                outcome = None
            if outcome is not None:
                return outcome
            if deadline is not None and time.monotonic() > deadline:
                return RunOutcome(run_id, "GOING_ON", f"Run {run_id} goes on.")
            time.sleep(tick_s)


def _look(run_id: UUID, resources: Resources, database: Database, say: Callable[..., None]) -> RunOutcome | None:
    """Look at the run once, and take its next steps and those of its batches if nobody else does."""
    run = resources.tracker.run(run_id)
    if run.ended or (run.paused_reason and not run.cancel_requested_by):
        return _outcome(run, resources)
    alive = service_alive(database)
    if alive:
        say("; ".join([progress_of(run_id, resources), *what_does_not_answer(database)]))
    else:
        for cluster in resources.clusters.opened():
            cluster.watcher.tick()
        drive(resources, run_id, report=say)
    view = view_of(resources.tracker.run(run_id))
    children = _children(run_id, view, resources)
    for name, child in children.items():
        if not alive and not child.ended:
            drive(resources, child.id, report=partial(say, about=name))
    paused = {name: child.paused_reason for name, child in children.items() if child.paused_reason and not child.ended}
    if paused and len(paused) == len(children) and not starts_another(view) and not run.cancel_requested_by:
        reasons = " ".join(f"{name}: {reason}" for name, reason in paused.items())
        return replace(_outcome(run, resources), message=f"PAUSED: {reasons} (Run {run_id})")
    return None


def _children(run_id: UUID, view: RunView, resources: Resources) -> dict[str, WorkflowRun]:
    """The batches of a run that are at work, by name; none for a run that is not split."""
    total = len(batches_of(view))
    at_work = children_at_work(resources.tracker, run_id, view)
    return {f"Batch {number} of {total}": child for number, child in at_work.items()}


def progress_of(run_id: UUID, resources: Resources) -> str:
    """How far a run is, in one line, read from its record."""
    run = resources.tracker.run(run_id)
    view = view_of(run)
    if view.is_parent and batches_of(view):
        ended = len(done_well(view)) + len(failures(view))
        lines = [f"{ended} of {len(batches_of(view))} batches have ended"]
        for name, child in _children(run_id, view, resources).items():
            lines.append(f"{name}: {child.paused_reason or progress_of(child.id, resources)}")
        return "; ".join(lines)
    lines = []
    for task_id in run.tasks:
        task = resources.tracker.task(task_id)
        if task.state != "STARTED":
            continue
        job = f" (Slurm job {task.job_ids[-1]})" if task.job_ids else ""
        progress = f" {task.progress}" if task.progress else ""
        orders = waiting_of(task)
        lines.append(f"{task.task_name}{job}: {task.status}{progress}{f' ({orders})' if orders else ''}")
    waiting = [state.last_error for state in run.steps.values() if state.state == "intended" and state.last_error]
    return "; ".join([*lines, *waiting]) or "Waiting for the engine."


def _outcome(run: WorkflowRun, resources: Resources) -> RunOutcome:
    """Sum a run up that has come to an end or a pause."""
    total = len(batches_of(view_of(run)))
    children = children_of(resources.tracker, run)
    found, notes = results_of(run, children.values())
    objects = _created(found)
    batches = tuple(
        _created(results_of(children[number])[0]) if number in children else () for number in range(1, total + 1)
    )
    if run.status == "COMPLETED":
        made = in_words(objects)
        of = f" of {len(batches)} batches" if batches else ""
        imports = "import" in view_of(run).course.branch
        what = f": {made or 'nothing to import'}" if imports else ""
        message = " ".join([f"Done{of}{what}.", *notes, f"(Run {run.id})"])
        return RunOutcome(run.id, "DONE", message, objects, batches)
    if run.status == "FAILED":
        # "PARTIAL: ..." says for itself that it is no success.
        failed = "" if run.error_message.startswith(PARTIAL) else "FAILED: "
        return RunOutcome(run.id, "FAILED", f"{failed}{run.error_message} (Run {run.id})", objects, batches)
    return RunOutcome(run.id, "PAUSED", f"PAUSED: {run.paused_reason} (Run {run.id})", objects, batches)


_WORDS: Mapping[str, tuple[str, str]] = {
    "Screen": ("{} screen", "{} screens"),
    "Plate": ("{} plate", "{} plates"),
    "Dataset": ("{} dataset", "{} datasets"),
    "Image": ("{} image", "{} images"),
    # One is reported for each label image, whatever the number of its objects.
    "Roi": ("the ROIs of {} label image", "the ROIs of {} label images"),
    "FileAnnotation": ("{} file", "{} files"),
}


def in_words(objects: Sequence[Created]) -> str:
    """Count what a run has brought into OMERO, in the words of persons.

    Parameters
    ----------
    objects : Sequence of Created
        The objects.

    Returns
    -------
    str
        Such as ``1 dataset, 2 images, 6 files``; empty if there is nothing.
    """
    counts = Counter(kind for kind, _, _ in objects)
    known = [(words, counts.pop(kind)) for kind, words in _WORDS.items() if kind in counts]
    known += [((f"{{}} {kind}", f"{{}} {kind}"), count) for kind, count in sorted(counts.items())]
    return ", ".join((one if count == 1 else several).format(f"{count:,}") for (one, several), count in known)


def _created(objects: list[dict[str, Any]]) -> tuple[Created, ...]:
    return tuple((item["kind"], item["object_id"], item["name"]) for item in objects)
