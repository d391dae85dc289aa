"""The table that both ways are measured with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.tables import write_csv
from worker.results.delimited import read_delimited

if TYPE_CHECKING:
    from pathlib import Path


def test_the_table_has_ten_columns_of_mixed_types_and_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    for path in (first, second):
        write_csv(path, 100)
    assert first.read_bytes() == second.read_bytes()
    table = read_delimited(first)
    assert (table.rows, table.declared) == (100, True)
    assert [column.kind for column in table.columns] == [
        *("String", "Long", "Double", "Double", "Double", "Double", "Long", "String", "Bool", "String")
    ]
