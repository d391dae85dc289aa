"""Accepting a run: from here on it is never lost."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from worker.history.tracker import TaskSpec

if TYPE_CHECKING:
    from uuid import UUID

    from worker.engine.request import RunRequest
    from worker.history.tracker import WorkflowTracker

EXPORT_TASK = "_SLURM_Image_Transfer.py"
IMPORT_TASK = "SLURM_Get_Results.py"
BATCH_TASK = "SLURM_Run_Workflow.py"
RUN_NAME = "Slurm Workflow"
PARENT_NAME = "Slurm Workflow (Batched)"


def accept(tracker: WorkflowTracker, request: RunRequest, *, run_id: UUID | None = None) -> UUID:
    """Record a run with all its tasks, in one transaction.

    A run whose selection is to be split has no tasks yet: each batch gets one when it is started.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    request : RunRequest
        What was asked for.
    run_id : UUID, optional
        What the run shall be known by; a run that is recorded under it already is left as it is. By default a new one.

    Returns
    -------
    UUID
        The run. It will be driven to its end by the engine service, or by the script that follows it.

    Raises
    ------
    HistoryUnavailable
        If the run could not be recorded. Nothing has been started then.
    """
    chosen = {"Data_Type": request.data_type, "IDs": list(request.ids)}
    tasks: list[TaskSpec] = []
    if request.batch is None:
        tasks.append(TaskSpec(EXPORT_TASK, release(), chosen, {"Format": request.export_format}))
        for workflow in request.workflows:
            tasks.append(TaskSpec(workflow.name, workflow.version, chosen, dict(workflow.parameters)))
            tasks.append(TaskSpec(IMPORT_TASK, release(), chosen, dict(request.output)))
    return tracker.accept(
        name=RUN_NAME if request.batch is None else PARENT_NAME,
        description=f"{describe(request)}\n{release()}",
        user=request.user_id,
        group=request.group_id,
        request=request.model_dump(mode="json"),
        tasks=tasks,
        run_id=run_id,
    )


def release() -> str:
    """Version of this worker, which stands with what it records."""
    return version("omero-worker")


def describe(request: RunRequest) -> str:
    """Say in a line what was asked for."""
    names = ", ".join(workflow.name for workflow in request.workflows)
    text = f"{names} on {request.data_type} {', '.join(str(i) for i in request.ids)}"
    if request.batch is not None:
        return f"{text}, in batches of {request.batch.size}"
    if request.parent is not None:
        return f"{text} (batch {request.parent.index} of {request.parent.total} of run {request.parent.run_id})"
    return text
