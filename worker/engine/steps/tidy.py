"""Step ``tidy``: remove what is no longer needed, once the results are safely in OMERO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster import slurm
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
    slurm.remove_run(context.resources.transport, context.layout)
    staged = context.resources.state_dir / "runs" / str(context.run_id)
    staging.remove(staged)
    return Done({"removed": str(context.layout.root)})
