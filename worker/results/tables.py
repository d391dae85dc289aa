"""Result tables as OMERO.tables, written in batches and annotated on what they are about.

OMERO makes a table's file before its first row. A file that an interrupted attempt left behind is seen by nobody
(no annotation points to it) and is deleted before the table is written anew; the annotation comes last.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import omero
import omero.grid
import omero.sys
from omero.constants.namespaces import NSBULKANNOTATIONS
from omero.rtypes import unwrap

from worker.errors import ResultsError
from worker.pixels.session import call_context, who
from worker.results.attachments import annotate, linked
from worker.results.columns import is_missing, read_layout, read_rows
from worker.results.matching import match

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from worker.results.columns import Column, Layout
    from worker.results.ledger import Key, Ledger
    from worker.results.model import SourceFile
    from worker.results.surroundings import Place

BATCH_ROWS: Final = 10_000
"""Rows that are sent at once."""

IMAGE_COLUMN: Final = "Image"
"""Column of image ids that is added where it is known which image each row is about."""

_NO_IMAGE: Final = -1

_IMAGE_TITLES: Final = frozenset(
    {"image", "imagename", "imagefile", "imagefilename", "file", "filename", "filepath", "source", "sourceimage"}
)


def tables_enabled(gateway: BlitzGateway) -> bool:
    """Ask whether this OMERO has its tables service.

    Parameters
    ----------
    gateway : BlitzGateway
        A session.

    Returns
    -------
    bool
        True if tables can be made now.
    """
    return bool(gateway.c.sf.sharedResources().areTablesEnabled(call_context(gateway)))


def write_table(
    ledger: Ledger,
    key: Key,
    path: Path,
    name: str,
    *,
    sources: Sequence[SourceFile],
    about: SourceFile | None,
    places: Sequence[Place],
) -> int:
    """Write one CSV or TSV file as an OMERO.table, once.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Idempotency key of the table.
    path : Path
        The file.
    name : str
        Name of the table in OMERO.
    sources : Sequence of SourceFile
        What was analysed, to tell which image a row is about.
    about : SourceFile or None
        The image that the whole file is about, if it is about just one.
    places : Sequence of Place
        What to attach the table to.

    Returns
    -------
    int
        Id of the FileAnnotation.

    Raises
    ------
    ResultsError
        If the file is no table, or OMERO does not make one of it.
    """
    annotation_id = linked(ledger, key, places)
    if annotation_id is not None:
        return annotation_id
    layout = read_layout(path)
    images = _image_ids(path, layout, sources, about)
    _delete_leftovers(ledger, name)
    file_id = _write(ledger.gateway, path, name, layout, images)
    return annotate(ledger, key, file_id, NSBULKANNOTATIONS, f"Table of {path.name}", places)


def table_name(path: str, job_id: int, run_id: str) -> str:
    """Name the table of a result file.

    Parameters
    ----------
    path : str
        Path of the file.
    job_id : int
        Slurm's id of the job.
    run_id : str
        UUID of the run.

    Returns
    -------
    str
        ``<file>_<job>_<run>.csv``.
    """
    return f"{PurePosixPath(path).stem}_{job_id}_{run_id}.csv"


def _image_ids(
    path: Path, layout: Layout, sources: Sequence[SourceFile], about: SourceFile | None
) -> Mapping[str, int] | int | tuple[int, Mapping[str, int]] | None:
    """Say which image each row is about: one for all, or by the cells of a column; None if it cannot be told."""
    if about is not None:
        return about.image_id
    candidates = [
        index
        for index, column in enumerate(layout.columns)
        if _squeezed(column.title) in _IMAGE_TITLES or _squeezed(column.title).startswith("filename")
    ]
    for index in candidates:
        cells = {row[index] for row in read_rows(path, layout) if not is_missing(row[index])}
        ids = _resolved(cells, sources)
        if ids is not None:
            return index, ids
    return None


def _resolved(cells: Iterable[str], sources: Sequence[SourceFile]) -> Mapping[str, int] | None:
    """Find the image that each cell names; None unless every one names just one."""
    by_name: dict[str, set[int]] = {}
    for source in sources:
        for name in {source.name, source.path, PurePosixPath(source.path).name}:
            by_name.setdefault(name, set()).add(source.image_id)
    ids = {}
    for cell in cells:
        file = PurePosixPath(cell.strip().replace("\\", "/")).name
        exact = by_name.get(cell.strip()) or by_name.get(file) or set()
        if len(exact) == 1:
            ids[cell] = next(iter(exact))
            continue
        found = None if exact else match((file,), sources).sources.get(file)
        if found is None:
            return None
        ids[cell] = found.image_id
    return ids or None


def _squeezed(title: str) -> str:
    return "".join(character for character in title.lower() if character.isalnum())


def _write(gateway: BlitzGateway, path: Path, name: str, layout: Layout, images: Any) -> int:
    context = call_context(gateway)
    columns = _with_room(layout.columns) if images is not None else layout.columns
    resources = gateway.c.sf.sharedResources()
    repositories = resources.repositories(context)
    table = resources.newTable(repositories.descriptions[0].getId().val, name, context)
    if table is None:
        raise ResultsError(f"OMERO made no table for {path.name}: its tables service did not answer in time.")
    try:
        table.initialize(_grid_columns(columns, [], images, []), context)
        rows = read_rows(path, layout)
        while batch := list(islice(rows, BATCH_ROWS)):
            about = [_about(images, row) for row in batch] if images is not None else []
            table.addData(_grid_columns(columns, batch, images, about), context)
        return int(table.getOriginalFile(context).getId().val)
    except (omero.ApiUsageException, omero.ValidationException) as error:
        raise ResultsError(f"OMERO makes no table of {path.name}: {error.message}.") from error
    finally:
        table.close(context)


def _with_room(columns: Sequence[Column]) -> Sequence[Column]:
    """Make room for our own column of image ids, by the name that OMERO's clients know."""
    return tuple(
        replace(column, name=f"{column.name}_Name") if column.name == IMAGE_COLUMN else column for column in columns
    )


def _about(images: Any, row: Sequence[str]) -> int:
    if isinstance(images, int):
        return images
    index, ids = images
    return int(ids.get(row[index], _NO_IMAGE))


def _grid_columns(
    columns: Sequence[Column], batch: Sequence[Sequence[str]], images: Any, about: list[int]
) -> list[Any]:
    made = []
    for index, column in enumerate(columns):
        values = [column.value(row[index]) for row in batch]
        kind = getattr(omero.grid, f"{column.kind}Column")
        size = (column.size_bytes,) if column.kind == "String" else ()
        made.append(kind(column.name, column.description, *size, values))
    if images is not None:
        made.append(omero.grid.ImageColumn(IMAGE_COLUMN, "Image that the row is about", about))
    return made


def _delete_leftovers(ledger: Ledger, name: str) -> None:
    parameters = omero.sys.ParametersI()
    parameters.addString("name", name)
    parameters.addLong("user", who(ledger.gateway).user_id)
    rows = ledger.gateway.c.sf.getQueryService().projection(
        "select f.id from OriginalFile f where f.name = :name and f.mimetype = 'OMERO.tables'"
        " and f.details.owner.id = :user and not exists (select a.id from FileAnnotation a where a.file.id = f.id)",
        parameters,
        call_context(ledger.gateway),
    )
    ids = [unwrap(row[0]) for row in rows]
    if ids:
        ledger.delete("OriginalFile", ids)
