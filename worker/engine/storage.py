"""What runs have left on the clusters and here: how long it is kept, and what is removed when that time is over.

Data are removed by the step that ends a run, once the results are verified in OMERO. What is kept beyond that, because
the run failed or the person wanted to keep it, is looked at here. A folder that belongs to no run of this record is
listed and never touched: another deployment may work with the same folder of data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import structlog

from worker.cluster import folders
from worker.cluster.storage import list_storage
from worker.engine import staging
from worker.engine.keeping import Keeping, keeping_of, since_of
from worker.engine.places import cluster_of, layout_of
from worker.engine.removal import remove_data, why_removed
from worker.engine.request import folder_run
from worker.engine.view import view_of
from worker.errors import CommandFailed, RequestError, RunNotFound, WorkerError
from worker.settings.models import DEFAULT_CLUSTER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from worker.cluster.layout import RunLayout
    from worker.cluster.storage import StoredFolder
    from worker.cluster.transport import Transport
    from worker.engine.lease import Leases
    from worker.history.domain import WorkflowRun
    from worker.history.reader import RunReader
    from worker.history.tracker import WorkflowTracker
    from worker.settings.models import Settings

log = structlog.get_logger(__name__)

TURN = uuid5(UUID(int=0), "omero-worker storage")
"""The lease under which one service at a time looks for data whose time is over."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A folder on a cluster."""

    cluster: str
    data_path: str
    """The folder of all runs."""
    folder: StoredFolder
    run: WorkflowRun | None
    """The run that has made it; None: no run of this record."""
    since: datetime
    """When the run ended, or something in the folder was changed."""
    keeping: Keeping
    busy: UUID | None = None
    """The run that works with it now."""

    @property
    def layout(self) -> RunLayout | None:
        """Where it is; None if it is not a run's."""
        return self.folder.layout(self.data_path)

    @property
    def user_name(self) -> str:
        """Whose run it is."""
        request = (self.run.request if self.run else None) or {}
        return str(request.get("user_name") or (self.run.user if self.run else "unknown"))

    @property
    def workflow(self) -> str:
        """What the run does."""
        request = (self.run.request if self.run else None) or {}
        names = [str(choice["name"]) for choice in request.get("workflows", ())]
        return ", ".join(names) or (self.run.name if self.run else "")

    @property
    def status(self) -> str:
        """How the run is; empty if there is none."""
        return self.run.status if self.run else ""

    def due(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.keeping.until is not None and self.keeping.until <= now


def look(
    tracker: WorkflowTracker,
    reader: RunReader,
    settings: Settings,
    transports: Callable[[str], Transport],
    *,
    clusters: Sequence[str] | None = None,
    sizes: bool = True,
) -> Iterator[Stored]:
    """Look what is on the clusters, in their present folders of data and in those that runs were accepted with.

    One round trip to each folder; one that has several names is looked at once.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    reader : RunReader
        Tells which runs have not ended.
    settings : Settings
        The clusters, and how long data are kept.
    transports : callable
        Gives the way to a cluster by its name.
    clusters : sequence of str, optional
        Only these; by default all.
    sizes : bool
        Whether to measure.

    Yields
    ------
    Stored
        The folders, by cluster and name.

    Raises
    ------
    TransportError
        If a cluster does not answer.
    """
    at_work = _at_work(tracker, reader, settings)
    former = reader.data_paths()
    for name in clusters if clusters is not None else settings.clusters:
        present = settings.cluster(name).slurm.slurm_data_path
        places = sorted({path for cluster, path in former if (cluster or DEFAULT_CLUSTER) == name} - {present})
        seen: set[str] = set()
        for data_path in (present, *places):
            try:
                listed = list_storage(transports(name), data_path, sizes=sizes, seen=seen)
            except CommandFailed as error:
                if data_path == present:
                    raise
                # An admin may have taken it from us; what is in the present one is to be seen all the same.
                log.warning("former_data_path_not_read", cluster=name, data_path=data_path, problem=str(error))
                continue
            for folder in listed:
                yield _stored(tracker, settings, name, data_path, folder, at_work)


def _stored(
    tracker: WorkflowTracker,
    settings: Settings,
    cluster: str,
    data_path: str,
    folder: StoredFolder,
    at_work: Mapping[tuple[str, str], UUID],
) -> Stored:
    run = _maker(tracker, cluster, folder)
    if run is None:
        return Stored(cluster, data_path, folder, None, folder.changed, Keeping(None, "belongs to no run known here"))
    keeping = keeping_of(run, folder, settings.worker)
    busy = at_work.get((cluster, folder.name))
    if busy is not None and busy != run.id:
        keeping = Keeping(None, f"run {busy} works with it")
    elif run.ended and (parent := _open_parent(tracker, run)) is not None:
        keeping = Keeping(None, f"a batch of run {parent}, which is at work")
    return Stored(cluster, data_path, folder, run, since_of(run, folder), keeping, busy)


def _maker(tracker: WorkflowTracker, cluster: str, folder: StoredFolder) -> WorkflowRun | None:
    """The run that has made a folder, if this record knows it, and if it really is that run's."""
    run_id = folder_run(cluster, folder.name)
    if folder.owner is not None and folder.owner != run_id:
        return None
    try:
        run = tracker.run(run_id)
    except RunNotFound:
        return None
    return run if cluster_of(run) == cluster else None


def _open_parent(tracker: WorkflowTracker, run: WorkflowRun) -> UUID | None:
    """The run whose batch this one is, if that has not ended."""
    parent = (run.request or {}).get("parent")
    if not parent:
        return None
    parent_id = UUID(str(parent["run_id"]))
    return None if tracker.run(parent_id).ended else parent_id


def _at_work(tracker: WorkflowTracker, reader: RunReader, settings: Settings) -> dict[tuple[str, str], UUID]:
    """Cluster and folder of every run that has not ended."""
    found: dict[tuple[str, str], UUID] = {}
    for run_id in reader.unfinished_runs():
        run = tracker.run(run_id)
        try:
            found[cluster_of(run), layout_of(run, settings).folder] = run_id
        except WorkerError:
            continue  # on a cluster that is not configured any more, which is not looked at
    return found


@dataclass(frozen=True, slots=True)
class Remover:
    """Removes what is stored.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    leases : Leases
        The leases of this process, whose heartbeat the caller runs.
    transports : callable
        Gives the way to a cluster by its name.
    by : str
        Who removes it.
    """

    tracker: WorkflowTracker
    leases: Leases
    transports: Callable[[str], Transport]
    by: str

    def remove(self, stored: Stored, reason: str) -> None:
        """Remove a folder from its cluster; if it is gone already, that is fine.

        Parameters
        ----------
        stored : Stored
            The folder.
        reason : str
            Why, as a sentence.

        Raises
        ------
        RequestError
            If it is not a run's, or a run works with it.
        CommandFailed
            If it cannot be removed.
        """
        layout = stored.layout
        if layout is None:
            raise RequestError(
                f"{stored.data_path}/{stored.folder.name} is not the folder of a run.",
                remedy="Remove it on the cluster by hand, if nobody needs it.",
            )
        transport = self.transports(stored.cluster)
        remove = partial(folders.remove_run, transport, layout)
        if stored.run is None:
            remove()
            return
        run_id = stored.run.id
        if stored.busy is not None or self.leases.take(run_id) is None:
            busy = stored.busy or run_id
            raise RequestError(
                f"Run {busy} works with {stored.folder.name}.", remedy=f"Cancel it: omero-worker runs cancel {busy}"
            )
        try:
            tracker = self.tracker.fenced(self.leases.fence(run_id))
            remove_data(tracker, run_id, remove, place=str(layout.root), reason=reason, by=self.by)
        finally:
            self.leases.give_back(run_id)


def retain(
    tracker: WorkflowTracker,
    reader: RunReader,
    leases: Leases,
    settings: Settings,
    transports: Callable[[str], Transport],
    *,
    now: datetime | None = None,
) -> list[Stored]:
    """Remove from the clusters what has been kept for long enough; two services never do so at once.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    reader : RunReader
        Tells which runs have not ended.
    leases : Leases
        The leases of this process, whose heartbeat the caller runs.
    settings : Settings
        The clusters, and how long data are kept.
    transports : callable
        Gives the way to a cluster by its name.
    now : datetime, optional
        The time, with time zone.

    Returns
    -------
    list of Stored
        What was removed.
    """
    moment = now or datetime.now(UTC)
    remover = Remover(tracker, leases, transports, "the engine service")
    removed: list[Stored] = []
    if leases.take(TURN) is None:
        return removed
    try:
        for cluster in settings.clusters:
            try:
                stored = list(look(tracker, reader, settings, transports, clusters=[cluster], sizes=False))
            except WorkerError as error:
                log.warning("storage_not_looked_at", cluster=cluster, problem=str(error))
                continue
            for each in stored:
                if not each.due(moment):
                    continue
                leases.check(TURN)
                try:
                    remover.remove(each, f"{each.keeping.why}.")
                except WorkerError as error:
                    log.warning("data_not_removed", folder=each.folder.name, problem=str(error))
                    continue
                log.info("data_removed", folder=each.folder.name, cluster=cluster, reason=each.keeping.why)
                removed.append(each)
    finally:
        leases.give_back(TURN)
    return removed


def retain_here(
    tracker: WorkflowTracker, leases: Leases, settings: Settings, state_dir: Path, *, now: datetime | None = None
) -> list[UUID]:
    """Remove the staging directories that runs have left here after their end.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    leases : Leases
        The leases of this process.
    settings : Settings
        How long data are kept.
    state_dir : Path
        Where this process keeps its state.
    now : datetime, optional
        The time, with time zone.

    Returns
    -------
    list of UUID
        The runs whose directories were removed.
    """
    moment = now or datetime.now(UTC)
    removed: list[UUID] = []
    for run_id in staging.runs_in(state_dir):
        try:
            run = tracker.run(run_id)
        except RunNotFound:
            continue  # another record's, perhaps
        until = keeping_of(run, None, settings.worker).until
        over = run.ended and (why_removed(view_of(run)) is not None or (until is not None and until <= moment))
        # Whoever drives a run may need them.
        if not over or leases.take(run_id) is None:
            continue
        try:
            if tracker.run(run_id).ended:
                staging.remove(staging.folder_of(state_dir, run_id))
                log.info("staging_removed", run=str(run_id))
                removed.append(run_id)
        except WorkerError as error:
            log.warning("staging_not_removed", run=str(run_id), problem=str(error))
        finally:
            leases.give_back(run_id)
    return removed
