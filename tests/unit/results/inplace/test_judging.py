"""What became of orders, told from what the importer has said, whatever that was."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.results.inplace import judging
from worker.results.inplace.judging import (
    Move,
    Verdict,
    describe_failure,
    judge,
    look_again_s,
    may_order_again,
    next_move,
)
from worker.results.inplace.orders import COMPLETED, FAILED, PENDING, PREPROCESSING, STARTED, OrderHistory, OrderRow

ORDER = UUID(int=7)
TIMEOUT_S = 3600.0


def history(*stages: str, overtaken: bool = False) -> OrderHistory:
    """An order of which this was said; ``Import Failed!`` gives a reason, ``Import Failed`` none."""
    rows = tuple(
        OrderRow(number, stage.rstrip("!"), "Could not import a.tif" if stage.endswith("!") else "")
        for number, stage in enumerate(stages, 1)
    )
    return OrderHistory(ORDER, rows, overtaken)


REASON = FAILED + "!"

HISTORIES: dict[Verdict, list[tuple[str, ...]]] = {
    Verdict.UNPLACED: [()],
    Verdict.WAITING: [(PENDING,), (PENDING, PENDING)],
    Verdict.WORKING: [
        (PENDING, STARTED),
        (PENDING, STARTED, PREPROCESSING),
        (PENDING, FAILED, STARTED),
        (PENDING, "New"),
        (PENDING, STARTED, STARTED, FAILED),
        (PENDING, STARTED, STARTED, FAILED + "!"),
    ],
    Verdict.COPYING: [(PENDING, STARTED, STARTED, COMPLETED), (PENDING, STARTED, COMPLETED, STARTED)],
    Verdict.DONE: [
        (PENDING, STARTED, COMPLETED),
        (PENDING, STARTED, FAILED, COMPLETED),
        (PENDING, COMPLETED, FAILED),
        (PENDING, STARTED, STARTED, FAILED, COMPLETED),
    ],
    Verdict.UNBEGUN: [(PENDING, FAILED)],
    Verdict.INTERRUPTED: [(PENDING, STARTED, FAILED), (PENDING, STARTED, PREPROCESSING, FAILED)],
    Verdict.FAILED: [(PENDING, STARTED, REASON), (PENDING, REASON), (PENDING, STARTED, REASON, FAILED)],
}


@pytest.mark.parametrize(
    ("verdict", "stages"), [(verdict, stages) for verdict, many in HISTORIES.items() for stages in many]
)
def test_an_order_is_judged_by_what_was_said_of_it(verdict: Verdict, stages: tuple[str, ...]) -> None:
    assert judge(history(*stages)) is verdict


def test_an_order_that_a_later_one_has_overtaken_is_not_waited_for() -> None:
    assert judge(history(PENDING, overtaken=True)) is Verdict.OVERTAKEN
    assert judge(history(PENDING, STARTED, overtaken=True)) is Verdict.WORKING


def move(*histories: OrderHistory, silent_s: float = 0.0, renewable: bool = True, ended_s: float = 0.0) -> Move:
    return next_move(histories, silent_s=silent_s, timeout_s=TIMEOUT_S, renewable=renewable, ended_s=ended_s)


def test_orders_are_placed_then_waited_for_then_finished() -> None:
    assert move(history(), history()) is Move.PLACE
    assert move(history(PENDING), history()) is Move.PLACE
    assert move(history(PENDING), history(PENDING, STARTED)) is Move.WAIT
    assert move(history(PENDING, STARTED, COMPLETED), history(PENDING)) is Move.WAIT
    assert move(history(PENDING, STARTED, COMPLETED), history(PENDING, STARTED, COMPLETED)) is Move.FINISH


def test_another_importer_that_makes_copies_is_waited_for_but_not_for_long() -> None:
    copying = history(PENDING, STARTED, STARTED, COMPLETED)
    assert move(copying, silent_s=judging.COPYING_S - 1) is Move.WAIT
    assert move(copying, silent_s=judging.COPYING_S) is Move.FINISH
    assert not may_order_again([copying])
    assert may_order_again([replace(copying, silent_s=judging.COPYING_S)])


def test_silence_is_borne_for_so_long() -> None:
    assert move(history(PENDING), silent_s=TIMEOUT_S - 1) is Move.WAIT
    assert move(history(PENDING), silent_s=TIMEOUT_S) is Move.GIVE_UP
    assert move(history(PENDING, STARTED), silent_s=TIMEOUT_S) is Move.GIVE_UP
    assert move(history(PENDING, COMPLETED), silent_s=TIMEOUT_S) is Move.FINISH, "silence after the end is no silence"


def test_what_a_restart_has_cut_short_is_ordered_anew_once() -> None:
    assert move(history(PENDING, FAILED)) is Move.RENEW, "nobody has begun it: nothing can arrive late"
    assert move(history(PENDING, FAILED), renewable=False) is Move.GIVE_UP
    assert move(history(PENDING, STARTED, FAILED), ended_s=judging.SETTLING_S - 1) is Move.WAIT
    assert move(history(PENDING, STARTED, FAILED), ended_s=judging.SETTLING_S) is Move.RENEW
    assert move(history(PENDING, STARTED, COMPLETED), history(PENDING, FAILED)) is Move.RENEW


def test_a_failure_with_a_reason_is_a_failure() -> None:
    assert move(history(PENDING, STARTED, REASON)) is Move.GIVE_UP
    assert move(history(PENDING, STARTED, REASON), history(PENDING, FAILED)) is Move.GIVE_UP
    assert move(history(PENDING, STARTED, REASON), history(PENDING, STARTED)) is Move.WAIT, "the other may yet do well"


stages = st.sampled_from([PENDING, STARTED, PREPROCESSING, COMPLETED, FAILED, REASON, "Something new"])
histories = st.builds(
    lambda rows, overtaken: history(*rows, overtaken=overtaken), st.lists(stages, max_size=6), st.booleans()
)


@given(st.lists(histories, min_size=1, max_size=3), st.floats(0, 2 * TIMEOUT_S), st.booleans(), st.floats(0, 120))
def test_nothing_is_ordered_twice_while_it_may_be_at_work(
    many: list[OrderHistory], silent_s: float, renewable: bool, ended_s: float
) -> None:
    verdicts = [judge(each) for each in many]
    chosen = next_move(many, silent_s=silent_s, timeout_s=TIMEOUT_S, renewable=renewable, ended_s=ended_s)

    if chosen is Move.RENEW:
        assert all(verdict.ended for verdict in verdicts)
        assert renewable
        assert Verdict.FAILED not in verdicts
    if chosen is Move.FINISH:
        assert set(verdicts) <= {Verdict.DONE, Verdict.COPYING}
    if chosen is Move.PLACE:
        assert Verdict.UNPLACED in verdicts
    if may_order_again(many):
        assert not set(verdicts) & {Verdict.WORKING, Verdict.WAITING}


@given(st.lists(stages, min_size=1, max_size=6))
def test_what_is_completed_stays_so_whatever_follows(before: list[str]) -> None:
    for each in (history(*before, COMPLETED), history(COMPLETED, *before)):
        assert judge(each) in (Verdict.DONE, Verdict.COPYING)
        assert move(each, silent_s=TIMEOUT_S) is Move.FINISH


@given(st.lists(histories, min_size=1, max_size=3), st.booleans())
def test_every_attempt_comes_to_an_end(many: list[OrderHistory], renewable: bool) -> None:
    patient = next_move(many, silent_s=TIMEOUT_S, timeout_s=TIMEOUT_S, renewable=renewable, ended_s=judging.SETTLING_S)

    assert patient is not Move.WAIT


def test_looks_become_rarer() -> None:
    assert [look_again_s(waited) for waited in (0, 5, 60, 200, 300, 3600)] == [2, 2, 12, 40, 60, 60]


def test_a_person_reads_which_order_failed_why_and_where_to_look() -> None:
    said = describe_failure([history(PENDING, STARTED, COMPLETED), history(PENDING, STARTED, REASON)], 0.0)
    assert said == (
        f"Order {ORDER} to the importer failed: Could not import a.tif. Its logs there are logs/cli.{ORDER}_<n>.errs, "
        "for the n-th file of the order, from 0. A retry of the run orders only what is missing."
    )


def test_of_many_orders_that_failed_alike_it_is_said_once() -> None:
    said = describe_failure([history(PENDING)] * 35, 3600.0)
    assert said.count("was not begun in 60 minutes: is the importer running?") == 1
    assert said.startswith(f"Each of orders {ORDER}, {ORDER}, {ORDER} and 32 more to the importer was")
    assert "logs/cli.<order>_<n>.errs" in said
