"""When to try again: delays and budgets of steps, and more memory or time for jobs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from worker.cluster.states import JobState
from worker.errors import WorkerError
from worker.settings.amounts import duration_s, memory_mib, write_duration, write_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.settings.models import RetrySettings

MEMORY_FLAGS = ("mem", "mem-per-cpu", "mem-per-gpu")
"""Options of sbatch of which a job has one, in the order in which they are looked for."""

LIMIT_FLAGS = (*MEMORY_FLAGS, "time", "cpus-per-task")
"""Options of sbatch from which it is seen how much memory and time a job has."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How slowly a step is tried again."""

    first_delay_s: float = 2.0
    """Delay after the first failure; it doubles with each further one."""
    max_delay_s: float = 300.0
    """Longest delay."""

    def retry_at(
        self, attempt: int, now: datetime, *, max_attempts: int, jitter: float | None = None
    ) -> datetime | None:
        """When to try again after the given attempt has failed.

        Parameters
        ----------
        attempt : int
            Number of the attempt that failed, from 1.
        now : datetime
            The time, with time zone.
        max_attempts : int
            Attempts after which it is not tried again.
        jitter : float, optional
            A number in [0, 1) that spreads retries of many runs; random by default.

        Returns
        -------
        datetime or None
            The time of the next attempt, or None when there is to be none.
        """
        if attempt >= max_attempts:
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


@dataclass(frozen=True, slots=True)
class Growth:
    """More of what a job ran out of."""

    cause: str
    """OUT_OF_MEMORY or TIMEOUT."""
    had: str
    """What it had, such as ``4G``."""
    now: str
    """What it gets; empty where it gets no more."""
    flags: Mapping[str, str]
    """Options of sbatch that give it that."""
    refusal: str
    """Why it gets no more; empty where it does."""

    @property
    def what(self) -> str:
        """What it ran out of, in a word."""
        return "memory" if self.cause == JobState.OUT_OF_MEMORY.value else "time"


def grow(state: JobState, flags: Mapping[str, str | None], retry: RetrySettings) -> Growth | None:
    """Work out with how much more a job is to be tried again.

    Parameters
    ----------
    state : JobState
        How it ended.
    flags : mapping of str to str or None
        Options of sbatch that it had.
    retry : RetrySettings
        What the admin allows.

    Returns
    -------
    Growth or None
        More memory or time, or why there is none; None if it did not run out of either.
    """
    read: Callable[[str], int]
    write: Callable[[int], str]
    if state is JobState.OUT_OF_MEMORY:
        name = next((flag for flag in MEMORY_FLAGS if flags.get(flag)), None)
        factor, limit, read, write = retry.memory_factor, retry.memory_max_mib, memory_mib, write_memory
    elif state is JobState.TIMEOUT:
        name = "time" if flags.get("time") else None
        factor, limit, read, write = retry.time_factor, retry.time_max_s, duration_s, write_duration
    else:
        return None
    if name is None:
        return Growth(state.value, "", "", {}, "what it had is not known, as no option of sbatch said so")
    text = str(flags[name])
    try:
        had = read(text)
    except ValueError:
        had = 0  # --mem=0 is all that a node has
    if not had:
        return Growth(state.value, text, "", {}, f"--{name}={text} leaves nothing to multiply")
    now = max(had + 1, round(had * factor))
    if limit is not None:
        # The limit is for a job as a whole, --mem-per-cpu is not.
        share = max(1, _whole(flags.get("cpus-per-task"))) if name == "mem-per-cpu" else 1
        now = min(now, limit // share)
    if now <= had:
        return Growth(state.value, write(had), "", {}, f"{write(limit or 0)} is the most that it may have")
    return Growth(state.value, write(had), write(now), {name: write(now)}, "")


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 1
