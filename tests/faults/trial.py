"""One case, tried: a run is brought to its boundary, something goes wrong, and the run is followed to its end."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.faults import injections
from tests.faults.engine import EngineProcess, Orders
from worker.engine.children import children_of
from worker.errors import HistoryUnavailable

if TYPE_CHECKING:
    from uuid import UUID

    from tests.faults.cases import Case
    from tests.faults.engine import Reached
    from tests.faults.stage import CaseStage, Grounds
    from worker.history.domain import WorkflowRun

REACH_TIMEOUT_S = 120.0
END_TIMEOUT_S = 180.0
"""How long a run may take after its fault; one that has not ended by then is lost."""
MOST_PAUSES = 6
LOOK_EVERY_S = 0.15


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands."""

    status: str
    """STARTED, COMPLETED, FAILED ..., or PAUSED."""
    message: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status in ("COMPLETED", "FAILED", "PAUSED")


@dataclass(slots=True)
class Trial:
    """A case and what has come of it so far.

    Parameters
    ----------
    case : Case
        The case.
    grounds : Grounds
        What it shares with others.
    """

    case: Case
    grounds: Grounds
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)
    stage: CaseStage = field(init=False)
    run_id: UUID = field(init=False)
    reached: Reached | None = None
    struck: bool = False
    """Whether the boundary was reached and the fault met the run."""
    paused: tuple[UUID, ...] = ()
    """What is paused: the run itself, or runs of its batches."""
    pauses: list[str] = field(default_factory=list)
    """Reasons for which the run was paused; it was resumed each time."""
    standing: Standing = field(default_factory=lambda: Standing("", ""))
    seconds: float = 0.0
    engines: list[EngineProcess] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)
    _fault: ExitStack = field(default_factory=ExitStack)
    """Closed when the fault is healed."""

    def __enter__(self) -> Trial:
        try:
            self.stage = self._stack.enter_context(self.grounds.case(self.case.kind))
            # Engines end first, then what they work with.
            self._stack.callback(self._end_engines)
            self.injection = injections.injection_of(self.case)
            self._stack.enter_context(self.injection.prepared(self))
            self._stack.callback(self._fault.close)
            self.run_id = self.stage.accept()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def reach(self) -> None:
        """Start an engine, and wait until it has come to the boundary."""
        kind = self.injection
        first = self.start_engine()
        self.reached = first.reached(REACH_TIMEOUT_S)
        if kind.deadly:
            self.struck = not first.alive

    def strike(self) -> None:
        """Let it happen, and let the engine go on."""
        if self.injection.deadly:
            self.start_engine()
        elif self.reached is not None:
            self._fault.enter_context(self.injection.struck(self))
            self.struck = True
            self.engines[0].go(self.injection.going(self))
        self._healed_at = time.monotonic() + self.injection.lasts_s

    def release(self) -> None:
        """Let the engine go on after something that has met everybody."""
        if self.reached is not None:
            self.struck = True
            self.engines[0].go()
        self._healed_at = time.monotonic()

    _healed_at: float = 0.0
    injection: injections.Injection = field(init=False)

    def finish(self) -> None:
        """Follow the run to its end; heal what is broken in time, and resume the run where it has paused."""
        not_before = time.monotonic() + self.injection.lingers_s
        deadline = time.monotonic() + END_TIMEOUT_S
        while time.monotonic() < deadline:
            if time.monotonic() >= self._healed_at:
                self.heal()
            self.standing = self.look()
            if self.standing.status == "PAUSED" and self._followed:
                pass  # the script ends by itself, now that its run is paused; an engine goes on
            elif self.standing.status == "PAUSED" and len(self.pauses) < MOST_PAUSES:
                self.heal()
                self._resume()
            elif self.standing.ended and time.monotonic() >= not_before:
                break
            if (self.injection.deadly or self.injection.attached) and not self.engines[-1].alive:
                self.start_engine()
            time.sleep(LOOK_EVERY_S)
        self.heal()
        self._end_engines()
        self.struck = self.struck and self.injection.met(self)
        self.seconds = time.monotonic() - self.started

    @property
    def _followed(self) -> bool:
        """Whether the script that drives the run is still there."""
        return self.injection.attached and len(self.engines) == 1 and self.engines[0].alive

    def _resume(self) -> None:
        """Do what an admin does when the cause is mended, and note the reason that was told."""
        try:
            for run_id in self.paused:
                self.stage.record.tracker.resume_run(run_id)
        except HistoryUnavailable:
            return  # at the next look
        self.pauses.append(self.standing.message)

    def heal(self) -> None:
        """Mend what is broken; nothing happens the second time."""
        self._fault.close()

    def look(self) -> Standing:
        """How the run stands, as far as the record can be read."""
        try:
            run, *children = self.stage.record.tracker.run(self.run_id), *self.children()
        except HistoryUnavailable as error:
            return Standing("UNKNOWN", str(error))
        if run.ended:
            return Standing(run.status, run.error_message or "")
        self.paused = tuple(each.id for each in (run, *children) if each.paused_reason and not each.ended)
        if self.paused:
            reasons = (each.paused_reason for each in (run, *children) if each.id in self.paused)
            return Standing("PAUSED", " ".join(filter(None, reasons)))
        errors = [state.last_error for state in run.steps.values() if state.state == "intended" and state.last_error]
        return Standing(run.status, " ".join(errors))

    def start_engine(self) -> EngineProcess:
        """Start an engine; the first one stops at the boundary, or the first ones."""
        stopping = len(self.engines) < self.injection.deaths
        attached = stopping and self.injection.attached
        process = EngineProcess(
            Orders(
                environ=self.stage.environ,
                log=self.stage.deployment.directory / f"engine-{len(self.engines)}.log",
                boundary=self.case.boundary if stopping else None,
                deadly=self.injection.deadly,
                tasks=self.stage.tasks(self.run_id),
                attached=self.run_id if attached else None,
                lab_base=self.grounds.lab.base,
                user=self.grounds.person.name,
            )
        )
        self.engines.append(process)
        return process

    def events(self) -> str:
        """What the record says, an event a line."""
        return "\n".join(
            f"{event.at:%H:%M:%S.%f} {event.name} {event.task_name or ''} {event.data}"
            for run_id in (self.run_id, *(child.id for child in self.children()))
            for event in self.stage.record.reader.events(run_id)
        )

    def children(self) -> tuple[WorkflowRun, ...]:
        """The runs of its batches, where it has any."""
        tracker = self.stage.record.tracker
        return tuple(children_of(tracker, tracker.run(self.run_id)).values())

    def logs(self) -> str:
        """What the engines have logged."""
        folder = self.stage.deployment.directory
        return "\n".join(
            f"--- {path.name}\n{path.read_text(encoding='utf-8', errors='replace')}"
            for path in sorted(folder.glob("engine-*.log"))
        )

    def _end_engines(self) -> None:
        for engine in self.engines:
            engine.end()
        self.engines.clear()
