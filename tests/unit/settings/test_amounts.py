"""Memory and time are read and written as sbatch does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.settings.amounts import duration_s, memory_mib, write_duration, write_memory


@pytest.mark.parametrize(
    ("text", "mib"),
    [("500", 500), ("500M", 500), ("5GB", 5120), ("5GiB", 5120), ("1.5g", 1536), ("2T", 2097152), ("512K", 1)],
)
def test_memory_is_in_mib_unless_it_says_otherwise(text: str, mib: int) -> None:
    assert memory_mib(text) == mib


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45", 2700),
        ("45:30", 2730),
        ("00:45:00", 2700),
        ("2-0", 172800),
        ("1-12:30", 131400),
        ("1-00:00:01", 86401),
        ("100:00:00", 360000),
    ],
)
def test_a_time_has_the_forms_of_sbatch(text: str, seconds: int) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "much", "-1", "0", "5X", "1e3"])
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="memory"):
        memory_mib(text)


@pytest.mark.parametrize("text", ["", "UNLIMITED", "INFINITE", "0", "1:2:3:4", "-5"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        duration_s(text)


@given(st.integers(1, 10**9))
def test_what_is_written_is_read_back(number: int) -> None:
    assert memory_mib(write_memory(number)) == number
    assert duration_s(write_duration(number)) == number


def test_whole_gibibytes_are_written_as_such() -> None:
    assert (write_memory(8192), write_memory(500), write_duration(131400)) == ("8G", "500M", "1-12:30:00")
