"""What a step is given: the rooms below, the run, and the guard that stops it when the run is no longer ours."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from worker.engine import staging
from worker.engine.places import layout_of
from worker.engine.retry import Budget
from worker.errors import HistoryUnavailable, RequestError, RunCancelled, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from worker.cluster.layout import RunLayout
    from worker.cluster.transport import Transport
    from worker.engine.clusters import Cluster, ClusterAccess
    from worker.engine.lease import Leases
    from worker.engine.request import RunRequest
    from worker.engine.view import Branch, RunView
    from worker.engine.watcher import Watcher
    from worker.history.domain import WorkflowRun
    from worker.history.tracker import WorkflowTracker
    from worker.settings.importer import ImporterSettings
    from worker.settings.models import Settings, SlurmSettings

log = structlog.get_logger(__name__)

SSH_POOL = 7
"""Connections to a cluster that a process keeps: one for each transfer that may run (the one in the lane of suspects
included), and two for commands."""

CANCEL_LOOK_S = 2.0
"""How often a step that takes long looks whether somebody has cancelled its run."""


class OmeroAccess(Protocol):
    """Opens OMERO as the person to whom a run belongs."""

    def session(self, *, user_name: str, group_id: int) -> AbstractContextManager[Any]:
        """A `BlitzGateway` that acts as that user in that group, closed at the end of the block."""
        ...


def without_importer() -> ImporterSettings:
    """Refuse to import in place, where nobody has said how."""
    raise SettingsError("Imports in place are not configured here.", remedy="Set IMPORTER_ENABLED=true.")


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that steps share within a process."""

    configuration: Callable[[], Settings]
    """Gives the settings as they are now: an admin may change them at any time."""
    state_dir: Path
    tracker: WorkflowTracker
    leases: Leases
    clusters: ClusterAccess
    omero: OmeroAccess
    budget: Budget = field(default_factory=Budget)
    """How slowly steps are tried again; how often, the settings say."""
    lookup_spacing_s: float = 5.0
    """Time between two look-ups of a submission whose reply was lost."""
    missed_at: dict[str, float] = field(default_factory=dict)
    """Monotonic times at which submissions whose reply was lost were first looked for and not found, by key."""
    cancelling_since: dict[UUID, float] = field(default_factory=dict)
    """Monotonic times at which runs were first found to have jobs on their way out of the cluster."""
    importer: Callable[[], ImporterSettings] = field(default=without_importer)
    """Gives what is configured for imports in place, as it is now."""
    ended_at: dict[str, float] = field(default_factory=dict)
    """Monotonic times at which all orders to the importer were first seen to have ended, by the folder of results."""
    run_of_task: dict[UUID, UUID] = field(default_factory=dict)
    """Runs of the tasks whose jobs are watched in this process."""

    @property
    def settings(self) -> Settings:
        """The settings as they are now."""
        return self.configuration()


@dataclass(frozen=True, slots=True)
class Done:
    """The step is done; `data` is recorded with it."""

    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotYet:
    """Nothing went wrong, but there is nothing to do before `look_again_at`; None: before the watcher has news."""

    look_again_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A person has to decide; the run waits until it is resumed."""

    reason: str


Outcome = Done | NotYet | Pause


class Guard:
    """Stops a step whose run is no longer ours, or that nobody wants any more.

    Parameters
    ----------
    leases : Leases
        The leases of this process.
    tracker : WorkflowTracker
        The record, which knows of cancellations.
    run_id : UUID
        The run.
    """

    def __init__(self, leases: Leases, tracker: WorkflowTracker, run_id: UUID) -> None:
        self._leases = leases
        self._tracker = tracker
        self._run_id = run_id
        self._look_at = time.monotonic() + CANCEL_LOOK_S

    def __call__(self, *, cancelling: bool = False) -> None:
        """Go on only if this process still drives the run, and nobody has cancelled it.

        Parameters
        ----------
        cancelling : bool
            Whether to go on although the run is cancelled.

        Raises
        ------
        LeaseLost
            If the run is another process's.
        RunCancelled
            If somebody has cancelled it.
        """
        self._leases.check(self._run_id)
        if cancelling or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + CANCEL_LOOK_S
        try:
            cancelled_by = self._tracker.run(self._run_id).cancel_requested_by
        except HistoryUnavailable as error:
            # No reason to throw away an hour of export; the lease runs out if this goes on.
            log.warning("cancellation_not_looked_up", problem=str(error))
            return
        if cancelled_by is not None:
            raise RunCancelled(f"Cancelled by {cancelled_by}.")


@dataclass(frozen=True, slots=True)
class StepContext:
    """What one step of one run is given."""

    resources: Resources
    settings: Settings
    """The settings, the same throughout the step."""
    tracker: WorkflowTracker
    """The record; it takes nothing from a process that does not drive the run any more."""
    guard: Guard
    """Called before every outside effect, and now and then while one goes on."""
    run_id: UUID
    run: WorkflowRun
    view: RunView
    request: RunRequest
    branch: Branch | None
    report: Callable[[str], None]
    step: str = ""
    """Name of the step, such as ``child/3``."""

    @property
    def layout(self) -> RunLayout:
        """Where the run's files are on the cluster."""
        return layout_of(self.run, self.settings)

    @property
    def cluster(self) -> Cluster:
        """The run's cluster."""
        return self.resources.clusters.get(self.request.cluster)

    @property
    def slurm(self) -> SlurmSettings:
        """What is configured for jobs there."""
        return self.settings.cluster(self.request.cluster).slurm

    @property
    def transport(self) -> Transport:
        """The way to it."""
        return self.cluster.transport

    @property
    def watcher(self) -> Watcher:
        """What watches its jobs."""
        return self.cluster.watcher

    @property
    def own_branch(self) -> Branch:
        """The branch of a step that belongs to one."""
        if self.branch is None:
            raise RequestError("This step belongs to an analysis, but the run has none.")
        return self.branch

    @property
    def staging(self) -> Path:
        """Local directory for the results of this branch, private to this run."""
        return staging.folder_of(self.resources.state_dir, self.run_id) / str(self.own_branch.index)

    @contextmanager
    def omero(self) -> Iterator[Any]:
        """Open OMERO as the person to whom the run belongs."""
        access = self.resources.omero.session(user_name=self.request.user_name, group_id=self.request.group_id)
        with access as gateway:
            yield gateway
