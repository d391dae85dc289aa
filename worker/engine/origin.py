"""Whose job the results are that a step brings home: the run's own, or that of a run which ended before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from worker.engine.request import RunRequest
from worker.engine.view import view_of
from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.engine.context import StepContext


def origin_of(context: StepContext) -> StepContext:
    """See a step of a run that imports results from where these results were made.

    Run, branch, tasks, folder on the cluster and what was analysed are those of the job; guard, reports, staging and
    the choice of what happens with the results stay with the run whose step it is: take these from ``context`` itself.

    Parameters
    ----------
    context : StepContext
        A step ``fetch`` or ``import``.

    Returns
    -------
    StepContext
        The same, as the run sees it that had the job; the context itself for a run that had it itself.

    Raises
    ------
    RequestError
        If there is no such job any more in the record.
    """
    finished = context.request.finished
    if finished is None:
        return context
    run = context.tracker.run(finished.run_id)
    view = view_of(run)
    branch = next((branch for branch in view.branches if branch.task_id == finished.task_id), None)
    if branch is None or view.step(branch.step("watch")).data.get("job_id") != finished.job_id:
        raise RequestError(
            f"Run {run.id} has no job {finished.job_id} any more: another one took its place.",
            remedy="Choose the job that its analysis has now.",
        )
    return replace(
        context, run_id=run.id, run=run, view=view, request=RunRequest.model_validate(run.request), branch=branch
    )


def job_of(origin: StepContext) -> Mapping[str, Any]:
    """Say how the job of a branch has ended.

    Parameters
    ----------
    origin : StepContext
        What `origin_of` gave.

    Returns
    -------
    mapping of str to object
        What its step ``watch`` has recorded: ``job_id``, ``ok``, ``state``, ``message``.
    """
    return origin.view.step(origin.own_branch.step("watch")).data
