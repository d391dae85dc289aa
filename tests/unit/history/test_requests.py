"""What people have asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from worker.history.requests import requests_of
from worker.history.tracker import WorkflowTracker

if TYPE_CHECKING:
    from worker.history.database import Database


def test_a_person_finds_what_they_asked_for_the_newest_first(database: Database) -> None:
    tracker = WorkflowTracker(database)
    asked: list[dict[str, Any]] = [
        {"kind": "transfer", "folder": "mine", "ids": [1, 2]},
        {"run": str(uuid4()), "nested": {"a": None}},
    ]
    runs = [tracker.accept(name="r", description="", user=3, group=4, request=each, tasks=[]) for each in asked]
    tracker.accept(name="r", description="", user=4, group=4, request={"kind": "analysis"}, tasks=[])
    tracker.initiate_workflow("of another tool", "", 3, 4)
    tracker.fail_workflow(runs[0], "why")
    found = requests_of(database, 3)
    assert [(row.run_id, row.request) for row in found] == [(runs[1], asked[1]), (runs[0], asked[0])]
    assert [row.state for row in found] == ["INITIALIZED", "FAILED"]
    assert [row.run_id for row in requests_of(database, 3, limit=1)] == [runs[1]]
