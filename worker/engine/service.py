"""The engine service: drives all runs of a deployment, each step in the lane of the resource that it uses.

The loop only decides *which* runs to drive, and when; what to do with a run is `worker.engine.driver`'s business. The
loop itself holds nothing that could be lost: kill it at any instant, and the next one finds the open runs in the
database. It reads a run when there is a reason to: its job has news, its time has come, or somebody changed it.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import structlog

from worker.engine import storage
from worker.engine.beat import EngineBeat
from worker.engine.driver import ALONE, Later, drive
from worker.engine.lanes import Lane
from worker.errors import HistoryUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from uuid import UUID

    from worker.engine.context import Resources
    from worker.history.database import Database
    from worker.history.reader import RunReader

log = structlog.get_logger(__name__)

WIDTHS: Mapping[str, int] = {"control": 8, "export": 2, "fetch": 2, "import": 2, ALONE: 1}
"""How many runs may be in each lane at a time. Exports and fetches hold an SSH connection each; see `SSH_POOL`."""

WAKING = ("RequestRecorded", "CancelRequested", "RunResumed", "StepsReopened")
"""Events by which somebody else gives us something to do."""

BEAT_S = 3.0
"""Time between two signs of life."""

SETTINGS_S = 1.0
"""Time between two looks at slurm-config.ini."""

RETENTION_S = 3600.0
"""Time between two looks for data that have been kept for long enough."""

SETTLED_S = 60.0
"""A service looks for the first time when it has been at work for so long: it begins with what is more urgent."""

RECOUNT_S = 30.0
"""Time between two looks at all open runs, for those that no event has told us of."""

BROKEN_S = 30.0
"""When to look again at a run that could not be driven because of a defect of ours."""


@dataclass(frozen=True, slots=True)
class Rested:
    """A run has come to rest in a lane."""

    run_id: UUID
    lane: str
    future: Future[Later]


@dataclass(frozen=True, slots=True)
class News:
    """There is news of a run's job."""

    run_id: UUID


class Service:
    """Drives all open runs until it is stopped.

    Parameters
    ----------
    resources : Resources
        What steps share.
    database : Database
        Where the service says that it is alive.
    reader : RunReader
        Tells which runs are open, and which somebody has changed.
    refresh : callable
        Refreshes the catalogue that dialogs read; called at the start and every `refresh_interval_s`.
    widths : mapping of str to int
        How many runs may be in each lane at the same time.
    tick_s : float
        How often the loop looks for runs that somebody has changed.
    refresh_interval_s : float
        Time between two refreshes of the catalogue.
    grace_s : float
        How long steps in flight may go on after `stop`. In the first half of it they may come to their end, in the
        second they stop at their next safe point.
    """

    def __init__(
        self,
        resources: Resources,
        database: Database,
        reader: RunReader,
        *,
        refresh: Callable[[], object],
        widths: Mapping[str, int] = WIDTHS,
        tick_s: float = 0.5,
        refresh_interval_s: float = 300.0,
        grace_s: float = 20.0,
    ) -> None:
        self._resources = resources
        self._reader = reader
        self._refresh = refresh
        self._tick_s = tick_s
        self._refresh_interval_s = refresh_interval_s
        self._grace_s = grace_s
        self._beat = EngineBeat(database, resources.leases.holder)
        self._stopping = threading.Event()
        self._events: SimpleQueue[Rested | News | None] = SimpleQueue()
        self._lanes = {name: Lane(width) for name, width in widths.items()}
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._at: dict[UUID, str] = {}
        """Lane in which a run waits or is driven."""
        self._asleep: dict[UUID, float | None] = {}
        """Monotonic time until which a run has nothing to do; None: until it is woken."""
        self._woken: set[UUID] = set()
        self._position: int | None = None
        self._recount_at = 0.0
        self._settings = resources.settings
        self._found: set[UUID] = set()
        """Runs that were open at the start and were not looked at yet."""

    def stop(self) -> None:
        """Ask the service to stop; may be called from a signal handler."""
        self._stopping.set()
        self._events.put(None)

    def run(self) -> int:
        """Drive runs until `stop` is called.

        Returns
        -------
        int
            How many steps were still in flight when the grace period ended. They are done again by the next process;
            this one should end without waiting for them.
        """
        log.info("service_started", holder=self._resources.leases.holder)
        with ExitStack() as stack:
            for name, lane in self._lanes.items():
                self._pools[name] = ThreadPoolExecutor(lane.width, name)
                stack.callback(self._pools[name].shutdown, wait=False, cancel_futures=True)
            stack.enter_context(self._resources.leases.heartbeat())
            stack.callback(self._stop_beating)
            stack.enter_context(self._background())
            while not self._stopping.is_set():
                try:
                    self._look_for_runs()
                    self._start_due()
                except HistoryUnavailable as error:
                    log.warning("database_unavailable", problem=str(error))
                self._take_events(self._tick_s)
            return self._finish()

    def _look_for_runs(self) -> None:
        """Wake the runs that somebody else has given something to do."""
        position, changed = self._reader.changed_since(self._position, names=WAKING)
        self._woken |= changed
        now = time.monotonic()
        if self._position is None or now >= self._recount_at:
            open_runs = set(self._reader.open_runs())
            for run_id in set(self._asleep) - open_runs:
                del self._asleep[run_id]  # ended elsewhere
            self._woken |= open_runs - set(self._at) - set(self._asleep)
            self._recount_at = now + RECOUNT_S
            if self._position is None:
                self._found = open_runs
                log.info("open_runs_found", runs=len(open_runs))
        self._position = position

    def _start_due(self) -> None:
        """Let runs whose time has come, or that were woken, go on."""
        now = time.monotonic()
        due = {run_id for run_id, until in self._asleep.items() if until is not None and until <= now}
        for run_id in self._woken | due:
            lane = self._at.get(run_id)
            if lane is not None and not self._lanes[lane].withdraw(run_id):
                continue  # being driven just now: it stays woken until it rests
            self._woken.discard(run_id)
            self._asleep.pop(run_id, None)
            # Looking at a run takes no time and belongs to nobody's queue.
            self._enter(run_id, "control", user=0)
        self._fill_lanes()

    def _enter(self, run_id: UUID, lane: str, user: int) -> None:
        self._at[run_id] = lane
        self._lanes[lane].put(run_id, user)

    def _fill_lanes(self) -> None:
        """Drive as many runs as there is room for."""
        if self._stopping.is_set():
            return
        for name, lane in self._lanes.items():
            while (run_id := lane.next()) is not None:
                future = self._pools[name].submit(drive, self._resources, run_id, go_on=self._goes_on, lane=name)
                future.add_done_callback(partial(self._came_to_rest, Rested(run_id, name, future)))

    def _came_to_rest(self, rested: Rested, _future: Future[Later]) -> None:
        """Tell the loop; called by the thread that has driven the run."""
        self._events.put(rested)

    def _goes_on(self) -> bool:
        """Whether a run may take another step in this process."""
        return not self._stopping.is_set()

    def _take_events(self, timeout_s: float) -> None:
        """Wait for something to happen, and take in all that has."""
        try:
            event = self._events.get(timeout=timeout_s)
        except Empty:
            return
        deadline = time.monotonic() + timeout_s
        while True:
            match event:
                case Rested(run_id=run_id, lane=lane, future=future):
                    self._lanes[lane].done(run_id)
                    self._at.pop(run_id, None)
                    self._rest(run_id, future)
                    if run_id in self._found:
                        self._found.discard(run_id)
                        if not self._found:
                            log.info("open_runs_driven")
                case News(run_id=run_id):
                    self._woken.add(run_id)
            self._fill_lanes()
            if time.monotonic() > deadline:
                return
            try:
                event = self._events.get_nowait()
            except Empty:
                return

    def _rest(self, run_id: UUID, future: Future[Later]) -> None:
        """Remember until when a run has nothing to do, or let it enter the lane where it has."""
        error = future.exception()
        if isinstance(error, HistoryUnavailable):
            log.warning("database_unavailable", run=str(run_id), problem=str(error))
            self._asleep[run_id] = time.monotonic() + self._tick_s
            return
        if error is not None:
            # A defect of ours: say so loudly, and do not spin on it.
            log.error("drive_broke", run=str(run_id), exc_info=error)
            self._asleep[run_id] = time.monotonic() + BROKEN_S
            return
        later = future.result()
        if later.wakes is not None:
            self._woken.add(later.wakes)
        if later.finished or self._stopping.is_set():
            return
        if later.lane is not None:
            self._enter(run_id, later.lane, later.user)
        elif later.at is None:
            self._asleep[run_id] = None
        else:
            # From here on the clock may be set as it likes.
            self._asleep[run_id] = time.monotonic() + (later.at - datetime.now(UTC)).total_seconds()

    def _watch(self, cluster: str) -> None:
        """Ask a cluster about all jobs, if that is due, and wake the runs with news."""
        if cluster not in self._resources.settings.clusters:
            return  # an admin has taken it away, perhaps for a moment only
        for task_id in self._resources.clusters.get(cluster).watcher.tick():
            run_id = self._resources.run_of_task.get(task_id)
            if run_id is not None:
                self._events.put(News(run_id))

    def _look_at_settings(self) -> None:
        """See whether an admin has changed something; what is read from the settings is read anew each time."""
        settings = self._resources.settings
        if settings is self._settings:
            return
        for warning in sorted(set(settings.warnings) - set(self._settings.warnings)):
            log.warning("settings", problem=warning)
        if settings.digest() != self._settings.digest():
            log.info("settings_changed")
            # A repository that hangs must not keep us from the next change.
            threading.Thread(target=_attempt, args=(self._refresh,), daemon=True).start()
        self._settings = settings

    def _retain(self) -> None:
        """Remove what runs have left, and what has been kept for long enough."""
        shared = self._resources
        settings = shared.settings
        storage.retain_here(shared.tracker, shared.leases, settings, shared.state_dir)
        storage.retain(
            shared.tracker,
            self._reader,
            shared.leases,
            settings,
            lambda name: shared.clusters.get(name).transport,
        )

    def _finish(self) -> int:
        """Let the steps in flight come to an end or to a safe point; return how many did neither."""
        started = time.monotonic()
        in_flight = {run_id for lane in self._lanes.values() for run_id in lane.running}
        log.info("service_stopping", in_flight=len(in_flight))
        try:
            self._resources.leases.end()
        except HistoryUnavailable as error:
            log.warning("end_not_announced", problem=str(error))
        surrendered = False
        while in_flight and time.monotonic() < started + self._grace_s:
            if not surrendered and time.monotonic() > started + self._grace_s / 2:
                self._resources.leases.surrender()
                surrendered = True
            self._take_events(0.2)
            in_flight = {run_id for lane in self._lanes.values() for run_id in lane.running}
        log.info("service_stopped", in_flight=len(in_flight))
        return len(in_flight)

    def _stop_beating(self) -> None:
        """Tell scripts that they have to drive their runs themselves."""
        try:
            self._beat.stop()
        except HistoryUnavailable as error:
            log.warning("beat_not_stopped", problem=str(error))

    @contextmanager
    def _background(self) -> Iterator[None]:
        """Beat, watch and refresh while the block runs."""
        ended = threading.Event()

        def every(interval_s: float, work: Callable[[], object], delay_s: float = 0.0) -> None:
            if ended.wait(delay_s):
                return
            while True:
                _attempt(work)
                if ended.wait(interval_s):
                    return

        threads: list[threading.Thread] = []
        watched: set[str] = set()

        def start(interval_s: float, work: Callable[[], object], delay_s: float = 0.0) -> None:
            thread = threading.Thread(target=every, args=(interval_s, work, delay_s), daemon=True)
            threads.append(thread)
            thread.start()

        def watch_all() -> None:
            # A cluster that does not answer keeps none of the others waiting.
            for cluster in self._resources.clusters.opened():
                if cluster.name not in watched:
                    watched.add(cluster.name)
                    start(0.2, partial(self._watch, cluster.name))

        start(self._refresh_interval_s, self._refresh)
        start(SETTINGS_S, self._look_at_settings)
        start(BEAT_S, self._beat.beat)
        # Views follow the command that changed something; a process that was killed in between leaves that to us.
        start(BEAT_S, self._resources.tracker.pull_and_process)
        start(0.5, watch_all)
        start(RETENTION_S, self._retain, SETTLED_S)
        try:
            yield
        finally:
            ended.set()
            for thread in tuple(threads):
                thread.join(timeout=2.0)


def _attempt(work: Callable[[], object]) -> None:
    """Do something that is tried again at its next time, should it fail."""
    try:
        work()
    except Exception:
        log.exception("background_work_failed", work=getattr(work, "__name__", str(work)))
