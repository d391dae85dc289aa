"""A job that ran out of memory or time is tried again with more of it, within bounds."""

from __future__ import annotations

import pytest

from worker.cluster.states import JobState
from worker.engine.retry import Growth, grow
from worker.settings.models import RetrySettings

OOM, TIMEOUT = JobState.OUT_OF_MEMORY, JobState.TIMEOUT
TWICE = RetrySettings(max=2)


def grown(state: JobState, flags: dict[str, str | None], retry: RetrySettings = TWICE) -> Growth:
    growth = grow(state, flags, retry)
    assert growth is not None
    return growth


def test_a_job_that_ran_out_of_memory_gets_twice_as_much() -> None:
    growth = grown(OOM, {"mem": "4G", "time": "00:10:00"})
    assert (growth.what, growth.had, growth.now, growth.flags) == ("memory", "4G", "8G", {"mem": "8G"})


def test_a_job_that_ran_out_of_time_gets_twice_as_much() -> None:
    growth = grown(TIMEOUT, {"mem": "4G", "time": "45"})
    assert (growth.what, growth.had, growth.now) == ("time", "00:45:00", "01:30:00")
    assert growth.flags == {"time": "01:30:00"}


@pytest.mark.parametrize("flag", ["mem-per-cpu", "mem-per-gpu"])
def test_memory_grows_where_the_job_says_how_much_it_has(flag: str) -> None:
    assert grown(OOM, {flag: "500M"}).flags == {flag: "1000M"}


def test_the_last_step_is_cut_to_the_limit() -> None:
    growth = grown(OOM, {"mem": "5GB"}, RetrySettings(max=2, memory_max_mib=8192))
    assert growth.flags == {"mem": "8G"}


def test_the_limit_is_for_the_whole_job() -> None:
    retry = RetrySettings(max=2, memory_max_mib=12288)
    assert grown(OOM, {"mem-per-cpu": "2G", "cpus-per-task": "4"}, retry).flags == {"mem-per-cpu": "3G"}


def test_a_job_that_has_all_it_may_have_gets_no_more() -> None:
    growth = grown(OOM, {"mem": "8G"}, RetrySettings(max=2, memory_max_mib=8192))
    assert (growth.flags, growth.refusal) == ({}, "8G is the most that it may have")


def test_a_job_that_has_more_than_the_limit_is_not_given_less() -> None:
    assert grown(TIMEOUT, {"time": "2-00:00:00"}, RetrySettings(max=2, time_max_s=3600)).refusal


@pytest.mark.parametrize("flags", [{}, {"mem": None}, {"mem": "0"}, {"mem": "whatever"}])
def test_what_is_not_known_cannot_grow(flags: dict[str, str | None]) -> None:
    growth = grown(OOM, flags)
    assert growth.refusal
    assert not growth.flags


def test_time_without_limit_cannot_grow() -> None:
    assert "UNLIMITED" in grown(TIMEOUT, {"time": "UNLIMITED"}).refusal


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.NODE_FAIL, JobState.CANCELLED, JobState.COMPLETED])
def test_a_job_that_ended_otherwise_is_not_tried_again(state: JobState) -> None:
    assert grow(state, {"mem": "4G", "time": "10"}, TWICE) is None
