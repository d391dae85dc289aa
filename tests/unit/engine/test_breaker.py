"""Circuit breakers: when they open and close, who may try, and what persons are told."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest

from tests.unit.engine.circuit_bench import BUSY, DEFECT, LOST, NOON, OK, SAID_NO, SILENT, UNREACHABLE, Bench, ask
from worker.engine.breaker import PROBE_LIMIT_S, Circuit
from worker.errors import CircuitOpen, HostUnreachable


@pytest.mark.parametrize(
    ("steps", "ends"),
    [
        ([], Circuit.CLOSED),
        ([UNREACHABLE, UNREACHABLE], Circuit.CLOSED),
        ([UNREACHABLE, UNREACHABLE, UNREACHABLE], Circuit.OPEN),
        ([UNREACHABLE, LOST, UNREACHABLE], Circuit.OPEN),
        # Only failures in a row count, and only failures to get through.
        ([UNREACHABLE, UNREACHABLE, OK, UNREACHABLE, UNREACHABLE], Circuit.CLOSED),
        ([UNREACHABLE, UNREACHABLE, SAID_NO, UNREACHABLE], Circuit.CLOSED),
        ([SAID_NO] * 5, Circuit.CLOSED),
        ([SILENT] * 5, Circuit.CLOSED),
        ([BUSY] * 5, Circuit.CLOSED),
        ([DEFECT] * 5, Circuit.CLOSED),
        # What says nothing neither counts nor forgives.
        ([UNREACHABLE, SILENT, UNREACHABLE, BUSY, DEFECT, UNREACHABLE], Circuit.OPEN),
        # After the pause one may try.
        ([UNREACHABLE] * 3 + [10.0, OK], Circuit.CLOSED),
        ([UNREACHABLE] * 3 + [10.0, SAID_NO], Circuit.CLOSED),
        ([UNREACHABLE] * 3 + [10.0, UNREACHABLE], Circuit.OPEN),
        # A try without an outcome leaves it to the next.
        ([UNREACHABLE] * 3 + [10.0, DEFECT], Circuit.OPEN),
        ([UNREACHABLE] * 3 + [10.0, DEFECT, OK], Circuit.CLOSED),
        # Once closed, it takes as many failures as before.
        ([UNREACHABLE] * 3 + [10.0, OK, UNREACHABLE, UNREACHABLE], Circuit.CLOSED),
        ([UNREACHABLE] * 3 + [10.0, OK, UNREACHABLE, UNREACHABLE, UNREACHABLE], Circuit.OPEN),
    ],
)
def test_states(bench: Bench, steps: list[BaseException | float | None], ends: Circuit) -> None:
    breaker = bench.breaker()
    for step in steps:
        if isinstance(step, float):
            bench.clock.seconds += step
        else:
            ask(breaker, step)
    assert breaker.state.state is ends


def test_whoever_asks_while_it_is_open_is_turned_away(bench: Bench) -> None:
    breaker = bench.breaker()
    for _ in range(3):
        ask(breaker, UNREACHABLE)
    bench.clock.seconds = 9.9
    with pytest.raises(CircuitOpen), breaker.guarded():
        pytest.fail("it was asked")


@pytest.mark.parametrize(("spread", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_pauses_double_up_to_a_limit_and_are_spread(bench: Bench, spread: float, share: float) -> None:
    bench.spread = spread
    breaker = bench.breaker()
    for _ in range(2):
        ask(breaker, UNREACHABLE)
    for pause_s in (10, 20, 40, 60, 60, 60):
        ask(breaker, UNREACHABLE)
        retry_at = breaker.state.retry_at
        assert retry_at is not None
        assert retry_at - bench.clock.now() == timedelta(seconds=pause_s * share)
        bench.clock.seconds += pause_s * share


def test_an_outage_of_years_does_not_overflow(bench: Bench) -> None:
    breaker = bench.breaker(threshold=1)
    for _ in range(2000):
        ask(breaker, UNREACHABLE)
        bench.clock.seconds += 60
    assert breaker.state.state is Circuit.OPEN


def test_of_many_threads_one_tries(bench: Bench) -> None:
    breaker = bench.breaker(threshold=1)
    ask(breaker, UNREACHABLE)
    bench.clock.seconds = 10.0
    barrier, trying, turned_away = threading.Barrier(16), threading.Event(), threading.Semaphore(0)
    tries: list[int] = []

    def reach(number: int) -> None:
        barrier.wait()
        try:
            with breaker.guarded():
                tries.append(number)
                trying.wait(10)
        except CircuitOpen:
            turned_away.release()

    threads = [threading.Thread(target=reach, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        assert turned_away.acquire(timeout=10)
    assert breaker.state.state == "half-open"
    trying.set()
    for thread in threads:
        thread.join()
    assert len(tries) == 1
    assert breaker.state.state == "closed"


def test_many_that_fail_together_open_it_once(bench: Bench) -> None:
    breaker = bench.breaker()
    barrier = threading.Barrier(12)

    def fail() -> None:
        def together() -> None:
            with breaker.guarded():
                barrier.wait()
                raise UNREACHABLE

        with pytest.raises(HostUnreachable):
            together()

    threads = [threading.Thread(target=fail) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [state.state for state in bench.told] == [Circuit.OPEN]
    assert breaker.state.retry_at == NOON + timedelta(seconds=10)


def test_a_try_that_never_comes_back_is_not_waited_for(bench: Bench) -> None:
    breaker = bench.breaker(threshold=1)
    ask(breaker, UNREACHABLE)
    bench.clock.seconds = 10.0
    with breaker.guarded():
        with pytest.raises(CircuitOpen):
            ask(breaker, OK)
        bench.clock.seconds += PROBE_LIMIT_S
        ask(breaker, OK)
        assert breaker.state.state is Circuit.CLOSED


def test_what_was_begun_before_it_opened_does_not_close_it(bench: Bench) -> None:
    breaker = bench.breaker(threshold=1)
    with breaker.guarded():
        ask(breaker, UNREACHABLE)
    assert breaker.state.state is Circuit.OPEN


def test_each_change_is_told_once_and_in_order(bench: Bench) -> None:
    breaker = bench.breaker()
    for _ in range(3):
        ask(breaker, UNREACHABLE)
    bench.clock.seconds = 10.0
    ask(breaker, UNREACHABLE)
    bench.clock.seconds = 30.0
    ask(breaker, OK)
    ask(breaker, OK)
    assert [state.state.value for state in bench.told] == ["open", "half-open", "open", "half-open", "closed"]
    assert {state.since for state in bench.told[:-1]} == {NOON}
    assert bench.told[-1].since == NOON + timedelta(seconds=30)


class TestMessage:
    def test_it_says_since_when_until_when_and_why(self) -> None:
        day = datetime.now().astimezone().replace(hour=14, minute=3)
        error = CircuitOpen("cluster", day, day + timedelta(minutes=5), "No route to host.")
        assert str(error) == "cluster unreachable since 14:03, trying again at 14:08 (No route to host)."

    def test_a_time_of_another_day_has_its_date(self) -> None:
        day = datetime(2026, 3, 1, 14, 3).astimezone()
        error = CircuitOpen("OMERO", day, day, "")
        assert str(error) == "OMERO unreachable since 2026-03-01 14:03, trying again at 2026-03-01 14:03."

    def test_its_parts_can_be_read(self, bench: Bench) -> None:
        breaker = bench.breaker()
        bench.clock.seconds = 1.0
        ask(breaker, UNREACHABLE)
        bench.clock.seconds = 2.0
        ask(breaker, UNREACHABLE)
        ask(breaker, UNREACHABLE)
        with pytest.raises(CircuitOpen) as caught:
            ask(breaker, OK)
        error = caught.value
        assert (error.resource, error.since, error.retry_at, error.problem) == (
            "cluster",
            NOON + timedelta(seconds=1),
            NOON + timedelta(seconds=12),
            "No route to host.",
        )
        assert error.transient
