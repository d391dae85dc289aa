"""Step ``cancel``: take the run's jobs off the cluster, and then its data, which nobody wants any more."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from worker.cluster import folders, slurm
from worker.engine import staging
from worker.engine.context import Done, NotYet, Outcome
from worker.engine.view import Progress
from worker.engine.watcher import ACCOUNTING_LAG_S

if TYPE_CHECKING:
    from worker.engine.context import StepContext

log = structlog.get_logger(__name__)

LOOK_AGAIN_S = 2.0
"""How often to look whether cancelled jobs are gone."""

PATIENCE_S = 120.0
"""How long to wait for them; what Slurm cannot kill in that time is not waited for."""


def cancel(context: StepContext) -> Outcome:
    """Cancel every job of the run, those included whose submission was intended but never confirmed.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With the ``job_ids`` that were cancelled, the remote directory that was ``removed`` (None if it was kept), and
        those jobs that were still ``left`` then.
    NotYet
        While jobs are on their way out.
    """
    transport, tracker = context.transport, context.tracker
    context.guard(cancelling=True)
    keys = _jobs(context)
    left, late = _left(context, keys)
    if left:
        context.report(f"Cancelling Slurm job {', '.join(map(str, left))}.")
        slurm.cancel(transport, left)
    for task_id in context.run.tasks:
        task = tracker.task(task_id)
        if task.state in ("CREATED", "STARTED"):
            tracker.update_task_status(task_id, "CANCELLED")
            tracker.fail_task(task_id, f"Cancelled by {context.view.cancelled_by}.")
    if left:
        left, late = _left(context, keys)
    since = context.resources.cancelling_since.setdefault(context.run_id, time.monotonic())
    if late and time.monotonic() - since < ACCOUNTING_LAG_S:
        return NotYet(datetime.now(UTC) + timedelta(seconds=LOOK_AGAIN_S))
    if left and time.monotonic() - since < PATIENCE_S:
        context.report(f"Waiting for Slurm to end job {', '.join(map(str, left))}.")
        return NotYet(datetime.now(UTC) + timedelta(seconds=LOOK_AGAIN_S))
    del context.resources.cancelling_since[context.run_id]
    removed = None if left else _remove(context)
    if left:
        log.warning("jobs_left_by_cancel", jobs=left)
    return Done({"job_ids": list(keys), "removed": removed, "left": left})


def _jobs(context: StepContext) -> dict[int, str]:
    """The jobs of the run in its present attempts, with their keys."""
    keys: dict[int, str] = {}
    for branch in context.view.branches:
        context.watcher.remove(branch.task_id)
        task = context.tracker.task(branch.task_id)
        if task.submission_key is None:
            continue
        if task.job_id is not None:
            keys[task.job_id] = task.submission_key
        else:
            found = slurm.find_by_key(
                context.transport,
                task.submission_key,
                layout=context.layout,
                # A submission that is still on its way is not taken any more.
                fence=context.resources.leases.number(context.run_id),
            )
            keys |= dict.fromkeys(found, task.submission_key)
    return keys


def _left(context: StepContext, keys: dict[int, str]) -> tuple[list[int], bool]:
    """Look for the jobs that Slurm lists as not ended, and record what the others have used.

    Returns
    -------
    tuple of list and bool
        The jobs; all of them where Slurm does not answer. And whether accounting is going to say more about others.
    """
    if not keys:
        return [], False
    files = {job_id: context.layout.exit_file(job_id) for job_id in keys}
    answer = slurm.query(context.transport, list(keys), files, keys=keys)
    late = False
    for task_id in context.run.tasks:
        report = answer.get(context.tracker.task(task_id).job_id or 0)
        if report is None or not report.state.terminal:
            continue
        if report.source != "sacct" and answer.accounting == "answered":
            late = True
        if report.usage is not None:
            # What a cancelled job has used until then was used all the same.
            context.tracker.account_job(task_id, report.job_id, report.usage.to_json())
    if answer.problems:
        return list(keys), False
    left = [job_id for job_id, report in answer.items() if report.source == "squeue" and not report.state.terminal]
    return left, late


def _remove(context: StepContext) -> str | None:
    """Remove the run's directory on the cluster and its staged results, unless the person wants to keep them."""
    course = context.view.course
    if not course.owns_folder or (course.after and not context.view.cleanup):
        return None
    staged = staging.folder_of(context.resources.state_dir, context.run_id)
    staging.remove(staged)
    if context.view.step(course.before[0]).progress is Progress.OPEN:
        return None  # nothing was ever written there
    context.report("Removing the run's data from the cluster.")
    folders.remove_run(context.transport, context.layout)
    return str(context.layout.root)
