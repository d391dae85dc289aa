"""The one watcher of a cluster: asks for all jobs of all runs at once, at an adaptive rate.

``report`` never talks to the cluster; only ``tick`` does, with one round trip for each 500 jobs. A job about which the
cluster says nothing is unknown, never finished.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from worker.cluster import slurm
from worker.cluster.states import JobState
from worker.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import PurePosixPath
    from uuid import UUID

    from worker.cluster.slurm import QueryResult
    from worker.cluster.states import JobReport
    from worker.cluster.transport import Transport

log = structlog.get_logger(__name__)

LOAD = 5.0
"""The time between two ticks is at least so many times that which a tick takes, so that Slurm can breathe."""

ACCOUNTING_LAG_S = 10.0
"""How long to wait for what accounting says about a job that has ended; it is some seconds late at times."""

ACCOUNTING_REST = 4.0
"""Accounting that has not answered is not asked for so many times that which it took not to answer: half a minute if
it hangs."""


@dataclass(frozen=True, slots=True)
class WatchedJob:
    """A job that somebody waits for."""

    task_id: UUID
    job_id: int
    exit_file: PurePosixPath
    key: str
    report: JobReport | None = None
    unknown_since: float | None = None
    """Monotonic time since which the cluster has answered, but not known the job."""
    ended_at: float | None = None
    """Monotonic time at which it was first seen to have ended."""


class Watcher:
    """Watches the jobs of one cluster.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    min_interval_s, max_interval_s : float
        Bounds of the time between two ticks. It starts at the lower bound whenever a job is added or its state has
        changed, and grows by half with each tick in which nothing happened.
    clock : callable
        Monotonic time in seconds.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        min_interval_s: float = 2.0,
        max_interval_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._min_interval_s = min_interval_s
        self._max_interval_s = max_interval_s
        self._clock = clock
        self._interval_s = min_interval_s
        self._next_tick = 0.0
        self._ask_accounting_at = 0.0
        self._jobs: dict[UUID, WatchedJob] = {}
        self._lock = threading.Lock()
        self.problem: str | None = None
        """Why the last tick told nothing, or not all, or None."""
        self.ticks = 0
        """How often the cluster was asked."""
        self.round_trips = 0
        """How many commands that took."""
        self.last_tick_at: datetime | None = None
        """When it was asked last, in UTC."""
        self.last_tick_s = 0.0
        """How long that took."""

    def pace(self, min_interval_s: float, max_interval_s: float) -> None:
        """Change the bounds of the time between two ticks, in seconds."""
        with self._lock:
            self._min_interval_s, self._max_interval_s = min_interval_s, max_interval_s
            self._interval_s = min(max(self._interval_s, min_interval_s), max_interval_s)

    def __len__(self) -> int:
        """Return the number of jobs that are watched."""
        return len(self._jobs)

    def add(self, task_id: UUID, job_id: int, exit_file: PurePosixPath, key: str | None = None) -> None:
        """Watch a job from now on; adding it again changes nothing.

        Parameters
        ----------
        task_id : UUID
            The task whose job it is; one that was watched for it before is not any more.
        job_id : int
            Its number.
        exit_file : PurePosixPath
            Where the job leaves word of its end.
        key : str, optional
            Key under which it was submitted, by which it is told from others that had or get its number; by default
            the uuid of the task.
        """
        job = WatchedJob(task_id, job_id, exit_file, key or str(task_id))
        with self._lock:
            known = self._jobs.get(task_id)
            if known is not None and (known.job_id, known.key) == (job.job_id, job.key):
                return
            self._jobs[task_id] = job
            self._hurry()

    def remove(self, task_id: UUID) -> None:
        """Stop watching the job of a task."""
        with self._lock:
            self._jobs.pop(task_id, None)

    def report(self, task_id: UUID) -> JobReport | None:
        """What is known of the job of a task, or None before the first tick that told something."""
        with self._lock:
            job = self._jobs.get(task_id)
            return job.report if job else None

    def unknown_for_s(self, task_id: UUID) -> float:
        """For how long the cluster has answered, but not known the job of a task, in seconds."""
        with self._lock:
            job = self._jobs.get(task_id)
            if job is None or job.unknown_since is None:
                return 0.0
            return self._clock() - job.unknown_since

    def due_in_s(self) -> float:
        """Seconds until the next tick is due."""
        with self._lock:
            return max(0.0, self._next_tick - self._clock())

    def tick(self) -> set[UUID]:
        """Ask the cluster once about all jobs, if that is due.

        Returns
        -------
        set of UUID
            Tasks about whose job there is something new, or of which the cluster does not know.
        """
        with self._lock:
            started = self._clock()
            if started < self._next_tick:
                return set()
            # Booked before the call, so that a second thread does not ask at the same time.
            self._next_tick = started + self._interval_s
            jobs = tuple(self._jobs.values())
            ask_accounting = started >= self._ask_accounting_at
        if not jobs:
            return set()
        news: set[UUID] = set()
        problems: dict[str, None] = {}
        changed = False
        self.last_tick_at = datetime.now(UTC)
        self.ticks += 1
        try:
            for some in _apart(jobs):
                answer = slurm.query(
                    self._transport,
                    [job.job_id for job in some],
                    {job.job_id: job.exit_file for job in some},
                    keys={job.job_id: job.key for job in some},
                    ask_accounting=ask_accounting,
                )
                self.round_trips += answer.round_trips
                problems |= dict.fromkeys(answer.problems)
                if answer.accounting == "silent":
                    ask_accounting = False
                    now = self._clock()
                    self._ask_accounting_at = now + ACCOUNTING_REST * (now - started)
                elif answer.accounting == "not asked":
                    problems["Slurm's accounting has not answered lately, and is asked again later."] = None
                told, state_changed = self._take_in(some, answer)
                news |= told
                changed |= state_changed
        except WorkerError as error:
            problems[str(error)] = None
            log.warning("watch_failed", problem=str(error), jobs=len(jobs))
        self.problem = " ".join(problems) or None
        self.last_tick_s = self._clock() - started
        with self._lock:
            if changed:
                self._hurry()
            elif not news or problems:
                self._interval_s = min(self._interval_s * 1.5, self._max_interval_s)
            pause_s = max(self._interval_s, min(LOAD * self.last_tick_s, self._max_interval_s))
            if not changed or pause_s > self._interval_s:
                self._next_tick = self._clock() + pause_s
        return news

    def _take_in(self, jobs: Collection[WatchedJob], answer: QueryResult) -> tuple[set[UUID], bool]:
        """Remember what the cluster said; return the tasks with news, and whether the state of a job has changed."""
        news: set[UUID] = set()
        changed = False
        now = self._clock()
        with self._lock:
            for asked in jobs:
                job, report = self._jobs.get(asked.task_id), answer.get(asked.job_id)
                if job is None or (job.job_id, job.key) != (asked.job_id, asked.key) or report is None:
                    continue
                if report.state.terminal and report.source != "sacct" and answer.accounting == "answered":
                    ended_at = now if job.ended_at is None else job.ended_at
                    if now - ended_at < ACCOUNTING_LAG_S:
                        # It has ended, and what it has used is going to be known in a moment.
                        self._jobs[job.task_id] = replace(job, ended_at=ended_at)
                        changed = True
                        continue
                unknown = report.state is JobState.UNKNOWN
                # That nobody has answered does not mean that nobody knows the job.
                denied = unknown and not answer.problems and answer.accounting != "not asked"
                since = (now if job.unknown_since is None else job.unknown_since) if denied else None
                if unknown or _word_of(report) != _word_of(job.report):
                    news.add(job.task_id)
                changed |= job.report is None or report.state is not job.report.state
                self._jobs[job.task_id] = replace(job, report=report, unknown_since=since)
        return news, changed

    def _hurry(self) -> None:
        """Look again soon. The caller holds the lock."""
        self._interval_s = self._min_interval_s
        self._next_tick = min(self._next_tick, self._clock() + self._interval_s)


def _word_of(report: JobReport | None) -> JobReport | None:
    """What is new to a person when it changes: not that a running job has run for longer."""
    return replace(report, elapsed_s=None) if report is not None else None


def _apart(jobs: Iterable[WatchedJob]) -> Iterator[list[WatchedJob]]:
    """Keep jobs with the same number apart: Slurm hands numbers out again after its controller has crashed."""
    left = list(jobs)
    while left:
        by_number = {job.job_id: job for job in reversed(left)}
        yield list(by_number.values())
        left = [job for job in left if by_number[job.job_id] is not job]
