"""Where a run is going to be, decided once, at the door: which cluster, which folder; and whether it may be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.engine.places import cluster_of, layout_of
from worker.engine.removal import why_removed
from worker.engine.request import RunRequest, folder_run
from worker.engine.view import view_of
from worker.errors import RequestError, RunNotFound
from worker.settings.amounts import write_duration, write_memory

if TYPE_CHECKING:
    from uuid import UUID

    from worker.engine.request import FinishedJob, WorkflowChoice
    from worker.history.tracker import WorkflowTracker
    from worker.settings.models import Settings, WorkflowSettings


def place(
    tracker: WorkflowTracker, request: RunRequest, settings: Settings, run_id: UUID | None = None
) -> tuple[RunRequest, UUID | None]:
    """Decide where a run is going to be.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    request : RunRequest
        What was asked for.
    settings : Settings
        The settings.
    run_id : UUID, optional
        What the run shall be known by.

    Returns
    -------
    request : RunRequest
        The request, with cluster and folder.
    run_id : UUID or None
        What the run shall be known by: a run that makes a folder of a name of its own is known by that name.

    Raises
    ------
    RequestError
        If the workflows are on different clusters, a job is to have more than a person may choose, or a folder is
        somebody else's, in use, or not there.
    """
    if request.data_path is not None:
        return request, run_id  # a batch is where its parent is
    if request.kind in ("file-transfer", "conversion"):
        return _in_folder(tracker, request, settings), run_id
    if request.finished is not None:
        return _beside_results(tracker, request, request.finished, settings), run_id
    cluster = _cluster(request, settings)
    for choice in request.workflows:
        check_limits(choice, settings.workflow(choice.name))
    data_path = settings.cluster(cluster).slurm.slurm_data_path
    placed = request.model_copy(update={"cluster": cluster, "data_path": data_path})
    if request.kind == "transfer":
        run_id = folder_run(cluster, str(request.folder))
        _refuse_second(tracker, run_id, str(request.folder))
    return placed, run_id


def check_limits(choice: WorkflowChoice, workflow: WorkflowSettings) -> None:
    """Refuse what a person may not choose for a job.

    Parameters
    ----------
    choice : WorkflowChoice
        What was chosen.
    workflow : WorkflowSettings
        What the admin allows.

    Raises
    ------
    RequestError
        Naming what was chosen, and what is allowed.
    """
    limits = choice.limits
    chosen = (
        ("time", limits.time_s, workflow.user_time_max_s, write_duration),
        ("memory", limits.memory_mib, workflow.user_memory_max_mib, write_memory),
    )
    for name, value, most, write in chosen:
        if value is None:
            continue
        if most is None:
            raise RequestError(f"The {name} of {choice.name} cannot be chosen.", remedy="Leave it empty.")
        if value > most:
            raise RequestError(
                f"{write(value)} is too much {name} for {choice.name}.", remedy=f"Choose at most {write(most)}."
            )
    if limits.partition is not None and limits.partition not in workflow.user_partitions:
        allowed = ", ".join(workflow.user_partitions)
        raise RequestError(
            f"{choice.name} cannot run in partition {limits.partition!r}.",
            remedy=f"Choose one of {allowed}." if allowed else "Leave it empty.",
        )


def _cluster(request: RunRequest, settings: Settings) -> str:
    """The cluster of the workflows that were chosen."""
    clusters = {choice.name: settings.workflow(choice.name).cluster for choice in request.workflows}
    if not clusters:
        return request.cluster
    if len(set(clusters.values())) > 1:
        where = ", ".join(f"{name} on {cluster}" for name, cluster in clusters.items())
        raise RequestError(
            f"The chosen workflows run on different clusters: {where}.", remedy="Run them one after the other."
        )
    return next(iter(clusters.values()))


def _in_folder(tracker: WorkflowTracker, request: RunRequest, settings: Settings) -> RunRequest:
    """Place a run in the folder of an earlier one of the same person."""
    folder = str(request.folder)
    try:
        maker = tracker.run(folder_run(request.cluster, folder))
    except RunNotFound:
        maker = None
    # Whoever asks for somebody else's folder does not learn that there is one.
    if maker is None or maker.user != request.user_id or maker.request is None:
        raise RequestError(
            f"You have no folder {folder!r} on the cluster.",
            remedy="Name one that a transfer or a run of yours has made, such as SLURM_IMAGES_1700000000.",
        )
    if not maker.ended:
        raise RequestError(
            f"Folder {folder!r} is still being worked on (run {maker.id}).", remedy="Wait until that run has ended."
        )
    if removed := why_removed(view_of(maker)):
        raise RequestError(f"Folder {folder!r} is not on the cluster any more. {removed}", remedy="Transfer it again.")
    layout = layout_of(maker, settings)
    return request.model_copy(
        update={"cluster": cluster_of(maker), "data_path": str(layout.data_path), "folder": layout.folder}
    )


def _beside_results(
    tracker: WorkflowTracker, request: RunRequest, finished: FinishedJob, settings: Settings
) -> RunRequest:
    """Place a run where the results are that it imports: those of a job of the same person."""
    try:
        maker = tracker.run(finished.run_id)
    except RunNotFound:
        maker = None
    # Whoever asks for somebody else's job does not learn that there is one.
    if maker is None or maker.user != request.user_id or maker.request is None:
        raise RequestError(
            f"You have no job {finished.job_id} in a run {finished.run_id}.",
            remedy="Choose a job of one of your own runs.",
        )
    view = view_of(maker)
    branch = next((branch for branch in view.branches if branch.task_id == finished.task_id), None)
    job = view.step(branch.step("watch")).data if branch else {}
    if job.get("job_id") != finished.job_id or not job.get("ok", False):
        raise RequestError(
            f"Job {finished.job_id} has no results to import: it has not ended well.",
            remedy="Choose a job that has completed; its run can be retried otherwise.",
        )
    if not maker.ended:
        raise RequestError(
            f"Run {maker.id} is still at work, and brings the results of job {finished.job_id} in by itself.",
            remedy="Wait until it has ended.",
        )
    if removed := why_removed(view):
        raise RequestError(
            f"The results of job {finished.job_id} (run {maker.id}) are not on the cluster any more. {removed}",
            remedy="Untick 'Cleanup?' in the dialog of a run whose results are to be imported once more.",
        )
    layout = layout_of(maker, settings)
    made = RunRequest.model_validate(maker.request)
    return request.model_copy(
        update={
            "cluster": cluster_of(maker),
            "data_path": str(layout.data_path),
            "folder": layout.folder,
            "data_type": made.data_type,
            "ids": made.ids,
            # The results belong where the analysed images are.
            "group_id": made.group_id,
            "group_name": made.group_name,
        }
    )


def _refuse_second(tracker: WorkflowTracker, run_id: UUID, folder: str) -> None:
    """Refuse to export into a folder for a second time."""
    try:
        tracker.run(run_id)
    except RunNotFound:
        return
    raise folder_taken(folder)


def folder_taken(folder: str) -> RequestError:
    """Say that a folder is somebody's already."""
    return RequestError(
        f"There is a folder {folder!r} already, made by an earlier transfer.", remedy="Choose another name."
    )
