"""The folder of a run on the cluster: made so that it is nobody else's, and removed so that nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster.scripts import script
from worker.errors import RequestError

if TYPE_CHECKING:
    from worker.cluster.layout import RunLayout
    from worker.cluster.transport import Transport

_TAKEN = 73


def claim_folder(transport: Transport, layout: RunLayout) -> None:
    """Make the folder of a run that a person has named; a second time, nothing changes.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    layout : RunLayout
        The run.

    Raises
    ------
    RequestError
        If there is such a folder, and it is not this run's.
    CommandFailed
        If it cannot be made.
    """
    answer = transport.run(script("claim_folder", str(layout.root), str(layout.run_id)))
    if answer.exit_status == _TAKEN and answer.text.strip() == "taken":
        raise RequestError(
            f"There is a folder {layout.folder!r} on the cluster already, and it is not this run's.",
            remedy="Choose another name for the folder.",
        )
    answer.check()


def remove_run(transport: Transport, layout: RunLayout) -> None:
    """Remove everything of a run from the cluster, and nothing else; if it is gone already, that is fine.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    layout : RunLayout
        The run.

    Raises
    ------
    CommandFailed
        If something cannot be removed, or the folder is not this run's.
    """
    transport.run(script("remove_run", str(layout.data_path), layout.folder, str(layout.run_id))).check()
