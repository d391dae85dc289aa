"""The watcher: how often it asks, whom it believes, and what it does when nobody answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.transport import CountingTransport, FaultyTransport
from tests.unit.engine.played_slurm import NO_DATABASE, UNREACHABLE, Clock, Slurm, accounted, queued, state, tick, watch
from worker.cluster.local import LocalTransport
from worker.cluster.states import JobState
from worker.engine.watcher import ACCOUNTING_LAG_S, ACCOUNTING_REST, Watcher

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID


class TestRoundTrips:
    def test_a_tick_is_one_round_trip_whatever_the_number_of_jobs(
        self, slurm: Slurm, watcher: Watcher, clock: Clock, transport: CountingTransport
    ) -> None:
        tasks = [watch(watcher, number) for number in range(1, 501)]
        slurm.says("squeue", *(queued(str(number), "RUNNING", task) for number, task in enumerate(tasks, start=1)))
        assert tick(watcher, clock) == set(tasks)
        assert transport.commands == {"query": 1}
        assert (slurm.asked("squeue"), slurm.asked("sacct")) == (1, 0)
        assert (watcher.ticks, watcher.round_trips, len(watcher)) == (1, 1, 500)
        assert watcher.last_tick_at is not None

    def test_beyond_500_jobs_each_500_are_another_one(self, slurm: Slurm, watcher: Watcher, clock: Clock) -> None:
        for number in range(1, 1102):
            watch(watcher, number)
        tick(watcher, clock)
        assert (watcher.ticks, watcher.round_trips) == (1, 3)
        assert (slurm.asked("squeue"), slurm.asked("sacct")) == (3, 3)

    def test_nothing_is_asked_before_it_is_due_or_without_jobs(
        self, slurm: Slurm, watcher: Watcher, clock: Clock
    ) -> None:
        tick(watcher, clock)
        assert watcher.ticks == 0
        watch(watcher, 1)
        tick(watcher, clock)
        assert watcher.tick() == set()
        assert watcher.ticks == 1


class TestInterval:
    def test_it_grows_while_nothing_happens_and_starts_anew_when_something_does(
        self, slurm: Slurm, watcher: Watcher, clock: Clock
    ) -> None:
        task = watch(watcher, 1)
        slurm.says("squeue", queued("1", "PENDING", task))
        pauses = []
        for _ in range(12):
            tick(watcher, clock)
            pauses.append(watcher.due_in_s())
        assert pauses[:4] == [2, 3, 4.5, 6.75]
        assert pauses[-1] == 60
        slurm.says("squeue", queued("1", "RUNNING", task))
        assert tick(watcher, clock) == {task}
        assert watcher.due_in_s() == 2

    def test_that_a_job_has_run_for_longer_is_no_news(self, slurm: Slurm, watcher: Watcher, clock: Clock) -> None:
        task = watch(watcher, 1)
        slurm.says("squeue", queued("1", "RUNNING", task, elapsed="0:01"))
        assert tick(watcher, clock) == {task}
        slurm.says("squeue", queued("1", "RUNNING", task, elapsed="0:03"))
        assert tick(watcher, clock) == set()
        assert watcher.due_in_s() > 2

    def test_a_new_job_is_looked_at_soon(self, slurm: Slurm, watcher: Watcher, clock: Clock) -> None:
        task = watch(watcher, 1)
        slurm.says("squeue", queued("1", "PENDING", task))
        for _ in range(12):
            tick(watcher, clock)
        watch(watcher, 2)
        assert watcher.due_in_s() == 2

    def test_a_cluster_that_takes_long_to_answer_is_asked_less_often(
        self, slurm: Slurm, clock: Clock, tmp_path: Path
    ) -> None:
        class Slow(CountingTransport):
            def run(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as the base class
                clock.now_s += 5
                return super().run(argv, stdin=stdin, timeout_s=timeout_s)

        watcher = Watcher(Slow(LocalTransport(tmp_path)), min_interval_s=2, clock=clock)
        watch(watcher, 1)
        tick(watcher, clock)
        assert (watcher.last_tick_s, watcher.due_in_s()) == (5, 25)


class TestWitnesses:
    def exit_file(self, folder: Path, task: UUID, code: int, key: str) -> None:
        (folder / f"{task}.json").write_text(f'{{"key": "{key}", "exit_code": {code}}}\n')

    @pytest.mark.parametrize(("code", "expected"), [(0, JobState.COMPLETED), (3, JobState.FAILED)])
    @pytest.mark.parametrize("failure", ["squeue", "sacct", "both"])
    def test_an_exit_file_is_enough_while_slurm_does_not_answer(
        self, slurm: Slurm, watcher: Watcher, clock: Clock, tmp_path: Path, code: int, expected: JobState, failure: str
    ) -> None:
        task = watch(watcher, 1, folder=tmp_path)
        self.exit_file(tmp_path, task, code, str(task))
        if failure != "sacct":
            slurm.says("squeue", UNREACHABLE, status=1)
        if failure != "squeue":
            slurm.says("sacct", NO_DATABASE, status=1)
        tick(watcher, clock)
        clock.now_s += ACCOUNTING_LAG_S
        tick(watcher, clock)
        report = watcher.report(task)
        assert report is not None
        assert (report.state, report.exit_code, report.source) == (expected, code, "exit_file")
        assert watcher.problem

    def test_one_of_another_attempt_tells_nothing(
        self, slurm: Slurm, watcher: Watcher, clock: Clock, tmp_path: Path
    ) -> None:
        task = watch(watcher, 1, key="k", folder=tmp_path)
        self.exit_file(tmp_path, task, 1, "k.2")
        tick(watcher, clock)
        assert state(watcher, task) is JobState.UNKNOWN

    def test_a_running_job_with_an_exit_file_has_not_ended(
        self, slurm: Slurm, watcher: Watcher, clock: Clock, tmp_path: Path
    ) -> None:
        task = watch(watcher, 1, folder=tmp_path)
        self.exit_file(tmp_path, task, 0, str(task))
        slurm.says("squeue", queued("1", "COMPLETING", task))
        tick(watcher, clock)
        assert state(watcher, task) is JobState.COMPLETING


class TestAccounting:
    def test_late_accounting_is_waited_for_a_little(self, slurm: Slurm, watcher: Watcher, clock: Clock) -> None:
        task = watch(watcher, 1)
        slurm.says("squeue", queued("1", "COMPLETED", task))
        slurm.says("sacct", accounted("1", "RUNNING", task))
        assert tick(watcher, clock) == set()
        slurm.says("sacct", accounted("1", "COMPLETED", task))
        assert tick(watcher, clock) == {task}
        report = watcher.report(task)
        assert report is not None
        assert report.usage is not None
        assert report.usage.cpu_s == 18

    def test_accounting_that_stays_late_does_not_keep_a_run_from_going_on(
        self, slurm: Slurm, watcher: Watcher, clock: Clock
    ) -> None:
        task = watch(watcher, 1)
        slurm.says("squeue", queued("1", "FAILED", task, "NonZeroExitCode"))
        began = clock.now_s
        while not tick(watcher, clock):
            assert clock.now_s < began + 2 * ACCOUNTING_LAG_S
        assert state(watcher, task) is JobState.FAILED

    @pytest.mark.parametrize("words", ["Slurm accounting storage is disabled", NO_DATABASE])
    def test_accounting_that_is_absent_is_not_waited_for(
        self, slurm: Slurm, watcher: Watcher, clock: Clock, words: str
    ) -> None:
        task = watch(watcher, 1)
        slurm.says("squeue", queued("1", "COMPLETED", task))
        slurm.says("sacct", words, status=1)
        assert tick(watcher, clock) == {task}
        assert state(watcher, task) is JobState.COMPLETED

    def test_accounting_that_hangs_is_left_alone_for_a_while(self, slurm: Slurm, clock: Clock, tmp_path: Path) -> None:
        class Slow(CountingTransport):
            def run(self, argv, *, stdin=None, timeout_s=None):  # type: ignore[no-untyped-def]  # as the base class
                asked = slurm.asked("sacct")
                answer = super().run(argv, stdin=stdin, timeout_s=timeout_s)
                clock.now_s += 30 * (slurm.asked("sacct") - asked)
                return answer

        watcher = Watcher(Slow(LocalTransport(tmp_path)), clock=clock)
        gone = watch(watcher, 1)
        slurm.says("sacct", status=124)  # of timeout(1)
        tick(watcher, clock)
        hung_until = clock.now_s
        runs = watch(watcher, 2)
        slurm.says("squeue", queued("2", "RUNNING", runs))
        while clock.now_s + watcher.due_in_s() < hung_until + 30 * ACCOUNTING_REST:
            tick(watcher, clock)
            assert watcher.problem
        assert slurm.asked("sacct") == 1
        assert watcher.ticks > 3
        assert (state(watcher, runs), watcher.unknown_for_s(gone)) == (JobState.RUNNING, 0)
        slurm.says("sacct", accounted("1", "COMPLETED", gone))
        tick(watcher, clock)
        assert (state(watcher, gone), watcher.problem) == (JobState.COMPLETED, None)

    def test_accounting_that_refuses_at_once_is_asked_again_at_once(
        self, slurm: Slurm, watcher: Watcher, clock: Clock
    ) -> None:
        task = watch(watcher, 1)
        slurm.says("sacct", NO_DATABASE, status=1)
        tick(watcher, clock)
        slurm.says("sacct", accounted("1", "COMPLETED", task))
        tick(watcher, clock)
        assert (state(watcher, task), watcher.problem) == (JobState.COMPLETED, None)


class TestUnknown:
    def test_a_job_that_both_deny_is_lost(self, slurm: Slurm, watcher: Watcher, clock: Clock) -> None:
        task = watch(watcher, 1)
        tick(watcher, clock)
        report = watcher.report(task)
        assert report is not None
        assert (report.state, report.lost, watcher.problem) == (JobState.UNKNOWN, True, None)
        clock.now_s += 100
        assert watcher.unknown_for_s(task) == 100

    @pytest.mark.parametrize("silent", ["squeue", "sacct"])
    def test_time_without_an_answer_does_not_count(
        self, slurm: Slurm, watcher: Watcher, clock: Clock, silent: str
    ) -> None:
        task = watch(watcher, 1)
        slurm.says(silent, UNREACHABLE if silent == "squeue" else NO_DATABASE, status=1)
        tick(watcher, clock)
        clock.now_s += 100
        report = watcher.report(task)
        assert report is not None
        assert (report.state, report.lost) == (JobState.UNKNOWN, False)
        assert watcher.unknown_for_s(task) == 0
        assert "does not answer" in str(watcher.problem)

    def test_a_cluster_that_cannot_be_reached_tells_nothing(self, slurm: Slurm, clock: Clock, tmp_path: Path) -> None:
        faulty = FaultyTransport(LocalTransport(tmp_path))
        watcher = Watcher(faulty, clock=clock)
        task = watch(watcher, 1)
        slurm.says("squeue", queued("1", "RUNNING", task))
        tick(watcher, clock)
        faulty.lose_reply("query")
        assert tick(watcher, clock) == set()
        assert (state(watcher, task), bool(watcher.problem)) == (JobState.RUNNING, True)
        tick(watcher, clock)
        assert watcher.problem is None
