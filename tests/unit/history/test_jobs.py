"""Which Slurm jobs are a person's, and which of them go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.history.domain import Resubmission
from worker.history.jobs import jobs_of
from worker.history.tracker import TaskSpec, WorkflowTracker

if TYPE_CHECKING:
    from uuid import UUID

    from worker.history.database import Database


@pytest.fixture
def tracker(database: Database) -> WorkflowTracker:
    return WorkflowTracker(database)


def task_with_job(tracker: WorkflowTracker, job: int, *, user: int = 3) -> UUID:
    run_id = tracker.accept(
        name="r", description="", user=user, group=5, request={}, tasks=[TaskSpec("cellpose", "v1")]
    )
    (task_id,) = tracker.run(run_id).tasks
    tracker.start_task(task_id)
    tracker.add_job_id(task_id, job)
    tracker.update_task_status(task_id, "RUNNING")
    tracker.update_task_progress(task_id, "43%")
    return task_id


def numbers(database: Database, user: int = 3) -> dict[int, bool]:
    return {job.job_id: job.active for job in jobs_of(database, user)}


def test_a_job_is_shown_with_what_slurm_last_said_of_it(tracker: WorkflowTracker, database: Database) -> None:
    task_id = task_with_job(tracker, 71)
    (job,) = jobs_of(database, 3)
    assert (job.job_id, job.task_id, job.run_id) == (71, task_id, tracker.task(task_id).workflow_id)
    assert (job.workflow, job.version, job.status, job.progress) == ("cellpose", "v1", "RUNNING", "43%")
    assert job.active is True


def test_nobody_sees_the_jobs_of_others(tracker: WorkflowTracker, database: Database) -> None:
    task_with_job(tracker, 71, user=3)
    task_with_job(tracker, 72, user=4)
    assert numbers(database, 3) == {71: True}
    assert jobs_of(database, 3, job_id=72) == []


def test_a_job_that_has_ended_is_an_old_one_while_its_results_are_brought_in(
    tracker: WorkflowTracker, database: Database
) -> None:
    tracker.complete_task(task_with_job(tracker, 71), "done")
    task_with_job(tracker, 72)
    assert numbers(database) == {72: True, 71: False}


def test_the_jobs_of_a_run_that_has_ended_are_old_ones(tracker: WorkflowTracker, database: Database) -> None:
    task_id = task_with_job(tracker, 71)
    tracker.fail_workflow(tracker.task(task_id).workflow_id, "cancelled")
    assert numbers(database) == {71: False}


def test_the_job_of_an_earlier_attempt_is_not_lost(tracker: WorkflowTracker, database: Database) -> None:
    task_id = task_with_job(tracker, 71)
    tracker.update_task_status(task_id, "OUT_OF_MEMORY")
    tracker.account_job(task_id, 71, {"elapsed_s": 5.0})
    plan = Resubmission(2, "OUT_OF_MEMORY")
    tracker.reopen_steps(tracker.task(task_id).workflow_id, [], reason="r", by="b", resubmissions={task_id: plan})
    assert numbers(database) == {71: False}
    tracker.add_job_id(task_id, 72)
    assert numbers(database) == {72: True, 71: False}
    (earlier,) = jobs_of(database, 3, job_id=71)
    assert (earlier.workflow, earlier.status, earlier.progress) == ("cellpose", "OUT_OF_MEMORY", None)


def test_a_number_that_was_given_out_twice_names_the_newest_first(tracker: WorkflowTracker, database: Database) -> None:
    task_with_job(tracker, 71)
    second = task_with_job(tracker, 71)
    assert next(job.task_id for job in jobs_of(database, 3, job_id=71)) == second
    assert len(jobs_of(database, 3, limit=1)) == 1
