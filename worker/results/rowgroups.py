"""The rows of a Parquet file, read by a process of its own, which may take so much memory and no more.

What a Parquet file takes is known only when it is decoded: one of a kilobyte may say that ten thousand cells hold the
same hundred megabytes. So another process decodes it, with a limit on its memory, and sends batches of rows that are
small. Nothing that it does to itself happens to us.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyarrow import parquet, types

from worker.errors import ResultsError
from worker.results.columns import BATCH_CELLS, BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MEMORY_BYTES: Final = 2**30
"""What the process may take beside its libraries."""

_BATCH_BYTES: Final = 8 * 2**20
_ROW_BYTES_MAX: Final = 64 * 2**20
_LEFT_OUT: Final = b"left out"
_REFUSED: Final = 3
_EXACT_DIGITS: Final = 15


@contextmanager
def open_rows(path: Path, fields: Sequence[str] | None = None) -> Iterator[Any]:
    """Read a Parquet file.

    Parameters
    ----------
    path : Path
        The file.
    fields : Sequence of str, optional
        Which of its columns; all that can be columns of a table, if they are not given.

    Yields
    ------
    pyarrow.RecordBatchStreamReader
        Batches of rows, none of which is large.

    Raises
    ------
    ResultsError
        If the file is no table, or takes too much memory.
    """
    command = [sys.executable, "-m", "worker.results.rowgroups", os.fspath(path)]
    # Arrow's own allocator, and each arena of the C library's, take address space that nobody uses, which is limited.
    env = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as said:
        asked.write(json.dumps(None if fields is None else list(fields)).encode())
        asked.seek(0)
        with subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE, stderr=said, env=env) as process:
            try:
                with pa.ipc.open_stream(process.stdout) as reader:
                    yield reader
                # An end of the stream before its time looks like any other.
                if process.wait():
                    raise _refusal(path, process, said)
            except (pa.ArrowException, OSError) as error:
                raise _refusal(path, process, said) from error


def left_out(reader: Any) -> tuple[str, ...]:
    """Name the columns of the file that no column of a table can hold."""
    return tuple(json.loads(reader.schema.metadata[_LEFT_OUT]))


def kind_of(kind: Any) -> str:
    """Say which kind of column holds values of a type of Arrow; empty if none does."""
    if types.is_dictionary(kind):
        kind = kind.value_type
    if types.is_boolean(kind):
        return "Bool"
    if types.is_integer(kind):
        return "Long"
    if types.is_floating(kind):
        return "Double"
    if types.is_decimal(kind):
        return "Double" if kind.precision <= _EXACT_DIGITS else "String"
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_temporal, types.is_null)
    return "String" if any(is_text(kind) for is_text in texts) else ""


def _refusal(path: Path, process: subprocess.Popen[bytes], said: Any) -> ResultsError:
    code = process.wait()
    said.seek(0)
    why = said.read().decode(errors="replace").strip()
    if code != _REFUSED or not why:
        why = f"nothing could read it within {MEMORY_BYTES / 2**30:.0f} GiB of memory"
    return ResultsError(f"{path.name} is no table: {why}.")


def _send(path: Path, wanted: Sequence[str] | None) -> None:
    """Read the file and write its rows to the standard output."""
    # One thread, and nothing read ahead: a row group at a time is what stays in memory.
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        found = file.schema_arrow
        if len(set(found.names)) != len(found):
            raise ResultsError("two of its columns have the same name")
        plain = [field for field in found if kind_of(field.type)]
        if not plain:
            raise ResultsError("it has no plain columns")
        others = [field.name for field in found if not kind_of(field.type)]
        fields = [pa.field(each.name, _decoded(each.type)) for each in plain if wanted is None or each.name in wanted]
        schema = pa.schema(fields, {_LEFT_OUT: json.dumps(others).encode()})
        limit = max(1, min(BATCH_ROWS, BATCH_CELLS // max(len(fields), 1)))
        with pa.ipc.new_stream(sys.stdout.buffer, schema) as writer:
            for batch in file.iter_batches(batch_size=limit, columns=schema.names, use_threads=False):
                columns = [batch.column(field.name).cast(field.type) for field in fields]
                for part in _small(pa.record_batch(columns, schema=schema) if columns else batch):
                    writer.write_batch(part)


def _decoded(kind: Any) -> Any:
    """Give the type of the values themselves, so that a batch is as large as it looks."""
    return kind.value_type if types.is_dictionary(kind) else kind


def _small(batch: Any) -> Iterator[Any]:
    if batch.nbytes <= _BATCH_BYTES or (batch.num_rows == 1 and batch.nbytes <= _ROW_BYTES_MAX):
        yield batch
    elif batch.num_rows == 1:
        raise ResultsError(f"one of its rows has {batch.nbytes:,} bytes, and {_ROW_BYTES_MAX:,} are the most")
    else:
        half = batch.num_rows // 2
        yield from _small(batch.slice(0, half))
        yield from _small(batch.slice(half))


def main() -> int:
    """Read the file that the command line names, and write its rows as a stream of Arrow."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES,) * 2)
    try:
        _send(Path(sys.argv[1]), json.load(sys.stdin))
    except BrokenPipeError:
        return 1
    except MemoryError:
        print(f"its rows take more than {MEMORY_BYTES / 2**30:.0f} GiB of memory", file=sys.stderr)
    except ResultsError as error:
        print(error.message, file=sys.stderr)
    except (pa.ArrowException, OSError, ValueError) as error:
        print(f"it is no Parquet file, or damaged ({error})", file=sys.stderr)
    else:
        return 0
    return _REFUSED


if __name__ == "__main__":
    raise SystemExit(main())
