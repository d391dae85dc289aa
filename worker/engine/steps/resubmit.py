"""Another job in the place of one that came to nothing: with more memory or time, or because Slurm has lost it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.cluster import slurm
from worker.cluster.states import JobState
from worker.engine.jobs import job_of
from worker.engine.retry import Growth, grow
from worker.errors import WorkerError
from worker.history.domain import Resubmission

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.cluster.states import JobReport
    from worker.engine.context import StepContext
    from worker.history.domain import Task
    from worker.settings.models import RetrySettings

log = structlog.get_logger(__name__)

ENGINE = "engine"
"""Who asks for an attempt that no person has asked for."""

GROWN = (JobState.OUT_OF_MEMORY.value, JobState.TIMEOUT.value)
"""Causes of an attempt with more memory or time."""

LOST = "LOST"
"""Cause of an attempt because Slurm has lost the job."""


def begin_again(context: StepContext, task: Task, cause: str, flags: Mapping[str, str], message: str) -> None:
    """Have another job submitted for a branch, recorded as a whole, and tell the person.

    Parameters
    ----------
    context : StepContext
        A step of the branch.
    task : Task
        The analysis.
    cause : str
        What became of the job before.
    flags : mapping of str to str
        Options of sbatch that override the settings.
    message : str
        Why, and what is going to be done.
    """
    branch = context.own_branch
    context.guard()
    context.tracker.reopen_steps(
        context.run_id,
        [branch.step("submit"), branch.step("watch")],
        reason=message,
        by=ENGINE,
        resubmissions={task.id: Resubmission(task.attempt + 1, cause, flags)},
    )
    log.info("job_again", task=str(task.id), cause=cause, attempt=task.attempt + 1, flags=dict(flags))
    context.report(message)


def another_attempt(context: StepContext, task: Task, report: JobReport) -> bool:
    """Have a job that ran out of memory or time submitted again with more of it, if that is allowed.

    Parameters
    ----------
    context : StepContext
        Step ``watch`` of the branch.
    task : Task
        The analysis.
    report : JobReport
        How the job has ended.

    Returns
    -------
    bool
        Whether another job is going to be submitted.
    """
    retry = _retry_of(context)
    growth = _growth(context, task, report, retry)
    tries = len(task.tries(*GROWN)) + 1
    if retry is None or growth is None or growth.refusal or tries > retry.max:
        return False
    message = f"{_ran_out(task, report, growth)}; trying again with {growth.now} ({tries + 1} of {retry.max + 1})."
    begin_again(context, task, growth.cause, {**task.flags, **growth.flags}, message)
    return True


def what_was_tried(context: StepContext, task: Task, report: JobReport) -> str:
    """Say what was tried about a job that ran out of memory or time all the same.

    Parameters
    ----------
    context : StepContext
        Step ``watch`` of the branch.
    task : Task
        The analysis.
    report : JobReport
        How its last job has ended.

    Returns
    -------
    str
        Sentences with a blank at the end; empty if there is nothing to say.
    """
    retry = _retry_of(context)
    growth = _growth(context, task, report, retry)
    if retry is None or growth is None:
        return ""
    earlier = [str(entry["reason"]) for entry in task.tries(*GROWN)]
    said = [*earlier, f"{_ran_out(task, report, growth)}."] if earlier else []
    if growth.refusal:
        said.append(f"It is not tried again with more {growth.what}: {growth.refusal}.")
    else:
        said.append(f"It is not tried again: {task.task_name}_retry_max = {retry.max} is used up.")
    return " ".join(said) + " "


def never_began(context: StepContext, task: Task, job_id: int) -> str | None:
    """Find out whether a job that nobody knows was lost before it began, so that it can be submitted again.

    Parameters
    ----------
    context : StepContext
        Step ``watch`` of the branch.
    task : Task
        The analysis.
    job_id : int
        Its job.

    Returns
    -------
    str or None
        Empty if it was; why that is not certain, in a sentence; None if there was no clean answer, so that it has to be
        asked again.
    """
    if task.tries(LOST):
        return "It was submitted a second time after Slurm had lost the first job."
    transport, layout = context.transport, context.layout
    key = task.submission_key or task.next_key
    answer = slurm.query(transport, [job_id], {job_id: layout.exit_file(job_id)}, keys={job_id: key})
    report = answer[job_id]
    if answer.problems or report.state is not JobState.UNKNOWN:
        return None
    if not report.lost:
        return f"It may have begun: {report.reason}."
    seen = transport.run(["ls", "-d", "--", str(layout.root), str(layout.log(job_id))]).text.splitlines()
    if str(layout.root) not in seen:
        return f"The run's directory {layout.root} cannot be seen on the cluster."
    if str(layout.log(job_id)) in seen:
        return "It had begun, as there is a log of it."
    return ""


def _retry_of(context: StepContext) -> RetrySettings | None:
    """What the admin allows for this workflow; nothing if it is not configured any more."""
    if context.request.conversion is not None:
        return None
    name = context.request.workflows[context.own_branch.index].name
    workflow = context.settings.workflows.get(name.lower())
    return workflow.retry if workflow is not None else None


def _growth(context: StepContext, task: Task, report: JobReport, retry: RetrySettings | None) -> Growth | None:
    """With how much more the job is to be tried again; None if it did not run out of anything, or nobody allows it."""
    if retry is None or report.state.value not in GROWN:
        return None
    had = context.view.step(context.own_branch.step("submit")).data.get("limits")
    if had is None:
        try:
            had = job_of(context).flags
        except WorkerError as error:
            log.warning("limits_not_known", task=str(task.id), problem=str(error))
            had = {}
    return grow(report.state, had, retry)


def _ran_out(task: Task, report: JobReport, growth: Growth) -> str:
    with_what = f" with {growth.had}" if growth.had else ""
    return f"{task.task_name} ran out of {growth.what}{with_what} (Slurm job {report.job_id})"
