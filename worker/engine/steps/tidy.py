"""Step ``tidy``: remove what is no longer needed, once the results are safely in OMERO."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from worker.cluster import folders
from worker.engine import staging
from worker.engine.context import Done, Outcome
from worker.engine.origin import origin_of
from worker.engine.removal import remove_data
from worker.engine.view import Progress
from worker.errors import HistoryConflict

if TYPE_CHECKING:
    from worker.engine.context import StepContext
    from worker.engine.view import Branch, RunView

log = structlog.get_logger(__name__)


def tidy(context: StepContext) -> Outcome:
    """Remove the run's directory on the cluster and its staged results.

    A run that has imported the results of an earlier one removes that one's directory, unless there is something in it
    that nobody has brought into OMERO yet.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With the remote directory that was ``removed``, or a note that says why none was.
    """
    context.guard()
    staging.remove(staging.folder_of(context.resources.state_dir, context.run_id))
    origin = origin_of(context)
    others = [branch for branch in origin.view.branches if branch != origin.branch] if origin is not context else []
    if any(_is_wanted(origin.view, branch) for branch in others):
        return Done({"notes": [f"The data of run {origin.run_id} stay on the cluster: not all of them are in OMERO."]})
    context.report("Removing the run's data from the cluster.")
    if origin is context:
        folders.remove_run(context.transport, origin.layout)
    elif not _remove_earlier(context, origin):
        return Done({"notes": [f"The data of run {origin.run_id} stay on the cluster: it goes on, and needs them."]})
    return Done({"removed": str(origin.layout.root)})


def _remove_earlier(context: StepContext, origin: StepContext) -> bool:
    """Remove the directory of an earlier run, unless that goes on again; nobody drives it meanwhile."""
    context.guard()
    leases = context.resources.leases
    if leases.take(origin.run_id) is None:
        return False
    try:
        remove_data(
            context.resources.tracker.fenced(leases.fence(origin.run_id)),
            origin.run_id,
            partial(folders.remove_run, context.transport, origin.layout),
            place=str(origin.layout.root),
            reason=f"run {context.run_id} has brought its results into OMERO.",
            by=context.request.user_name,
        )
    except HistoryConflict as error:
        # Somebody has retried it. It is not our own lease that is at stake: this run is done.
        log.info("data_kept", run=str(origin.run_id), reason=str(error))
        return False
    finally:
        leases.give_back(origin.run_id)
    return True


def _is_wanted(view: RunView, branch: Branch) -> bool:
    """Whether a job has results that its run has not brought into OMERO."""
    has_results = bool(view.step(branch.step("watch")).data.get("ok"))
    imported = view.step(branch.step("import"))
    return has_results and (imported.progress is not Progress.DONE or bool(imported.data.get("problems")))
