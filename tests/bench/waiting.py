"""Jobs that wait for ever and cost nothing, and runs that wait for them."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.lab.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from uuid import UUID

    from tests.lab.description import Lab
    from tests.soak.stage import Stage
    from worker.engine.assembly import Record

CHUNK = 200
"""Jobs that are submitted in one round trip."""

RUNS_AT_ONCE = 50
"""Runs that are recorded in one transaction."""

SUBMIT = """
while read -r key; do
    sbatch --hold --parsable --mem=10M --time=5 --output=/dev/null --job-name="bench-$key" --comment="$key" \
        --wrap='sleep 60'
done
"""


@contextmanager
def held_jobs(
    lab: Lab, keys: Sequence[str], *, report: Callable[[str], None] = lambda _: None
) -> Iterator[Mapping[str, int]]:
    """Submit jobs that are held, one for each key, and cancel them at the end.

    Parameters
    ----------
    lab : Lab
        The lab.
    keys : sequence of str
        Keys of submissions, which the jobs carry as those of runs do.
    report : callable
        Is told what is done.

    Yields
    ------
    mapping
        From key to job.
    """
    cluster = Cluster(lab)
    jobs: dict[str, int] = {}
    try:
        for start in range(0, len(keys), CHUNK):
            report(f"submitting held jobs: {start} of {len(keys)}")
            chunk = keys[start : start + CHUNK]
            answer = cluster.run("sh", "-c", SUBMIT, stdin="".join(f"{key}\n" for key in chunk).encode())
            jobs |= dict(zip(chunk, map(int, answer.split()), strict=True))
        yield jobs
    finally:
        ids = list(map(str, jobs.values()))
        for start in range(0, len(ids), CHUNK):
            cluster.run("scancel", *ids[start : start + CHUNK])


def some_keys(count: int) -> list[str]:
    """Keys of nobody's submissions."""
    return [str(uuid.uuid4()) for _ in range(count)]


@contextmanager
def waiting_runs(
    stage: Stage, record: Record, count: int, *, report: Callable[[str], None] = lambda _: None
) -> Iterator[Mapping[UUID, int]]:
    """Record runs that have been exported and submitted, and wait for their jobs, which are held.

    Parameters
    ----------
    stage : Stage
        What the runs work with.
    record : Record
        Where they are recorded.
    count : int
        How many.
    report : callable
        Is told what is done.

    Yields
    ------
    mapping
        From run to job.
    """
    run_ids: list[UUID] = []
    for number in range(count):
        if number % RUNS_AT_ONCE == 0:
            report(f"recording runs: {number} of {count}")
        run_ids.append(stage.accept(record, number))
    task_ids = {run_id: record.tracker.run(run_id).tasks[1] for run_id in run_ids}
    with held_jobs(stage.lab, [str(task_id) for task_id in task_ids.values()], report=report) as jobs:
        for start in range(0, count, RUNS_AT_ONCE):
            report(f"recording submissions: {start} of {count}")
            chunk = run_ids[start : start + RUNS_AT_ONCE]
            _record_submissions(record, {run_id: jobs[str(task_ids[run_id])] for run_id in chunk})
        yield {run_id: jobs[str(task_id)] for run_id, task_id in task_ids.items()}


def _record_submissions(record: Record, jobs: Mapping[UUID, int]) -> None:
    """Record what the steps ``export`` and ``submit`` would have; the events are theirs."""
    changed = []
    for run_id, job_id in jobs.items():
        run = record.tracker.run(run_id)
        export_task, task = (record.tracker.task(task_id) for task_id in run.tasks[:2])
        run.start_workflow()
        run.intend_step("export", f"{run_id}/export")
        export_task.start_task()
        export_task.complete_task("1 files, 1 bytes")
        run.complete_step("export", {"sources": [], "files": 1, "size_bytes": 1, "seconds": 0.1})
        run.intend_step("submit/0", f"{run_id}/submit/0")
        task.start_task()
        task.intend_submission(str(task.id))
        task.add_job_id(job_id)
        run.complete_step("submit/0", {"job_id": job_id, "adopted": False, "key": str(task.id)})
        changed += [run, export_task, task]
    record.tracker.save(*changed)
