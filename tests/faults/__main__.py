"""``make faults``, ``python -m tests.faults``: every fault at every boundary of a run, on real parts."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - typer looks at annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.bench import machine
from tests.faults import cases as every
from tests.faults import report
from tests.faults.kinds import KINDS
from tests.faults.stage import grounds
from tests.faults.survey import survey
from tests.faults.trying import WIDTH, Outcome, Trying
from tests.lab import lifecycle
from tests.lab.description import CHECKOUT, Lab, LabNotThere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

OUTPUT = CHECKOUT / "var" / "faults"
console = Console(highlight=False)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    only: Annotated[str, typer.Option(help="Names of cases, or how they begin; * stands for anything.")] = "",
    kind: Annotated[str, typer.Option(help=f"Only runs of these kinds: {', '.join(KINDS)}.")] = "",
    seed: Annotated[int | None, typer.Option(help="Draw cases at random, the same for the same seed.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many are drawn.")] = 100,
    everywhere: Annotated[bool, typer.Option("--everywhere", help="Leave no place out.")] = False,
    width: Annotated[int, typer.Option(min=1, help="How many are tried at a time.")] = WIDTH,
    names: Annotated[bool, typer.Option("--list", help="Only say which cases there are.")] = False,
    output: Annotated[Path, typer.Option(help="Folder of the report and of the engines' logs.")] = OUTPUT,
) -> None:
    """Let something go wrong at each boundary of a run, and see that nothing is lost, doubled or falsely told.

    Real parts: OMERO's stand-in of the lab, sshd, Slurm with accounting, PostgreSQL, the engine service as a process of
    its own. The jobs are real, only the container runtime that they find is a stub that copies files.
    After each case Slurm, OMERO, the cluster's disk and the record are asked what is there. Exit status 1 unless every
    run has come to its end, or told truly why not, with one job and one set of results, and nothing left over.
    """
    lab = Lab.load()
    logs = output / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    started = time.monotonic()
    kinds = _kinds(kind)
    in_place = any(KINDS[name].in_place for name in kinds)
    with lifecycle.in_use(lab.base), grounds(lab, with_importer=in_place) as ground:
        surveys = {name: survey(ground, KINDS[name]) for name in kinds}
        places = {name: each.places for name, each in surveys.items()}
        cases = every.matrix(places, thinned=not everywhere)
        cases = every.only(cases, places, only) if only else cases
        if seed is not None:
            cases = every.drawn(places, seed, count, among={case.fault for case in cases})
        if names:
            console.print(*map(str, cases), sep="\n", markup=False)
            return
        with shown(len(cases)) as tell:
            outcomes = Trying(ground, surveys, logs, width=width, tell=tell).all(cases)
        facts = machine.facts(lab) | {
            "places of a run": ", ".join(f"{name} {len(places[name])}" for name in places),
            "cases at a time": width,
            "minutes": f"{(time.monotonic() - started) / 60:.1f}",
            "seed": "none" if seed is None else seed,
            "container runtime": "a stub that copies files",
        }
        report.write(output / "report.md", outcomes, facts)
    console.print(f"Report: {output / 'report.md'}")
    console.print(report.line(outcomes), style="green" if report.clean(outcomes) else "bold red")
    raise typer.Exit(0 if report.clean(outcomes) else 1)


def _kinds(text: str) -> list[str]:
    """Read which kinds are wanted; all if nothing is said."""
    wanted = text.replace(",", " ").split() or list(KINDS)
    unknown = [name for name in wanted if name not in KINDS]
    if unknown:
        raise ValueError(f"there is no kind {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return wanted


@contextmanager
def shown(total: int) -> Iterator[Callable[[Outcome], None]]:
    """Show how far the cases are; yields what is told of each."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("starting", total=total)

        def tell(outcome: Outcome) -> None:
            progress.update(task, description=outcome.name, advance=1)
            if outcome.verdict.clean and outcome.struck and sys.stdout.isatty():
                return
            state = "ok" if outcome.verdict.clean else "NOT WELL"
            met = "" if outcome.struck else ", the fault did not meet it"
            progress.console.print(f"{state} {outcome.name} ({outcome.seconds:.1f} s{met})", markup=False)
            for sentence in report.sentences(outcome):
                progress.console.print(f"  {sentence}", style="red", markup=False)
            if not outcome.verdict.clean:
                progress.console.print(f"  {report.repeat(outcome)}", markup=False)

        yield tell


def run(argv: Sequence[str] | None = None) -> None:
    """Run the command; that there is no lab is told in a sentence."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)  # what was set up is taken down, in the background too
    try:
        app(argv, prog_name="python -m tests.faults")
    except (LabNotThere, ValueError) as error:
        console.print(f"[red]{error}[/]", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    run()
