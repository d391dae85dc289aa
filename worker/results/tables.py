"""Result tables as OMERO.tables, written in batches and annotated on what they are about.

OMERO makes a table's file before its first row. A file that an interrupted attempt left behind is seen by nobody
(no annotation points to it) and is deleted before the table is written anew; the annotation comes last.

An OMERO.table is one HDF5 file in which every row takes the same room, and whose description of its columns must fit
into 64 KB. What would need more than :data:`MAX_TABLE_BYTES`, or has too many columns, is not made a table. The tables
service makes room for all rows that it is sent at once, so that these are few where they are wide.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import omero
import omero.grid
import omero.sys
from omero.constants.namespaces import NSBULKANNOTATIONS
from omero.rtypes import unwrap

from worker.errors import ResultsError, TransferDamaged
from worker.pixels.session import call_context, who
from worker.results.attachments import annotate, linked
from worker.results.columns import legal_names
from worker.results.deletion import delete
from worker.results.delimited import read_delimited
from worker.results.naming import flat_names
from worker.results.references import Reference, find_references

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from worker.results.columns import Column, ResultTable, Value
    from worker.results.known import Known
    from worker.results.ledger import Key, Ledger
    from worker.results.model import SourceFile
    from worker.results.numbering import Numbering
    from worker.results.surroundings import Place

MAX_TABLE_BYTES: Final = 4 * 2**30
"""Most that a table may take in OMERO."""

MAX_SENT_BYTES: Final = 32 * 2**20
"""Most that the rows which are sent at once may take in OMERO."""

_HEADER_BYTES: Final = 64_000
"""What HDF5 has for describing columns, less a little for itself."""

_COLUMN_BYTES: Final = 52
"""What the description of a column takes besides its name."""


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """A table in OMERO.

    Parameters
    ----------
    annotation_id : int
        Id of the FileAnnotation.
    notes : tuple of str
        What a person should know of it.
    """

    annotation_id: int
    notes: tuple[str, ...] = ()


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


def read_table(path: Path) -> ResultTable:
    """Read a result table once and decide on its columns.

    Parameters
    ----------
    path : Path
        A file with one of the suffixes :data:`worker.results.columns.TABLE_SUFFIXES`.

    Returns
    -------
    ResultTable
        The table.

    Raises
    ------
    ResultsError
        If the file is no table.
    """
    if path.suffix.lower() == ".parquet":
        from worker.results.parquet import read_parquet  # see there

        return read_parquet(path)
    return read_delimited(path)


def write_table(
    ledger: Ledger,
    key: Key,
    path: Path,
    name: str,
    *,
    known: Known,
    about: SourceFile | None,
    places: Sequence[Place],
    numbering: Numbering | None = None,
) -> WrittenTable:
    """Write one result table as an OMERO.table, once.

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
    known : Known
        What its rows can be about.
    about : SourceFile or None
        The image that the whole file was made from, if that is one.
    places : Sequence of Place
        What to attach the table to.
    numbering : Numbering, optional
        What the tables of its folder have in common.

    Returns
    -------
    WrittenTable
        The table; the same for each repetition.

    Raises
    ------
    ResultsError
        If the file is no table, or OMERO does not make one of it.
    TransferDamaged
        If OMERO has other rows than were sent.
    """
    table = read_table(path)
    references, notes = find_references(table, known, about, numbering)
    said = tuple(f"{path.name}: {note}." for note in (*notes, *_left_out(table)))
    annotation_id = linked(ledger, key, places)
    if annotation_id is None:
        columns = with_room(table.columns, references)
        check_room(path.name, table.rows, columns, references)
        _delete_leftovers(ledger, name)
        try:
            file_id = _write(ledger.gateway, path, name, table, columns, references)
        except ResultsError:
            _delete_leftovers(ledger, name)
            raise
        annotation_id = annotate(ledger, key, file_id, NSBULKANNOTATIONS, _description(path.name, table), places)
    return WrittenTable(annotation_id, said)


def table_names(paths: Iterable[str], job_id: int, run_id: str) -> Mapping[str, str]:
    """Name the tables of result files.

    Parameters
    ----------
    paths : Iterable of str
        Paths of the files.
    job_id : int
        Slurm's id of the job.
    run_id : str
        UUID of the run.

    Returns
    -------
    Mapping
        Path to ``<file>_<job>_<run>.csv``; where several files have the same name, with their folders before it
        (``a/m.csv``: ``a_m_…``), and where they differ by their suffix alone, with it (``m.tsv``: ``m_tsv_…``).
    """
    bare = {path: str(PurePosixPath(path).with_suffix("")) for path in paths}
    stems = flat_names(dict.fromkeys(bare.values()))
    named = {path: stems[without] for path, without in bare.items()}
    several = Counter(named.values())
    return {
        path: f"{stem if several[stem] == 1 else f'{stem}_{PurePosixPath(path).suffix[1:]}'}_{job_id}_{run_id}.csv"
        for path, stem in named.items()
    }


def with_room(columns: Sequence[Column], references: Sequence[Reference]) -> tuple[Column, ...]:
    """Make room for our own columns of ids, which have the names that OMERO's clients know.

    Parameters
    ----------
    columns : Sequence of Column
        The columns of the file.
    references : Sequence of Reference
        What is added.

    Returns
    -------
    tuple of Column
        The columns of the file; ``Image`` is called ``Image_Name`` now, or ``Image_ID`` if it has numbers.
    """
    ours = {reference.kind.lower() for reference in references}
    wanted = [
        f"{column.name}_{'Name' if column.kind == 'String' else 'ID'}" if column.name.lower() in ours else column.name
        for column in columns
    ]
    # A column of the file may be called so already.
    names = legal_names(wanted, taken=ours)
    return tuple(replace(column, name=name) for column, name in zip(columns, names, strict=True))


def _description(name: str, table: ResultTable) -> str:
    """Describe a table; comments have no other place in it."""
    return "\n".join([f"Table of {name}", *table.comments])


def _left_out(table: ResultTable) -> list[str]:
    fields = getattr(table, "left_out", ())
    return [f"lists, structures and bytes have no place in a table; left out: {', '.join(fields)}"] if fields else []


def check_room(name: str, rows: int, columns: Sequence[Column], references: Sequence[Reference]) -> None:
    """Check that a table fits into OMERO.

    Parameters
    ----------
    name : str
        Name of its file.
    rows : int
        Number of its rows.
    columns : Sequence of Column
        Its columns.
    references : Sequence of Reference
        What is added to them.

    Raises
    ------
    ResultsError
        If it has more columns than HDF5 can describe, or would take more than :data:`MAX_TABLE_BYTES`.
    """
    titles = [*(column.name for column in columns), *(reference.kind for reference in references)]
    if sum(_COLUMN_BYTES + 8 * (len(title) // 8 + 1) for title in titles) > _HEADER_BYTES:
        raise ResultsError(
            f"{name} is no table for OMERO: {len(columns)} columns are more than it can hold, with"
            f" {sum(map(len, titles)):,} characters in their names."
        )
    width_bytes = _width_bytes(columns, references)
    if rows * width_bytes > MAX_TABLE_BYTES or width_bytes > MAX_SENT_BYTES:
        widest = max(columns, key=lambda column: column.width_bytes)
        raise ResultsError(
            f"{name} is no table for OMERO: each of its {rows} rows would take {width_bytes} bytes there, as"
            f" much as the longest text of each column; the longest, of {widest.title!r}, takes {widest.width_bytes}."
        )


def _width_bytes(columns: Sequence[Column], references: Sequence[Reference]) -> int:
    return sum(column.width_bytes for column in columns) + 8 * len(references)


def _write(
    gateway: BlitzGateway,
    path: Path,
    name: str,
    table: ResultTable,
    columns: Sequence[Column],
    references: Sequence[Reference],
) -> int:
    context = call_context(gateway)
    resources = gateway.c.sf.sharedResources()
    repositories = resources.repositories(context)
    made = resources.newTable(repositories.descriptions[0].getId().val, name, context)
    if made is None:
        raise ResultsError(f"OMERO made no table for {path.name}: its tables service did not answer in time.")
    try:
        made.initialize(_grid_columns(columns, [[] for _ in columns], references, 0), context)
        most = max(1, MAX_SENT_BYTES // _width_bytes(columns, references))
        for batch in table.batches():
            for start in range(0, len(batch[0]), most):
                part = [values[start : start + most] for values in batch]
                made.addData(_grid_columns(columns, part, references, len(part[0])), context)
        there = made.getNumberOfRows(context)
        if there != table.rows:
            raise TransferDamaged(f"OMERO has {there} rows of {path.name}, which has {table.rows}.")
        return int(made.getOriginalFile(context).getId().val)
    except (omero.ApiUsageException, omero.ValidationException, omero.InternalException) as error:
        reason = (error.message or "").strip().rpartition("\n")[2]
        raise ResultsError(f"OMERO makes no table of {path.name}: {reason or type(error).__name__}.") from error
    finally:
        made.close(context)


def _grid_columns(
    columns: Sequence[Column], batch: Sequence[Sequence[Value]], references: Sequence[Reference], rows: int
) -> list[Any]:
    made = []
    for column, values in zip(columns, batch, strict=True):
        kind = getattr(omero.grid, f"{column.kind}Column")
        size = (column.size_bytes,) if column.kind == "String" else ()
        made.append(kind(column.name, column.description, *size, values))
    for reference in references:
        kind = getattr(omero.grid, f"{reference.kind}Column")
        made.append(kind(reference.kind, f"{reference.kind} that the row is about", reference.ids(batch, rows)))
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
        delete(ledger.gateway, "OriginalFile", ids)
