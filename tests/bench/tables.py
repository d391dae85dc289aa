"""How fast a table of measurements becomes an OMERO.table: ours against ``omero_metadata.populate``.

Both read the same CSV, whose first line declares its columns as populate needs it, find the image that each row names
and attach the table to the dataset; each in a process of its own, whose peak of memory is its own too.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import omero.model

from tests.bench.micrographs import imported
from tests.bench.report import Figure, Row
from tests.lab.description import CHECKOUT, Lab
from tests.lab.person import logged_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from omero.gateway import BlitzGateway

Way = Literal["ours", "reference"]

ROWS = 200_000
FEW_ROWS = 20_000
USER = "alice"

_TYPES = ("s", "l", "d", "d", "d", "d", "l", "s", "b", "s")
_TITLES = ("Image Name", "label", "area", "perimeter", "eccentricity", "mean", "max", "class", "touching", "comment")
_KINDS = {"s": "StringColumn", "l": "LongColumn", "d": "DoubleColumn", "b": "BoolColumn"}


def measure(lab: Lab, repeat: int, say: Callable[[str, int], None]) -> Sequence[Row | Figure]:
    """Bring one table of 200,000 rows into OMERO, both ways in turns, and a tenth of it ours.

    Parameters
    ----------
    lab : Lab
        A running lab.
    repeat : int
        How often each way is gone.
    say : callable
        Is told what is done, and how many samples were taken.

    Returns
    -------
    sequence of Row or Figure
        The comparison, and how far our peak of memory grows when the rows are ten times as many.
    """
    found: dict[tuple[Way, int], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as directory, imported(lab, USER, images=2, shape=(1, 1, 1, 8, 8)) as fields:
        for number in range(repeat):
            for way, rows in (("reference", ROWS), ("ours", ROWS), ("ours", FEW_ROWS)):
                say(f"table {number + 1}/{repeat}: {way}, {rows:,} rows", 0)
                path = Path(directory) / f"table {number} {way} {rows}.csv"
                write_csv(path, rows)
                sample = _in_a_process(way, path, fields.dataset_id)
                found.setdefault((way, rows), []).append(sample)  # type: ignore[arg-type]  # the words are Ways
                path.unlink()
            ours, reference = found["ours", ROWS][-1], found["reference", ROWS][-1]
            say(f"table: {ours['seconds']:.2f} s, reference {reference['seconds']:.2f} s", 1)
    peaks = {key: [sample["peak_mib"] for sample in samples] for key, samples in found.items()}
    return [
        Row(
            name="table",
            title=f"CSV of {ROWS:,} rows to OMERO.table",
            ours=[sample["seconds"] for sample in found["ours", ROWS]],
            reference=[sample["seconds"] for sample in found["reference", ROWS]],
            unit="s",
            reference_is="omero_metadata.populate",
            details={
                "columns": len(_TITLES),
                "peak_mib": {"ours": peaks["ours", ROWS], "reference": peaks["reference", ROWS]},
                f"ours_{FEW_ROWS}_rows_s": [sample["seconds"] for sample in found["ours", FEW_ROWS]],
            },
        ),
        Figure(
            name="table",
            title=f"memory of a table: peak with {ROWS:,} rows less peak with {FEW_ROWS:,}",
            samples=[many - few for many, few in zip(peaks["ours", ROWS], peaks["ours", FEW_ROWS], strict=True)],
            unit="MiB",
            details={"peak_mib": {str(FEW_ROWS): peaks["ours", FEW_ROWS], str(ROWS): peaks["ours", ROWS]}},
        ),
    ]


def write_csv(path: Path, rows: int) -> None:
    """Write measurements of cells: ten columns of mixed types, the first naming one of two images.

    Parameters
    ----------
    path : Path
        The file.
    rows : int
        How many rows.
    """
    chance = random.Random(5)
    classes = ("interphase", "mitotic", "apoptotic")
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([f"# header {_TYPES[0]}", *_TYPES[1:]])
        writer.writerow(_TITLES)
        for row in range(rows):
            sizes = [chance.random() * scale for scale in (500, 90, 1, 4095)]
            texts = (chance.choice(classes), chance.choice(("true", "false")), "" if row % 7 else "5 µm off")
            writer.writerow([f"field {row % 2:02}", row // 2 + 1, *sizes, chance.randrange(4096), *texts])


def go(way: Way, path: Path, dataset_id: int) -> dict[str, float]:
    """Bring a CSV into OMERO.

    Parameters
    ----------
    way : str
        ``ours`` or ``reference``.
    path : Path
        The CSV.
    dataset_id : int
        The dataset of the images that it names.

    Returns
    -------
    dict
        ``seconds``, from an open session to the table's annotation, and ``peak_mib`` of this process.
    """
    bring = _ours if way == "ours" else _reference
    with logged_in(Lab.load(), USER) as gateway:
        start = time.perf_counter()
        file_id = bring(gateway, path, dataset_id)
        seconds = time.perf_counter() - start
        # Of this process, before anything is read back.
        peak_mib = _peak_mib()
        _check(gateway, file_id, path)
    return {"seconds": round(seconds, 3), "peak_mib": round(peak_mib, 1)}


def _ours(gateway: BlitzGateway, path: Path, dataset_id: int) -> int:
    from worker.results.importer import import_results  # the other way does not pay for it
    from worker.results.model import ImportOptions, Provenance, SourceFile

    images = gateway.getObject("Dataset", dataset_id).listChildren()
    sources = [
        SourceFile(f"{image.getName()}.zarr", "Image", image.getId(), image.getId(), image.getName())
        for image in images
    ]
    provenance = Provenance(str(uuid.uuid4()), str(uuid.uuid4()), 1, "bench")
    options = ImportOptions(zip_to_parent=False, csv_tables=True)
    report = import_results(gateway, path.parent, [path.name], sources, options, provenance)
    (table,) = [each for each in report.objects if each.kind == "FileAnnotation"]
    return int(gateway.getObject("FileAnnotation", table.object_id).getFile().getId())


def _reference(gateway: BlitzGateway, path: Path, dataset_id: int) -> int:
    from omero_metadata.populate import ParsingContext  # imports pandas, which ours does not need

    context = ParsingContext(gateway.c, omero.model.DatasetI(dataset_id, False), file=str(path))
    return int(context.parse())


def _peak_mib() -> float:
    """Peak of memory of this process; getrusage also counts what the parent had when it started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def _check(gateway: BlitzGateway, file_id: int, path: Path) -> None:
    """Make sure that the table is the one that was asked for: neither way is quick by leaving something out."""
    table = gateway.c.sf.sharedResources().openTable(omero.model.OriginalFileI(file_id, False))
    try:
        with path.open(encoding="utf-8") as stream:
            rows = sum(1 for _ in stream) - 2
        headers = {header.name: type(header).__name__ for header in table.getHeaders()}
        kinds = [_KINDS[kind] for kind in _TYPES]
        images = table.read([list(headers).index("Image")], 0, 2).columns[0].values
        if table.getNumberOfRows() != rows or list(headers.values())[: len(kinds)] != kinds or len(set(images)) != 2:
            raise RuntimeError(f"the table has {table.getNumberOfRows()} rows of {headers}, about images {images}")
    finally:
        table.close()


def _in_a_process(way: str, path: Path, dataset_id: int) -> dict[str, float]:
    argv = [sys.executable, "-W", "ignore", "-m", "tests.bench.tables", way, str(path), str(dataset_id)]
    done = subprocess.run(argv, cwd=CHECKOUT, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{way}: {done.stderr[-2000:]}")
    sample: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return sample


if __name__ == "__main__":
    chosen: Way = "ours" if sys.argv[1] == "ours" else "reference"
    print(json.dumps(go(chosen, Path(sys.argv[2]), int(sys.argv[3]))))
