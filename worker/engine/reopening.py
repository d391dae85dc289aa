"""What is taken anew when a run is retried: a pure function from its picture to steps and tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.engine.plan import branch_failed
from worker.engine.removal import AFTER_ALL, REMOVE, why_removed
from worker.engine.view import Branch, Progress, RunView
from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Reopening:
    """What is taken anew."""

    steps: tuple[str, ...]
    """Names of the steps, the first of each branch first."""
    jobs: tuple[UUID, ...]
    """Analyses of which another job is submitted."""
    tasks: tuple[UUID, ...]
    """Other tasks that begin anew."""


def reopening(view: RunView, run_tasks: Sequence[UUID], start: str | None = None) -> Reopening:
    """Work out what is taken anew.

    Parameters
    ----------
    view : RunView
        A run that has failed, was cancelled or is paused.
    run_tasks : sequence of UUID
        All of its tasks.
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
    course = view.course
    known = [*course.before, *(branch.step(kind) for branch in view.branches for kind in course.branch)]
    if start is not None and start not in known and start not in course.branch:
        every = f"; or {', '.join(course.branch)} for all branches that failed" if course.branch else ""
        raise RequestError(f"There is no step {start!r} in this run.", remedy=f"Name one of {', '.join(known)}{every}.")
    removed = why_removed(view)
    first = next(iter(course.before), None)
    undone = first if removed else next((kind for kind in course.before if not _done(view, kind)), None)
    begin = undone if start is None else start
    if begin in course.before:
        return _from_before(view, begin, run_tasks)
    if removed:
        raise RequestError(
            f"The run cannot go on from {start!r}. {removed}",
            remedy=f"Retry it from {first}." if first else "Start a new run.",
        )
    starts = _starts(view, start)
    if not starts:
        raise RequestError("No step of this run has failed; there is nothing to retry.", remedy=_naming(known))
    steps: list[str] = []
    jobs: list[UUID] = []
    tasks: list[UUID] = []
    for branch, kind in starts:
        _check(view, branch, kind)
        steps.extend(branch.step(later) for later in course.branch[course.branch.index(kind) :])
        if kind == "submit":
            jobs.append(branch.task_id)
        elif kind == "watch":
            tasks.append(branch.task_id)
        tasks.append(branch.import_task_id)
    return Reopening((*steps, *_after(view)), tuple(jobs), tuple(task for task in tasks if task not in jobs))


def _from_before(view: RunView, start: str, run_tasks: Sequence[UUID]) -> Reopening:
    """Everything from there on: what a job reads is written anew."""
    course = view.course
    before = course.before[course.before.index(start) :]
    steps = tuple(branch.step(kind) for branch in view.branches for kind in course.branch)
    jobs = tuple(branch.task_id for branch in view.branches)
    # The first task is that of the first step.
    tasks = run_tasks if start == course.before[0] else run_tasks[1:]
    return Reopening((*before, *steps, *_after(view)), jobs, tuple(task for task in tasks if task not in jobs))


def _after(view: RunView) -> tuple[str, ...]:
    """What follows the branches of this run."""
    removed = view.step(REMOVE).progress is not Progress.OPEN
    return tuple(name for name in AFTER_ALL if name in (view.course.after, "cancel") or (name == REMOVE and removed))


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
    if view.step(branch.step("import")).data.get("problems"):
        return "import"
    kind = next((kind for kind in view.course.branch if not _done(view, branch.step(kind))), None)
    # Whoever was watched when the run ended has been cancelled, or nobody knows what became of it.
    return "submit" if kind == "watch" else kind


def _check(view: RunView, branch: Branch, kind: str) -> None:
    """Refuse a step whose results would be built on nothing."""
    course = view.course
    before = [*course.before, *(branch.step(earlier) for earlier in course.branch[: course.branch.index(kind)])]
    missing = next((name for name in before if not _done(view, name)), None)
    if missing is not None:
        raise RequestError(
            f"The run cannot go on from '{branch.step(kind)}': '{missing}' is not done.",
            remedy=f"Retry it from {missing}.",
        )
    had_a_job = "watch" in course.branch
    if kind in ("fetch", "import") and had_a_job and not view.step(branch.step("watch")).data.get("ok", False):
        raise RequestError(
            f"The run cannot go on from '{branch.step(kind)}': the job itself failed, so that there are no results.",
            remedy=f"Retry it from {branch.step('submit')}.",
        )


def _done(view: RunView, name: str) -> bool:
    return view.step(name).progress is Progress.DONE


def _naming(known: list[str]) -> str:
    return f"To take a step again all the same, name it: {', '.join(known)}."
