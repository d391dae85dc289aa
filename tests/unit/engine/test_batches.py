"""The plan of a parent, state by state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from worker.engine.batches import REASONS_TOLD, child_id, failed_steps, plan_batches, tell
from worker.engine.plan import Decision, End, Finished, Step, Wait, plan
from worker.engine.view import Progress, RunView, StepView

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)
PARENT = UUID(int=1)

SPLIT = {"split": StepView(Progress.DONE, {"batches": [[1, 2], [3, 4], [5]], "parallel": 2})}
AT_WORK = StepView(Progress.INTENDED)
WAITING = StepView(Progress.INTENDED, attempts=1, message="database unavailable", retry_at=SOON)
WELL = StepView(Progress.DONE, {"status": "DONE", "message": ""})
BADLY = StepView(Progress.DONE, {"status": "FAILED", "message": "exit code 3.\nIts log ends with: oh"})
REFUSED = StepView(Progress.FAILED, attempts=1, message="there is no workflow nuclei")
INTENDED = StepView(Progress.INTENDED)
DONE = StepView(Progress.DONE)


def parent(steps: dict[str, StepView], **fields: object) -> RunView:
    values: dict[str, object] = {"status": "STARTED", "branches": (), "steps": steps, "is_parent": True}
    return RunView(**(values | fields))  # type: ignore[arg-type]  # fields of a frozen dataclass


def children(*steps: StepView | None) -> dict[str, StepView]:
    """A parent that is split, and how far each of its children is."""
    return SPLIT | {f"child/{number}": step for number, step in enumerate(steps, 1) if step is not None}


def named(decision: Decision) -> str:
    match decision:
        case Step(name=name, kind=kind):
            return name if kind in (name, "child") else f"{name} ({kind})"
        case Wait(until=until):
            return f"wait until {until}"
        case End(ok=ok, message=message):
            return f"end {'well' if ok else 'badly'}: {message}"
        case Finished():
            return "finished"


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        pytest.param(parent({}), "split", id="a new parent is split"),
        pytest.param(parent({"split": INTENDED}), "split", id="a split that was begun is taken up again"),
        pytest.param(parent({"split": WAITING}), f"wait until {SOON}", id="a split waits for its next attempt"),
        pytest.param(
            parent({"split": REFUSED}),
            "end badly: there is no workflow nuclei",
            id="a selection that cannot be split ends the run",
        ),
        pytest.param(parent(SPLIT), "child/1", id="the first batch is started first"),
        pytest.param(parent(children(AT_WORK)), "child/1", id="a child at work is looked at"),
        pytest.param(parent(children(WELL)), "child/2", id="what is done makes room for the next"),
        pytest.param(parent(children(BADLY)), "child/2", id="a batch that failed holds up no other"),
        pytest.param(parent(children(REFUSED)), "child/2", id="nor does one that could not be started"),
        pytest.param(parent(children(WAITING, WELL)), "child/3", id="nor does one that waits for its next attempt"),
        pytest.param(
            parent(children(WELL, WELL, WAITING)), f"wait until {SOON}", id="the last one is waited for, however"
        ),
        pytest.param(parent(children(WELL, WELL, WELL)), "end well: ", id="when all did well the parent has done well"),
        pytest.param(
            parent(children(WELL, BADLY, WELL)),
            "end badly: PARTIAL: 2 of 3 batches are in OMERO, 1 failed: batch 2: exit code 3.",
            id="a partial success is called one",
        ),
        pytest.param(
            parent(children(BADLY, WELL, BADLY)),
            "end badly: PARTIAL: 1 of 3 batches is in OMERO, 2 failed: batches 1, 3: exit code 3.",
            id="what failed alike is told once",
        ),
        pytest.param(
            parent(children(BADLY, BADLY, REFUSED)),
            "end badly: All 3 batches failed: batches 1, 2: exit code 3. batch 3: there is no workflow nuclei",
            id="no success is called failed",
        ),
        pytest.param(parent(children(WELL, BADLY, AT_WORK)), "child/3", id="nothing ends while a child is at work"),
        pytest.param(parent(children(AT_WORK), paused="a defect"), "wait until None", id="a paused parent waits"),
        pytest.param(
            parent(children(AT_WORK), cancelled_by="ann"), "cancel (cancel_children)", id="a cancelled one cancels"
        ),
        pytest.param(parent({}, cancelled_by="ann"), "cancel (cancel_children)", id="even before it is split"),
        pytest.param(
            parent(children(AT_WORK), cancelled_by="ann", paused="a defect"),
            "cancel (cancel_children)",
            id="even when it is paused",
        ),
        pytest.param(
            parent(children(AT_WORK) | {"cancel": WAITING}, cancelled_by="ann"),
            f"wait until {SOON}",
            id="a cancellation waits for its next attempt",
        ),
        pytest.param(
            parent(
                children(AT_WORK) | {"cancel": StepView(Progress.DONE, {"done": 0, "total": 3})}, cancelled_by="ann"
            ),
            "end badly: Cancelled by ann.",
            id="and then ends",
        ),
        pytest.param(
            parent(
                children(WELL)
                | {"cancel": StepView(Progress.DONE, {"done": 1, "total": 3, "notes": ["Batch 2: It was late."]})},
                cancelled_by="ann",
            ),
            "end badly: PARTIAL: Cancelled by ann; 1 of 3 batches is in OMERO. Batch 2: It was late.",
            id="and says what is in OMERO",
        ),
        pytest.param(
            parent(children(AT_WORK) | {"cancel": REFUSED}, cancelled_by="ann"),
            "end badly: Cancelled by ann, but not all of its batches: there is no workflow nuclei",
            id="a cancellation that failed says so",
        ),
        pytest.param(parent({}, status="COMPLETED"), "finished", id="a completed parent is finished"),
        pytest.param(parent({}, status="FAILED"), "finished", id="a failed parent is finished"),
    ],
)
def test_what_comes_next(view: RunView, expected: str) -> None:
    assert named(plan(view, NOW)) == expected


def test_no_more_children_than_allowed_are_at_work_however_often_the_plan_is_asked() -> None:
    batches = [[image] for image in range(1, 101)]
    steps = {"split": StepView(Progress.DONE, {"batches": batches, "parallel": 4})}
    not_yet: dict[str, datetime | None] = {}
    while isinstance(decision := plan_batches(parent(steps), NOW, not_yet), Step):
        steps[decision.name] = AT_WORK
        not_yet[decision.name] = SOON
    assert decision == Wait(SOON, "child/1 goes on")
    assert [name for name in steps if name != "split"] == ["child/1", "child/2", "child/3", "child/4"]


def test_batches_are_started_in_their_order_and_one_for_each_that_ends() -> None:
    steps = children(AT_WORK, WELL)
    assert named(plan(parent(steps), NOW, {"child/1": SOON})) == "child/3"


def test_only_what_failed_is_taken_up_again() -> None:
    assert failed_steps(parent(children(WELL, BADLY, REFUSED))) == ["child/2", "child/3"]
    assert failed_steps(parent({"split": REFUSED})) == ["split"]


def test_a_batch_is_always_the_same_run() -> None:
    assert child_id(PARENT, 1) == child_id(PARENT, 1)
    assert len({child_id(parent_id, number) for parent_id in (PARENT, UUID(int=2)) for number in (1, 2)}) == 4


def test_a_hundred_different_reasons_are_not_all_told() -> None:
    told = tell({number: f"reason {number}" for number in range(1, 101)})
    assert told.endswith(f"And {100 - REASONS_TOLD} other reasons.")
    assert len(told) < 200
