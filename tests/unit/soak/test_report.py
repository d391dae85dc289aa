"""The arithmetic of a soak."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.soak import report
from tests.soak.engine import Life
from tests.soak.evidence import Verdict
from tests.soak.gauges import Reading
from tests.soak.report import Figures

if TYPE_CHECKING:
    from pathlib import Path


def life(started: float, ended: str) -> Life:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Life(at, started, ready_s=2.0, lasted_s=30.0, peak_rss_kib=200 * 1024, cpu_s=12.0, ended=ended)


FIGURES = Figures(
    runs=60,
    wall_s=60.0,
    lives=(life(0.0, "killed"), life(30.0, "stopped")),
    readings=(
        Reading(0.0, 0, 0),
        Reading(9.0, 4, 100),
        Reading(20.0, 4, 200),
        Reading(29.0, 5, 300),
        Reading(31.0, 7, 400),
        Reading(39.0, 9, 500),
        Reading(41.0, 9, 600),
        Reading(60.0, 9, 660),
    ),
    job_questions=45,
    first_step_s=(3.0,),
    caught_up_s=(),
    processor_s={"omero": 6.0},
)


def test_only_connections_of_engines_that_are_not_new_are_steady_state() -> None:
    # They are up 2 s after their start. From 20 s to 29 s there is one connection; what lies across a start, or within
    # 10 s of being up, is left out: so is all of the second life.
    assert FIGURES._steady() == (1, 9.0 / 60)


def test_connections_belong_to_the_engine_that_ran() -> None:
    assert dict(FIGURES.rows())["SSH handshakes of one engine, most of all lives"] == "5"


def test_figures_are_per_run_and_per_minute() -> None:
    rows = dict(FIGURES.rows())
    assert rows["runs per minute"] == "60.0"
    assert rows["engine killed and started again"] == "1 times"
    assert rows["SSH round trips per run"] == "11.0"
    assert rows["processor time of engine per run"] == "0.400 s"
    assert rows["processor time of omero per run"] == "0.100 s"
    assert rows["engine's peak memory (VmHWM), most of all lives"] == "200 MiB"


def test_what_was_not_seen_is_not_made_up() -> None:
    rows = dict(FIGURES.rows())
    assert rows["start until all open runs are driven again, median / max"] == "not seen"


def test_the_page_names_what_is_wrong(tmp_path: Path) -> None:
    verdict = Verdict(60, lost=["jobs: none for a"])
    report.write(tmp_path / "new" / "report.md", replace(FIGURES, runs=60), verdict, {"machine": "small"})
    page = (tmp_path / "new" / "report.md").read_text(encoding="utf-8")
    assert "soak: runs 60, lost 1, doubled 0, false 0" in page
    assert "## Lost\n\n- jobs: none for a" in page
    assert "## Doubled" not in page
    assert "| 03:04:05 | 2.0 s | 30.0 s | 200 | 12.0 | killed |" in page
