"""Typed columns of CSV files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from worker.errors import ResultsError
from worker.results.columns import legal_names
from worker.results.delimited import read_delimited

if TYPE_CHECKING:
    from pathlib import Path


def kinds(tmp_path: Path, *cells: str) -> str:
    path = tmp_path / "m.csv"
    path.write_text("\n".join(["id,v", *(f'0,"{cell}"' for cell in cells)]) + "\n")
    return read_delimited(path).columns[1].kind


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (("1", "-2", "+3"), "Long"),
        (("9223372036854775807",), "Long"),
        (("9223372036854775808",), "String"),
        (("1", "2.5"), "Double"),
        (("1e-3", ".5", "5."), "Double"),
        (("1", "inf", "-Infinity"), "Double"),
        (("true", "False"), "Bool"),
        (("a", "b"), "String"),
        (("1", "x"), "String"),
        (("true", "1"), "String"),
        (("007",), "String"),
        (("00.7",), "String"),
        (("1,5",), "String"),
        (("1_000",), "String"),
        (("0x10",), "String"),
    ],
)
def test_the_type_holds_all_cells(tmp_path: Path, cells: tuple[str, ...], kind: str) -> None:
    assert kinds(tmp_path, *cells) == kind


@pytest.mark.parametrize("missing", ["", " ", "NaN", "nan", "NA", "n/a", "null", "None"])
def test_integers_with_missing_cells_are_doubles(tmp_path: Path, missing: str) -> None:
    assert kinds(tmp_path, "1", missing) == "Double"


def test_integers_that_a_double_would_change_stay_text_when_some_are_missing(tmp_path: Path) -> None:
    assert kinds(tmp_path, str(2**53 + 1), "") == "String"


def test_truth_values_with_missing_cells_are_text(tmp_path: Path) -> None:
    assert kinds(tmp_path, "true", "") == "String"


def test_a_column_without_any_value_is_text(tmp_path: Path) -> None:
    assert kinds(tmp_path, "", "") == "String"


def test_a_table_without_rows_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("a,b\n")
    assert read_delimited(path).rows == 0


def test_a_missing_number_is_nan_and_a_missing_text_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("n,t\n1,a\n,NaN\n")
    layout = read_delimited(path)
    ((numbers, texts),) = layout.batches()
    assert numbers[0] == 1.0
    assert isinstance(numbers[1], float)
    assert math.isnan(numbers[1])
    assert texts == ["a", "NaN"]


def test_the_size_of_text_counts_bytes(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("t\nµm²\n", encoding="utf-8")
    assert read_delimited(path).columns[0].size_bytes == len("µm²".encode())


@pytest.mark.parametrize(
    ("name", "text"),
    [("m.csv", "a,b\n1,x\n"), ("m.csv", "a;b\n1;x\n"), ("m.csv", "a\tb\n1\tx\n"), ("m.tsv", "a\tb\n1\tx\n")],
)
def test_the_delimiter_is_found(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert [column.kind for column in read_delimited(tmp_path / name).columns] == ["Long", "String"]


def test_delimiters_inside_quotes_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text('"a,b,c";d\n1;2\n')
    assert [column.title for column in read_delimited(path).columns] == ["a,b,c", "d"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_the_encoding_is_found(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text("größe\nä\n", encoding=encoding)
    layout = read_delimited(path)
    assert layout.columns[0].title == "größe"
    assert list(layout.batches()) == [[["ä"]]]


def test_a_line_of_types_above_the_header_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("# header image,l\nimage,area\nx,1\n")
    assert [column.title for column in read_delimited(path).columns] == ["image", "area"]


def test_a_row_that_is_too_short_ends_in_missing_cells(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("a,b\nx\ny,z\n")
    assert list(read_delimited(path).batches()) == [[["x", "y"], ["", "z"]]]


def test_a_row_that_is_too_long_makes_the_file_no_table(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("a,b\n1,2,3\n")
    with pytest.raises(ResultsError, match=r"m.csv is no table: row 1 has 3 cells, its header has 2"):
        read_delimited(path)


def test_an_empty_file_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("\n\n")
    with pytest.raises(ResultsError, match="it is empty"):
        read_delimited(path)


def test_column_names_become_identifiers() -> None:
    titles = ["Area (µm²)", "a/b", "2nd", "class", "", "AREA um2", "größe", "细胞"]
    assert legal_names(titles) == (
        "Area_um2",
        "a_b",
        "column_2nd",
        "column_class",
        "column_5",
        "AREA_um2_2",
        "groe",
        "column_8",
    )
    assert all(name.isidentifier() for name in legal_names(titles))


def test_descriptions_keep_the_title_as_far_as_omero_can_store_it(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("Area (µm²),größe,a/b\n1,2,3\n", encoding="utf-8")
    assert [column.description for column in read_delimited(path).columns] == ["Area (um2)", r"gr\xf6\xdfe", "a/b"]
