"""The soak itself: accept runs, drive them with an engine that is killed again and again, and look on."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tests.soak import gauges
from tests.soak.engine import Engine
from tests.soak.evidence import Verdict, judge
from tests.soak.report import Figures
from worker.history.tables import worker_run, workflowtracker_events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from tests.soak.engine import Life
    from tests.soak.stage import Stage
    from worker.engine.assembly import Record

LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the runs are."""

    accepted: int
    done: int
    failed: int
    paused: int
    kills: int

    @property
    def ended(self) -> int:
        """Runs that nothing more will happen to."""
        return self.done + self.failed + self.paused


def soak(
    stage: Stage,
    record: Record,
    *,
    runs: int,
    kill_every_s: float,
    timeout_s: float,
    log_directory: Path,
    report: Callable[[Standing], None] = lambda _: None,
    most_kills: int | None = None,
) -> tuple[Figures, Verdict]:
    """Soak an engine.

    Parameters
    ----------
    stage : Stage
        What the runs work with.
    record : Record
        The record, empty.
    runs : int
        How many runs.
    kill_every_s : float
        How long an engine lives.
    timeout_s : float
        After how long runs that have not ended count as lost.
    log_directory : Path
        Where the engines' logs go.
    report : callable
        Is told every second how far the runs are.
    most_kills : int, optional
        Let the engine live after so many kills; by default it is killed as long as there is something to do.

    Returns
    -------
    tuple of Figures and Verdict
        What was measured, and what was found at the end.
    """
    engine = Engine(stage.deployment, log_directory)
    sshd = gauges.SshdLog(stage.lab)
    readings = [sshd.read()]
    questions, processor = gauges.job_questions(stage.lab), gauges.processor_seconds(stage.lab)
    since, started = datetime.now(UTC), time.monotonic()
    accepting = Accepting(stage, record, runs)
    accepting.start()
    try:
        engine.start()
        while True:
            standing = look(record, engine, accepting)
            report(standing)
            if standing.ended >= runs or time.monotonic() > started + timeout_s:
                break
            time.sleep(LOOK_EVERY_S)
            readings.append(sshd.read())
            mortal = most_kills is None or standing.kills < most_kills
            old = time.monotonic() - engine.life.started >= kill_every_s
            if not engine.look():
                engine.start()
            elif old and mortal:
                engine.kill()
                engine.start()
        wall_s = time.monotonic() - started
        readings.append(sshd.read())
        used = gauges.processor_seconds(stage.lab)
    finally:
        engine.stop()
        accepting.join()
    restarts = engine.lives[1:]
    figures = Figures(
        runs=runs,
        wall_s=wall_s,
        lives=tuple(engine.lives),
        readings=tuple(readings),
        job_questions=gauges.job_questions(stage.lab) - questions,
        first_step_s=tuple(s for life in restarts if (s := first_step_s(record, life)) is not None),
        caught_up_s=tuple(
            s
            for number in range(1, len(engine.lives))
            if (s := caught_up_s(log_directory / f"engine-{number:03}.log", engine.lives[number])) is not None
        ),
        processor_s={name: seconds - processor.get(name, 0.0) for name, seconds in used.items()},
    )
    return figures, judge(stage, record, accepting.run_ids, since)


class Accepting(threading.Thread):
    """Accepts runs one after the other, while the engine is at work already.

    Parameters
    ----------
    stage : Stage
        What the runs work with.
    record : Record
        Where they are recorded.
    runs : int
        How many.
    """

    def __init__(self, stage: Stage, record: Record, runs: int) -> None:
        super().__init__(name="accepting", daemon=True)
        self._stage = stage
        self._record = record
        self._runs = runs
        self.run_ids: list[UUID] = []

    def run(self) -> None:
        """Accept them all."""
        for number in range(self._runs):
            self.run_ids.append(self._stage.accept(self._record, number))


def look(record: Record, engine: Engine, accepting: Accepting) -> Standing:
    """Count runs by what has become of them."""
    with record.database.reading() as session:
        rows = session.execute(
            sa.select(worker_run.c.state, worker_run.c.paused, sa.func.count()).group_by(
                worker_run.c.state, worker_run.c.paused
            )
        ).all()
    counts = {(state, paused): count for state, paused, count in rows}
    done = sum(count for (state, _), count in counts.items() if state == "COMPLETED")
    failed = sum(count for (state, _), count in counts.items() if state == "FAILED")
    paused = sum(count for (state, is_paused), count in counts.items() if is_paused and state != "FAILED")
    kills = sum(life.ended == "killed" for life in engine.lives)
    return Standing(len(accepting.run_ids), done, failed, paused, kills)


def first_step_s(record: Record, life: Life) -> float | None:
    """From the start of a process to the first event of a run after it that an engine has recorded."""
    table = workflowtracker_events.c
    with record.database.reading() as session:
        # The engine begins every step with StepIntended or StepCompleted.
        rows = session.execute(
            sa.select(table.state).where(table.topic.like("%:WorkflowRun.Step%")).order_by(table.id)
        ).scalars()
        for state in rows:
            passed_s = (time_of(bytes(state)) - life.started_at).total_seconds()
            if passed_s > 0:
                return passed_s if passed_s < life.lasted_s else None
    return None


def time_of(state: bytes) -> datetime:
    """When something happened, as it stands in the state of its event."""
    return datetime.fromisoformat(json.loads(state)["timestamp"]["_data_"])


def caught_up_s(log: Path, life: Life) -> float | None:
    """From the start of a process until it says that every run that was open has been driven."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if "open_runs_driven" in line:
            at = datetime.fromisoformat(line.split()[0])
            return (at - life.started_at).total_seconds()
    return None
