"""``omero-worker history``: compute the views of the history anew, or check them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from worker.engine.assembly import open_record, rebuild_cutoff

SHOWN = 50
"""Most differences that are told one by one."""

app = typer.Typer(no_args_is_help=True)


@app.callback()
def history() -> None:
    """Look after the history."""


@app.command("rebuild")
def rebuild(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit with status 1 if a view is not what the log says.")
    ] = False,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            help="Leave runs that began before this day out of the tables of dashboards; by default as "
            "analytics_rebuild_days_ago or analytics_rebuild_start_time say, else nothing is left out.",
        ),
    ] = None,
) -> None:
    """Compute all views anew from the log, on a copy, while runs go on."""
    with open_record() as record:
        projection = record.tracker.projection
        if not check:
            said = None if since is None else since.replace(tzinfo=UTC)
            cutoff = said or rebuild_cutoff(record.settings.analytics)
            count = projection.rebuild(start=1 if cutoff is None else projection.first_since(cutoff))
            left_out = "" if cutoff is None else f"; tables of dashboards begin with {cutoff:%Y-%m-%d}"
            typer.echo(f"The views were computed anew from {count} events{left_out}.")
            return
        differences = projection.check()
        position = projection.position()
    console = Console(soft_wrap=True)
    for difference in differences[:SHOWN]:
        key = " ".join(str(part) for part in difference.key)
        if difference.present is None:
            text = f"missing: {difference.computed}"
        elif difference.computed is None:
            text = f"should not be there: {difference.present}"
        else:
            text = f"is {difference.present}, should be {difference.computed}"
        console.print(f"{difference.view} {key}: {text}", markup=False, highlight=False)
    if differences:
        typer.echo(f"{len(differences)} rows differ from the log; `omero-worker history rebuild` computes them anew.")
        raise typer.Exit(1)
    typer.echo(f"The views are what the log says, up to event {position}.")
