"""``make bench``, ``python -m tests.bench``: ours against the way it was done before, on this machine, in one run."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer looks at annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.bench import (
    appends,
    catchup,
    export,
    fetching,
    labels,
    machine,
    overhead,
    parse,
    polls,
    report,
    tables,
    ticks,
)
from tests.bench.micrographs import IMAGES, SHAPE, FieldSet, imported
from tests.bench.report import Figure, Row
from tests.bench.submission import BenchFailed, OurWay, Submission, reference_way
from tests.lab import lifecycle
from tests.lab.description import CHECKOUT, Lab, LabNotThere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

USER = "alice"
FORMAT = "zarr-0.4"
OUTPUT = CHECKOUT / "var" / "bench" / "bench.json"
console = Console(highlight=False)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class RowName(StrEnum):
    """What can be measured."""

    submit = "submit"
    dialog = "dialog"
    export = "export"
    overhead = "overhead"
    ticks = "ticks"
    catchup = "catchup"
    appends = "appends"
    polls = "polls"
    table = "table"
    fetch = "fetch"
    labels = "labels"


FIELDS = frozenset({RowName.submit, RowName.export})
"""Rows that are measured on micrographs."""


@app.command()
def bench(
    only: Annotated[
        list[RowName] | None, typer.Option("--only", help="Measure this row only; may be given several times.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=2, help="How often each way is gone, in turns; medians count.")] = 3,
    output: Annotated[Path, typer.Option(help="Where the figures go, as JSON.")] = OUTPUT,
) -> None:
    """Measure ours against the reference way, in turns, on the same lab and the same images.

    submit: from the start of the script's process to sbatch's return, for 24 micrographs.
    dialog: what OMERO waits for when somebody opens the dialog.
    export: the export of the micrographs alone.
    overhead: what the engine adds to a run besides Slurm's own time, for one run and for 50 at once.
    ticks: asking the cluster for 1, 100 and 1,000 jobs, against two round trips for each.
    catchup: from the start of a killed engine until it drives 1,000 open runs again.
    appends: appending events from four processes, against eventsourcing_sqlalchemy's recorder.
    polls: SQL statements for a job that has changed, and for one that has not.
    fetch: 10,000 small results and one of 1 GiB come home verified, against scp -r without and with sha256sum.
    table: a CSV of 200,000 rows becomes an OMERO.table, against omero-metadata's populate.
    labels: 100 label images of 2048 x 2048 pixels become images in OMERO, against ezomero.

    The lab must be up ('make lab-up'), except for 'dialog' alone. Everything that is put into OMERO and onto the
    cluster is removed at the end.
    """
    wanted = [name for name in RowName if not only or name in only]
    lab = Lab.load() if set(wanted) - {RowName.dialog} else None
    facts = machine.facts(lab)
    found: list[Row | Figure] = []
    with ExitStack() as stack:
        say = stack.enter_context(progress(sum(samples_of(name, repeat) for name in wanted)))
        if lab is not None:
            stack.enter_context(lifecycle.in_use(lab.base))
        if lab is not None and FIELDS & set(wanted):
            fields = stack.enter_context(imported(lab, USER, report=lambda words: say(words, 0)))
        for name in wanted:
            if lab is None or name is RowName.dialog:
                found.append(dialog_row(repeat, say))
            elif name in FIELDS:
                found.append((submit_row if name is RowName.submit else export_row)(lab, fields, repeat, say))
            else:
                found += of_the_engine(name, lab, repeat, say)
    report.write(output, found, facts | {"images": IMAGES, "shape": list(SHAPE), "repeat": repeat})
    rows = [each for each in found if isinstance(each, Row)]
    figures = [each for each in found if isinstance(each, Figure)]
    if rows:
        console.print(report.table(rows))
    if figures:
        console.print(report.figure_table(figures))
    console.print(f"Figures: {output}")


def samples_of(name: RowName, repeat: int) -> int:
    """How many samples a row takes."""
    match name:
        case RowName.catchup | RowName.polls:
            return 1
        case RowName.ticks:
            return repeat * len(ticks.JOBS)
        case _:
            return repeat


def of_the_engine(name: RowName, lab: Lab, repeat: int, say: Callable[[str, int], None]) -> Sequence[Row | Figure]:
    """Measure a row that is about the engine, its record, or results."""
    match name:
        case RowName.overhead:
            return overhead.measure(lab, repeat, say)
        case RowName.ticks:
            return ticks.measure(lab, repeat, say)
        case RowName.catchup:
            return catchup.measure(lab, say)
        case RowName.appends:
            return appends.measure(lab, repeat, say)
        case RowName.fetch:
            return fetching.measure(lab, repeat, say)
        case RowName.labels:
            return labels.measure(lab, repeat, say)
        case RowName.table:
            return tables.measure(lab, repeat, say)
        case _:
            return [polls.measure(lab, say)]


def submit_row(lab: Lab, fields: FieldSet, repeat: int, say: Callable[[str, int], None]) -> Row:
    """Measure the way from the script's start to sbatch's return."""
    ours: list[Submission] = []
    reference: list[Submission] = []
    with OurWay.deployed(lab) as our_way:
        for number in range(repeat):
            say(f"submit {number + 1}/{repeat}: the reference way", 0)
            reference.append(reference_way(lab, USER, fields.dataset_id))
            say(f"submit {number + 1}/{repeat}: our way", 0)
            ours.append(our_way.go(USER, fields.dataset_id))
            say(f"submit: {ours[-1].seconds:.2f} s, reference {reference[-1].seconds:.2f} s", 1)
    return Row(
        name="submit",
        title="script start to sbatch",
        ours=[each.seconds for each in ours],
        reference=[each.seconds for each in reference],
        unit="s",
        reference_is="export image by image, zip, SFTP, unzip, sbatch",
        details={
            "pixels_mib": fields.size_mib,
            "stages_s": {
                "ours": [dict(each.stages) for each in ours],
                "reference": [dict(each.stages) for each in reference],
            },
        },
    )


def dialog_row(repeat: int, say: Callable[[str, int], None]) -> Row:
    """Measure what it takes to learn the fields of the dialog."""
    say("dialog", 0)
    found = parse.measure(repetitions=max(repeat, parse.REPETITIONS))
    samples = found.pop("samples_s")
    say(f"dialog: {found['parse_s']:.3f} s, reference {found['import_omero_scripts_s']:.3f} s", repeat)
    # The ratio of the row is the other way round, as in the other rows.
    cost = {"parse_by_import": found.pop("ratio")}
    return Row(
        name="dialog",
        title="opening the dialog",
        ours=samples["parse"],
        reference=samples["import_omero_scripts"],
        unit="s",
        reference_is="a bare 'import omero.scripts', which every script needs",
        details=found | cost,
    )


def export_row(lab: Lab, fields: FieldSet, repeat: int, say: Callable[[str, int], None]) -> Row:
    """Measure both exporters."""
    ours, reference = [], []
    for number in range(repeat):
        say(f"export {number + 1}/{repeat}: omero-cli-zarr", 0)
        reference.append(export.export_once(lab, USER, fields, "omero-cli-zarr", FORMAT))
        say(f"export {number + 1}/{repeat}: our own exporter", 0)
        ours.append(export.export_once(lab, USER, fields, "own", FORMAT))
        say(f"export: {ours[-1]['seconds']:.2f} s, reference {reference[-1]['seconds']:.2f} s", 1)
    return Row(
        name="export",
        title="export only",
        ours=[each["seconds"] for each in ours],
        reference=[each["seconds"] for each in reference],
        unit="s",
        reference_is="omero-cli-zarr, in one process",
        details={"format": FORMAT, "pixels_mib": fields.size_mib, "ours": ours, "reference": reference},
    )


@contextmanager
def progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """Show what is being done, and print what has been found.

    Parameters
    ----------
    total : int
        How many samples are to be taken.

    Yields
    ------
    callable
        Called with words and the number of samples that were taken just now: words with samples stay on the screen.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as shown:
        task = shown.add_task("", total=total)

        def say(words: str, samples: int) -> None:
            shown.update(task, description=words, advance=samples)
            if samples:
                shown.console.print(f"[dim]{words}[/]")

        yield say


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; what can be expected to go wrong is told in a sentence."""
    try:
        app(argv, prog_name="python -m tests.bench")
    except (BenchFailed, LabNotThere) as error:
        console.print(f"[red]{error}[/]", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
