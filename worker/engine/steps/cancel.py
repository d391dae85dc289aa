"""Step ``cancel``: take the run's jobs off the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster import slurm
from worker.engine.context import Done, Outcome

if TYPE_CHECKING:
    from worker.engine.context import StepContext


def cancel(context: StepContext) -> Outcome:
    """Cancel every job of the run, those included whose submission was intended but never confirmed.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With the ``job_ids`` that were cancelled.
    """
    transport = context.resources.transport
    job_ids: list[int] = []
    for branch in context.view.branches:
        task = context.tracker.task(branch.task_id)
        if task.job_ids:
            job_ids.extend(task.job_ids)
        elif task.submission_key is not None:
            job_ids.extend(slurm.find_by_key(transport, task.submission_key, layout=context.layout))
        context.resources.watcher.remove(branch.task_id)
    context.guard(cancelling=True)
    if job_ids:
        context.report(f"Cancelling Slurm job {', '.join(map(str, job_ids))}.")
        slurm.cancel(transport, job_ids)
    for branch in context.view.branches:
        context.tracker.update_task_status(branch.task_id, "CANCELLED")
        context.tracker.fail_task(branch.task_id, f"Cancelled by {context.view.cancelled_by}.")
    return Done({"job_ids": job_ids})
