"""What is taken anew when a run is retried: a pure function from its picture to steps and tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.engine.plan import branch_failed
from worker.engine.view import BRANCH_STEPS, Branch, Progress, RunView
from worker.errors import RequestError

if TYPE_CHECKING:
    from uuid import UUID

AFTER_ALL = ("tidy", "cancel")
"""Steps that follow those of the branches."""


@dataclass(frozen=True, slots=True)
class Reopening:
    """What is taken anew."""

    steps: tuple[str, ...]
    """Names of the steps, the first of each branch first."""
    jobs: tuple[UUID, ...]
    """Analyses of which another job is submitted."""
    tasks: tuple[UUID, ...]
    """Other tasks that begin anew."""


def reopening(view: RunView, export_task: UUID, start: str | None = None) -> Reopening:
    """Work out what is taken anew.

    Parameters
    ----------
    view : RunView
        A run that has failed, was cancelled or is paused.
    export_task : UUID
        Its export.
    start : str, optional
        The step with which it goes on: of one branch (``submit/1``), or of each branch that has not ended well
        (``submit``); by default, the step of each of these branches at which it failed.

    Returns
    -------
    Reopening
        Steps and tasks.

    Raises
    ------
    RequestError
        If there is no such step, if it cannot be taken because of what is missing before it, or if nothing failed.
    """
    known = ["export", *(branch.step(kind) for branch in view.branches for kind in BRANCH_STEPS)]
    if start is not None and start not in known and start not in BRANCH_STEPS:
        raise RequestError(
            f"There is no step {start!r} in this run.",
            remedy=f"Name one of {', '.join(known)}; or {', '.join(BRANCH_STEPS)} for all branches that failed.",
        )
    removed = any(view.step(name).data.get("removed") for name in AFTER_ALL)
    if start == "export" or (start is None and (removed or not _done(view, "export"))):
        return _from_export(view, export_task)
    if removed:
        raise RequestError(
            f"The run cannot go on from {start!r}: its data on the cluster have been removed.",
            remedy="Retry it from export.",
        )
    starts = _starts(view, start)
    if not starts:
        raise RequestError("No step of this run has failed; there is nothing to retry.", remedy=_naming(known))
    steps: list[str] = []
    jobs: list[UUID] = []
    tasks: list[UUID] = []
    for branch, kind in starts:
        _check(view, branch, kind)
        steps.extend(branch.step(later) for later in BRANCH_STEPS[BRANCH_STEPS.index(kind) :])
        if kind == "submit":
            jobs.append(branch.task_id)
        elif kind == "watch":
            tasks.append(branch.task_id)
        tasks.append(branch.import_task_id)
    return Reopening((*steps, *AFTER_ALL), tuple(jobs), tuple(tasks))


def _from_export(view: RunView, export_task: UUID) -> Reopening:
    """Everything, from the beginning: what a job reads has been written anew."""
    steps = tuple(branch.step(kind) for branch in view.branches for kind in BRANCH_STEPS)
    jobs = tuple(branch.task_id for branch in view.branches)
    imports = tuple(branch.import_task_id for branch in view.branches)
    return Reopening(("export", *steps, *AFTER_ALL), jobs, (export_task, *imports))


def _starts(view: RunView, start: str | None) -> list[tuple[Branch, str]]:
    """With which step each branch goes on; branches that have ended well are left alone unless they are named."""
    if start is not None and "/" in start:
        kind, _, index = start.partition("/")
        return [(view.branches[int(index)], kind)]
    found = [(branch, failed_at(view, branch)) for branch in view.branches]
    return [(branch, start or kind) for branch, kind in found if kind is not None]


def failed_at(view: RunView, branch: Branch) -> str | None:
    """Tell with which step a branch has to go on that did not end well.

    Parameters
    ----------
    view : RunView
        The run.
    branch : Branch
        The branch.

    Returns
    -------
    str or None
        Kind of the step: ``submit`` where the job itself failed or was cancelled; None if all are done.
    """
    job = view.step(branch.step("watch"))
    if job.progress is Progress.DONE and branch_failed(view, branch) is not None and not job.data.get("ok", False):
        return "submit"
    kind = next((kind for kind in BRANCH_STEPS if not _done(view, branch.step(kind))), None)
    # Whoever was watched when the run ended has been cancelled, or nobody knows what became of it.
    return "submit" if kind == "watch" else kind


def _check(view: RunView, branch: Branch, kind: str) -> None:
    """Refuse a step whose results would be built on nothing."""
    before = ["export", *(branch.step(earlier) for earlier in BRANCH_STEPS[: BRANCH_STEPS.index(kind)])]
    missing = next((name for name in before if not _done(view, name)), None)
    if missing is not None:
        raise RequestError(
            f"The run cannot go on from '{branch.step(kind)}': '{missing}' is not done.",
            remedy=f"Retry it from {missing}.",
        )
    if kind in ("fetch", "import") and not view.step(branch.step("watch")).data.get("ok", False):
        raise RequestError(
            f"The run cannot go on from '{branch.step(kind)}': the job itself failed, so that there are no results.",
            remedy=f"Retry it from {branch.step('submit')}.",
        )


def _done(view: RunView, name: str) -> bool:
    return view.step(name).progress is Progress.DONE


def _naming(known: list[str]) -> str:
    return f"To take a step again all the same, name it: {', '.join(known)}."
