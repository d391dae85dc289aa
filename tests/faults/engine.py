"""An engine under test: a process of its own that runs the real service, and stops once at a boundary.

Processes are forked from one that has imported everything and has neither threads nor connections (the fork server of
`multiprocessing`), because the imports take longer than a whole run.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import worker.history.migration
import worker.pixels.exporter  # noqa: F401
from tests.faults import clock
from tests.faults.boundary import Boundary, Stop, StoppingTransport
from tests.lab.description import Lab
from tests.lab.person import logged_in
from worker.cli.main import configure_logging
from worker.engine import assembly
from worker.engine.assembly import open_record, open_resources
from worker.engine.attached import follow
from worker.engine.omero import OwnSession, ServiceAccess
from worker.engine.retry import Budget
from worker.engine.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path
    from types import FrameType
    from uuid import UUID

    from tests.faults.transport import FaultyTransport
    from worker.engine.context import Resources
    from worker.settings.models import SshSettings

THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Threads that libraries would begin at their import, and that a fork would lose."""

BUDGET: dict[str, Any] = {"first_delay_s": 0.3, "max_delay_s": 4.0}
LOOKUP_SPACING_S = 1.0
TICK_S = 0.2


@dataclass(frozen=True, slots=True)
class Orders:
    """What an engine is to do."""

    environ: Mapping[str, str]
    """Its whole environment."""
    log: Path
    boundary: Boundary | None = None
    """Where it stops, once."""
    deadly: bool = False
    """Whether it kills itself there instead."""
    tasks: Mapping[UUID, str] = field(default_factory=dict)
    """Names of the run's tasks, for names of events."""
    attached: UUID | None = None
    """The run that it follows as a script does; None: all runs, as the service does."""
    lab_base: Path | None = None
    user: str = ""
    """Whose session a script has."""
    survey: Path | None = None
    """Where the places that it passes are written, one a line."""


@dataclass(frozen=True, slots=True)
class Reached:
    """The engine has come to its boundary."""

    boundary: Boundary
    session: str
    """Uuid of the session in OMERO that it has open, if it has one: a script always has."""


@dataclass(frozen=True, slots=True)
class Going:
    """What an engine is told when it may go on."""

    lose: str = ""
    """What is lost of the next command: ``request``, ``reply`` or ``both``; nothing if empty."""
    command: str = ""
    times: int = 1
    clock_jump_s: float = 0.0


class EngineProcess:
    """An engine, seen from outside.

    Parameters
    ----------
    orders : Orders
        What it is to do.
    """

    context: ClassVar[Any] = None

    def __init__(self, orders: Orders) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        self.orders = orders
        self._process = _fork_server().Process(target=_work, args=(orders, theirs), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return bool(self._process.is_alive())

    def reached(self, timeout_s: float) -> Reached | None:
        """Wait until it has come to its boundary; None if it has not, or has ended instead."""
        try:
            return self._pipe.recv() if self._pipe.poll(timeout_s) else None
        except EOFError:
            self._process.join(5)
            return None

    def go(self, going: Going | None = None) -> None:
        """Let it go on."""
        self._pipe.send(going or Going())

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.alive:
            os.kill(self._process.pid, number)

    def ended(self, timeout_s: float) -> bool:
        """Wait for its end."""
        self._process.join(timeout_s)
        return not self.alive

    def end(self) -> None:
        """End it, as an admin would, and if it does not, as the kernel would."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if not self.ended(8):
            self.send(signal.SIGKILL)
            self.ended(5)
        self._pipe.close()


def _fork_server() -> Any:
    if EngineProcess.context is None:
        os.environ.update(THREADS)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        EngineProcess.context = context
    return EngineProcess.context


def _work(orders: Orders, pipe: Connection) -> None:
    """Be the engine. Runs in a process of its own."""
    log = os.open(orders.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.environ.clear()
    os.environ.update(orders.environ)
    random.seed()
    configure_logging()
    threading.Thread(target=_end_with_tester, daemon=True).start()
    transports: list[FaultyTransport] = []
    sessions: list[str] = []

    def halt(boundary: Boundary, session: str) -> None:
        if orders.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            pipe.send(Reached(boundary, session or next(iter(sessions), "")))
            going = pipe.recv()
        except (EOFError, OSError):
            os._exit(3)  # whoever tests us is gone
        if going.lose:
            for transport in transports:
                getattr(transport, f"lose_{going.lose}")(going.command, times=going.times)
        clock.jump(going.clock_jump_s)

    def passed(boundary: Boundary) -> None:
        if orders.survey is not None:
            with orders.survey.open("a", encoding="utf-8") as file:
                file.write(f"{boundary}\n")

    stop = Stop(orders.boundary, orders.tasks, halt, passed)
    stop.install()
    clock.install()
    open_transport = assembly.open_transport

    def open_stopping(ssh_settings: SshSettings) -> FaultyTransport:
        transports.append(StoppingTransport(open_transport(ssh_settings), stop))
        return transports[-1]

    assembly.open_transport = open_stopping
    if orders.attached is None:
        _serve()
    else:
        _follow(orders, orders.attached, sessions)
    sys.stderr.flush()
    os._exit(0)


def _end_with_tester() -> None:
    """End when whoever tests us is gone, however that came."""
    tester = multiprocessing.parent_process()
    if tester is not None:
        tester.join()
        os._exit(3)


def _quick(resources: Resources) -> Resources:
    """Be less patient than an engine whose cluster is real."""
    return replace(resources, budget=Budget(**BUDGET), lookup_spacing_s=LOOKUP_SPACING_S)


def _serve() -> None:
    with open_record() as record, open_resources(record, ServiceAccess(record.environment)) as resources:
        record.tracker.pull_and_process()
        service = Service(
            _quick(resources), record.database, record.reader, refresh=lambda: None, tick_s=TICK_S, grace_s=3.0
        )

        def stop(_signal: int, _frame: FrameType | None) -> None:
            service.stop()

        signal.signal(signal.SIGTERM, stop)
        service.run()


def _follow(orders: Orders, run_id: UUID, sessions: list[str]) -> None:
    with (
        logged_in(Lab.load(orders.lab_base), orders.user) as gateway,
        open_record() as record,
        open_resources(record, OwnSession(gateway)) as resources,
    ):
        sessions.append(str(gateway.getSession().getUuid().getValue()))
        outcome = follow(run_id, resources=_quick(resources), database=record.database, report=print, tick_s=TICK_S)
        print(outcome.status, outcome.message)
