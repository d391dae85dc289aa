"""What was measured, as rows: ours against the reference, on the same machine in the same run."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. The median of the samples counts.

    Parameters
    ----------
    name : str
        Name of the row, as for ``--only``.
    title : str
        What is compared, in words.
    ours, reference : sequence of float
        Samples of each, in *unit*; positive, less is better.
    unit : str
        Such as ``s``.
    reference_is : str
        What the reference is, in words.
    details : mapping
        What else was seen: JSON values.
    """

    name: str
    title: str
    ours: Sequence[float]
    reference: Sequence[float]
    unit: str
    reference_is: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for label, samples in (("ours", self.ours), ("reference", self.reference)):
            if not samples or not all(sample > 0 for sample in samples):
                raise ValueError(f"{self.name}: {label} needs positive samples, not {list(samples)}")

    @property
    def ours_median(self) -> float:
        """Median of our samples."""
        return statistics.median(self.ours)

    @property
    def reference_median(self) -> float:
        """Median of the reference's samples."""
        return statistics.median(self.reference)

    @property
    def ratio(self) -> float:
        """Reference by ours: how many times as fast as the reference ours is."""
        return self.reference_median / self.ours_median

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "row": self.name,
            "title": self.title,
            "ours": round(self.ours_median, 4),
            "reference": round(self.reference_median, 4),
            "ratio": round(self.ratio, 3),
            "unit": self.unit,
            "reference_is": self.reference_is,
            "samples": {
                "ours": [round(sample, 4) for sample in self.ours],
                "reference": [round(sample, 4) for sample in self.reference],
            },
            "details": dict(self.details),
        }


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure that nothing is compared with. The median of the samples counts.

    Parameters
    ----------
    name : str
        Name of the row, as for ``--only``.
    title : str
        What was measured, in words.
    samples : sequence of float
        Samples in *unit*.
    unit : str
        Such as ``s``.
    details : mapping
        What else was seen: JSON values.
    """

    name: str
    title: str
    samples: Sequence[float]
    unit: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.samples or any(sample != sample for sample in self.samples):
            raise ValueError(f"{self.name}: {self.title} needs samples, not {list(self.samples)}")

    @property
    def median(self) -> float:
        """Median of the samples."""
        return statistics.median(self.samples)

    def as_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return {
            "row": self.name,
            "title": self.title,
            "value": round(self.median, 4),
            "unit": self.unit,
            "samples": [round(sample, 4) for sample in self.samples],
            "details": dict(self.details),
        }


def figure_table(figures: Sequence[Figure]) -> Table:
    """Show plain figures to a person.

    Parameters
    ----------
    figures : sequence of Figure
        What was measured.

    Returns
    -------
    rich.table.Table
        A line for each.
    """
    shown = Table(title="By itself", caption="Medians.")
    shown.add_column("figure")
    shown.add_column("value", justify="right", no_wrap=True)
    shown.add_column("unit")
    for figure in figures:
        shown.add_row(figure.title, f"{figure.median:.3g}", figure.unit)
    return shown


def table(rows: Sequence[Row]) -> Table:
    """Show rows to a person.

    Parameters
    ----------
    rows : sequence of Row
        What was measured.

    Returns
    -------
    rich.table.Table
        A line for each.
    """
    shown = Table(title="Ours against the reference", caption="Medians. Ratio: reference / ours, so above 1 is faster.")
    shown.add_column("row", no_wrap=True)
    for name in ("ours", "reference", "ratio"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("unit")
    shown.add_column("the reference is")
    for row in rows:
        numbers = (f"{row.ours_median:.3g}", f"{row.reference_median:.3g}", f"{row.ratio:.2f}")
        shown.add_row(row.title, *numbers, row.unit, row.reference_is)
    return shown


def write(path: Path, rows: Sequence[Row | Figure], facts: Mapping[str, Any]) -> None:
    """Write rows and the facts about the measurement as JSON, all of it or nothing.

    Parameters
    ----------
    path : Path
        The file.
    rows : sequence of Row or Figure
        What was measured.
    facts : mapping
        Where, when and with what: JSON values.
    """
    document = {**facts, "rows": [row.as_json() for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)
