"""What a soak has shown, for a person: a table on the screen and a page in Markdown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.soak.engine import Life
    from tests.soak.evidence import Verdict
    from tests.soak.gauges import Reading

SETTLED_S = 10.0
"""How long an engine that is up may still be making its connections; what comes later counts as steady state."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured."""

    runs: int
    wall_s: float
    lives: Sequence[Life]
    readings: Sequence[Reading]
    job_questions: int
    first_step_s: Sequence[float]
    """For each start after a kill: from the start of the process to the first thing it did to any run."""
    caught_up_s: Sequence[float]
    """For each start after a kill: from the start of the process until all open runs were driven again."""
    processor_s: Mapping[str, float]

    @property
    def kills(self) -> int:
        """How often the engine was killed."""
        return sum(life.ended == "killed" for life in self.lives)

    def rows(self) -> list[tuple[str, str]]:
        """Everything as a name and a value with its unit."""
        minutes = self.wall_s / 60
        steady_connections, steady_minutes = self._steady()
        per_run = {"engine": sum(life.cpu_s for life in self.lives), **self.processor_s}
        last = self.readings[-1]
        rows = [
            ("wall time", f"{self.wall_s:.0f} s"),
            ("runs per minute", f"{self.runs / minutes:.1f}"),
            ("engine killed and started again", f"{self.kills} times"),
            ("engine ended by itself", f"{sum(life.ended.startswith('ended') for life in self.lives)} times"),
            ("engine's peak memory (VmHWM), most of all lives", f"{self._peak_mib():.0f} MiB"),
            ("start of the process until it says so, median / max", _spread([life.ready_s for life in self.lives])),
            ("start until the first step of a run, median / max", _spread(self.first_step_s)),
            ("start until all open runs are driven again, median / max", _spread(self.caught_up_s)),
            ("questions to slurmctld for jobs (ticks and look-ups)", f"{self.job_questions / minutes:.1f} per minute"),
            ("SSH handshakes in all", f"{last.connections}, {last.connections / len(self.lives):.1f} per start"),
            ("SSH handshakes of one engine, most of all lives", f"{self._most_handshakes()}"),
            (
                f"SSH handshakes of engines up for more than {SETTLED_S:.0f} s",
                f"{steady_connections} in {steady_minutes:.1f} min" if steady_minutes else "none was that old",
            ),
            ("SSH round trips per run", f"{last.commands / self.runs:.1f}"),
        ]
        return rows + [
            (f"processor time of {name} per run", f"{seconds / self.runs:.3f} s") for name, seconds in per_run.items()
        ]

    def _peak_mib(self) -> float:
        return max(life.peak_rss_kib for life in self.lives) / 1024

    def _most_handshakes(self) -> int:
        """Connections that one engine has made; those of its pool, if it never lost one."""
        starts = [life.started for life in self.lives]
        made = [0] * len(starts)
        for before, after in pairwise(self.readings):
            number = sum(start <= after.at for start in starts)
            made[max(number - 1, 0)] += after.connections - before.connections
        return max(made)

    def _steady(self) -> tuple[int, float]:
        """Connections, and minutes, of the time in which no engine was new."""
        connections, seconds = 0, 0.0
        for before, after in pairwise(self.readings):
            youngest = max((life for life in self.lives if life.started <= after.at), default=None, key=_started)
            if youngest is not None and before.at - youngest.started - youngest.ready_s >= SETTLED_S:
                connections += after.connections - before.connections
                seconds += after.at - before.at
        return connections, seconds / 60


def _started(life: Life) -> float:
    return life.started


def table(figures: Figures, verdict: Verdict) -> Table:
    """Show the figures to a person."""
    shown = Table(title=verdict.line)
    shown.add_column("measured")
    shown.add_column("value", justify="right")
    for name, value in figures.rows():
        shown.add_row(name, value)
    return shown


def write(path: Path, figures: Figures, verdict: Verdict, facts: Mapping[str, object]) -> None:
    """Write everything as a page.

    Parameters
    ----------
    path : Path
        The file.
    figures : Figures
        What was measured.
    verdict : Verdict
        What was found at the end.
    facts : mapping
        Where, when and with what.
    """
    lines = ["# Soak", "", verdict.line, "", "| measured | value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in figures.rows()]
    for title, sentences in (("Lost", verdict.lost), ("Doubled", verdict.doubled), ("False", verdict.false)):
        if sentences:
            lines += ["", f"## {title}", "", *(f"- {sentence}" for sentence in sentences)]
    lines += ["", "## Lives of the engine", "", "| started | ready | lasted | peak MiB | processor s | ended |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [
        f"| {life.started_at:%H:%M:%S} | {life.ready_s:.1f} s | {life.lasted_s:.1f} s "
        f"| {life.peak_rss_kib / 1024:.0f} | {life.cpu_s:.1f} | {life.ended} |"
        for life in figures.lives
    ]
    lines += ["", "## Where and with what", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def _spread(samples: Sequence[float]) -> str:
    return f"{statistics.median(samples):.2f} / {max(samples):.2f} s" if samples else "not seen"
