"""What the parts of the lab count by themselves: connections of sshd, questions to slurmctld, processor time."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.processes import Register

if TYPE_CHECKING:
    from tests.lab.description import Lab

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PARTS = ("omero", "postgres", "sshd", "slurmctld", "slurmdbd", "mariadb")
"""Processes of the lab whose processor time is told."""

ACCEPTED = re.compile(rb"^Accepted publickey for ", re.MULTILINE)
SESSION = re.compile(rb"^Starting session: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters at one moment."""

    at: float
    """Monotonic time."""
    connections: int
    """Connections that sshd has accepted: each is one handshake."""
    commands: int
    """Commands that sshd has started: each is one round trip."""


class SshdLog:
    """Counts what sshd has logged since this object was made.

    Parameters
    ----------
    lab : Lab
        The lab.
    """

    def __init__(self, lab: Lab) -> None:
        self._path = lab.log_directory / "sshd.log"
        self._offset = self._path.stat().st_size
        self._rest = b""
        self._connections = 0
        self._commands = 0

    def read(self) -> Reading:
        """Take in what was logged since the last reading."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        whole, newline, self._rest = (self._rest + new).rpartition(b"\n")
        self._connections += len(ACCEPTED.findall(whole + newline))
        self._commands += len(SESSION.findall(whole + newline))
        return Reading(time.monotonic(), self._connections, self._commands)


def job_questions(lab: Lab) -> int:
    """How often slurmctld was asked for the jobs of one user since it started: once in each tick and each look-up."""
    environ = {"PATH": os.environ["PATH"], "SLURM_CONF": str(lab.slurm_conf)}
    said = subprocess.run(["sdiag"], env=environ, capture_output=True, text=True, check=True, timeout=60).stdout
    by_type = said.partition("by message type")[2].partition("by user")[0]
    found = re.search(r"REQUEST_JOB_USER_INFO\s+\(\s*\d+\) count:(\d+)", by_type)
    return int(found[1]) if found else 0


def processor_seconds(lab: Lab) -> dict[str, float]:
    """Processor time of parts of the lab so far: of each process, its children that have ended, and those that live."""
    register = Register(lab.base / "processes")
    return {process.name: _family_s(process.pid) for process in register.living() if process.name in PARTS}


def _family_s(pid: int) -> float:
    """Seconds of a process, of its living descendants, and of all of theirs that have ended."""
    try:
        fields = (Path("/proc") / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
        children = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text(encoding="ascii").split()
    except OSError:
        return 0.0
    own = sum(int(ticks) for ticks in fields.rpartition(")")[2].split()[11:15]) / CLOCK_TICKS
    return own + sum(_family_s(int(child)) for child in children)
