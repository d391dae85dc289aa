"""The job of a conversion: from the request of a run to one array over everything that is to be converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster import conversion
from worker.errors import RequestError

if TYPE_CHECKING:
    from worker.cluster.jobscript import JobRequest
    from worker.engine.context import StepContext
    from worker.engine.request import ConversionChoice


def formats_of(context: StepContext) -> ConversionChoice:
    """What is converted into what.

    Parameters
    ----------
    context : StepContext
        A step of a conversion.

    Returns
    -------
    ConversionChoice
        The formats.
    """
    choice = context.request.conversion
    if choice is None:
        raise RequestError("This step belongs to a conversion, but the run is none.")
    return choice


def conversion_job(context: StepContext) -> JobRequest:
    """Describe the job of a conversion.

    Parameters
    ----------
    context : StepContext
        A step of its branch.

    Returns
    -------
    JobRequest
        The array of the task's present attempt, over what step ``prepare`` has found.

    Raises
    ------
    RequestError
        If there is too much for one job.
    SettingsError
        If the converter is not configured any more.
    """
    formats, prepared = formats_of(context), context.view.step("prepare").data
    task = context.tracker.task(context.own_branch.task_id)
    return conversion.array_job(
        context.slurm,
        context.settings.converters,
        key=task.next_key,
        task_id=task.id,
        layout=context.layout,
        inputs=prepared["inputs"],
        source_format=formats.source,
        target_format=formats.target,
        tasks_max=int(prepared["tasks_max"]),
        flags=task.flags,
    )
