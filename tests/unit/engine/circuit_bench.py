"""A breaker with a clock that stands still, and what a resource may answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.engine.breaker import Breaker, CircuitState
from worker.errors import (
    CircuitOpen,
    CommandFailed,
    ConnectionLost,
    ConnectionsBusy,
    HostUnreachable,
    OutcomeUnknown,
    WorkerError,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

UNREACHABLE = HostUnreachable("No route to host.")
LOST = ConnectionLost("The connection was lost.")
SILENT = OutcomeUnknown("Silent for 60 s.")
BUSY = ConnectionsBusy("All connections are in use.")
SAID_NO = CommandFailed("ls", 2, "no such file")
DEFECT = ValueError("a defect")
OK = None


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


@dataclass
class Bench:
    """A breaker with a clock, and the states that it has told of."""

    clock: Clock = field(default_factory=Clock)
    told: list[CircuitState] = field(default_factory=list)
    spread: float = 1.0

    def breaker(self, **options: Any) -> Breaker:
        defaults = {"threshold": 3, "first_pause_s": 10.0, "max_pause_s": 60.0}
        return Breaker(
            "cluster",
            **(defaults | options),
            clock=self.clock,
            now=self.clock.now,
            spread=lambda: self.spread,
            on_change=self.told.append,
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def ask(breaker: Breaker, outcome: BaseException | None) -> None:
    """Ask the resource, which answers, or fails as given."""
    try:
        with breaker.guarded():
            if outcome is not None:
                raise outcome
    except CircuitOpen:
        raise
    except (WorkerError, ValueError):
        pass
