"""``omero-worker usage``: what the jobs of persons, groups and workflows have used."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime  # noqa: TC003 - typer reads the annotations
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from worker.engine.assembly import open_record


class By(StrEnum):
    """Whose jobs are summed up."""

    USER = "user"
    GROUP = "group"
    WORKFLOW = "workflow"


def usage(
    by: Annotated[By, typer.Option(help="Whose jobs to sum up.")] = By.USER,
    since: Annotated[
        datetime | None,
        typer.Option(help="Only jobs that ended then or later, in this machine's time.", show_default="all jobs"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Sum up CPU hours, GPU hours, memory and failures of Slurm jobs, as the cluster accounted them."""
    with open_record() as record:
        record.tracker.pull_and_process()
        rows = record.reader.usage(by=by.value, since=since.astimezone() if since else None)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
        return
    if not rows:
        typer.echo("No job has been accounted" + (f" since {since:%Y-%m-%d %H:%M}." if since else " yet."))
        return
    table = Table(by.value.capitalize(), "Id") if by is not By.WORKFLOW else Table("Workflow")
    for title in ("Jobs", "Failed", "Hours", "CPU hours", "GPU hours", "Peak memory"):
        table.add_column(title, justify="right")
    for row in rows:
        known = row.name or "unknown"
        table.add_row(
            *((known,) if by is By.WORKFLOW else (known, "" if row.key is None else str(row.key))),
            str(row.jobs),
            str(row.failed_jobs),
            *(f"{seconds / 3600:.2f}" for seconds in (row.elapsed_s, row.cpu_s, row.gpu_s)),
            "unknown" if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 2**30:.2f} GiB",
        )
    Console().print(table)
