"""States of jobs, as all of Slurm's commands write them."""

from __future__ import annotations

import pytest

from worker.cluster.states import JobReport, JobState, aggregate, parse_state


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("COMPLETED", JobState.COMPLETED),
        ("COMPLETED+", JobState.COMPLETED),
        ("  FAILED  ", JobState.FAILED),
        ("CANCELLED by 1001", JobState.CANCELLED),
        ("CANCELLED+", JobState.CANCELLED),
        ("OUT_OF_ME+", JobState.OUT_OF_MEMORY),
        ("OUT_OF_MEMORY", JobState.OUT_OF_MEMORY),
        ("PREEMPTED", JobState.PREEMPTED),
        ("BOOT_FAIL", JobState.BOOT_FAIL),
        ("DEADLINE", JobState.DEADLINE),
        ("NODE_FAIL", JobState.NODE_FAIL),
        ("timeout", JobState.TIMEOUT),
        ("CG", JobState.COMPLETING),
        ("TO", JobState.TIMEOUT),
        ("OOM", JobState.OUT_OF_MEMORY),
        ("REQUEUE_H+", JobState.REQUEUE_HOLD),
        # Several states begin so; to guess would be to say that a job has ended.
        ("RE+", JobState.UNKNOWN),
        ("COMPL+", JobState.UNKNOWN),
        ("FROBNICATED", JobState.UNKNOWN),
        ("", JobState.UNKNOWN),
    ],
)
def test_a_state_is_read(text: str, state: JobState) -> None:
    assert parse_state(text) is state


def test_only_what_has_ended_is_terminal() -> None:
    assert {state.value for state in JobState if not state.terminal} == {
        "UNKNOWN", "PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "STOPPED", "SUSPENDED",
        "RESIZING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "POWER_UP_NODE",
    }  # fmt: skip


def tasks(*states: JobState) -> list[JobReport]:
    return [JobReport(1, state, exit_code=index, elapsed_s=index) for index, state in enumerate(states)]


def test_an_array_fails_if_any_of_its_tasks_does() -> None:
    report = aggregate(7, tasks(JobState.COMPLETED, JobState.FAILED, JobState.COMPLETED))
    assert report == JobReport(7, JobState.FAILED, exit_code=1, elapsed_s=2)


def test_an_array_is_complete_only_when_all_tasks_are() -> None:
    assert aggregate(7, tasks(JobState.COMPLETED, JobState.COMPLETED)).state is JobState.COMPLETED


def test_an_array_has_not_ended_while_one_task_has_not() -> None:
    assert aggregate(7, tasks(JobState.FAILED, JobState.PENDING, JobState.RUNNING)).state is JobState.RUNNING
    assert aggregate(7, tasks(JobState.COMPLETED, JobState.PENDING)).state is JobState.PENDING


def test_nothing_is_known_about_an_array_without_tasks() -> None:
    assert aggregate(7, []).state is JobState.UNKNOWN
