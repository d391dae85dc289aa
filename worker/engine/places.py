"""Where a run is: on which cluster, and in which folder there. Both stay, whatever an admin configures later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster.layout import RunLayout
from worker.settings.models import DEFAULT_CLUSTER

if TYPE_CHECKING:
    from worker.history.domain import WorkflowRun
    from worker.settings.models import Settings


def cluster_of(run: WorkflowRun) -> str:
    """Name the cluster of a run.

    Parameters
    ----------
    run : WorkflowRun
        The run.

    Returns
    -------
    str
        Its name in slurm-config.ini.
    """
    return str((run.request or {}).get("cluster") or DEFAULT_CLUSTER)


def layout_of(run: WorkflowRun, settings: Settings) -> RunLayout:
    """Locate the files of a run on its cluster.

    Parameters
    ----------
    run : WorkflowRun
        The run.
    settings : Settings
        Say where, for a run that was accepted before its record did.

    Returns
    -------
    RunLayout
        Its paths.

    Raises
    ------
    SettingsError
        If the cluster is not configured any more, and the record does not say where the files are.
    """
    request = run.request or {}
    data_path = request.get("data_path") or settings.cluster(cluster_of(run)).slurm.slurm_data_path
    return RunLayout(str(data_path), run.id, request.get("folder"))
