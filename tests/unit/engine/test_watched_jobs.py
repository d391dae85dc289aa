"""Jobs as the watcher reports them: every state, arrays, and numbers that Slurm has given twice."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.unit.engine.played_slurm import Clock, Slurm, accounted, queued, state, tick, watch
from worker.cluster.states import JobState

if TYPE_CHECKING:
    from worker.engine.watcher import Watcher


class TestStates:
    @pytest.mark.parametrize(
        ("word", "expected"),
        [
            *((state.value, state) for state in JobState if state is not JobState.UNKNOWN),
            ("CANCELLED by 1001", JobState.CANCELLED),
            ("COMPLETI+", JobState.COMPLETING),
            ("OUT_OF_ME+", JobState.OUT_OF_MEMORY),
            ("PREEMPTE+", JobState.PREEMPTED),
            ("NODE_FAI+", JobState.NODE_FAIL),
            ("SUSPENDE+", JobState.SUSPENDED),
            ("C+", JobState.UNKNOWN),
            ("NEW_IN_SLURM_99", JobState.UNKNOWN),
        ],
    )
    def test_every_state_is_understood_in_the_queue(
        self, slurm: Slurm, watcher: Watcher, clock: Clock, word: str, expected: JobState
    ) -> None:
        task = watch(watcher, 1)
        slurm.says("squeue", queued("1", word, task))
        slurm.says("sacct", status=1)  # not to wait for it
        tick(watcher, clock)
        assert state(watcher, task) is expected

    @pytest.mark.parametrize("ended", [state for state in JobState if state.terminal])
    def test_every_end_is_understood_in_accounting(
        self, slurm: Slurm, watcher: Watcher, clock: Clock, ended: JobState
    ) -> None:
        task = watch(watcher, 1)
        slurm.says("sacct", accounted("1", ended.value, task))
        assert tick(watcher, clock) == {task}
        report = watcher.report(task)
        assert report is not None
        assert (report.state, report.usage is not None) == (ended, True)

    def test_a_requeued_job_waits_again(self, slurm: Slurm, watcher: Watcher, clock: Clock) -> None:
        task = watch(watcher, 1)
        slurm.says("squeue", queued("1", "PENDING", task, "BeginTime"))
        slurm.says("sacct", accounted("1", "REQUEUED", task))
        tick(watcher, clock)
        assert state(watcher, task) is JobState.PENDING

    def test_a_requeued_job_that_only_accounting_knows_has_not_ended(
        self, slurm: Slurm, watcher: Watcher, clock: Clock
    ) -> None:
        task = watch(watcher, 1)
        rows = (accounted("1", "NODE_FAIL", task), accounted("1", "PENDING", task, submit="2026-01-01T00:09:00"))
        slurm.says("sacct", *rows)
        tick(watcher, clock)
        assert state(watcher, task) is JobState.UNKNOWN


class TestArrays:
    @pytest.mark.parametrize(
        ("tasks", "expected"),
        [
            (("RUNNING", "COMPLETED", "COMPLETED"), JobState.RUNNING),
            (("COMPLETED", "FAILED", "RUNNING"), JobState.RUNNING),
            (("FAILED", "PENDING", "COMPLETED"), JobState.PENDING),
            (("COMPLETED", "COMPLETING", "COMPLETED"), JobState.COMPLETING),
            (("FAILED", "COMPLETED", "COMPLETED"), JobState.FAILED),
            (("COMPLETED", "TIMEOUT", "COMPLETED"), JobState.TIMEOUT),
            (("COMPLETED", "COMPLETED", "OUT_OF_MEMORY"), JobState.OUT_OF_MEMORY),
            (("COMPLETED", "COMPLETED", "COMPLETED"), JobState.COMPLETED),
        ],
    )
    @pytest.mark.parametrize("who", ["squeue", "sacct"])
    def test_one_task_that_failed_or_goes_on_speaks_for_all(
        self, slurm: Slurm, watcher: Watcher, clock: Clock, who: str, tasks: tuple[str, ...], expected: JobState
    ) -> None:
        task = watch(watcher, 8)
        row = queued if who == "squeue" else accounted
        slurm.says(who, *(row(f"8_{number}", word, task) for number, word in enumerate(tasks)))
        if who == "squeue":
            slurm.says("sacct", status=1)
        tick(watcher, clock)
        if who == "sacct" and not expected.terminal:
            expected = JobState.UNKNOWN  # the controller has answered, without it
        assert state(watcher, task) is expected

    def test_a_failed_task_that_the_controller_has_forgotten_is_not_hidden(
        self, slurm: Slurm, watcher: Watcher, clock: Clock
    ) -> None:
        task = watch(watcher, 8)
        slurm.says("squeue", queued("8_1", "COMPLETED", task))
        slurm.says("sacct", accounted("8_0", "FAILED", task, "1:0"), accounted("8_1", "COMPLETED", task))
        tick(watcher, clock)
        assert state(watcher, task) is JobState.FAILED

    def test_tasks_that_still_wait_stand_on_one_line(self, slurm: Slurm, watcher: Watcher, clock: Clock) -> None:
        task = watch(watcher, 8)
        slurm.says("squeue", queued("8_0", "COMPLETED", task), queued("8_[1-5%1]", "PENDING", task))
        tick(watcher, clock)
        assert state(watcher, task) is JobState.PENDING


class TestNumbers:
    def test_a_job_of_somebody_else_with_the_number_of_ours_is_not_ours(
        self, slurm: Slurm, watcher: Watcher, clock: Clock
    ) -> None:
        task = watch(watcher, 1)
        slurm.says("squeue", queued("1", "RUNNING", uuid4()))
        slurm.says("sacct", accounted("1", "FAILED", uuid4(), "1:0"))
        tick(watcher, clock)
        assert state(watcher, task) is JobState.UNKNOWN

    def test_two_jobs_of_ours_with_one_number_are_kept_apart(
        self, slurm: Slurm, watcher: Watcher, clock: Clock
    ) -> None:
        lost, new = watch(watcher, 1), watch(watcher, 1)
        slurm.says("squeue", queued("1", "RUNNING", new))
        assert tick(watcher, clock) == {lost, new}
        assert (state(watcher, lost), state(watcher, new)) == (JobState.UNKNOWN, JobState.RUNNING)

    def test_a_second_attempt_is_told_from_the_first_by_its_key(
        self, slurm: Slurm, watcher: Watcher, clock: Clock
    ) -> None:
        task = uuid4()
        watcher.add(task, 1, PurePosixPath("1.json"), f"{task}")
        slurm.says("sacct", accounted("1", "OUT_OF_MEMORY", task))
        tick(watcher, clock)
        assert state(watcher, task) is JobState.OUT_OF_MEMORY
        watcher.add(task, 1, PurePosixPath("1.json"), f"{task}.2")
        assert watcher.report(task) is None
        tick(watcher, clock)
        assert state(watcher, task) is JobState.UNKNOWN
        slurm.says("squeue", queued("1", "RUNNING", f"{task}.2"))
        tick(watcher, clock)
        assert state(watcher, task) is JobState.RUNNING

    def test_the_first_attempt_is_told_from_the_second(self, slurm: Slurm, watcher: Watcher, clock: Clock) -> None:
        task = watch(watcher, 1)
        slurm.says("squeue", queued("1", "RUNNING", f"{task}.2"))
        tick(watcher, clock)
        assert state(watcher, task) is JobState.UNKNOWN
