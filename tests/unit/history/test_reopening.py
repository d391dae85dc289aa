"""Steps and tasks that had ended begin anew, and every view says so."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from tests.unit.history.viewing import all_views, only_row, rows
from worker.errors import HistoryConflict
from worker.history import views
from worker.history.domain import BY_HAND, Resubmission, StepState, Task, WorkflowRun
from worker.history.tracker import TaskSpec

if TYPE_CHECKING:
    from worker.history.database import Database
    from worker.history.reader import RunReader
    from worker.history.tracker import WorkflowTracker


@pytest.fixture
def run() -> WorkflowRun:
    run = WorkflowRun("a run", "why", 3, 4)
    run.start_workflow()
    run.complete_step("export", {"files": 1})
    run.complete_step("submit/0", {"job_id": 12})
    run.complete_step("watch/0", {"ok": False})
    run.collect_events()
    return run


@pytest.fixture
def task() -> Task:
    task = Task(uuid4(), "cellpose", "v1", {}, {})
    task.start_task()
    task.intend_submission(task.next_key)
    task.add_job_id(12)
    task.update_task_status("OUT_OF_MEMORY")
    task.collect_events()
    return task


def names(aggregate: WorkflowRun | Task) -> list[str]:
    return [type(event).__name__ for event in aggregate.collect_events()]


class TestARun:
    def test_takes_reopened_steps_anew_and_keeps_the_others(self, run: WorkflowRun) -> None:
        run.reopen_steps(["submit/0", "watch/0"], reason="more memory", by="engine")
        assert run.steps == {"export": StepState(state="done", data={"files": 1})}
        assert run.status == "STARTED"

    def test_that_had_failed_goes_on(self, run: WorkflowRun) -> None:
        run.fail_workflow("The job failed.")
        run.reopen_steps(["submit/0"], reason="again", by="ada")
        assert (run.status, run.error_message, run.ended) == ("STARTED", "", False)

    def test_that_was_cancelled_is_not_cancelled_any_more(self, run: WorkflowRun) -> None:
        run.request_cancel("grace")
        run.fail_workflow("Cancelled by grace.")
        run.reopen_steps(["submit/0", "cancel"], reason="again", by="ada")
        assert run.cancel_requested_by is None

    def test_that_is_being_cancelled_stays_so(self, run: WorkflowRun) -> None:
        run.request_cancel("grace")
        run.reopen_steps(["submit/0"], reason="more memory", by="engine")
        assert run.cancel_requested_by == "grace"

    def test_that_has_completed_cannot_be_reopened(self, run: WorkflowRun) -> None:
        run.complete_workflow()
        with pytest.raises(HistoryConflict, match="completed"):
            run.reopen_steps(["submit/0"], reason="again", by="ada")

    def test_is_reopened_once(self, run: WorkflowRun) -> None:
        for _ in range(2):
            run.reopen_steps(["submit/0"], reason="more memory", by="engine")
        assert names(run) == ["StepsReopened"]


class TestATask:
    def test_has_its_uuid_as_key_at_first(self, task: Task) -> None:
        assert (task.attempt, task.submission_key) == (1, str(task.id))

    def test_gets_another_key_and_other_flags_for_another_job(self, task: Task) -> None:
        task.plan_resubmission(Resubmission(2, "OUT_OF_MEMORY", {"mem": "8192M"}), "out of memory")
        assert (task.attempt, task.flags, task.next_key) == (2, {"mem": "8192M"}, f"{task.id}.2")
        assert (task.submission_key, task.job_id) == (None, None)
        assert (task.state, task.status, task.job_ids) == ("CREATED", "CREATED", [12])

    def test_remembers_all_its_jobs(self, task: Task) -> None:
        task.plan_resubmission(Resubmission(2, "OUT_OF_MEMORY", {}), "")
        task.add_job_id(13)
        assert (task.job_id, task.job_ids) == (13, [12, 13])

    def test_may_be_given_the_number_of_a_job_that_slurm_has_lost(self, task: Task) -> None:
        task.plan_resubmission(Resubmission(2, "OUT_OF_MEMORY", {}), "lost")
        task.add_job_id(12)
        task.add_job_id(12)
        assert names(task) == ["ResubmissionPlanned", "JobIdAdded"]
        assert task.job_id == 12

    def test_is_resubmitted_once(self, task: Task) -> None:
        for _ in range(2):
            task.plan_resubmission(Resubmission(2, "OUT_OF_MEMORY", {"mem": "8192M"}), "out of memory")
        assert names(task) == ["ResubmissionPlanned"]

    def test_cannot_leave_an_attempt_out_or_repeat_one_differently(self, task: Task) -> None:
        with pytest.raises(HistoryConflict):
            task.plan_resubmission(Resubmission(3, "OUT_OF_MEMORY", {}), "")
        task.plan_resubmission(Resubmission(2, "OUT_OF_MEMORY", {"mem": "8192M"}), "")
        with pytest.raises(HistoryConflict):
            task.plan_resubmission(Resubmission(2, "OUT_OF_MEMORY", {"mem": "9000M"}), "")

    def test_knows_what_was_tried_since_a_person_last_asked(self, task: Task) -> None:
        task.plan_resubmission(Resubmission(2, "OUT_OF_MEMORY", {"mem": "8G"}), "with 4G")
        task.plan_resubmission(Resubmission(3, BY_HAND), "by ada")
        task.plan_resubmission(Resubmission(4, "LOST"), "lost")
        task.plan_resubmission(Resubmission(5, "TIMEOUT", {"time": "1:00:00"}), "with 30 minutes")
        assert [entry["reason"] for entry in task.tries("OUT_OF_MEMORY", "TIMEOUT")] == ["with 30 minutes"]
        assert [entry["reason"] for entry in task.tries("LOST")] == ["lost"]

    def test_that_failed_begins_anew(self, task: Task) -> None:
        task.fail_task("No disk.")
        task.reopen("again")
        assert (task.state, task.status, task.result_message) == ("CREATED", "CREATED", None)
        assert names(task) == ["TaskFailed", "TaskReopened"]

    def test_that_never_began_is_not_reopened(self) -> None:
        task = Task(uuid4(), "cellpose", "v1", {}, {})
        task.collect_events()
        task.reopen("again")
        assert names(task) == []


def failed_run(tracker: WorkflowTracker) -> tuple[UUID, list[UUID]]:
    run_id = tracker.accept(
        name="r",
        description="",
        user=3,
        group=4,
        request={},
        tasks=[TaskSpec("_SLURM_Image_Transfer.py", "1"), TaskSpec("cellpose", "v1")],
    )
    tasks = list(tracker.run(run_id).tasks)
    tracker.start_workflow(run_id)
    tracker.complete_step(run_id, "export", {})
    tracker.complete_step(run_id, "submit/0", {"job_id": 12})
    tracker.start_task(tasks[1])
    tracker.intend_submission(tasks[1], str(tasks[1]))
    tracker.add_job_id(tasks[1], 12)
    tracker.update_task_status(tasks[1], "OUT_OF_MEMORY")
    tracker.fail_task(tasks[1], "Too little memory.")
    tracker.complete_step(run_id, "watch/0", {"ok": False})
    tracker.fail_workflow(run_id, "Too little memory.")
    return run_id, tasks


def reopen(tracker: WorkflowTracker, run_id: UUID, task_id: UUID) -> None:
    tracker.reopen_steps(
        run_id,
        ["submit/0", "watch/0"],
        reason="Again with more memory.",
        by="ada",
        resubmissions={task_id: Resubmission(2, "OUT_OF_MEMORY", {"mem": "8192M"})},
    )


class TestTheViews:
    def test_show_a_reopened_run_as_going_on(
        self, tracker: WorkflowTracker, database: Database, reader: RunReader
    ) -> None:
        run_id, tasks = failed_run(tracker)
        reopen(tracker, run_id, tasks[1])

        row = reader.run(run_id)
        assert (row.state, row.status, row.progress) == ("STARTED", "RUNNING", "50%")
        assert (row.step, row.message) == ("submit/0", "Again with more memory.")
        execution = {task["task_id"]: task for task in rows(database, views.TASKS)}[tasks[1]]
        assert (execution["status"], execution["end_time"], execution["error_type"]) == ("CREATED", None, None)

    def test_let_the_engine_have_it_again(self, tracker: WorkflowTracker, reader: RunReader) -> None:
        run_id, tasks = failed_run(tracker)
        assert reader.open_runs() == []
        reopen(tracker, run_id, tasks[1])
        assert reader.open_runs() == [run_id]

    def test_show_the_second_job_beside_the_first(self, tracker: WorkflowTracker, database: Database) -> None:
        run_id, tasks = failed_run(tracker)
        reopen(tracker, run_id, tasks[1])
        tracker.start_task(tasks[1])
        tracker.add_job_id(tasks[1], 13)
        tracker.update_task_status(tasks[1], "RUNNING")

        progress = {row["slurm_job_id"]: row["status"] for row in rows(database, views.JOB_PROGRESS)}
        assert progress == {12: "OUT_OF_MEMORY", 13: "RUNNING"}
        assert {row["slurm_job_id"]: row["task_id"] for row in rows(database, views.JOBS)} == {
            12: tasks[1],
            13: tasks[1],
        }
        assert only_row(database, views.RUN_PROGRESS)["status"] == "JOB_RUNNING"

    def test_are_the_same_when_they_are_computed_anew(self, tracker: WorkflowTracker, database: Database) -> None:
        run_id, tasks = failed_run(tracker)
        reopen(tracker, run_id, tasks[1])
        tracker.start_task(tasks[1])
        tracker.add_job_id(tasks[1], 12)
        before = all_views(database)
        tracker.projection.rebuild()
        assert all_views(database) == before

    def test_keep_how_a_run_ended_that_ends_again(self, tracker: WorkflowTracker, reader: RunReader) -> None:
        run_id, tasks = failed_run(tracker)
        reopen(tracker, run_id, tasks[1])
        tracker.complete_workflow(run_id)
        assert (reader.run(run_id).status, reader.run(run_id).message) == ("DONE", "")


def test_reopening_is_kept_as_a_whole_or_not_at_all(tracker: WorkflowTracker) -> None:
    run_id, tasks = failed_run(tracker)
    with pytest.raises(HistoryConflict):
        tracker.reopen_steps(
            run_id, ["submit/0"], reason="r", by="ada", resubmissions={tasks[1]: Resubmission(5, "OUT_OF_MEMORY", {})}
        )
    assert tracker.run(run_id).status == "FAILED"


def test_tasks_begin_anew_with_their_steps(tracker: WorkflowTracker) -> None:
    run_id, tasks = failed_run(tracker)
    tracker.reopen_steps(run_id, ["watch/0"], reason="look again", by="ada", tasks=[tasks[1]])
    task = tracker.task(tasks[1])
    assert (task.state, task.attempt, task.job_id) == ("CREATED", 1, 12)
