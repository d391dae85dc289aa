"""The states of a Slurm job, and what is reported about one.

The states are those of squeue(1) and sacct(1), section JOB STATE CODES.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from worker.cluster.accounting import together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.cluster.accounting import JobUsage

Source = Literal["squeue", "sacct", "exit_file", "none"]


class JobState(enum.Enum):
    """State of a job; UNKNOWN is ours and means that nobody could tell, never that it has ended."""

    UNKNOWN = "UNKNOWN"
    PENDING = "PENDING"
    CONFIGURING = "CONFIGURING"
    RUNNING = "RUNNING"
    COMPLETING = "COMPLETING"
    STAGE_OUT = "STAGE_OUT"
    SIGNALING = "SIGNALING"
    STOPPED = "STOPPED"
    SUSPENDED = "SUSPENDED"
    RESIZING = "RESIZING"
    REQUEUED = "REQUEUED"
    REQUEUE_FED = "REQUEUE_FED"
    REQUEUE_HOLD = "REQUEUE_HOLD"
    SPECIAL_EXIT = "SPECIAL_EXIT"
    RESV_DEL_HOLD = "RESV_DEL_HOLD"
    POWER_UP_NODE = "POWER_UP_NODE"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NODE_FAIL = "NODE_FAIL"
    PREEMPTED = "PREEMPTED"
    BOOT_FAIL = "BOOT_FAIL"
    DEADLINE = "DEADLINE"
    REVOKED = "REVOKED"
    LAUNCH_FAILED = "LAUNCH_FAILED"
    RECONFIG_FAIL = "RECONFIG_FAIL"

    @property
    def terminal(self) -> bool:
        """Whether a job in this state has ended, well or not."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.TIMEOUT,
        JobState.OUT_OF_MEMORY,
        JobState.NODE_FAIL,
        JobState.PREEMPTED,
        JobState.BOOT_FAIL,
        JobState.DEADLINE,
        JobState.REVOKED,
        JobState.LAUNCH_FAILED,
        JobState.RECONFIG_FAIL,
    }
)

_SHORT = {
    "BF": JobState.BOOT_FAIL,
    "CA": JobState.CANCELLED,
    "CD": JobState.COMPLETED,
    "CF": JobState.CONFIGURING,
    "CG": JobState.COMPLETING,
    "DL": JobState.DEADLINE,
    "F": JobState.FAILED,
    "NF": JobState.NODE_FAIL,
    "OOM": JobState.OUT_OF_MEMORY,
    "PD": JobState.PENDING,
    "PR": JobState.PREEMPTED,
    "R": JobState.RUNNING,
    "RD": JobState.RESV_DEL_HOLD,
    "RF": JobState.REQUEUE_FED,
    "RH": JobState.REQUEUE_HOLD,
    "RQ": JobState.REQUEUED,
    "RS": JobState.RESIZING,
    "RV": JobState.REVOKED,
    "S": JobState.SUSPENDED,
    "SE": JobState.SPECIAL_EXIT,
    "SI": JobState.SIGNALING,
    "SO": JobState.STAGE_OUT,
    "ST": JobState.STOPPED,
    "TO": JobState.TIMEOUT,
}
"""The codes of ``squeue -o %t``."""

_BY_CONCERN = (
    JobState.RUNNING,
    JobState.COMPLETING,
    JobState.CONFIGURING,
    JobState.SUSPENDED,
    JobState.PENDING,
)
"""Of the tasks of an array that have not ended, the one in the foremost of these speaks for all."""


def parse_state(text: str) -> JobState:
    """Read a state as any Slurm command writes it.

    Parameters
    ----------
    text : str
        ``COMPLETED``, ``CANCELLED by 123``, ``COMPLETED+``, ``OUT_OF_ME+`` (cut off), ``CG``, in any case.

    Returns
    -------
    JobState
        The state; UNKNOWN for anything that is none, or may be several.
    """
    match = re.match(r"\s*([A-Za-z_]+)(\+?)", text)
    if match is None:
        return JobState.UNKNOWN
    word = match[1].upper()
    if word in JobState.__members__:
        return JobState[word]
    if word in _SHORT:
        return _SHORT[word]
    if match[2]:
        starts = [state for state in JobState if state.value.startswith(word)]
        if len(starts) == 1:
            return starts[0]
    return JobState.UNKNOWN


@dataclass(frozen=True, slots=True)
class JobReport:
    """What is known of a job.

    Parameters
    ----------
    job_id : int
        Its number; of an array, the number of the array.
    state : JobState
        Its state.
    exit_code : int or None
        Exit code of the job script, which is that of the container; 128 + n if signal n ended it; None while it is
        not known.
    elapsed_s : int or None
        For how long it has run, in seconds.
    reason : str
        Why it waits, or why it ended; empty if nobody says.
    progress : str or None
        The last percentage in its log, like ``50%``.
    source : str
        Who said so.
    usage : JobUsage or None
        What it has used, once it has ended and that is known.
    lost : bool
        Of an UNKNOWN job: that there is none any more, nor was one ever seen to begin. Both the controller and
        accounting have answered, the one without it, the other without it or as waiting for ever, and it left no exit
        file.
    """

    job_id: int
    state: JobState
    exit_code: int | None = None
    elapsed_s: int | None = None
    reason: str = ""
    progress: str | None = None
    source: Source = "none"
    usage: JobUsage | None = None
    lost: bool = False


def aggregate(job_id: int, tasks: Sequence[JobReport]) -> JobReport:
    """Speak for an array as a whole.

    Parameters
    ----------
    job_id : int
        Number of the array.
    tasks : Sequence[JobReport]
        Reports about its tasks.

    Returns
    -------
    JobReport
        Not ended while one task has not; else COMPLETED only if all are, or the first that is not.
    """
    if not tasks:
        return JobReport(job_id, JobState.UNKNOWN)
    elapsed_s = max((task.elapsed_s for task in tasks if task.elapsed_s is not None), default=None)
    live = [task for task in tasks if not task.state.terminal]
    if live:
        chosen = min(live, key=lambda task: _BY_CONCERN.index(task.state) if task.state in _BY_CONCERN else 99)
    else:
        chosen = next((task for task in tasks if task.state is not JobState.COMPLETED), tasks[0])
    used = [task.usage for task in tasks if task.usage is not None]
    usage = together(used, chosen.exit_code) if used and chosen.state.terminal else None
    return replace(chosen, job_id=job_id, elapsed_s=elapsed_s, usage=usage)
