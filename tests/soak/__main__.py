"""``make soak``, ``python -m tests.soak``: what is lost, doubled or falsely told when the engine keeps dying."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer looks at annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.bench import machine
from tests.lab import lifecycle
from tests.lab.description import CHECKOUT, Lab, LabNotThere
from tests.soak import report
from tests.soak.soaking import Standing, soak
from tests.soak.stage import staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

OUTPUT = CHECKOUT / "var" / "soak"
console = Console(highlight=False)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    runs: Annotated[int, typer.Option(min=1, help="How many runs.")] = 1000,
    kill_every: Annotated[float, typer.Option(min=5, help="Seconds after which the engine is killed.")] = 30.0,
    timeout: Annotated[float, typer.Option(min=1, help="Minutes after which open runs count as lost.")] = 60.0,
    output: Annotated[Path, typer.Option(help="Folder of the report and of the engines' logs.")] = OUTPUT,
) -> None:
    """Accept runs with trivial jobs and drive them with an engine that is killed again and again.

    Real parts: OMERO's stand-in of the lab, sshd, Slurm with accounting, PostgreSQL, the engine service of a deployment
    of its own. The jobs are real, only the container runtime that they find is a stub that copies files.
    At the end Slurm, OMERO, the cluster's disk and the record are asked what is there. Exit status 1 unless every run
    is done, with one job and one set of results, and nothing is left over.
    """
    lab = Lab.load()
    logs = output / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    with lifecycle.in_use(lab.base), staged(lab) as stage, stage.deployment.record() as record, shown(runs) as say:
        figures, verdict = soak(
            stage,
            record,
            runs=runs,
            kill_every_s=kill_every,
            timeout_s=timeout * 60,
            log_directory=logs,
            report=say,
        )
        facts = machine.facts(lab) | {
            "kill every": f"{kill_every:g} s",
            "container runtime": "a stub that copies files",
        }
        report.write(output / "report.md", figures, verdict, facts)
    console.print(report.table(figures, verdict))
    for sentence in (*verdict.lost, *verdict.doubled, *verdict.false)[:20]:
        console.print(sentence, style="red", markup=False)
    console.print(f"Report: {output / 'report.md'}")
    console.print(verdict.line, style="green" if verdict.clean else "bold red")
    raise typer.Exit(0 if verdict.clean else 1)


@contextmanager
def shown(total: int) -> Iterator[Callable[[Standing], None]]:
    """Show how far the runs are; yields what is told about them."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("starting", total=total)

        def say(now: Standing) -> None:
            words = (
                f"accepted {now.accepted}, failed {now.failed}, paused {now.paused}, engine killed {now.kills} times"
            )
            progress.update(task, description=words, completed=now.done)

        yield say


def run(argv: Sequence[str] | None = None) -> None:
    """Run the command; that there is no lab is told in a sentence."""
    try:
        app(argv, prog_name="python -m tests.soak")
    except LabNotThere as error:
        console.print(f"[red]{error}[/]", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    run()
