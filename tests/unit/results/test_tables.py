"""Names and columns of OMERO.tables."""

from __future__ import annotations

import pytest

from worker.errors import ResultsError
from worker.results.columns import Column
from worker.results.references import Reference
from worker.results.tables import check_room, table_names, with_room


def test_a_table_is_named_after_its_file_job_and_run() -> None:
    assert table_names(["out/m.csv"], 42, "r") == {"out/m.csv": "m_42_r.csv"}


def test_tables_of_one_name_are_told_apart_by_folders_and_suffixes() -> None:
    assert table_names(["a/m.csv", "b/m.csv", "m.tsv", "n.csv", "n.parquet"], 42, "r") == {
        "a/m.csv": "a_m_42_r.csv",
        "b/m.csv": "b_m_42_r.csv",
        "m.tsv": "m_42_r.csv",
        "n.csv": "n_csv_42_r.csv",
        "n.parquet": "n_parquet_42_r.csv",
    }


def reference(kind: str) -> Reference:
    return Reference(kind, (), lambda _: (1,))


def names(*columns: Column, references: str = "Image") -> list[str]:
    return [each.name for each in with_room(columns, [reference(references)])]


def test_the_names_that_clients_know_are_those_of_our_ids() -> None:
    text, number = Column("image", "image", "String", 9), Column("Image", "Image", "Long", 1)
    assert names(text) == ["image_Name"]
    assert names(number) == ["Image_ID"]
    assert names(text, Column("image_Name", "x", "String", 1)) == ["image_Name", "image_Name_2"]
    assert names(text, references="Well") == ["image"]


def test_more_columns_than_hdf5_can_describe_are_refused() -> None:
    columns = [Column(f"column_{number}", "", "Double", 1) for number in range(2_000)]
    check_room("m.csv", 10, columns[:900], [])
    with pytest.raises(ResultsError, match=r"m\.csv is no table for OMERO: 2000 columns are more than it can hold"):
        check_room("m.csv", 10, columns, [])


def test_a_table_that_one_long_text_would_blow_up_is_refused() -> None:
    columns = [Column("n", "n", "Long", 1), Column("log", "Log", "String", 100_000)]
    check_room("m.csv", 40_000, columns, [])
    with pytest.raises(ResultsError, match="the longest, of 'Log', takes 100000"):
        check_room("m.csv", 50_000, columns, [])


def test_a_row_that_is_too_wide_to_be_sent_is_refused() -> None:
    columns = [Column(f"text_{number}", "Text", "String", 131_072) for number in range(300)]
    with pytest.raises(ResultsError, match="each of its 1 rows would take 39321600 bytes there"):
        check_room("m.csv", 1, columns, [])
