"""Parquet files as tables."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from worker.errors import ResultsError
from worker.results.parquet import ParquetTable, read_parquet

if TYPE_CHECKING:
    from pathlib import Path


def table(tmp_path: Path, columns: dict[str, Any], **options: Any) -> ParquetTable:
    path = tmp_path / "m.parquet"
    parquet.write_table(pa.table(columns), path, **options)
    return read_parquet(path)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([1, -(2**63)]), "Long", [1, -(2**63)]),
        (pa.array([1, 2**63], pa.uint64()), "String", ["1", "9223372036854775808"]),
        (pa.array([2**53 + 1, None]), "String", ["9007199254740993", ""]),
        (pa.array([1.5, math.inf]), "Double", [1.5, math.inf]),
        (pa.array([decimal.Decimal("1.25")]), "Double", [1.25]),
        (pa.array([decimal.Decimal("1234567890.1234567890")]), "String", ["1234567890.1234567890"]),
        (pa.array([True, False]), "Bool", [True, False]),
        (pa.array([True, None]), "String", ["true", ""]),
        (pa.array(["a", "b"]).dictionary_encode(), "String", ["a", "b"]),
        (pa.array(["ü", None], pa.large_string()), "String", ["ü", ""]),
        (pa.array([dt.date(2026, 1, 2)]), "String", ["2026-01-02"]),
        (pa.array([1], pa.timestamp("ns")), "String", ["1970-01-01T00:00:00"]),
        (pa.array([0], pa.timestamp("s", tz="Europe/Berlin")), "String", ["1970-01-01T00:00:00Z"]),
        (pa.array([dt.timedelta(hours=1)]), "String", ["1:00:00"]),
        (pa.nulls(1), "String", [""]),
    ],
)
def test_types_follow_the_file(tmp_path: Path, values: pa.Array, kind: str, expected: list[Any]) -> None:
    found = table(tmp_path, {"v": values})
    assert found.columns[0].kind == kind
    assert list(found.batches()) == [[expected]]
    if kind == "String":
        assert found.columns[0].size_bytes >= max(len(text.encode()) for text in expected)


def test_integers_with_missing_ones_are_doubles(tmp_path: Path) -> None:
    found = table(tmp_path, {"v": pa.array([1, None])})
    ((values,),) = found.batches()
    assert found.columns[0].kind == "Double"
    assert values[0] == 1.0
    assert math.isnan(float(values[1]))


def test_a_missing_value_in_a_later_row_group_counts(tmp_path: Path) -> None:
    found = table(tmp_path, {"v": pa.array([2**60, 1, None])}, row_group_size=1)
    assert found.columns[0].kind == "String"
    assert [value for batch in found.batches() for value in batch[0]] == [str(2**60), "1", ""]


def test_lists_and_bytes_are_left_out_and_named(tmp_path: Path) -> None:
    found = table(tmp_path, {"a.b": [1], "l": [[1]], "raw": [b"x"], "s": [{"x": 1}]})
    assert [column.name for column in found.columns] == ["a_b"]
    assert found.left_out == ("l", "raw", "s")
    assert list(found.batches(only=[0])) == [[[1]]]


def test_a_file_without_plain_columns_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"m\.parquet is no table: it has no plain columns"):
        table(tmp_path, {"l": [[1]]})


def test_a_file_without_rows_is_a_table(tmp_path: Path) -> None:
    found = table(tmp_path, {"v": pa.array([], pa.int64())})
    assert (found.rows, list(found.batches())) == (0, [])


def test_a_truncated_file_is_no_table(tmp_path: Path) -> None:
    table(tmp_path, {"v": list(range(1000))})
    whole = (tmp_path / "m.parquet").read_bytes()
    (tmp_path / "m.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ResultsError, match=r"m\.parquet is no table: it is no Parquet file, or damaged"):
        read_parquet(tmp_path / "m.parquet")


def test_a_file_with_damaged_pages_is_no_table(tmp_path: Path) -> None:
    table(tmp_path, {"v": list(range(100_000))}, compression="snappy", use_dictionary=False)
    whole = bytearray((tmp_path / "m.parquet").read_bytes())
    whole[4:3000] = bytes(2996)
    (tmp_path / "m.parquet").write_bytes(whole)
    with pytest.raises(ResultsError, match="or damaged"):
        read_parquet(tmp_path / "m.parquet")


def test_nobody_pays_for_pyarrow_who_has_no_parquet_file() -> None:
    code = "import sys, worker.results.importer; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False).returncode == 0


def test_batches_are_small_however_long_the_texts_are(tmp_path: Path) -> None:
    found = table(tmp_path, {"text": ["x" * 100_000] * 500, "n": list(range(500))})
    batches = list(found.batches())
    assert max(sum(map(len, map(str, batch[0]))) for batch in batches) <= 8 * 2**20
    assert [value for batch in batches for value in batch[1]] == list(range(500))
    # Whoever wants no more rows leaves nothing behind.
    some = iter(found.batches())
    next(some)
    some.close()  # type: ignore[attr-defined]  # a generator


def bomb(path: Path, length: int, rows: int, **options: Any) -> Path:
    """A few kilobytes in which the same long text stands in every row."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * length]))
    parquet.write_table(pa.table({"text": texts}), path, compression="zstd", **options)
    assert path.stat().st_size < 64_000
    return path


def test_a_small_file_of_very_much_text_takes_its_own_process_only(tmp_path: Path) -> None:
    much = bomb(tmp_path / "much.parquet", 2**22, 1_000)
    code = (
        "import sys; from pathlib import Path; from worker.results.parquet import read_parquet\n"
        "try: read_parquet(Path(sys.argv[1]))\n"
        "finally: print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(much)], capture_output=True, text=True, check=False)
    assert "much.parquet is no table: its rows take more than 1 GiB of memory" in ended.stderr
    assert int(ended.stdout) < 256 * 1024


def test_a_row_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"m\.parquet is no table: one of its rows has 104,\d{3},\d{3} bytes"):
        read_parquet(bomb(tmp_path / "m.parquet", 100 * 2**20, 3))
