"""What a plan may decide: to take a step, to wait, to end the run, or that it has ended already."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from worker.engine.view import Branch, RunView

IMPLAUSIBLE_WAIT = timedelta(minutes=30)
"""Nobody waits that long between two attempts: such a time is left from before somebody set the clock back."""


@dataclass(frozen=True, slots=True)
class Step:
    """Take this step now."""

    name: str
    kind: str
    branch: Branch | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before `until`; None: not before somebody changes the run."""

    until: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    """Close the run."""

    ok: bool
    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is closed already."""


Decision = Step | Wait | End | Finished


def when_due(
    view: RunView,
    steps: Sequence[Step],
    now: datetime,
    not_yet: Mapping[str, datetime | None],
    reason: str = "jobs are running",
) -> Step | Wait:
    """Take the first step that may be taken now, or wait for the one that may be taken first.

    Parameters
    ----------
    view : RunView
        The run's picture.
    steps : sequence of Step
        What could be done, the most urgent first.
    now : datetime
        The time, with time zone.
    not_yet : mapping of str to datetime or None
        Steps that said "not yet" a moment ago, with the time at which to look again (None: when there is news).
    reason : str
        What is waited for when nothing but news helps.

    Returns
    -------
    Step or Wait
        The step, or until when to wait.
    """
    waits: list[tuple[datetime, str]] = []
    for step in steps:
        state = view.step(step.name)
        if step.name in not_yet:
            look_again = not_yet[step.name]
            if look_again is not None:
                waits.append((look_again, f"{step.name} goes on"))
        elif state.retry_at is None or not now < state.retry_at < now + IMPLAUSIBLE_WAIT:
            return step
        else:
            waits.append((state.retry_at, state.message))
    if not waits:
        return Wait(None, reason)
    return Wait(*min(waits))
