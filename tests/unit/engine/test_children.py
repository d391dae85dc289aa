"""A parent and its children, driven by the real driver on a real record; only what the children do is played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.clusters import OneCluster, settings_with
from worker.cluster.local import LocalTransport
from worker.engine import batches, interventions
from worker.engine.accept import accept
from worker.engine.children import children_of
from worker.engine.context import Resources
from worker.engine.driver import drive
from worker.engine.lease import Leases
from worker.engine.request import RunRequest, parse_request
from worker.engine.watcher import Watcher
from worker.history.commands import Commands
from worker.history.database import Database
from worker.history.tracker import WorkflowTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

BATCHES = [[1, 2], [3, 4], [5]]


class Killed(BaseException):
    """The process ends here; no handler of errors sees it."""


@dataclass
class Death:
    """Kills at the n-th transaction, before it or after it has been recorded."""

    at: int
    after: bool
    count: int = 0

    def around(self, transact: Callable[[], Any]) -> Any:
        """Run a transaction, or die of it."""
        self.count += 1
        if self.count == self.at and not self.after:
            raise Killed
        done = transact()
        if self.count == self.at:
            raise Killed
        return done


class MortalTracker(WorkflowTracker):
    """A tracker whose process may be killed at any of its transactions."""

    death: Death | None = None

    def _transact(self, decide: Any) -> Any:
        if self.death is None:
            return Commands._transact(self, decide)
        return self.death.around(lambda: Commands._transact(self, decide))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(None, sqlite_path=tmp_path / "history.sqlite") as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def resources(database: Database, tmp_path: Path) -> Resources:
    transport, settings = LocalTransport(), settings_with("nuclei")
    return Resources(
        configuration=lambda: settings,
        state_dir=tmp_path,
        tracker=MortalTracker(database),
        leases=Leases(database, "engine"),
        clusters=OneCluster(settings, transport, Watcher(transport)),
        omero=cast("Any", None),
    )


@pytest.fixture
def parent(resources: Resources) -> UUID:
    """A run that has just been split."""
    return split_run(resources, BATCHES)


def split_run(resources: Resources, parts: list[list[int]]) -> UUID:
    run_id = accept(
        resources.tracker,
        parse_request(
            {
                "data_type": "Dataset",
                "ids": [7],
                "workflows": [{"name": "nuclei", "version": "v1"}],
                "output": {"new_dataset": "Cells", "allow_duplicate_dataset": True},
                "batch": {"size": 2},
                "user_id": 2,
                "user_name": "ada",
                "group_id": 3,
                "group_name": "lab",
            }
        ),
        resources.settings,
    )
    resources.tracker.start_workflow(run_id)
    resources.tracker.complete_step(run_id, "split", {"data_type": "Image", "batches": parts, "parallel": 2})
    return run_id


def statuses(resources: Resources, parent: UUID) -> dict[int, str]:
    run = resources.tracker.run(parent)
    return {number: child.status for number, child in children_of(resources.tracker, run).items()}


def end(resources: Resources, parent: UUID, number: int, *, problem: str = "") -> None:
    """Let a batch end, well or not."""
    child = batches.child_id(parent, number)
    if problem:
        resources.tracker.fail_workflow(child, problem)
    else:
        resources.tracker.complete_workflow(child)


def test_as_many_batches_as_allowed_are_started_each_with_its_part_of_the_selection(
    resources: Resources, parent: UUID
) -> None:
    assert not drive(resources, parent).finished
    children = children_of(resources.tracker, resources.tracker.run(parent))
    requests = [RunRequest.model_validate(child.request) for child in children.values()]
    assert [(request.data_type, list(request.ids)) for request in requests] == [("Image", [1, 2]), ("Image", [3, 4])]
    assert [(r.parent.run_id, r.parent.index, r.parent.total) for r in requests if r.parent] == [
        (parent, 1, 3),
        (parent, 2, 3),
    ]
    assert all(request.batch is None for request in requests)
    assert all(request.output["allow_duplicate_dataset"] is False for request in requests)


def test_the_next_batch_is_started_when_one_has_ended(resources: Resources, parent: UUID) -> None:
    drive(resources, parent)
    end(resources, parent, 2, problem="exit code 3")
    drive(resources, parent)
    assert statuses(resources, parent) == {1: "INITIALIZED", 2: "FAILED", 3: "INITIALIZED"}


def test_the_parent_ends_as_its_batches_do(resources: Resources, parent: UUID) -> None:
    for number, problem in ((1, ""), (2, "exit code 3"), (3, "")):
        drive(resources, parent)
        end(resources, parent, number, problem=problem)
    assert drive(resources, parent).finished
    run = resources.tracker.run(parent)
    assert run.status == "FAILED"
    assert run.error_message == "PARTIAL: 2 of 3 batches are in OMERO, 1 failed: batch 2: exit code 3"
    assert [resources.tracker.task(task).state for task in run.tasks] == ["COMPLETED", "FAILED", "COMPLETED"]


def test_only_the_batches_that_failed_are_taken_up_again_as_the_same_runs(resources: Resources, parent: UUID) -> None:
    for number, problem in ((1, ""), (2, "exit code 3"), (3, "")):
        drive(resources, parent)
        end(resources, parent, number, problem=problem)
    drive(resources, parent)
    interventions.retry(resources.tracker, parent, by="grace")
    assert not drive(resources, parent).finished
    assert statuses(resources, parent) == {1: "COMPLETED", 2: "STARTED", 3: "COMPLETED"}
    end(resources, parent, 2)
    assert drive(resources, parent).finished
    run = resources.tracker.run(parent)
    assert (run.status, run.error_message) == ("COMPLETED", "")
    assert [resources.tracker.task(task).state for task in run.tasks] == ["COMPLETED"] * 3


def test_a_paused_batch_keeps_its_parent_waiting_and_is_seen(resources: Resources, parent: UUID) -> None:
    drive(resources, parent)
    resources.tracker.pause_run(batches.child_id(parent, 1), "the host key has changed")
    end(resources, parent, 2)
    said: list[str] = []
    drive(resources, parent, report=said.append)
    end(resources, parent, 3)
    assert not drive(resources, parent).finished
    assert "Batch 1 of 3 is paused: the host key has changed" in said
    assert resources.tracker.task(resources.tracker.run(parent).tasks[0]).status == "PAUSED"
    resources.tracker.resume_run(batches.child_id(parent, 1))
    drive(resources, parent)
    assert resources.tracker.task(resources.tracker.run(parent).tasks[0]).status == "RUNNING"


def test_cancelling_a_parent_cancels_its_batches_and_starts_no_other(resources: Resources, parent: UUID) -> None:
    drive(resources, parent)
    end(resources, parent, 1)
    resources.tracker.request_cancel(parent, "grace")
    assert not drive(resources, parent).finished  # the second batch is still on the cluster
    second = batches.child_id(parent, 2)
    assert resources.tracker.run(second).cancel_requested_by == "grace"
    resources.tracker.fail_workflow(second, "Cancelled by grace.")
    assert drive(resources, parent).finished
    run = resources.tracker.run(parent)
    assert run.error_message == "PARTIAL: Cancelled by grace; 1 of 3 batches is in OMERO."
    assert set(statuses(resources, parent)) == {1, 2}


def test_a_parent_that_is_cancelled_before_its_first_batch_ends_at_once(resources: Resources, parent: UUID) -> None:
    resources.tracker.request_cancel(parent, "grace")
    assert drive(resources, parent).finished
    assert resources.tracker.run(parent).error_message == "Cancelled by grace."
    assert statuses(resources, parent) == {}


def test_a_batch_that_was_started_with_other_images_is_not_taken_for_this_one(
    resources: Resources, parent: UUID
) -> None:
    request = RunRequest.model_validate(resources.tracker.run(parent).request)
    other = request.model_copy(update={"batch": None, "ids": (99,)})
    accept(resources.tracker, other, resources.settings, run_id=batches.child_id(parent, 1))
    drive(resources, parent)
    reasons = resources.tracker.run(parent).steps["child/1"].last_error
    assert "started before, with other images" in reasons
    assert statuses(resources, parent)[2] == "INITIALIZED"


@pytest.mark.parametrize("after", [False, True], ids=["before it is recorded", "after it is recorded"])
def test_at_whatever_transaction_the_engine_is_killed_each_batch_is_started_once(
    resources: Resources, *, after: bool
) -> None:
    tracker = cast("MortalTracker", resources.tracker)
    at, died = 0, True
    while died:
        at += 1
        parent = split_run(resources, [[1, 2], [3]])
        died = live(resources, tracker, parent, Death(at, after))
        run = tracker.run(parent)
        assert run.status == "COMPLETED"
        assert statuses(resources, parent) == dict.fromkeys((1, 2), "COMPLETED")
        assert [tracker.task(task).input_data["IDs"] for task in run.tasks] == [[1, 2], [3]]
    assert at > 10


def live(resources: Resources, tracker: MortalTracker, parent: UUID, death: Death) -> bool:
    """Drive a parent to its end, dying once on the way; say whether it came to that."""
    died = finished = False
    while not finished:
        tracker.death = None if died else death
        try:
            finished = drive(resources, parent).finished
        except Killed:
            died = True
            continue
        finally:
            tracker.death = None
        for number, status in statuses(resources, parent).items():
            if status == "INITIALIZED":
                end(resources, parent, number)
    return died
