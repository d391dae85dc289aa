"""Reports of what was found or done, as a table for persons or as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.cluster.report import Item, SetupReport, State

STYLES: Mapping[State, str] = {"ok": "green", "changed": "cyan", "warning": "yellow", "failed": "bold red"}


def show(title: str, items: Iterable[Item]) -> None:
    """Print a table with a row for each thing.

    Parameters
    ----------
    title : str
        What was looked at.
    items : Iterable[Item]
        What was found.
    """
    table = Table(title, "", "What was found", "What to do")
    for item in items:
        # As text, so that nothing in brackets is taken for markup.
        table.add_row(Text(item.what), Text(item.state, STYLES[item.state]), Text(item.detail), Text(item.remedy))
    Console().print(table)


def as_json(reports: Mapping[str, SetupReport]) -> str:
    """Write reports for programs.

    Parameters
    ----------
    reports : Mapping[str, SetupReport]
        By the names of clusters.

    Returns
    -------
    str
        One JSON object: ``failed``, ``changed``, and ``clusters`` with the ``items`` of each.
    """
    return json.dumps(
        {
            "failed": any(report.failed for report in reports.values()),
            "changed": any(report.changed for report in reports.values()),
            "clusters": {name: {"items": [asdict(item) for item in report.items]} for name, report in reports.items()},
        },
        indent=2,
    )


def exit_by(reports: Iterable[SetupReport]) -> None:
    """End with status 1 if anything has failed.

    Parameters
    ----------
    reports : Iterable[SetupReport]
        The reports.

    Raises
    ------
    typer.Exit
        If so.
    """
    if any(report.failed for report in reports):
        raise typer.Exit(1)
