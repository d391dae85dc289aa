"""A soak in small: an engine is killed in the middle of some runs, and nothing is lost, doubled or falsely told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.soak.soaking import soak
from tests.soak.stage import staged

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.description import Lab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.timeout(120),
    # omero-py, when it waits for the deletion at the end.
    pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning"),
]

RUNS = 12


def test_an_engine_that_is_killed_loses_doubles_and_falsifies_nothing(lab: Lab, tmp_path: Path) -> None:
    with staged(lab) as stage, stage.deployment.record() as record:
        figures, verdict = soak(
            stage, record, runs=RUNS, kill_every_s=6.0, most_kills=1, timeout_s=60.0, log_directory=tmp_path
        )
    assert verdict.clean, (verdict.lost, verdict.doubled, verdict.false)
    assert verdict.line == f"soak: runs {RUNS}, lost 0, doubled 0, false 0"
    # Killed in the middle of them, not when all was over.
    assert figures.kills == 1
    assert [life.ended for life in figures.lives] == ["killed", "stopped"]
