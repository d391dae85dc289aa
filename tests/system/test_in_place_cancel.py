"""Imports in place that are cancelled while the importer is at work: it cannot be stopped, but it is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.system.in_place_stage import Stage, once_more
from worker.engine.driver import drive

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab


def cancel(stage: Stage) -> None:
    stage.resources.tracker.request_cancel(stage.run_id, "alice")


def test_whoever_cancels_is_told_what_the_importer_may_still_bring(staged: Any) -> None:
    stage = staged(importing=cancel)
    stage.drive()
    (order,) = stage.orders()
    assert stage.said.startswith(f"Cancelled by alice. The importer was asked for the results in {stage.plan.folder}")
    assert f"(order {order.uuid})" in stage.said


def test_nothing_stays_staged_of_an_earlier_runs_results(staged: Any, tmp_path: Path) -> None:
    waiting = staged(importing=lambda _: None, timeout_s=0.01)
    waiting.drive()
    again = once_more(waiting)
    drive(again.resources, again.run_id)
    assert (tmp_path / "state" / "runs" / str(again.run_id)).exists()

    cancel(again)
    again.drive()

    assert again.said == "Cancelled by alice."
    assert not (tmp_path / "state" / "runs" / str(again.run_id)).exists()
