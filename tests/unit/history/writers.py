"""Processes that work on one database at the same time."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

from worker.history.database import Database
from worker.history.tracker import TaskSpec, WorkflowTracker

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Barrier
    from uuid import UUID

PROCESSES = 4
TIMEOUT_S = 120


def write(number: int, barrier: Barrier, url: str, shared_run: UUID, rounds: int) -> None:
    """Write to a run of one's own and to the one that all share."""
    with Database(url) as database:
        tracker = WorkflowTracker(database)
        barrier.wait(TIMEOUT_S)
        run_id = tracker.accept(
            name=f"run {number}", description="", user=number, group=1, request={}, tasks=[TaskSpec("cellpose", "v1")]
        )
        task_id = tracker.run(run_id).tasks[0]
        tracker.add_job_id(task_id, 100 + number)
        for step in range(rounds):
            tracker.update_task_status(task_id, f"STATUS_{step}")
            tracker.intend_step(shared_run, f"step/{number}/{step}", "key")
        tracker.complete_workflow(run_id)


def migrate(number: int, barrier: Barrier, url: str) -> None:
    """Make the tables."""
    del number
    with Database(url) as database:
        barrier.wait(TIMEOUT_S)
        database.migrate()


def run_together(target: Callable[..., None], *arguments: object) -> list[int | None]:
    """Run one of the functions above in several processes at once; gives their exit codes."""
    # Forked from a process that has imported everything and opened nothing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "worker.history.migration"])
    barrier = context.Barrier(PROCESSES)
    processes = [
        context.Process(target=target, args=(number, barrier, *arguments), daemon=True) for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(TIMEOUT_S)
    return [process.exitcode for process in processes]
