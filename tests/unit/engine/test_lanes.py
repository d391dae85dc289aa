"""Lanes: bounded, and fair to people."""

from __future__ import annotations

from uuid import UUID, uuid4

from worker.engine.lanes import Lane

ANN, BEN = 1, 2


def all_of(lane: Lane) -> list[UUID]:
    """Let every waiting run have its turn, one after the other."""
    order = []
    while (run_id := lane.next()) is not None:
        order.append(run_id)
        lane.done(run_id)
    return order


def test_no_more_runs_than_the_lane_is_wide_are_in_it() -> None:
    lane = Lane(2)
    runs = [uuid4() for _ in range(3)]
    for run_id in runs:
        lane.put(run_id, ANN)
    assert [lane.next(), lane.next(), lane.next()] == [runs[0], runs[1], None]
    lane.done(runs[0])
    assert lane.next() == runs[2]


def test_runs_of_one_person_keep_their_order() -> None:
    lane = Lane(1)
    runs = [uuid4() for _ in range(5)]
    for run_id in runs:
        lane.put(run_id, ANN)
    assert all_of(lane) == runs


def test_a_person_with_one_run_does_not_wait_for_anothers_hundred() -> None:
    lane = Lane(1)
    for _ in range(100):
        lane.put(uuid4(), ANN)
    run_id = uuid4()
    lane.put(run_id, BEN)
    assert all_of(lane).index(run_id) == 1


def test_a_run_that_waits_can_be_withdrawn_and_one_that_is_driven_cannot() -> None:
    lane = Lane(1)
    driven, waiting = uuid4(), uuid4()
    lane.put(driven, ANN)
    lane.put(waiting, ANN)
    assert lane.next() == driven
    assert not lane.withdraw(driven)
    assert lane.withdraw(waiting)
    assert lane.waiting == 0
    lane.done(driven)
    assert lane.next() is None
