"""What a person can do about a run: retry, resume and cancel it. Each may be repeated, and says what it has done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.engine import batches
from worker.engine.children import children_of
from worker.engine.removal import AFTER_ALL, why_removed
from worker.engine.reopening import reopening
from worker.engine.view import view_of
from worker.errors import RequestError
from worker.history.domain import BY_HAND, Resubmission

if TYPE_CHECKING:
    from uuid import UUID

    from worker.history.domain import WorkflowRun
    from worker.history.tracker import WorkflowTracker


def retry(tracker: WorkflowTracker, run_id: UUID, *, by: str, start: str | None = None) -> str:
    """Let a run that has failed, was cancelled or is paused go on, and take some of its steps anew.

    Jobs that are submitted again get memory and time as the settings say now.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    run_id : UUID
        The run.
    by : str
        Who wants it.
    start : str, optional
        The step to begin with, such as ``submit``, ``import/1`` or ``export``; by default, those that failed.

    Returns
    -------
    str
        What is going to be done.

    Raises
    ------
    RequestError
        If the run is not in a state to be retried, or not from that step.
    """
    run = tracker.run(run_id)
    _check(run, start)
    if run.request and run.request.get("batch"):
        return _retry_batches(tracker, run, by=by, start=start)
    parent = (run.request or {}).get("parent")
    if parent and run.ended:
        raise RequestError(
            f"Run {run_id} is a batch of run {parent['run_id']}.",
            remedy=f"Retry that one; it takes up its batches that failed: omero-worker runs retry {parent['run_id']}",
        )
    removed = why_removed(view_of(run))
    first = _retry_one(tracker, run, by=by, start=start)
    return f"Run {run_id} goes on from {first}." + (f" {removed} So all of it is done anew." if removed else "")


def _check(run: WorkflowRun, start: str | None) -> None:
    """Refuse runs that cannot be retried."""
    if run.request is None:
        raise RequestError(f"Run {run.id} was not recorded by this worker, which can only show it.")
    if run.status == "COMPLETED":
        raise RequestError(
            f"Run {run.id} has completed: its results are in OMERO, and nothing is left on the cluster to retry.",
            remedy="Start a new run.",
        )
    if not run.ended and run.cancel_requested_by is not None:
        raise RequestError(f"Run {run.id} is just being cancelled.", remedy="Retry it once it has ended.")
    if not run.ended and run.paused_reason is None:
        raise RequestError(
            f"Run {run.id} is still going; a step that fails for a passing reason is retried by itself.",
            remedy=f"See how far it is: omero-worker runs show {run.id}",
        )
    if not run.ended and start is None:
        raise RequestError(
            f"Run {run.id} is paused: {run.paused_reason}",
            remedy=f"Let it go on where it stopped: omero-worker runs resume {run.id} - or name a step with --from.",
        )


def _retry_one(tracker: WorkflowTracker, run: WorkflowRun, *, by: str, start: str | None) -> str:
    """Reopen a run that is not split; return the step that it begins with."""
    again = reopening(view_of(run), run.tasks, start)
    plans = {}
    tasks = list(again.tasks)
    for task_id in again.jobs:
        task = tracker.task(task_id)
        # A key that was never used is as good as new.
        if task.submission_key is None and task.job_id is None:
            tasks.append(task_id)
        else:
            plans[task_id] = Resubmission(task.attempt + 1, BY_HAND)
    first = again.steps[0]
    tracker.reopen_steps(
        run.id,
        again.steps,
        reason=f"Retried from {first} by {by}.",
        by=by,
        tasks=tasks,
        resubmissions=plans,
    )
    tracker.resume_run(run.id)
    return first


def _retry_batches(tracker: WorkflowTracker, run: WorkflowRun, *, by: str, start: str | None) -> str:
    """Reopen a run that is split, with its batches that failed."""
    if start is not None:
        raise RequestError(
            f"The selection of run {run.id} is split into batches, each with steps of its own.",
            remedy="Leave --from out: the batches that failed are taken up where they failed.",
        )
    view = view_of(run)
    steps = batches.failed_steps(view)
    numbers = [batches.number_of(step) for step in steps if step.startswith("child/")]
    # A batch that could not be started has no run of its own yet.
    for number, child in children_of(tracker, run).items():
        if number in numbers and child.status == "FAILED":
            _retry_one(tracker, child, by=by, start=None)
    tracker.reopen_steps(
        run.id,
        [*(step for step in steps if step not in AFTER_ALL), *AFTER_ALL],
        reason=f"Retried by {by}.",
        by=by,
        tasks=[run.tasks[number - 1] for number in numbers if number <= len(run.tasks)],
    )
    tracker.resume_run(run.id)
    what = f"{len(numbers)} of its {len(batches.batches_of(view))} batches are" if numbers else "its selection is"
    return f"Run {run.id} goes on: {what} taken up again."


def resume(tracker: WorkflowTracker, run_id: UUID) -> str:
    """Let a paused run go on where it stopped.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    run_id : UUID
        The run.

    Returns
    -------
    str
        What is going to be done.

    Raises
    ------
    RequestError
        If it has ended.
    """
    run = tracker.run(run_id)
    if run.status == "FAILED":
        raise RequestError(
            f"Run {run_id} is not paused: it has failed.", remedy=f"Retry it: omero-worker runs retry {run_id}"
        )
    if run.status == "COMPLETED":
        raise RequestError(f"Run {run_id} is not paused: it has completed.")
    if run.paused_reason is None:
        return f"Run {run_id} is not paused; it goes on by itself."
    tracker.resume_run(run_id)
    return f"Run {run_id} goes on where it stopped."


def cancel(tracker: WorkflowTracker, run_id: UUID, *, by: str) -> str:
    """Ask for a run to be cancelled.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    run_id : UUID
        The run.
    by : str
        Who wants it.

    Returns
    -------
    str
        What is going to be done, or was done before.

    Raises
    ------
    RequestError
        If it has ended otherwise.
    """
    run = tracker.run(run_id)
    if run.ended:
        if run.cancel_requested_by is not None and run.status == "FAILED":
            return f"Run {run_id} was cancelled before. {run.error_message}"
        how = "completed" if run.status == "COMPLETED" else "failed"
        raise RequestError(f"Run {run_id} has {how} already; there is nothing to cancel.")
    if run.cancel_requested_by is not None:
        return f"Run {run_id} is being cancelled already, as {run.cancel_requested_by} asked."
    tracker.request_cancel(run_id, by)
    return f"Run {run_id} will be cancelled: its jobs are taken off the cluster, and then its data."
