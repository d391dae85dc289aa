"""What lies in the folder of all runs on a cluster, whosever it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from worker.cluster.entries import entries
from worker.cluster.layout import RUN_FOLDER, RunLayout
from worker.cluster.scripts import script
from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from worker.cluster.transport import Transport

MEASURING_S = 3600.0
"""For how long the far side may measure one folder in silence."""


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """A folder among those of all runs.

    Parameters
    ----------
    name : str
        Its name.
    owner : UUID or None
        The run that it says it belongs to: by its name, or by a file in it; None: it does not say.
    changed : datetime
        When something in its upper levels was changed for the last time.
    size_bytes : int or None
        What it takes of the disk; None where it was not measured.
    files : int or None
        How many files are in it.
    """

    name: str
    owner: UUID | None
    changed: datetime
    size_bytes: int | None = None
    files: int | None = None

    def layout(self, data_path: PurePosixPath | str) -> RunLayout | None:
        """Locate it as the folder of its run.

        Parameters
        ----------
        data_path : PurePosixPath or str
            The folder of all runs.

        Returns
        -------
        RunLayout or None
            Its paths; None if it is no run's.
        """
        if self.owner is None:
            return None
        try:
            return RunLayout(data_path, self.owner, self.name)
        except SettingsError:
            return None


def list_storage(
    transport: Transport, data_path: PurePosixPath | str, *, sizes: bool, seen: set[str] | None = None
) -> tuple[StoredFolder, ...]:
    """List the folders in the folder of all runs; one round trip.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    data_path : PurePosixPath or str
        ``slurm_data_path``.
    sizes : bool
        Whether to measure them, for which the cluster reads every folder in them.
    seen : set of str, optional
        Folders that were looked at already, under whatever name; this one is added.

    Returns
    -------
    tuple of StoredFolder
        The folders, by name; none if there is no such folder yet, or it was looked at already.

    Raises
    ------
    CommandFailed
        If the folder cannot be read.
    """
    found = []
    seen = set() if seen is None else seen
    arguments = (str(data_path).removeprefix("~/"), "sizes" if sizes else "", *sorted(seen))
    listed = entries(transport, script("list_storage", *arguments), lambda: None, timeout_s=MEASURING_S)
    if itself := next(listed, ""):
        seen.add(itself)
    for entry in listed:
        name, owner, changed, size, files = entry.rsplit("\t", 4)
        found.append(
            StoredFolder(
                name,
                _owner(name, owner),
                datetime.fromtimestamp(float(changed), UTC),
                int(size) if size else None,
                int(files) if files else None,
            )
        )
    return tuple(sorted(found, key=lambda folder: folder.name))


def _owner(name: str, said: str) -> UUID | None:
    """Whose a folder is; what it is called counts more than what is written in it."""
    text = name.removeprefix("biomero_") if RUN_FOLDER.fullmatch(name) else said
    try:
        return UUID(text)
    except ValueError:
        return None
