"""When a process was started, by the clock that events are stamped with."""

from __future__ import annotations

import os
import time
from pathlib import Path

STARTTIME = 22
"""Place of the start time among the fields of ``/proc/<pid>/stat``, counted from 1 (proc(5))."""


def started_at_s(pid: int) -> float:
    """Ask the kernel when a process was started.

    Parameters
    ----------
    pid : int
        A process of this machine.

    Returns
    -------
    float
        Seconds since the epoch, to within a hundredth.
    """
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    # The second field, the name in brackets, may itself contain spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    since_boot_s = int(fields[STARTTIME - 3]) / os.sysconf("SC_CLK_TCK")
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot_s)
