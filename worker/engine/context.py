"""What a step is given: the rooms below, the run, and the guard that stops it when the run is no longer ours."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from worker.cluster.layout import RunLayout
from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from worker.cluster.transport import Transport
    from worker.engine.lease import Leases
    from worker.engine.request import RunRequest
    from worker.engine.retry import Budget
    from worker.engine.view import Branch, RunView
    from worker.engine.watcher import Watcher
    from worker.history.domain import WorkflowRun
    from worker.history.tracker import WorkflowTracker
    from worker.settings.models import Settings


SSH_POOL = 4
"""Connections to a cluster that a process keeps."""


class OmeroAccess(Protocol):
    """Opens OMERO as the person to whom a run belongs."""

    def session(self, *, user_name: str, group_id: int) -> AbstractContextManager[Any]:
        """A `BlitzGateway` that acts as that user in that group, closed at the end of the block."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How many steps may use a resource at the same time, over all runs of this process.

    A transfer holds an SSH connection for itself; one of the pool's stays free for commands.
    """

    transfers: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(SSH_POOL - 1))
    exports: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(2))
    imports: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(2))


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that steps share within a process."""

    settings: Settings
    state_dir: Path
    tracker: WorkflowTracker
    leases: Leases
    transport: Transport
    omero: OmeroAccess
    watcher: Watcher
    budget: Budget
    limits: Limits = field(default_factory=Limits)
    lookup_spacing_s: float = 5.0
    """Time between two look-ups of a submission whose reply was lost."""
    unknown_grace_s: float = 120.0
    """How long the cluster may not know a job before the run is paused."""
    cache_dir: Path | None = None


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


@dataclass(frozen=True, slots=True)
class StepContext:
    """What one step of one run is given."""

    resources: Resources
    run_id: UUID
    run: WorkflowRun
    view: RunView
    request: RunRequest
    branch: Branch | None
    report: Callable[[str], None]

    @property
    def layout(self) -> RunLayout:
        """Where the run's files are on the cluster."""
        return RunLayout(self.resources.settings.slurm.slurm_data_path, self.run_id)

    @property
    def tracker(self) -> WorkflowTracker:
        """The record."""
        return self.resources.tracker

    @property
    def own_branch(self) -> Branch:
        """The branch of a step that belongs to one."""
        if self.branch is None:
            raise RequestError("This step belongs to an analysis, but the run has none.")
        return self.branch

    @property
    def staging(self) -> Path:
        """Local directory for the results of this branch, private to this run."""
        return self.resources.state_dir / "runs" / str(self.run_id) / str(self.own_branch.index)

    def guard(self) -> None:
        """Make sure that the run is still ours; called before every outside effect.

        Raises
        ------
        LeaseLost
            If it is not.
        """
        self.resources.leases.check(self.run_id)

    @contextmanager
    def omero(self) -> Iterator[Any]:
        """Open OMERO as the person to whom the run belongs."""
        access = self.resources.omero.session(user_name=self.request.user_name, group_id=self.request.group_id)
        with access as gateway:
            yield gateway
