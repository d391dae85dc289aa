"""How the wall time of a run is split."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from tests.bench.overhead import times_of
from worker.history.reader import EventRow

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = uuid4()


def events(*happened: tuple[float, str, str]) -> list[EventRow]:
    return [
        EventRow(number, RUN, None, None, name, START + timedelta(seconds=at_s), {"step": step} if step else {})
        for number, (at_s, name, step) in enumerate(happened)
    ]


HISTORY = events(
    (0.0, "WorkflowInitiated", ""),
    (0.5, "StepIntended", "export"),
    (1.5, "StepCompleted", "export"),
    (1.6, "StepIntended", "submit/0"),
    (1.8, "JobIdAdded", ""),
    (1.9, "StepCompleted", "submit/0"),
    (2.0, "StepIntended", "watch/0"),
    (6.0, "StepCompleted", "watch/0"),
    (6.1, "StepIntended", "fetch/0"),
    (6.3, "StepCompleted", "fetch/0"),
    (6.4, "StepIntended", "import/0"),
    (6.8, "StepCompleted", "import/0"),
    (7.0, "WorkflowCompleted", ""),
)


def test_slurm_has_the_job_from_sbatch_to_the_exit_file() -> None:
    times = times_of(HISTORY, START.timestamp() + 5.8)
    assert times.wall_s == pytest.approx(7.0)
    assert times.slurm_s == pytest.approx(4.0)
    assert times.overhead_s == pytest.approx(3.0)


def test_the_parts_add_up_to_what_is_not_slurms() -> None:
    times = times_of(HISTORY, START.timestamp() + 5.8)
    assert sum(times.parts_s.values()) == pytest.approx(times.overhead_s)
    assert times.parts_s["until the end of the job is noticed"] == pytest.approx(0.2)
    assert times.parts_s["submit/0"] == pytest.approx(0.2)
