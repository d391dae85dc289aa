"""``python -m tests.lab prepare|install|up|down|status``."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tests.lab import lifecycle
from tests.lab.description import Lab, LabNotThere, lab_base
from tests.lab.parts import PartFailed
from tests.lab.ports import NoFreeBlock

app = typer.Typer(help="The lab: real Slurm, sshd, PostgreSQL and an Ice-level OMERO on this machine.")
console = Console(highlight=False)

EXPECTED = (PartFailed, NoFreeBlock, LabNotThere, lifecycle.LabOfAnotherCheckout, lifecycle.NotALab)


@app.command()
def install() -> None:
    """Install every program that the lab needs (once, as root)."""
    script = Path(__file__).parent / "install/install.sh"
    raise typer.Exit(subprocess.run([script], check=False).returncode)


@app.command()
def prepare() -> None:
    """Make what takes long and is kept outside the lab: container images, sample images."""
    from tests.lab import samples
    from tests.lab.analyses import sif

    samples.fetch()
    for name in ("nuclei", "echo"):
        sif.ensure(name, report=_say)


@app.command()
def up(fresh: Annotated[bool, typer.Option("--fresh", help="Wipe the lab's state first.")] = False) -> None:
    """Start whatever does not run."""
    base, began = lab_base(), time.monotonic()
    started = lifecycle.up(base, fresh=fresh, report=_say)
    if not started.parts:
        console.print(f"The lab in {base} runs already; nothing to do.")
        return
    table = Table("part", "seconds")
    for name, took_s in started.parts:
        table.add_row(name, f"{took_s:.1f}")
    console.print(table)
    console.print(f"Up in {time.monotonic() - began:.1f} s. Described in {base / 'lab.json'}.")


@app.command()
def down(
    unless_used: Annotated[bool, typer.Option("--unless-used", help="Not while tests run against it.")] = False,
    wipe: Annotated[bool, typer.Option("--wipe", help="Remove its directory as well.")] = False,
) -> None:
    """Stop everything that the lab has started, with the jobs of its cluster."""
    base = lab_base()
    ran = lifecycle.down(base, unless_used=unless_used, report=_say)
    console.print(f"Stopped {len(ran)} daemons of the lab in {base}." if ran else f"Nothing to stop in {base}.")
    if wipe and not lifecycle.is_running(base):
        lifecycle.wipe(base)


@app.command()
def status() -> None:
    """Show how each part is; ends with status 1 unless all run."""
    base = lab_base()
    statuses = lifecycle.statuses(base)
    table = Table("part", "status")
    for name, text in statuses.items():
        table.add_row(name, f"[green]{text}[/]" if text == "running" else f"[red]{text}[/]")
    console.print(table)
    try:
        console.print(f"Lab in {base}, started from {Lab.load(base).checkout}.")
    except LabNotThere as error:
        console.print(f"{error}.")
    raise typer.Exit(0 if set(statuses.values()) == {"running"} else 1)


def _say(line: str) -> None:
    console.print(f"[dim]{line}[/]")


def main() -> None:
    """Run the command; what can be expected to go wrong is told in a sentence."""
    try:
        app()
    except EXPECTED as error:
        console.print(f"[red]{error}[/]")
        sys.exit(1)


if __name__ == "__main__":
    main()
