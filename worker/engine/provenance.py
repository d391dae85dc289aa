"""Where the results of a branch come from, as its record says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.engine.accept import PARENT_NAME
from worker.results.model import Batch, Provenance

if TYPE_CHECKING:
    from worker.engine.context import StepContext


def provenance_of(context: StepContext) -> Provenance:
    """Say where the results of a branch come from, for their annotations.

    Parameters
    ----------
    context : StepContext
        A step of the branch, after its job has ended.

    Returns
    -------
    Provenance
        The run, its task, and the job.
    """
    branch, request = context.own_branch, context.request
    choice = request.workflows[branch.index]
    job = context.view.step(branch.step("watch")).data
    return Provenance(
        run_id=str(context.run_id),
        task_id=str(branch.task_id),
        job_id=job["job_id"],
        workflow=choice.name,
        version=choice.version,
        parameters=dict(choice.parameters),
        run_name=context.run.name,
        run_description=context.run.description,
        user_name=request.user_name,
        group_name=request.group_name,
        started=context.run.created_on.isoformat(),
        modified=context.run.modified_on.isoformat(),
        task_ids=tuple(str(task_id) for task_id in context.run.tasks),
        input_data=", ".join(map(str, request.ids)),
        status=job["state"],
        settings_digest=context.settings.digest(),
        batch=batch_of(context),
    )


def batch_of(context: StepContext) -> Batch | None:
    """Say which batch of which run this one is.

    Parameters
    ----------
    context : StepContext
        A step of the run.

    Returns
    -------
    Batch or None
        The batch, if it is one.
    """
    parent, request = context.request.parent, context.request
    if parent is None:
        return None
    return Batch(str(parent.run_id), PARENT_NAME, parent.index, parent.total, request.data_type, request.ids)
