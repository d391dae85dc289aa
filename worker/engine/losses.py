"""Steps in whose midst a process is lost: killed by the kernel, which wants the memory that a file took, for instance.

A lease that was not given back tells which step its holder was at. One loss is nobody's fault (somebody restarted a
machine, or the step of another run was the end of the process), so that the step is begun anew at once. What is lost
again and again is slowed down and taken alone, and in the end paused:

====================  ================================================================================
lost in a row         what follows
====================  ================================================================================
once                  the step is begun anew at once
twice and more often  after the time that a lease lasts, doubled with each further loss, and in a lane
                      in which one step is taken at a time (unless it belongs to no lane)
`MOST` times          the run is paused; resuming it begins to count anew
====================  ================================================================================

So the one that is to blame does not come before those that it took with it, whose leases run out first, and they are
not in flight with it again. A row ends when the step comes back in any way: done, failed, or to be looked at later. It
begins anew when a fetch has brought more home since the last loss. No attempt of `max_attempts` is spent.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from worker.engine import staging

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from worker.engine.view import StepView

MOST = 5
"""A run whose step was lost so many times in a row is paused. Fewer would be reached by chance where a worker is killed
time and again for reasons of its own; each one more costs all runs in flight the steps that they are at."""

SUSPECT = 2
"""From so many on, a step is taken alone."""

MAX_DELAY_S = 300.0
"""Longest delay."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What follows from the loss of a step's holder."""

    losses: int
    """How many there were in a row."""
    message: str
    retry_at: datetime

    @property
    def too_many(self) -> bool:
        """Whether the run is to be paused."""
        return self.losses >= MOST


def is_suspect(step: StepView) -> bool:
    """Whether a step was lost so often that nothing else should be lost with it."""
    return step.losses >= SUSPECT


def count(name: str, step: StepView, headway: int, now: datetime, lease_s: float) -> Loss:
    """Count one more loss of a step.

    Parameters
    ----------
    name : str
        Name of the step.
    step : StepView
        How far it is, by the record.
    headway : int
        How far it really is, as `headway_of` measures it.
    now : datetime
        The time, with time zone.
    lease_s : float
        How long a lease lasts.

    Returns
    -------
    Loss
        What follows.
    """
    losses = 1 if headway > step.headway else step.losses + 1
    if losses < SUSPECT:
        return Loss(losses, f"The worker's process was lost in the midst of step '{name}'; it is begun anew.", now)
    many = (
        f"The worker's process was lost {losses} times in a row in the midst of step '{name}' of this run. Most often "
        "its memory was used up, by a file that needs far more of it than it looks."
    )
    todo = (
        "The step is tried again, alone."
        if losses < MOST
        else "See whether the kernel killed it (docker inspect: OOMKilled; dmesg). Give it more memory, or mend the "
        "file; then resume the run."
    )
    delay_s = min(lease_s * 2 ** (losses - SUSPECT), MAX_DELAY_S)
    return Loss(losses, f"{many} {todo}", now + timedelta(seconds=delay_s))


def headway_of(name: str, run_id: UUID, state_dir: Path) -> int:
    """Measure how far a step is that goes on where it was.

    Parameters
    ----------
    name : str
        Name of the step.
    run_id : UUID
        The run.
    state_dir : Path
        Where this worker keeps its files.

    Returns
    -------
    int
        Bytes that a fetch has brought here; 0 for every other step, as it is not known.
    """
    kind, _, index = name.partition("/")
    return staging.size_bytes(staging.folder_of(state_dir, run_id) / index) if kind == "fetch" else 0


def peak_mib() -> int:
    """Most memory that this process has had at a time."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
