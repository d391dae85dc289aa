"""When a step is tried again."""

from __future__ import annotations

from datetime import UTC, datetime

from worker.engine.retry import Budget, describe
from worker.errors import HostUnreachable

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def delays(budget: Budget, attempts: int, max_attempts: int) -> list[float | None]:
    times = [budget.retry_at(attempt, NOW, max_attempts=max_attempts, jitter=0.5) for attempt in range(1, attempts + 1)]
    return [None if time is None else (time - NOW).total_seconds() for time in times]


def test_delays_double_up_to_a_limit_and_the_budget_ends() -> None:
    budget = Budget(first_delay_s=2, max_delay_s=10)
    assert delays(budget, 6, max_attempts=6) == [2, 4, 8, 10, 10, None]


def test_jitter_spreads_the_retries_of_many_runs_by_a_quarter_either_way() -> None:
    budget = Budget(first_delay_s=8)
    earliest, latest = (budget.retry_at(1, NOW, max_attempts=8, jitter=jitter) for jitter in (0.0, 0.999_999))
    assert earliest is not None
    assert latest is not None
    assert (earliest - NOW).total_seconds() == 6
    assert 9.9 < (latest - NOW).total_seconds() < 10


def test_an_error_of_ours_is_described_in_its_own_words() -> None:
    error = HostUnreachable("The cluster does not answer.", remedy="Ask its admin.")
    assert describe(error) == "The cluster does not answer. Ask its admin."


def test_a_defect_of_ours_is_called_one() -> None:
    assert describe(KeyError("x")).startswith("Internal error (KeyError: 'x').")
