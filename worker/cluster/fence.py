"""The fence of a run on the cluster: whoever comes with a smaller number than was seen before is turned away.

See ``scripts/fence.sh`` for the far side.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import Fenced, NotSent

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from worker.cluster.transport import Completed


@dataclass(frozen=True, slots=True)
class Fence:
    """A run's fence, and our number."""

    file: PurePosixPath
    """Where the cluster keeps the greatest number; see `RunLayout.fence`."""
    number: int


def check_fence(completed: Completed) -> None:
    """Make sure that a command was not turned away.

    Parameters
    ----------
    completed : Completed
        The command.

    Raises
    ------
    Fenced
        If it was.
    NotSent
        If somebody was at the fence for too long.
    """
    if match := re.search(r"^fenced-by (\d+)$", completed.text, re.MULTILINE):
        raise Fenced(f"Another process has gone on with this run: its number on the cluster is {match[1]}.")
    if re.search(r"^fence-busy$", completed.text, re.MULTILINE):
        raise NotSent("Another command of this run is still in flight on the cluster.", remedy="It is waited for.")
