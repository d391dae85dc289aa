"""Accepting a run: from here on it is never lost."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from worker.engine.files import files_of
from worker.engine.placing import folder_taken, place
from worker.history.tracker import TaskSpec
from worker.results.inplace.checking import check_in_place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from worker.engine.request import RunKind, RunRequest
    from worker.history.tracker import WorkflowTracker
    from worker.settings.importer import ImporterSettings
    from worker.settings.models import Settings

EXPORT_TASK = "_SLURM_Image_Transfer.py"
FILE_TASK = "_SLURM_File_Transfer.py"
IMPORT_TASK = "SLURM_Get_Results.py"
IN_PLACE_TASK = "SLURM_Import_Results.py"
BATCH_TASK = "SLURM_Run_Workflow.py"
RUN_NAME = "Slurm Workflow"
PARENT_NAME = "Slurm Workflow (Batched)"

_NAMES: Mapping[RunKind, str] = {
    "analysis": RUN_NAME,
    "transfer": "_SLURM_Image_Transfer",
    "file-transfer": "_SLURM_File_Transfer",
    "conversion": "SLURM Remote Conversion",
    "results": "Slurm Get Results",
}


def accept(
    tracker: WorkflowTracker,
    request: RunRequest,
    settings: Settings,
    *,
    run_id: UUID | None = None,
    importer: Callable[[], ImporterSettings] | None = None,
) -> UUID:
    """Record a run with all its tasks, in one transaction.

    A run whose selection is to be split has no tasks yet: each batch gets one when it is started.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    request : RunRequest
        What was asked for.
    settings : Settings
        Say on which cluster it runs, and what a person may choose.
    run_id : UUID, optional
        What the run shall be known by; a run that is recorded under it already is left as it is. By default a new one.
    importer : callable, optional
        Gives what is configured for imports in place. A run whose results are to be imported so is only accepted if
        they can be: the folder of its group, the storage and the importer's database are looked at.

    Returns
    -------
    UUID
        The run. It will be driven to its end by the engine service, or by the script that follows it.

    Raises
    ------
    RequestError
        If it cannot run like that; the message names the workflow or the folder, and what is allowed.
    SettingsError
        If the results could not be imported in place: what an admin has to mend.
    StorageUnavailable, ImporterUnavailable
        If they could not be just now.
    HistoryUnavailable
        If the run could not be recorded. Nothing has been started then.
    """
    request, run_id = place(tracker, request, settings, run_id)
    if request.in_place and importer is not None:
        check_in_place(importer(), request.group_name, request.group_id)
    asked = request.model_dump(mode="json")
    accepted = tracker.accept(
        name=_NAMES[request.kind] if request.batch is None else PARENT_NAME,
        description=f"{describe(request)}\n{release()}",
        user=request.user_id,
        group=request.group_id,
        request=asked,
        tasks=[] if request.batch is not None else _tasks(request),
        run_id=run_id,
    )
    if request.kind == "transfer" and tracker.run(accepted).request != asked:
        # Somebody else has named the same folder in the same moment.
        raise folder_taken(str(request.folder))
    return accepted


def _tasks(request: RunRequest) -> list[TaskSpec]:
    """The tasks of a run, in the order that `worker.engine.view.view_of` relies on."""
    if request.conversion is not None:
        formats = request.conversion
        return [
            TaskSpec(f"CONVERT_{formats.source}_TO_{formats.target}".upper(), release(), {"Folder": request.folder})
        ]
    chosen = {"Data_Type": request.data_type, "IDs": list(request.ids)}
    import_task = IN_PLACE_TASK if request.in_place else IMPORT_TASK
    if request.finished is not None:
        job = {"SLURM Job Id": request.finished.job_id, "workflow_uuid": str(request.finished.run_id)}
        return [TaskSpec(import_task, release(), {**chosen, **job}, dict(request.output))]
    tasks: list[TaskSpec] = []
    if request.kind != "file-transfer":
        how = {"Format": request.export_format, **(request.pixels or {})}
        tasks.append(TaskSpec(EXPORT_TASK, release(), chosen, how))
    for workflow in request.workflows:
        tasks.append(TaskSpec(workflow.name, workflow.version, chosen, dict(workflow.parameters)))
        tasks.append(TaskSpec(import_task, release(), chosen, dict(request.output)))
    tasks.extend(
        TaskSpec(FILE_TASK, release(), {"Annotation_ID": file.annotation_id}, {"Param_Slot": file.slot})
        for file in files_of(request)
    )
    return tasks


def release() -> str:
    """Version of this worker, which stands with what it records."""
    return version("omero-worker")


def describe(request: RunRequest) -> str:
    """Say in a line what was asked for."""
    if request.conversion is not None:
        return f"{request.conversion.source} to {request.conversion.target} in {request.folder}"
    if request.finished is not None:
        how = "in place" if request.in_place else "through OMERO's API"
        return f"Results of job {request.finished.job_id} (run {request.finished.run_id}), {how}"
    if request.kind == "file-transfer":
        return f"Files {', '.join(str(file.annotation_id) for file in request.files)} to {request.folder}"
    if request.kind == "transfer":
        return f"{request.data_type} {', '.join(str(i) for i in request.ids)} to {request.folder}"
    names = ", ".join(workflow.name for workflow in request.workflows)
    text = f"{names} on {request.data_type} {', '.join(str(i) for i in request.ids)}"
    if request.batch is not None:
        return f"{text}, in batches of {request.batch.size}"
    if request.parent is not None:
        return f"{text} (batch {request.parent.index} of {request.parent.total} of run {request.parent.run_id})"
    return text
