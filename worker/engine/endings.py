"""Recording how and where a job has ended, and which image it ran, while the cluster still knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster.endings import read_ending

if TYPE_CHECKING:
    from worker.cluster.states import JobReport
    from worker.engine.context import StepContext
    from worker.history.domain import Task


def record_ending(context: StepContext, task: Task, report: JobReport) -> None:
    """Record how a job has ended, with what it says itself.

    Parameters
    ----------
    context : StepContext
        Step ``watch`` of its branch.
    task : Task
        Its task.
    report : JobReport
        How it has ended.

    Raises
    ------
    TransportError
        If the cluster cannot be asked.
    """
    said = read_ending(context.transport, context.layout, report.job_id, task.submission_key or task.next_key)
    ended = {"state": report.state.value, "exit_code": report.exit_code, "reason": report.reason}
    context.tracker.end_job(task.id, report.job_id, {**ended, "elapsed_s": report.elapsed_s, **said})


def complete_ending(context: StepContext) -> None:
    """Ask a job once more that had said nothing when it ended: what a node writes may be seen later elsewhere.

    Parameters
    ----------
    context : StepContext
        Step ``fetch`` of its branch.

    Raises
    ------
    TransportError
        If the cluster cannot be asked.
    """
    task = context.tracker.task(context.own_branch.task_id)
    ending = task.endings.get(str(task.job_id))
    if task.job_id is None or ending is None or "hosts" in ending:
        return
    said = read_ending(context.transport, context.layout, task.job_id, task.submission_key or task.next_key)
    if said:
        context.tracker.end_job(task.id, task.job_id, {**ending, **said})
