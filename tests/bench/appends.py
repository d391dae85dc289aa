"""How fast events are appended by several processes at once: our log against the recorder of eventsourcing_sqlalchemy.

Both append the same events, to tables of the same shape in the same PostgreSQL, one event per transaction, and both
let one writer at a time into the table. ``python -m tests.bench.appends WAY URL COUNT`` is one such process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from eventsourcing.persistence import StoredEvent

from tests.bench.report import Figure, Row
from tests.bench.submission import BenchFailed, fresh_database
from tests.lab.description import CHECKOUT
from worker.history.database import Database
from worker.history.recorder import EventRecorder, lock_log
from worker.history.tracker import WorkflowTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventsourcing.persistence import ApplicationRecorder

    from tests.lab.description import Lab

PROCESSES = 4
EVENTS = 250
"""Events that each process appends."""

STATE = json.dumps({"timestamp": "2026-01-01T00:00:00+00:00", "progress": "43%"}).encode()
TOPIC = "biomero.eventsourcing:Task.ProgressUpdated"


def measure(lab: Lab, repeat: int, say: Callable[[str, int], None]) -> list[Row | Figure]:
    """Let processes append to the log, in turns ours and the library's way.

    Parameters
    ----------
    lab : Lab
        The lab.
    repeat : int
        How often each way is gone.
    say : callable
        Is told words, and how many samples were taken.

    Returns
    -------
    list of Row and Figure
        Milliseconds per event, from the start of the first append to the end of the last; and the same for whole
        commands with their views.
    """
    found: dict[str, list[float]] = {"ours": [], "library": [], "commands": []}
    for number in range(repeat):
        for way, samples in found.items():
            say(f"appends {number + 1}/{repeat}: {way}", 0)
            samples.append(together_ms(lab, way))
        say(f"append: {found['ours'][-1]:.2f} ms, library {found['library'][-1]:.2f} ms", 1)
    row = Row(
        name="appends",
        title=f"an append, {PROCESSES} processes",
        ours=found["ours"],
        reference=found["library"],
        unit="ms",
        reference_is="eventsourcing_sqlalchemy's own recorder",
        details={"events": PROCESSES * EVENTS, "per_second": per_second(found)},
    )
    title = f"a whole command with its views, {PROCESSES} processes"
    return [row, Figure("appends", title, found["commands"], "ms")]


def per_second(found: dict[str, list[float]]) -> dict[str, float]:
    """Appends per second, of the best sample of each way."""
    return {way: round(1000 / min(samples), 1) for way, samples in found.items()}


def together_ms(lab: Lab, way: str) -> float:
    """Let processes append at the same time to a fresh database; milliseconds per event of all of them together."""
    with fresh_database(lab) as url:
        with Database(url) as database:
            database.migrate()
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.bench.appends", way, str(EVENTS)],
                cwd=CHECKOUT,
                # Not an argument: it holds a password.
                env=os.environ | {"BENCH_URL": url},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(PROCESSES)
        ]
        try:
            for process in processes:
                _line(process)  # ready
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            times = [json.loads(_line(process)) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.communicate()
    seconds = max(time["ended"] for time in times) - min(time["began"] for time in times)
    return float(1000 * seconds / (PROCESSES * EVENTS))


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise BenchFailed("a process that appends events has ended early")
    return line


def append(way: str, url: str, count: int) -> None:
    """Append events when told to, and say when it began and ended: what one process does."""
    steps = {"ours": _ours, "library": _library, "commands": _commands}[way](url)
    next(steps)  # connections are made, tables are there
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.time()
    for _ in range(count):
        next(steps)
    print(json.dumps({"began": began, "ended": time.time()}), flush=True)


def _events() -> Iterator[StoredEvent]:
    task = uuid.uuid4()
    for version in range(sys.maxsize):
        yield StoredEvent(task, version, TOPIC, STATE)


def _ours(url: str) -> Iterator[None]:
    with Database(url) as database:
        for event in _events():
            with database.session() as session:
                lock_log(session)
                EventRecorder(lambda session=session: nullcontext(session)).insert_events([event])  # type: ignore[misc]  # the lambda's default
                session.commit()
            yield


def _library(url: str) -> Iterator[None]:
    from eventsourcing.utils import Environment
    from eventsourcing_sqlalchemy.factory import SQLAlchemyFactory

    # The library makes a class for each table, all of one name.
    warnings.simplefilter("ignore")
    settings = {
        "PERSISTENCE_MODULE": "eventsourcing_sqlalchemy",
        "SQLALCHEMY_URL": url,
        "CREATE_TABLE": "no",
    }
    recorder: ApplicationRecorder = SQLAlchemyFactory(
        Environment(name="WorkflowTracker", env=settings)
    ).application_recorder()
    for event in _events():
        recorder.insert_events([event])
        yield


def _commands(url: str) -> Iterator[None]:
    with Database(url) as database:
        tracker = WorkflowTracker(database)
        run: Any = None
        for number in range(sys.maxsize):
            if number % 25 == 0:
                run = tracker.initiate_workflow("bench", "appends", 1, 1)
                task = tracker.add_task_to_workflow(run, "bench", "1", {}, {})
            tracker.update_task_progress(task, f"{number % 100}%")
            yield


if __name__ == "__main__":
    append(sys.argv[1], os.environ["BENCH_URL"], int(sys.argv[2]))
