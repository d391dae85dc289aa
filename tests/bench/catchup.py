"""How long an engine that was killed needs, once it is started again, until it drives all open runs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tests.bench.report import Figure
from tests.bench.submission import BenchFailed
from tests.bench.waiting import waiting_runs
from tests.soak.engine import Engine
from tests.soak.soaking import caught_up_s, time_of
from tests.soak.stage import staged
from worker.history.tables import workflowtracker_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.description import Lab
    from tests.soak.engine import Life
    from worker.history.database import Database

RUNS = 1000
TIMEOUT_S = 180.0


def measure(lab: Lab, say: Callable[[str, int], None], *, runs: int = RUNS) -> list[Figure]:
    """Start an engine on a record with many runs that wait for their jobs.

    Parameters
    ----------
    lab : Lab
        The lab.
    say : callable
        Is told words, and how many samples were taken.
    runs : int
        How many runs.

    Returns
    -------
    list of Figure
        From the start of the process: until it is up, until every run was looked at, and until the first answer of the
        cluster has been recorded for each.
    """
    with (
        tempfile.TemporaryDirectory(prefix="omero-worker-bench-") as directory,
        staged(lab) as stage,
        stage.deployment.record() as record,
        waiting_runs(stage, record, runs, report=lambda words: say(words, 0)),
    ):
        engine = Engine(stage.deployment, Path(directory))
        try:
            life = engine.start()
            say(f"waiting until the engine drives {runs} runs", 0)
            told_s = _told_s(record.database, life, runs)
            engine.look()
        finally:
            engine.kill()
        looked_s = caught_up_s(Path(directory) / "engine-000.log", life)
    if looked_s is None:
        raise BenchFailed("the engine never said that it has looked at all open runs")
    say(f"engine up after {life.ready_s:.1f} s, all runs driven after {looked_s:.1f} s", 1)
    details = {"runs": runs, "peak_rss_mib": round(life.peak_rss_kib / 1024), "processor_s": life.cpu_s}
    return [
        Figure("catchup", "start of the process until the engine is up", [life.ready_s], "s", details=details),
        Figure("catchup", f"... until all {runs} open runs are driven again", [looked_s], "s"),
        Figure("catchup", f"... until the states of their {runs} jobs are recorded", [told_s], "s"),
    ]


def _told_s(database: Database, life: Life, runs: int) -> float:
    """Wait until a state of each job was recorded; when the last was, in seconds from the start of the process."""
    table = workflowtracker_events.c
    told = sa.select(sa.func.count()).where(table.topic.like("%:Task.StatusUpdated"))
    last = sa.select(table.state).where(table.topic.like("%:Task.StatusUpdated")).order_by(table.id.desc()).limit(1)
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        with database.reading() as session:
            if session.execute(told).scalar_one() >= runs:
                at = time_of(bytes(session.execute(last).scalar_one()))
                return (at - life.started_at).total_seconds()
        time.sleep(0.5)
    raise BenchFailed(f"the engine has not told the states of {runs} jobs within {TIMEOUT_S:.0f} s")
