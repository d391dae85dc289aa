"""The one watcher of a cluster: asks for all jobs of all runs at once, at an adaptive rate.

``report`` never talks to the cluster; only ``tick`` does, with one round trip whatever the number of jobs. A job about
which the cluster says nothing is unknown, never finished.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from worker.cluster import slurm
from worker.cluster.states import JobState
from worker.errors import CircuitOpen, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import PurePosixPath
    from uuid import UUID

    from worker.cluster.states import JobReport
    from worker.cluster.transport import Transport

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WatchedJob:
    """A job that somebody waits for."""

    task_id: UUID
    job_id: int
    exit_file: PurePosixPath
    report: JobReport | None = None
    unknown_since: float | None = None
    """Monotonic time since which the cluster has not known the job."""


class Watcher:
    """Watches the jobs of one cluster.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    min_interval_s, max_interval_s : float
        Bounds of the time between two ticks. It starts at the lower bound whenever a job is added or has changed and
        grows by half with each tick in which nothing happened.
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
        self._jobs: dict[UUID, WatchedJob] = {}
        self._lock = threading.Lock()
        self.problem: str | None = None
        """Why the last tick told nothing, or None."""

    def add(self, task_id: UUID, job_id: int, exit_file: PurePosixPath) -> None:
        """Watch a job from now on; adding it again changes nothing."""
        with self._lock:
            known = self._jobs.get(task_id)
            if known is not None and known.job_id == job_id:
                return
            self._jobs[task_id] = WatchedJob(task_id, job_id, exit_file)
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
        """For how long the cluster has not known the job of a task, in seconds."""
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
            Tasks about whose job there is something new.
        """
        with self._lock:
            if self._clock() < self._next_tick:
                return set()
            jobs = dict(self._jobs)
            # Booked before the call, so that a second thread does not ask at the same time.
            self._next_tick = self._clock() + self._interval_s
        if not jobs:
            return set()
        try:
            answer = slurm.query(
                self._transport,
                [job.job_id for job in jobs.values()],
                {job.job_id: job.exit_file for job in jobs.values()},
                # The key of a submission is the task's uuid: it tells a job from another with the same number.
                keys={job.job_id: str(job.task_id) for job in jobs.values()},
            )
        except (TransportError, CircuitOpen) as error:
            self.problem = str(error)
            log.warning("watch_failed", problem=str(error), jobs=len(jobs))
            self._slow_down()
            return set()
        self.problem = " ".join(answer.problems) or None
        return self._take_in(jobs, answer.reports)

    def _take_in(self, jobs: dict[UUID, WatchedJob], reports: Mapping[int, JobReport]) -> set[UUID]:
        """Remember what the cluster said; return the tasks with news."""
        news: set[UUID] = set()
        now = self._clock()
        with self._lock:
            for task_id, job in jobs.items():
                current = self._jobs.get(task_id)
                report = reports.get(job.job_id)
                if current is None or current.job_id != job.job_id or report is None:
                    continue
                unknown = report.state is JobState.UNKNOWN
                since = (current.unknown_since or now) if unknown else None
                if report != current.report:
                    news.add(task_id)
                self._jobs[task_id] = replace(current, report=report, unknown_since=since)
                if unknown:
                    news.add(task_id)
        if news:
            with self._lock:
                self._hurry()
        else:
            self._slow_down()
        return news

    def _hurry(self) -> None:
        """Look again soon. The caller holds the lock."""
        self._interval_s = self._min_interval_s
        self._next_tick = min(self._next_tick, self._clock() + self._interval_s)

    def _slow_down(self) -> None:
        """Look again later than last time."""
        with self._lock:
            self._interval_s = min(self._interval_s * 1.5, self._max_interval_s)
            self._next_tick = self._clock() + self._interval_s
