"""Step ``tidy``: remove what is no longer needed, once the results are safely in OMERO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster import folders
from worker.engine import staging
from worker.engine.context import Done, Outcome

if TYPE_CHECKING:
    from worker.engine.context import StepContext


def tidy(context: StepContext) -> Outcome:
    """Remove the run's directory on the cluster and its staged results.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With the remote directory that was ``removed``.
    """
    context.guard()
    context.report("Removing the run's data from the cluster.")
    folders.remove_run(context.transport, context.layout)
    staged = staging.folder_of(context.resources.state_dir, context.run_id)
    staging.remove(staged)
    return Done({"removed": str(context.layout.root)})
