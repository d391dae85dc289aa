"""Step ``submit``: one Slurm job per analysis, exactly once."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from worker.cluster import slurm
from worker.engine.context import Done, NotYet, Outcome
from worker.engine.conversions import conversion_job
from worker.engine.jobs import described as descriptor_of
from worker.engine.jobs import job_of
from worker.engine.retry import LIMIT_FLAGS
from worker.engine.submissions import changed_descriptor, facts_of

if TYPE_CHECKING:
    from worker.engine.context import StepContext
    from worker.history.domain import Task

log = structlog.get_logger(__name__)


def submit(context: StepContext) -> Outcome:
    """Submit the job of this branch, or adopt the one that was submitted before us.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With ``job_id``, whether the job was ``adopted``, its ``key``, its ``limits`` if they are known, and ``notes``.
    NotYet
        While it is not certain whether it was submitted.

    Raises
    ------
    SubmissionRefused
        If Slurm does not take the job.
    OutcomeUnknown
        If the reply was lost. The next attempt looks the job up by its key before it submits again.
    """
    branch = context.own_branch
    task = context.tracker.task(branch.task_id)
    key = task.submission_key or task.next_key
    if task.job_id is not None:
        return Done({"job_id": task.job_id, "adopted": False, "key": key})
    if task.submission_key is not None:
        found = _look_up(context, key)
        if isinstance(found, NotYet):
            return found
        if found is not None:
            log.info("job_adopted", job=found, task=key)
            context.tracker.add_job_id(branch.task_id, found)
            return Done({"job_id": found, "adopted": True, "key": key})
    elif task.attempt > 1:
        _cancel_earlier(context, task)
    described, note = None, ""
    if context.request.conversion is None:
        choice = context.request.workflows[branch.index]
        described = descriptor_of(context.settings, choice.name, context.resources.state_dir)
        note = changed_descriptor(choice, described.sha256)
        job = job_of(context, described.analysis)
    else:
        job = conversion_job(context)
    context.tracker.start_task(branch.task_id)
    context.tracker.intend_submission(branch.task_id, key, facts_of(context, job, described))
    context.guard()
    context.report(f"Submitting {job.workflow} to the cluster.")
    number = context.resources.leases.number(context.run_id)
    job_id = slurm.submit(context.transport, context.layout, job, fence=number)
    context.tracker.add_job_id(branch.task_id, job_id)
    context.tracker.update_task_status(branch.task_id, "PENDING")
    context.report(f"Slurm job {job_id} ({job.workflow}) is waiting for its turn.")
    limits = {name: value for name, value in job.flags.items() if name in LIMIT_FLAGS}
    notes = {"notes": [note]} if note else {}
    return Done({"job_id": job_id, "adopted": False, "key": key, "limits": limits, **notes})


def _cancel_earlier(context: StepContext, task: Task) -> None:
    """Make sure that no job of an earlier attempt goes on beside the one that is about to be submitted.

    Those that have ended are left alone, whoever has their number now.
    """
    transport, layout = context.transport, context.layout
    keys: dict[int, str] = {}
    for entry in task.earlier_attempts:
        if entry["job_id"] is not None:
            keys[entry["job_id"]] = entry["key"]
        elif entry["key"] is not None:
            number = context.resources.leases.number(context.run_id)
            found = slurm.find_by_key(transport, entry["key"], layout=layout, fence=number)
            keys |= dict.fromkeys(found, entry["key"])
    if not keys:
        return
    reports = slurm.query(transport, list(keys), {job_id: layout.exit_file(job_id) for job_id in keys}, keys=keys)
    left = [job_id for job_id, report in reports.items() if report.source == "squeue" and not report.state.terminal]
    if left:
        context.guard()
        log.warning("earlier_jobs_cancelled", jobs=left, task=str(task.id))
        slurm.cancel(transport, left)


def _look_up(context: StepContext, key: str) -> int | NotYet | None:
    """Find the job with this key; None only after two clean, spaced answers that there is none.

    A job can be visible a moment later than its submission was taken (accounting lags by up to some seconds), so that
    a single negative proves nothing.
    """
    resources = context.resources
    context.guard()
    number = resources.leases.number(context.run_id)
    found = slurm.find_by_key(context.transport, key, layout=context.layout, fence=number)
    if found:
        resources.missed_at.pop(key, None)
        if len(found) > 1:
            # Cannot happen by our own doing; the oldest is the one that was intended.
            log.error("jobs_with_one_key", jobs=found, task=key)
            slurm.cancel(context.transport, sorted(found)[1:])
        return min(found)
    now = time.monotonic()
    first = resources.missed_at.setdefault(key, now)
    left_s = first + resources.lookup_spacing_s - now
    if left_s > 0:
        context.report("The reply to a submission was lost; making sure that there is no job before it is repeated.")
        return NotYet(datetime.now(UTC) + timedelta(seconds=left_s))
    del resources.missed_at[key]
    return None
