"""What a parent does next: a run whose selection is split into batches, each of which is a run of its own, its child.

============================================  =================================================
the parent ...                                next
============================================  =================================================
has completed or failed                       `Finished`
is to be cancelled                            `Step` cancel (its children), then `End` (failed)
is paused                                     `Wait` until somebody resumes it
is not split yet                              `Step` split
could not be split                            `End` (failed)
has a child at work                           `Step` child/n: look at it
has room for a child, and a batch left        `Step` child/n: start it
has children at work that go on               `Wait` until one is to be looked at again
has only children that did well               `End` (completed)
has children that did well, and others        `End` (failed, "PARTIAL: ..."); the results stay
has only children that failed                 `End` (failed)
============================================  =================================================

A child that is paused is still at work: its parent waits for it, and says so. Batches count from 1, as people do, and
are started in their order. A child is driven like any other run; its parent never waits for it in a thread, so that no
number of parents can keep their own children from running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from worker.engine.decisions import Decision, End, Finished, Step, Wait, when_due
from worker.engine.view import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from worker.engine.view import RunView

PARTIAL = "PARTIAL:"
"""How the message of a parent begins that has ended badly, but has results in OMERO."""

CHILD_DONE = "DONE"
"""Status of a child, in the data of its parent's step, whose results are all in OMERO."""

REASONS_TOLD = 3
"""How many different reasons of failure a parent tells; `runs show` of a child tells its own in full."""


def child_id(parent_id: UUID, number: int) -> UUID:
    """The run of a batch: always the same, so that a batch is never started twice.

    Parameters
    ----------
    parent_id : UUID
        The parent.
    number : int
        Number of the batch, from 1.

    Returns
    -------
    UUID
        The child.
    """
    return uuid5(parent_id, str(number))


def child_step(number: int) -> str:
    """Name of the parent's step for a batch, such as ``child/1``."""
    return f"child/{number}"


def number_of(step: str) -> int:
    """Number of the batch that a step such as ``child/1`` is about."""
    return int(step.removeprefix("child/"))


def batches_of(view: RunView) -> list[list[int]]:
    """Ids of the objects of each batch, in order; empty before the selection is split."""
    return list(view.step("split").data.get("batches", []))


def started(view: RunView) -> list[int]:
    """Numbers of the batches whose child has been started, or is about to be."""
    return [number for number, progress in _progress(view).items() if progress is not Progress.OPEN]


def at_work(view: RunView) -> list[int]:
    """Numbers of the batches whose child has been started and was not seen to have ended."""
    return [number for number, progress in _progress(view).items() if progress is Progress.INTENDED]


def waiting(view: RunView) -> list[int]:
    """Numbers of the batches that nobody has begun to start."""
    return [number for number, progress in _progress(view).items() if progress is Progress.OPEN]


def room(view: RunView) -> int:
    """How many more children may be at work."""
    return max(0, int(view.step("split").data.get("parallel", 0)) - len(at_work(view)))


def starts_another(view: RunView) -> bool:
    """Whether there is a batch left, and room for it."""
    return bool(waiting(view) and room(view))


def done_well(view: RunView) -> list[int]:
    """Numbers of the batches whose results are all in OMERO."""
    return [
        number
        for number, progress in _progress(view).items()
        if progress is Progress.DONE and view.step(child_step(number)).data.get("status") == CHILD_DONE
    ]


def failures(view: RunView) -> dict[int, str]:
    """Why batches have failed, by their numbers."""
    reasons: dict[int, str] = {}
    for number, progress in _progress(view).items():
        step = view.step(child_step(number))
        if progress is Progress.FAILED:
            reasons[number] = step.message
        elif progress is Progress.DONE and step.data.get("status") != CHILD_DONE:
            reasons[number] = str(step.data.get("message", ""))
    return reasons


def failed_steps(view: RunView) -> list[str]:
    """Steps of a parent that has failed or was cancelled, which have to be taken anew so that it goes on."""
    if view.step("split").progress is Progress.FAILED:
        return ["split"]
    cancel = ["cancel"] if "cancel" in view.steps else []
    return cancel + [child_step(number) for number in sorted([*at_work(view), *failures(view)])]


def plan_batches(view: RunView, now: datetime, not_yet: Mapping[str, datetime | None]) -> Decision:
    """Decide what a parent does next.

    Parameters
    ----------
    view : RunView
        The parent's picture.
    now : datetime
        The time, with time zone.
    not_yet : mapping of str to datetime or None
        Steps that said "not yet" a moment ago, with the time at which to look again.

    Returns
    -------
    Step, Wait, End or Finished
        See the table above.
    """
    if view.status in ("COMPLETED", "FAILED"):
        return Finished()
    if view.cancelled_by is not None:
        return _cancelled(view, now, not_yet)
    if view.paused is not None:
        return Wait(None, view.paused)

    split = view.step("split")
    if split.progress is Progress.FAILED:
        return End(ok=False, message=split.message)
    if split.progress is not Progress.DONE:
        return when_due(view, [Step("split", "split")], now, not_yet, "the selection is being split")

    steps = [Step(child_step(number), "child") for number in at_work(view) + waiting(view)[: room(view)]]
    if steps:
        return when_due(view, steps, now, not_yet, "batches are running")
    return _end(view)


def _cancelled(view: RunView, now: datetime, not_yet: Mapping[str, datetime | None]) -> Decision:
    cancel = view.step("cancel")
    who = f"Cancelled by {view.cancelled_by}"
    if cancel.progress is Progress.DONE:
        done, total = int(cancel.data.get("done", 0)), int(cancel.data.get("total", 0))
        ended = f"{PARTIAL} {who}; {done} of {total} batches {_is(done)} in OMERO." if done else f"{who}."
        return End(ok=False, message=" ".join([ended, *cancel.data.get("notes", [])]))
    if cancel.progress is Progress.FAILED:
        return End(ok=False, message=f"{who}, but not all of its batches: {cancel.message}")
    return when_due(view, [Step("cancel", "cancel_children")], now, not_yet, "batches are being cancelled")


def _end(view: RunView) -> End:
    total, reasons = len(batches_of(view)), failures(view)
    if not reasons:
        return End(ok=True, message="")
    told = tell(reasons)
    if len(reasons) == total:
        return End(
            ok=False, message=f"All {total} batches failed: {told}" if total > 1 else next(iter(reasons.values()))
        )
    done = total - len(reasons)
    return End(
        ok=False,
        message=f"{PARTIAL} {done} of {total} batches {_is(done)} in OMERO, {len(reasons)} failed: {told}",
    )


def tell(reasons: Mapping[int, str]) -> str:
    """Tell why batches have failed, each reason once and by its first line.

    Parameters
    ----------
    reasons : mapping of int to str
        Reasons by numbers of batches.

    Returns
    -------
    str
        Such as ``batches 2, 5: There is no Image 12 ...``.
    """
    alike: dict[str, list[int]] = {}
    for number, reason in reasons.items():
        alike.setdefault((reason.strip() or "no reason is known").splitlines()[0], []).append(number)
    told = [f"{name_of(numbers)}: {reason}" for reason, numbers in alike.items()]
    left = len(told) - REASONS_TOLD
    return " ".join(told[:REASONS_TOLD]) + (f" And {left} other reasons." if left > 0 else "")


def name_of(numbers: Sequence[int]) -> str:
    """Name some batches, such as ``batch 3`` or ``batches 2, 5``."""
    return f"batch{'es' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _progress(view: RunView) -> dict[int, Progress]:
    """How far the step of each batch is, by number."""
    return {n: view.step(child_step(n)).progress for n in range(1, len(batches_of(view)) + 1)}
