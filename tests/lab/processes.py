"""Which processes belong to a lab, and how they are started and ended.

A pid alone says little: the kernel hands it out again. So each process is recorded together with the time it was
started, and only a process for which both are still the same is ever sent a signal, along with its descendants and
what the cluster runs for users: job steps, the processes of jobs, and login sessions.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process that a lab has started.

    Parameters
    ----------
    name : str
        What it is called in the lab, for example ``slurmctld``.
    pid : int
        Its process id.
    start_ticks : int
        When it was started, in clock ticks since boot (field 22 of ``/proc/<pid>/stat``).
    stop_signal : int
        The signal that makes it end in an orderly way.
    """

    name: str
    pid: int
    start_ticks: int
    stop_signal: int = signal.SIGTERM

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return start_ticks(self.pid) == self.start_ticks


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    start_ticks: int


def start_ticks(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None if it does not run."""
    stat = _read_stat(pid)
    return stat.start_ticks if stat else None


def _read_stat(pid: int) -> _Stat | None:
    """Read proc(5)'s stat file; None for a process that is gone or a zombie."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets, and may hold spaces and brackets itself.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else _Stat(parent=int(fields[1]), start_ticks=int(fields[19]))


class Register:
    """The processes that a lab has started, one file each.

    Parameters
    ----------
    directory : Path
        Where the files are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, process: Process) -> None:
        """Remember a process."""
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / f"{process.name}.json").write_text(json.dumps(asdict(process)), encoding="utf-8")

    def forget(self, name: str) -> None:
        """Forget a process."""
        (self._directory / f"{name}.json").unlink(missing_ok=True)

    def get(self, name: str) -> Process | None:
        """Return a process by its name, if it is known and alive."""
        path = self._directory / f"{name}.json"
        try:
            process = Process(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        return process if process.alive else None

    def living(self) -> list[Process]:
        """Return every known process that is alive."""
        names = sorted(path.stem for path in self._directory.glob("*.json"))
        return [process for name in names if (process := self.get(name))]


def spawn(
    name: str,
    argv: Sequence[str],
    *,
    register: Register,
    log_file: Path,
    env: Mapping[str, str],
    user: str | None = None,
    cwd: Path | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Process:
    """Start a daemon in the foreground of a session of its own, and remember it.

    Parameters
    ----------
    name : str
        What it is called in the lab.
    argv : sequence of str
        Its command line; it must not put itself into the background.
    register : Register
        Where it is remembered.
    log_file : Path
        Takes its standard output and standard error.
    env : mapping
        Its whole environment.
    user : str, optional
        The account it runs as; by default the caller's.
    cwd : Path, optional
        Its working directory; by default the caller's.
    stop_signal : Signals
        What makes it end in an orderly way.

    Returns
    -------
    Process
        The running process.

    Raises
    ------
    RuntimeError
        If it ended at once.
    """
    account: dict[str, object] = {"user": user, "group": _group_of(user), "extra_groups": []} if user else {}
    with log_file.open("ab") as log:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            **account,  # type: ignore[call-overload]  # the overloads do not know keyword dictionaries
        )
    ticks = start_ticks(child.pid)
    if ticks is None:
        raise RuntimeError(f"{name} ended at once with status {child.wait()}: {tail(log_file)}")
    process = Process(name, child.pid, ticks, stop_signal)
    register.add(process)
    # It outlives us; without this, subprocess warns that nobody waited for it.
    child.returncode = 0
    return process


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def tail(log_file: Path, lines: int = 15) -> str:
    """Return the last lines of a log file."""
    try:
        text = log_file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return f"(no {log_file})"
    return "\n".join(text.splitlines()[-lines:])


def environ_of(pid: int) -> frozenset[bytes]:
    """Return the environment of a process as ``NAME=value`` entries, empty if it cannot be read."""
    try:
        return frozenset((PROC / str(pid) / "environ").read_bytes().split(b"\0"))
    except OSError:
        return frozenset()


def family(pids: Iterable[int], belongs: Callable[[int], bool]) -> set[int]:
    """Return processes with all their descendants, never including the caller or its ancestors.

    Parameters
    ----------
    pids : iterable of int
        Processes to begin with.
    belongs : callable
        Says for any other process of the machine whether it belongs to them as well.
    """
    found = set(pids)
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (stat := _read_stat(int(entry.name))):
            children.setdefault(stat.parent, []).append(int(entry.name))
            if belongs(int(entry.name)):
                found.add(int(entry.name))
    unvisited = list(found)
    while unvisited:
        for child in children.get(unvisited.pop(), []):
            if child not in found:
                found.add(child)
                unvisited.append(child)
    return found - _ancestry()


def _ancestry() -> set[int]:
    ancestry, pid = set(), os.getpid()
    while pid > 0:
        ancestry.add(pid)
        stat = _read_stat(pid)
        pid = stat.parent if stat else 0
    return ancestry


def end(processes: Sequence[Process], *, grace_s: float) -> None:
    """End processes, politely at first.

    Parameters
    ----------
    processes : sequence of Process
        Those to end, with whatever they have started.
    grace_s : float
        How long they may take before they are killed.
    """
    descendants = {pid: start_ticks(pid) for pid in family([p.pid for p in processes if p.alive], lambda _: False)}
    for process in processes:
        if process.alive:
            send(process.pid, process.stop_signal)
    deadline = time.monotonic() + grace_s
    while any(process.alive for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill({pid: ticks for pid, ticks in descendants.items() if ticks is not None})


def kill(processes: Mapping[int, int]) -> None:
    """Kill processes, given as their start times by pid, and wait until they are gone (5 s at most)."""
    deadline = time.monotonic() + 5
    while living := [pid for pid, ticks in processes.items() if start_ticks(pid) == ticks]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {living} cannot be killed")
        for pid in living:
            send(pid, signal.SIGKILL)
        time.sleep(0.02)


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended in between."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
