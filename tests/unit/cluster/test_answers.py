"""Reading what real versions of Slurm have said."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from worker.cluster import accounting, answers, verdict
from worker.cluster.accounting import JobUsage
from worker.cluster.answers import Accounting, Section
from worker.cluster.states import JobReport, JobState, aggregate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SAMPLES = Path(__file__).parent / "samples"
KEY = "0f4cf4b2-1111-4222-8333-444455556666"
OTHER = "99999999-1111-4222-8333-444455556666"


def row(job: str, state: str, elapsed: int, code: str, submit: str, name: str, **more: str) -> str:
    """A line of sacct; only what is told is known."""
    values = {"JobID": job, "State": state, "ElapsedRaw": str(elapsed), "ExitCode": code, "Submit": submit}
    values |= {"JobName": name, **more}
    return "|".join(values.get(column, "") for column in accounting.COLUMNS)


def by_job(found: dict[int, answers.Tasks]) -> dict[int, JobReport]:
    """Speak for jobs as a whole."""
    return {job: aggregate(job, list(tasks.values())) for job, tasks in found.items()}


def from_squeue(rows: Iterable[str], keys: Mapping[int, str]) -> dict[int, JobReport]:
    return by_job(answers.from_squeue(rows, keys))


def from_sacct(rows: Iterable[str], keys: Mapping[int, str]) -> dict[int, JobReport]:
    return by_job(answers.from_sacct(rows, keys))


def sacct(version: str) -> dict[int, JobReport]:
    return from_sacct((SAMPLES / version / "sacct.txt").read_text().splitlines(), {})


def squeue(version: str = "22.05.8") -> dict[int, JobReport]:
    found = answers.sections((SAMPLES / version / "query.txt").read_bytes())
    assert not found["squeue"].problem
    return from_squeue(found["squeue"].rows, {})


class TestAccounting:
    @pytest.mark.parametrize(
        ("version", "job", "state", "code"),
        [
            ("22.05.8", 1, JobState.COMPLETED, 0),
            ("22.05.8", 33, JobState.FAILED, 3),
            ("22.05.8", 37, JobState.CANCELLED, 0),
            ("22.05.8", 29, JobState.RUNNING, None),
            ("22.05.8", 30, JobState.FAILED, 1),
            ("24.11.5", 2, JobState.FAILED, 1),
            ("24.11.5", 5, JobState.FAILED, 3),
            ("24.11.5", 9, JobState.CANCELLED, 0),
        ],
    )
    def test_a_job_is_read(self, version: str, job: int, state: JobState, code: int | None) -> None:
        report = sacct(version)[job]
        assert (report.state, report.exit_code, report.source) == (state, code, "sacct")

    def test_a_signal_counts_as_an_exit_code(self) -> None:
        report = from_sacct([row("5", "OUT_OF_MEMORY", 7, "0:125", "2026-01-01T00:00:00", "x")], {})[5]
        assert (report.exit_code, report.elapsed_s) == (253, 7)

    def test_of_a_requeued_job_the_latest_start_counts(self) -> None:
        rows = [
            row("5", "REQUEUED", 3, "0:0", "2026-01-01T00:00:00", "x"),
            row("5", "COMPLETED", 9, "0:0", "2026-01-01T00:02:00", "x"),
        ]
        assert from_sacct(rows, {})[5].state is JobState.COMPLETED
        assert from_sacct(reversed(rows), {})[5].state is JobState.COMPLETED

    def test_another_job_with_the_same_number_is_told_apart_by_its_key(self) -> None:
        rows = [row("5", "FAILED", 3, "1:0", "2026-01-02T00:00:00", f"omero-job-x-{OTHER}")]
        assert from_sacct(rows, {5: KEY}) == {}
        ours = row("5", "COMPLETED", 3, "0:0", "2026-01-01T00:00:00", f"omero-job-x-{KEY}")
        assert from_sacct([*rows, ours], {5: KEY})[5].state is JobState.COMPLETED

    def test_a_bar_in_the_name_of_somebody_elses_job_does_no_harm(self) -> None:
        assert (
            from_sacct([row("5", "FAILED", 3, "1:0", "2026-01-02T00:00:00", "a|b|c")], {})[5].state is JobState.FAILED
        )


class TestQueue:
    def test_jobs_of_all_kinds_are_read(self) -> None:
        reports = squeue()
        assert {job: report.state for job, report in reports.items()} == {
            8: JobState.RUNNING,  # an array of which some tasks have ended, one of them badly
            9: JobState.RUNNING,
            10: JobState.PENDING,
            11: JobState.FAILED,
            13: JobState.CANCELLED,
            14: JobState.PENDING,
        }
        assert (reports[10].reason, reports[14].reason, reports[9].reason) == ("Dependency", "BeginTime", "")
        assert reports[9].elapsed_s == 7

    def test_long_times_are_read(self) -> None:
        rows = ["1|RUNNING|1-02:03:04|None|x", "2|RUNNING|3:04:05|None|x", "3|RUNNING|INVALID|None|x"]
        reports = from_squeue(rows, {})
        assert [reports[job].elapsed_s for job in (1, 2, 3)] == [93784, 11045, None]

    def test_a_job_that_is_not_ours_is_left_out(self) -> None:
        rows = [f"5|RUNNING|0:01|None|omero-job-x-{OTHER}", f"6|RUNNING|0:01|None|omero-job-x-{KEY}"]
        assert list(from_squeue(rows, {5: KEY, 6: KEY})) == [6]


class TestProblems:
    @pytest.mark.parametrize(
        ("message", "status", "problem"),
        [
            ("", 0, ""),
            ("slurm_load_jobs error: Invalid job id specified", 1, ""),
            (
                "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
                1,
                "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
            ),
            ("", 124, "no answer within 30 s"),
            ("", 127, "exit status 127"),
        ],
    )
    def test_a_complaint_is_a_problem_unless_it_is_about_an_old_job(
        self, message: str, status: int, problem: str
    ) -> None:
        assert Section(messages=[message], status=status).problem == problem

    def test_an_answer_that_broke_off_is_a_problem(self) -> None:
        found = answers.sections(b"== squeue\n5|RUNNING|0:01|None|x\n")
        assert found["squeue"].problem == "exit status -1"


class TestExitFiles:
    def read(self, text: str, **keys: str) -> JobReport | None:
        path = PurePosixPath("/d/biomero_x/status/5.json")
        found, _ = answers.from_exit_files([f"{path}:{text}"], {5: path}, {5: keys["key"]} if keys else {})
        return found[5]["5"] if found else None

    def test_it_tells_how_the_job_ended(self) -> None:
        text = (
            f'{{"version": 1, "job": "5", "key": "{KEY}", "exit_code": 3, "signal": "", "reason": "why", '
            '"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:01Z", "host": "n1"}'
        )
        usage = JobUsage(
            elapsed_s=61,
            exit_code=3,
            nodes=("n1",),
            started=datetime(2026, 1, 1, tzinfo=UTC),
            ended=datetime(2026, 1, 1, 0, 1, 1, tzinfo=UTC),
        )
        expected = JobReport(5, JobState.FAILED, 3, 61, reason="why", source="exit_file", usage=usage)
        assert self.read(text) == expected
        assert self.read(text, key=KEY) == expected

    def test_that_of_another_job_tells_nothing(self) -> None:
        assert self.read(f'{{"key": "{OTHER}", "exit_code": 0}}', key=KEY) is None

    @pytest.mark.parametrize("text", ["{", "{}", '{"exit_code": "x", "key": ""}', '{"exit_code": null, "key": ""}'])
    def test_a_damaged_one_tells_nothing(self, text: str) -> None:
        assert self.read(text) is None

    @pytest.mark.parametrize(
        ("signal", "reason", "state"),
        [("TERM", "time limit", JobState.TIMEOUT), ("TERM", "", JobState.CANCELLED), ("", "", JobState.FAILED)],
    )
    def test_a_signal_is_told_from_a_failure(self, signal: str, reason: str, state: JobState) -> None:
        report = self.read(f'{{"key": "k", "exit_code": 143, "signal": "{signal}", "reason": "{reason}"}}')
        assert report is not None
        assert report.state is state


class TestWhatIsTrue:
    running = JobReport(5, JobState.RUNNING, source="squeue")
    gone = JobReport(5, JobState.COMPLETED, exit_code=0, elapsed_s=3, source="sacct")
    left = JobReport(5, JobState.FAILED, exit_code=66, reason="wrote nothing", source="exit_file")

    def test_squeue_speaks_for_what_has_not_ended(self) -> None:
        assert verdict.combine(5, self.running, None, self.left, queue_answered=True) == self.running

    def test_accounting_speaks_for_what_has(self) -> None:
        assert verdict.combine(5, None, self.gone, None, queue_answered=True) == self.gone

    def test_an_exit_file_is_enough(self) -> None:
        assert verdict.combine(5, None, None, self.left, queue_answered=False) == self.left

    def test_an_exit_file_adds_code_and_reason(self) -> None:
        failed = JobReport(5, JobState.FAILED, elapsed_s=9, source="squeue")
        report = verdict.combine(5, failed, None, self.left, queue_answered=True)
        assert (report.exit_code, report.reason, report.elapsed_s) == (66, "wrote nothing", 9)

    @pytest.mark.parametrize(
        ("accounted", "queue_answered", "accounting", "reason", "lost"),
        [
            (None, True, "answered", "neither the controller nor accounting knows the job", True),
            (None, True, "silent", "the controller does not know the job, and accounting does not answer", False),
            (None, True, "disabled", "the controller does not know the job, and accounting is disabled", False),
            (
                None,
                True,
                "not asked",
                "the controller does not know the job, and accounting has not answered lately",
                False,
            ),
            (None, False, "answered", "the controller does not answer", False),
            ("RUNNING", True, "answered", "accounting says RUNNING, but the controller does not list the job", False),
            ("PENDING", True, "answered", "accounting says PENDING, but the controller does not list the job", True),
        ],
    )
    def test_what_nobody_lists_is_unknown_and_never_finished(
        self, accounted: str | None, queue_answered: bool, accounting: Accounting, reason: str, lost: bool
    ) -> None:
        ghost = JobReport(5, JobState(accounted), source="sacct") if accounted else None
        report = verdict.combine(5, None, ghost, None, queue_answered=queue_answered, accounting=accounting)
        assert report == JobReport(5, JobState.UNKNOWN, reason=reason, lost=lost)

    def test_a_failure_that_only_one_of_both_has_seen_is_not_hidden(self) -> None:
        failed = JobReport(5, JobState.FAILED, source="squeue")
        assert verdict.combine(5, failed, self.gone, None, queue_answered=True) == failed

    def test_accounting_is_believed_while_the_controller_is_away(self) -> None:
        ghost = JobReport(5, JobState.RUNNING, source="sacct")
        assert verdict.combine(5, None, ghost, None, queue_answered=False) == ghost


def test_progress_is_the_last_percentage_of_each_log() -> None:
    text = b"==> /a/omero-1.log <==\n10%\n 55%|##\r 60%|##\n\n==> /a b/omero-2.log <==\nnothing\n==> /c/3.log <==\n100%"
    assert answers.progress_by_log(text) == {"/a/omero-1.log": "60%", "/c/3.log": "100%"}


def test_the_number_of_an_array_is_read_from_its_tasks() -> None:
    assert [answers.base_id(job) for job in ("12", "12_3", "12_[4-9%2]", "12+1")] == [12, 12, 12, 12]
    with pytest.raises(ValueError, match="not a job"):
        answers.base_id("x")
