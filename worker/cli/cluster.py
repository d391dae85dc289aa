"""``omero-worker cluster``: set clusters up, and look whether they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from worker.cli.report import as_json, exit_by, show
from worker.engine import setup
from worker.engine.assembly import open_settings, open_transports

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.engine.setup import SetupReport
    from worker.settings.models import ClusterSettings, Settings

app = typer.Typer(no_args_is_help=True)

Names = Annotated[
    list[str] | None, typer.Option("--cluster", help="Only this cluster; may be repeated. By default all there are.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.callback()
def cluster() -> None:
    """Set clusters up, and look whether they are."""


@app.command("init")
def init(
    names: Names = None,
    workflow: Annotated[str | None, typer.Option(help="Only the image of this workflow.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Pull images anew that are there already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be done.")] = False,
    json_wanted: AsJson = False,
) -> None:
    """Make folders, bring job scripts and pull container images; what is as it should be is left alone.

    May be stopped and called again at any time: pulls go on by themselves, and the next call waits for them.
    """
    settings, environment = open_settings()
    with open_transports(settings) as transports:
        reports = setup.set_up(
            settings,
            _chosen(settings, names, workflow),
            state_dir=environment.state_dir,
            transports=transports,
            report=_progress(),
            workflow=workflow,
            force=force,
            dry_run=dry_run,
        )
    _tell(reports, json_wanted=json_wanted)
    if not json_wanted:
        _sum_up(reports, dry_run=dry_run)
    exit_by(reports.values())


@app.command("check")
def check(names: Names = None, json_wanted: AsJson = False) -> None:
    """Look at login, Slurm, partitions, disks, container runtime and images, and say how to mend what is wrong."""
    settings, environment = open_settings()
    with open_transports(settings) as transports:
        reports = {
            each.name: setup.inspect(
                settings, each, transports(each.name), state_dir=environment.state_dir, report=_progress()
            )
            for each in _chosen(settings, names, None)
        }
    _tell(reports, json_wanted=json_wanted)
    exit_by(reports.values())


def _chosen(settings: Settings, names: list[str] | None, workflow: str | None) -> list[ClusterSettings]:
    """The clusters that are meant: those that are named, else that of the workflow, else all."""
    if not names and workflow is not None:
        return [settings.cluster(settings.workflow(workflow).cluster)]
    return [settings.cluster(name) for name in names] if names else list(settings.clusters.values())


def _progress() -> Callable[[str], None]:
    """Tell what goes on beside the report, which may be read by a program."""
    console = Console(stderr=True, soft_wrap=True)
    return lambda text: console.print(text, style="dim", markup=False, highlight=False)


def _tell(reports: dict[str, SetupReport], *, json_wanted: bool) -> None:
    if json_wanted:
        typer.echo(as_json(reports))
        return
    for name, report in reports.items():
        show(f"Cluster {name}", report.items)


def _sum_up(reports: dict[str, SetupReport], *, dry_run: bool) -> None:
    changed = any(report.changed for report in reports.values())
    if dry_run:
        typer.echo("This was a dry run: nothing was changed.")
    elif not changed:
        typer.echo("Nothing was changed.")
    for name, report in reports.items():
        typer.echo(f"{name}: {report.summary()}")
