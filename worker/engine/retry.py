"""When to try again: error classes, delays and budgets."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.errors import WorkerError


@dataclass(frozen=True, slots=True)
class Budget:
    """How often and how slowly a step is tried again."""

    max_attempts: int = 8
    """Attempts before the run is paused."""
    first_delay_s: float = 2.0
    """Delay after the first failure; it doubles with each further one."""
    max_delay_s: float = 300.0
    """Longest delay."""

    def retry_at(self, attempt: int, now: datetime, *, jitter: float | None = None) -> datetime | None:
        """When to try again after the given attempt has failed.

        Parameters
        ----------
        attempt : int
            Number of the attempt that failed, from 1.
        now : datetime
            The time, with time zone.
        jitter : float, optional
            A number in [0, 1) that spreads retries of many runs; random by default.

        Returns
        -------
        datetime or None
            The time of the next attempt, or None when the budget is used up.
        """
        if attempt >= self.max_attempts:
            return None
        spread = random.random() if jitter is None else jitter  # noqa: S311 - spreads load, keeps no secret
        delay_s = min(self.first_delay_s * 2 ** (attempt - 1), self.max_delay_s)
        return now + timedelta(seconds=delay_s * (0.75 + 0.5 * spread))


def describe(error: BaseException) -> str:
    """What is recorded of an error, for a person to read."""
    if isinstance(error, WorkerError):
        return str(error)
    return (
        f"Internal error ({type(error).__name__}: {error}). "
        "The worker's log has the details; resume the run once its cause is mended."
    )
