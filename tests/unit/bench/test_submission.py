"""Stages of a run, from its events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from tests.bench.submission import stages_of
from worker.history.reader import EventRow

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_stages_are_told_in_seconds_from_the_start_of_the_process() -> None:
    happened: list[tuple[float, str, dict[str, Any]]] = [
        (1.25, "WorkflowInitiated", {}),
        (1.5, "StepIntended", {"step": "export"}),
        (4.0, "StepCompleted", {"step": "export"}),
        (4.125, "JobIdAdded", {"job_id": 7}),
        (4.5, "StepCompleted", {"step": "submit/0"}),
    ]
    run_id = uuid4()
    events = [
        EventRow(position, run_id, None, None, name, START + timedelta(seconds=seconds), data)
        for position, (seconds, name, data) in enumerate(happened)
    ]
    assert stages_of(events, START.timestamp()) == {
        "recorded": 1.25,
        "export": 4.0,
        "submitted": 4.125,
        "submit/0": 4.5,
    }
