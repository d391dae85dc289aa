"""How many SQL statements a poll costs, for a job of which there is nothing new and for one that has changed."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tests.bench.report import Row
from tests.bench.submission import BenchFailed
from tests.bench.waiting import waiting_runs
from tests.lab.cluster import Cluster
from tests.soak.stage import staged
from worker.engine.assembly import open_resources
from worker.engine.driver import drive
from worker.engine.omero import ServiceAccess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from tests.lab.description import Lab
    from worker.engine.context import Resources

REFERENCE_STATEMENTS = 70
"""Statements of the reference per poll of a job, changed or not (counted there, with one running job)."""

TIMEOUT_S = 30.0


class Statements:
    """A count of SQL statements."""

    def __init__(self) -> None:
        self.count = 0

    def take(self) -> int:
        """How many there were since the last time."""
        taken, self.count = self.count, 0
        return taken


@contextmanager
def counted(engine: sa.Engine) -> Iterator[Statements]:
    """Count the statements of an engine, BEGIN and COMMIT not included, as with the reference."""
    statements = Statements()

    def count(*_: object) -> None:
        statements.count += 1

    sa.event.listen(engine, "before_cursor_execute", count)
    try:
        yield statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", count)


def measure(lab: Lab, say: Callable[[str, int], None]) -> Row:
    """Count the statements of polls of one job that waits, and then begins to run.

    Parameters
    ----------
    lab : Lab
        The lab.
    say : callable
        Is told words, and how many samples were taken.

    Returns
    -------
    Row
        Statements per poll that found a change; those of a poll that found none are in the details.
    """
    with (
        staged(lab) as stage,
        stage.deployment.record() as record,
        waiting_runs(stage, record, 1) as jobs,
        open_resources(record, ServiceAccess(record.environment)) as resources,
    ):
        ((run_id, job_id),) = jobs.items()
        drive(resources, run_id)  # hands the job to the watcher
        with counted(record.database.engine) as statements:
            _poll_until(resources, run_id, "PENDING", statements)
            unchanged = _poll_unchanged(resources, statements)
            Cluster(lab).run("scontrol", "release", str(job_id))
            changed = _poll_until(resources, run_id, "RUNNING", statements)
    say(f"SQL statements per poll: {unchanged} unchanged, {changed} changed", 1)
    return Row(
        name="polls",
        title="SQL statements per changed job",
        ours=[changed],
        reference=[REFERENCE_STATEMENTS],
        unit="statements",
        reference_is=f"the same for an unchanged job (ours: {unchanged})",
        details={"unchanged": unchanged, "changed": changed},
    )


def _poll(resources: Resources) -> bool:
    """Tick when it is due, and drive the runs of which there is news, as the service does."""
    time.sleep(resources.clusters.get("default").watcher.due_in_s() + 0.01)
    news = resources.clusters.get("default").watcher.tick()
    for task_id in news:
        drive(resources, resources.run_of_task[task_id])
    return bool(news)


def _poll_unchanged(resources: Resources, statements: Statements) -> int:
    """Count the statements of a poll that finds nothing new."""
    for _ in range(5):
        statements.take()
        if not _poll(resources):
            return statements.take()
    raise BenchFailed("a job that is held changes all the time")


def _poll_until(resources: Resources, run_id: UUID, state: str, statements: Statements) -> int:
    """Count the statements of the poll that finds the job in a state."""
    task_id = resources.tracker.run(run_id).tasks[1]
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        statements.take()
        _poll(resources)
        taken = statements.take()
        if resources.tracker.task(task_id).status == state:
            return taken
    raise BenchFailed(f"the job never was {state}")
