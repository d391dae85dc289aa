"""A run as the plan sees it: a small frozen picture, taken from the run's aggregate."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from worker.engine.courses import ANALYSIS, Course, course_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from worker.history.domain import WorkflowRun


class Progress(StrEnum):
    """How far a step is."""

    OPEN = "open"
    INTENDED = "intended"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StepView:
    """How far one step is."""

    progress: Progress = Progress.OPEN
    data: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 0
    message: str = ""
    """Why the last attempt failed."""
    retry_at: datetime | None = None
    """When the next attempt may be made; None: at once."""
    losses: int = 0
    """How many processes in a row were lost while they were taking it."""
    headway: int = 0
    """How far it was when the last of them was lost; see `worker.engine.losses`."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One job of a run: its tasks and the names of its steps."""

    index: int
    task_id: UUID
    import_task_id: UUID
    """The task that brings its results into OMERO; of a job whose results stay on the cluster, its own."""

    def step(self, kind: str) -> str:
        """Name of this branch's step of that kind, such as ``submit/0``."""
        return f"{kind}/{self.index}"


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as the plan sees it."""

    status: str
    """INITIALIZED, STARTED, COMPLETED or FAILED."""
    branches: tuple[Branch, ...]
    steps: Mapping[str, StepView]
    paused: str | None = None
    cancelled_by: str | None = None
    cleanup: bool = True
    course: Course = ANALYSIS
    is_parent: bool = False
    """Whether its selection is split into batches, each a run of its own."""

    def step(self, name: str) -> StepView:
        """How far the step of that name is; one that nobody has begun is open."""
        return self.steps.get(name, StepView())


def produced(view: RunView) -> list[dict[str, Any]]:
    """What a run has brought into OMERO, each object once.

    Parameters
    ----------
    view : RunView
        The run's picture.

    Returns
    -------
    list of dict
        ``kind``, ``object_id`` and ``name`` of each.
    """
    found = [item for step in view.steps.values() for item in step.data.get("objects", [])]
    return list({(item["kind"], item["object_id"]): item for item in found}.values())


def notes_of(view: RunView) -> list[str]:
    """What a person should know about the results of a run, each note once."""
    return list(dict.fromkeys(note for step in view.steps.values() for note in step.data.get("notes", [])))


def view_of(run: WorkflowRun) -> RunView:
    """Take the picture of a run.

    Parameters
    ----------
    run : WorkflowRun
        The run's aggregate.

    Returns
    -------
    RunView
        Its picture. The order of the tasks is that in which `worker.engine.accept` adds them: of an analysis, the
        export, two (analysis, import) for each workflow, and one for each file; of a conversion, and of an import of
        earlier results, one. A run whose selection is split has no branches, but a task for each started batch.
    """
    tasks = list(run.tasks)
    request = run.request or {}
    is_parent = bool(request.get("batch"))
    course = course_of(request)
    branches: tuple[Branch, ...] = ()
    if "submit" in course.branch and "import" in course.branch and not is_parent:
        branches = tuple(
            Branch(index, tasks[1 + 2 * index], tasks[2 + 2 * index])
            for index in range(len(request.get("workflows", ())))
        )
    elif course.branch and not is_parent:
        branches = (Branch(0, tasks[0], tasks[0]),)
    steps: dict[str, StepView] = {}
    for name, state in run.steps.items():
        progress = Progress(state.state)
        retry_at = datetime.fromisoformat(state.retry_at) if state.retry_at else None
        if progress is Progress.INTENDED and state.last_error and retry_at is None:
            progress = Progress.FAILED
        steps[name] = StepView(
            progress, state.data, state.attempts, state.last_error, retry_at, state.losses, state.headway
        )
    return RunView(
        status=run.status,
        branches=branches,
        steps=steps,
        paused=run.paused_reason,
        cancelled_by=run.cancel_requested_by,
        cleanup=bool(request.get("cleanup", True)),
        course=course,
        is_parent=is_parent,
    )
