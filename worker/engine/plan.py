"""What a run does next: a pure function from its picture to a step, a wait or an end.

=====================================  ==============================================
the run ...                            next
=====================================  ==============================================
has completed or failed                `Finished`
is to be cancelled                     `Step` cancel, then `End` (failed: cancelled)
is paused                              `Wait` until somebody resumes it
is not exported yet                    `Step` export (and files), or prepare
could not be exported                  `End` (failed)
has a branch not submitted             `Step` submit/i
has a branch with results to fetch     `Step` fetch/i, then import/i
has a branch with a running job        `Step` watch/i
has a branch that failed               ... goes on with the other branches
has only branches that have ended      `Step` tidy or settle, then `End`
=====================================  ==============================================

Which of these steps a run has depends on its kind: see `worker.engine.courses`.

A step whose last attempt failed is not taken before its retry time: `Wait`. Submissions come before everything else
so that the cluster is busy while we fetch and import. Steps that have just said "not yet" (a job that still runs) are
left out until their time comes, so that one analysis never holds up another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.engine.batches import plan_batches
from worker.engine.decisions import Decision, End, Finished, Step, Wait, when_due
from worker.engine.view import Branch, Progress, RunView

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["Decision", "End", "Finished", "Step", "Wait", "branch_failed", "next_branch_step", "plan"]

URGENCY = {"submit": 0, "import": 1, "fetch": 2, "watch": 3}


def branch_failed(view: RunView, branch: Branch) -> str | None:
    """Why an analysis of a run has failed, or None while it has not."""
    for kind in view.course.branch:
        step = view.step(branch.step(kind))
        if step.progress is Progress.FAILED:
            return step.message
    job = view.step(branch.step("watch"))
    if job.progress is Progress.DONE and not job.data.get("ok", False):
        return str(job.data.get("message", "The job failed."))
    problems = view.step(branch.step("import")).data.get("problems")
    if not problems:
        return None
    return f"Not everything could be brought into OMERO: {' '.join(problems)} Everything else is there."


def next_branch_step(view: RunView, branch: Branch) -> Step | None:
    """The first step of a branch that is not done, or None when nothing is left to do for it."""
    for kind in view.course.branch:
        name = branch.step(kind)
        progress = view.step(name).progress
        if progress is Progress.FAILED:
            return None
        if progress is not Progress.DONE:
            return Step(name, kind, branch)
    return None


def plan(view: RunView, now: datetime, not_yet: Mapping[str, datetime | None] | None = None) -> Decision:
    """Decide what a run does next.

    Parameters
    ----------
    view : RunView
        The run's picture.
    now : datetime
        The time, with time zone.
    not_yet : mapping of str to datetime or None, optional
        Steps that said "not yet" a moment ago, with the time at which to look again (None: when there is news).

    Returns
    -------
    Step, Wait, End or Finished
        See the table above, and that of `worker.engine.batches` for a run whose selection is split.
    """
    if view.is_parent:
        return plan_batches(view, now, not_yet or {})
    if view.status in ("COMPLETED", "FAILED"):
        return Finished()
    waiting = not_yet or {}
    if view.cancelled_by is not None:
        cancel = view.step("cancel")
        if cancel.progress is Progress.DONE:
            return End(
                ok=False, message=" ".join([f"Cancelled by {view.cancelled_by}.", *cancel.data.get("notes", [])])
            )
        if cancel.progress is Progress.FAILED:
            return End(ok=False, message=f"Cancelled by {view.cancelled_by}, but not on the cluster: {cancel.message}")
        return when_due(view, [Step("cancel", "cancel")], now, waiting)
    if view.paused is not None:
        return Wait(None, view.paused)

    for kind in view.course.before:
        first = view.step(kind)
        if first.progress is Progress.FAILED:
            return End(ok=False, message=first.message)
        if first.progress is not Progress.DONE:
            return when_due(view, [Step(kind, kind)], now, waiting)

    open_steps = [step for branch in view.branches if (step := next_branch_step(view, branch))]
    if open_steps:
        return when_due(view, sorted(open_steps, key=lambda step: URGENCY[step.kind]), now, waiting)

    failures = {branch.index: reason for branch in view.branches if (reason := branch_failed(view, branch))}
    if not failures:
        after = view.course.after
        # What a person wants to keep is not tidied away.
        wanted = after and (view.cleanup or after != "tidy")
        if wanted and view.step(after).progress not in (Progress.DONE, Progress.FAILED):
            return when_due(view, [Step(after, after)], now, waiting)
        return End(ok=True, message="")
    if len(view.branches) == 1:
        return End(ok=False, message=next(iter(failures.values())))
    reasons = " ".join(failures[index] for index in sorted(failures))
    return End(ok=False, message=f"{len(failures)} of {len(view.branches)} analyses failed: {reasons}")
