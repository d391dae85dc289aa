"""The arithmetic and the forms of what was measured."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tests.bench import report
from tests.bench.report import Figure, Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def row(ours: Sequence[float], reference: Sequence[float]) -> Row:
    return Row("export", "export only", ours, reference, "s", "the other exporter", {"format": "zarr-0.4"})


def test_the_median_counts_so_that_one_slow_sample_changes_nothing() -> None:
    measured = row([2.0, 90.0, 1.0], [10.0, 11.0, 500.0])
    assert measured.ours_median == 2.0
    assert measured.reference_median == 11.0


def test_twice_as_fast_is_a_ratio_of_two() -> None:
    assert row([1.5, 1.5], [3.0, 3.0]).ratio == 2.0


def test_half_as_fast_is_a_ratio_of_a_half() -> None:
    assert row([3.0], [1.5]).ratio == 0.5


@pytest.mark.parametrize("samples", [[], [0.0], [1.0, -0.1], [float("nan")]])
def test_what_is_no_duration_is_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="export: ours needs positive samples"):
        row(samples, [1.0])
    with pytest.raises(ValueError, match="export: reference needs positive samples"):
        row([1.0], samples)


def test_the_table_shows_both_figures_their_ratio_and_the_unit() -> None:
    output = io.StringIO()
    Console(file=output, width=140).print(report.table([row([1.5], [12.0])]))
    (line,) = [line for line in output.getvalue().splitlines() if "export only" in line]
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == ["export only", "1.5", "12", "8.00", "s", "the other exporter"]


def test_the_file_holds_facts_medians_and_every_sample(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"
    report.write(path, [row([1.0, 3.0], [8.0, 8.0])], {"date": "2026-01-02T03:04:05+00:00"})
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["date"] == "2026-01-02T03:04:05+00:00"
    assert written["rows"] == [
        {
            "row": "export",
            "title": "export only",
            "ours": 2.0,
            "reference": 8.0,
            "ratio": 4.0,
            "unit": "s",
            "reference_is": "the other exporter",
            "samples": {"ours": [1.0, 3.0], "reference": [8.0, 8.0]},
            "details": {"format": "zarr-0.4"},
        }
    ]
    assert list(path.parent.iterdir()) == [path]


def test_a_figure_by_itself_may_be_nothing_but_not_unknown() -> None:
    assert Figure("polls", "statements", [0.0], "statements").median == 0.0
    with pytest.raises(ValueError, match="polls: statements needs samples"):
        Figure("polls", "statements", [], "statements")
    with pytest.raises(ValueError, match="polls: statements needs samples"):
        Figure("polls", "statements", [float("nan")], "statements")


def test_rows_and_figures_go_into_one_file(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    report.write(path, [row([1.0], [2.0]), Figure("catchup", "until it is up", [3.0, 1.0], "s")], {})
    first, second = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert first["ratio"] == 2.0
    assert (second["row"], second["value"], second["samples"]) == ("catchup", 2.0, [3.0, 1.0])
