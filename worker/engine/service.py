"""The engine service: drives all runs of a deployment on a bounded pool of threads.

The loop only decides *which* runs to drive; what to do with a run is `worker.engine.driver`'s business. The loop
itself holds nothing that could be lost: kill it at any instant, and the next one finds the open runs in the database.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TYPE_CHECKING

import structlog

from worker.engine.driver import Later, drive
from worker.engine.lease import EngineBeat
from worker.errors import HistoryUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from worker.engine.context import Resources
    from worker.history.database import Database
    from worker.history.reader import RunReader

log = structlog.get_logger(__name__)


class Service:
    """Drives all open runs until it is stopped.

    Parameters
    ----------
    resources : Resources
        What steps share.
    database : Database
        Where the service says that it is alive.
    reader : RunReader
        Tells which runs are open.
    refresh : callable
        Refreshes the catalogue that dialogs read; called at the start and every `refresh_interval_s`.
    threads : int
        Runs that are driven at the same time.
    tick_s : float
        How often the loop looks for runs.
    refresh_interval_s : float
        Time between two refreshes of the catalogue.
    """

    def __init__(
        self,
        resources: Resources,
        database: Database,
        reader: RunReader,
        *,
        refresh: Callable[[], object],
        threads: int = 8,
        tick_s: float = 0.5,
        refresh_interval_s: float = 300.0,
    ) -> None:
        self._resources = resources
        self._reader = reader
        self._refresh = refresh
        self._threads = threads
        self._tick_s = tick_s
        self._refresh_interval_s = refresh_interval_s
        self._beat = EngineBeat(database, resources.leases.holder)
        self._stopping = threading.Event()
        self._driven: dict[UUID, Future[Later]] = {}
        self._asleep: dict[UUID, datetime | None] = {}
        self._news: SimpleQueue[UUID] = SimpleQueue()
        self._woken: set[UUID] = set()
        self._watched: dict[UUID, UUID] = {}

    def stop(self) -> None:
        """Ask the service to stop: each step in flight comes to its end, and no other is begun."""
        self._stopping.set()

    def run(self) -> None:
        """Drive runs until `stop` is called."""
        log.info("service_started", holder=self._resources.leases.holder, threads=self._threads)
        background = [
            threading.Thread(target=self._every, args=(self._refresh_interval_s, self._refresh), daemon=True),
            threading.Thread(target=self._every, args=(3.0, self._beat.beat), daemon=True),
            threading.Thread(target=self._every, args=(0.2, self._watch), daemon=True),
        ]
        with self._resources.leases.heartbeat(), ThreadPoolExecutor(self._threads, "drive") as pool:
            for thread in background:
                thread.start()
            while not self._stopping.wait(self._tick_s):
                try:
                    self._tick(pool)
                except HistoryUnavailable as error:
                    log.warning("database_unavailable", problem=str(error))
                    self._stopping.wait(2.0)
            log.info("service_stopping", in_flight=len(self._driven))
        for thread in background:
            thread.join(timeout=5.0)
        try:
            self._beat.stop()
        except HistoryUnavailable as error:
            log.warning("beat_not_stopped", problem=str(error))
        log.info("service_stopped")

    def _goes_on(self) -> bool:
        """Whether a run may take another step in this process."""
        return not self._stopping.is_set()

    def _tick(self, pool: ThreadPoolExecutor) -> None:
        """Collect what has come to rest and start what is due."""
        for run_id, future in list(self._driven.items()):
            if future.done():
                del self._driven[run_id]
                self._rest(run_id, future)
        while not self._news.empty():
            self._woken.add(self._news.get())
        now = datetime.now(UTC)
        open_runs = self._reader.open_runs()
        for run_id in open_runs:
            if run_id in self._driven or not (run_id in self._woken or self._due(run_id, now)):
                continue
            self._asleep.pop(run_id, None)
            self._woken.discard(run_id)
            self._driven[run_id] = pool.submit(drive, self._resources, run_id, go_on=self._goes_on)
        for run_id in set(self._asleep) - set(open_runs):
            del self._asleep[run_id]
        self._woken &= set(open_runs)

    def _due(self, run_id: UUID, now: datetime) -> bool:
        """Whether a run may be driven now."""
        if run_id not in self._asleep:
            return True
        until = self._asleep[run_id]
        return until is not None and until <= now

    def _rest(self, run_id: UUID, future: Future[Later]) -> None:
        """Remember until when a run has nothing to do."""
        error = future.exception()
        if isinstance(error, HistoryUnavailable):
            log.warning("database_unavailable", run=str(run_id), problem=str(error))
            return
        if error is not None:
            # A defect of ours: say so loudly, and do not spin on it.
            log.error("drive_broke", run=str(run_id), exc_info=error)
            self._sleep(run_id, 30.0)
            return
        later = future.result()
        if later.finished:
            return
        if later.at is None:
            # Woken by the watcher's news; looked at now and then all the same, for cancellation and resumption.
            self._sleep(run_id, 5.0)
        else:
            self._asleep[run_id] = later.at

    def _sleep(self, run_id: UUID, seconds: float) -> None:
        self._asleep[run_id] = datetime.fromtimestamp(time.time() + seconds, UTC)

    def _watch(self) -> None:
        """Ask the cluster about all jobs, if that is due, and wake the runs with news.

        A run may be driven just now, and go to sleep a moment later without the news: it stays woken until then.
        """
        for run_id in self._runs_of(self._resources.watcher.tick()):
            self._news.put(run_id)

    def _runs_of(self, task_ids: set[UUID]) -> set[UUID]:
        """Runs to which the tasks belong."""
        for task_id in task_ids - set(self._watched):
            self._watched[task_id] = self._resources.tracker.task(task_id).workflow_id
        return {self._watched[task_id] for task_id in task_ids}

    def _every(self, interval_s: float, work: Callable[[], object]) -> None:
        """Do something again and again; a failure is logged and never ends the loop."""
        while True:
            try:
                work()
            except Exception:
                log.exception("background_work_failed", work=str(work))
            if self._stopping.wait(interval_s):
                return
