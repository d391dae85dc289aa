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
RUN_NAME = "Slurm Workflow"


def accept(tracker: WorkflowTracker, request: RunRequest) -> UUID:
    """Record a run with all its tasks, in one transaction.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    request : RunRequest
        What was asked for.

    Returns
    -------
    UUID
        The run. It will be driven to its end by the engine service, or by the script that follows it.

    Raises
    ------
    HistoryUnavailable
        If the run could not be recorded. Nothing has been started then.
    """
    release = version("omero-worker")
    chosen = {"Data_Type": request.data_type, "IDs": list(request.ids)}
    tasks = [TaskSpec(EXPORT_TASK, release, chosen, {"Format": request.export_format})]
    for workflow in request.workflows:
        tasks.append(TaskSpec(workflow.name, workflow.version, chosen, dict(workflow.parameters)))
        tasks.append(TaskSpec(IMPORT_TASK, release, chosen, dict(request.output)))
    names = ", ".join(workflow.name for workflow in request.workflows)
    return tracker.accept(
        name=RUN_NAME,
        description=f"{names} on {request.data_type} {', '.join(str(i) for i in request.ids)}\n{release}",
        user=request.user_id,
        group=request.group_id,
        request=request.model_dump(mode="json"),
        tasks=tasks,
    )
