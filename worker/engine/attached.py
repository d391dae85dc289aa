"""Following a run from the script that started it, and driving it where no engine service is alive."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from worker.engine.driver import drive
from worker.engine.lease import service_alive
from worker.errors import HistoryUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from worker.engine.context import Resources
    from worker.history.database import Database

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run has come out, for the person who started it."""

    run_id: UUID
    status: str
    """DONE, FAILED or PAUSED."""
    message: str
    objects: tuple[tuple[str, int, str], ...] = ()
    """Objects in OMERO that the run has created: kind, id, name."""


def follow(
    run_id: UUID,
    *,
    resources: Resources,
    database: Database,
    report: Callable[[str], None],
    tick_s: float = 1.0,
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

    Returns
    -------
    RunOutcome
        How it came out. A run that is paused is not followed any further.
    """
    said = ""

    def say(message: str) -> None:
        nonlocal said
        if message != said:
            said = message
            report(message)

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
            time.sleep(tick_s)


def _look(run_id: UUID, resources: Resources, database: Database, say: Callable[[str], None]) -> RunOutcome | None:
    """Look at the run once, and take its next steps if nobody else does."""
    run = resources.tracker.run(run_id)
    if run.status in ("COMPLETED", "FAILED") or (run.paused_reason and not run.cancel_requested_by):
        return _outcome(run_id, resources)
    if service_alive(database):
        say(progress_of(run_id, resources))
    else:
        resources.watcher.tick()
        drive(resources, run_id, report=say)
    return None


def progress_of(run_id: UUID, resources: Resources) -> str:
    """How far a run is, in one line, read from its record."""
    run = resources.tracker.run(run_id)
    lines = []
    for task_id in run.tasks:
        task = resources.tracker.task(task_id)
        if task.state != "STARTED":
            continue
        job = f" (Slurm job {task.job_ids[-1]})" if task.job_ids else ""
        progress = f" {task.progress}" if task.progress else ""
        lines.append(f"{task.task_name}{job}: {task.status}{progress}")
    waiting = [state.last_error for state in run.steps.values() if state.state == "intended" and state.last_error]
    return "; ".join([*lines, *waiting]) or "Waiting for the engine."


def _outcome(run_id: UUID, resources: Resources) -> RunOutcome:
    """Sum a run up that has come to an end or a pause."""
    run = resources.tracker.run(run_id)
    objects: list[tuple[str, int, str]] = []
    notes: list[str] = []
    for name, state in run.steps.items():
        if name.startswith("import/") and state.state == "done":
            objects.extend((item["kind"], item["object_id"], item["name"]) for item in state.data.get("objects", []))
            notes.extend(state.data.get("notes", []))
    if run.status == "COMPLETED":
        counts: dict[str, int] = {}
        for kind, _, _ in objects:
            counts[kind] = counts.get(kind, 0) + 1
        made = ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in sorted(counts.items()))
        message = " ".join([f"Done: {made or 'nothing to import'}.", *notes, f"(Run {run_id})"])
        return RunOutcome(run_id, "DONE", message, tuple(objects))
    if run.status == "FAILED":
        return RunOutcome(run_id, "FAILED", f"FAILED: {run.error_message} (Run {run_id})", tuple(objects))
    return RunOutcome(run_id, "PAUSED", f"PAUSED: {run.paused_reason} (Run {run_id})", tuple(objects))
