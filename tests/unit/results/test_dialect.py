"""How CSV files are written by real programs, and where their headers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.errors import ResultsError
from worker.results.delimited import DelimitedTable, read_delimited, read_titles

if TYPE_CHECKING:
    from pathlib import Path


def table(tmp_path: Path, text: str, *, name: str = "m.csv", encoding: str = "utf-8") -> DelimitedTable:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return read_delimited(path)


def rows(found: DelimitedTable) -> list[list[object]]:
    columns = [[value for batch in found.batches() for value in batch[at]] for at in range(len(found.columns))]
    return [list(row) for row in zip(*columns, strict=True)]


def titles(found: DelimitedTable) -> list[str]:
    return [column.title for column in found.columns]


def test_comments_above_the_header_are_no_rows_and_are_kept(tmp_path: Path) -> None:
    found = table(tmp_path, '# made by "nuclei v1\n# at 12:00, twice\n\nname,area\na,1.5\n')
    assert (titles(found), rows(found)) == (["name", "area"], [["a", 1.5]])
    assert found.comments == ('made by "nuclei v1', "at 12:00, twice")


@pytest.mark.parametrize(
    ("text", "header", "cells"),
    [
        # numpy.savetxt
        ("# x,y\n1.5,2\n3,4\n", ["x", "y"], [[1.5, 2], [3.0, 4]]),
        ("# area\n1\n2\n", ["area"], [[1], [2]]),
        ("#id,name\na,b\nc,d\n", ["id", "name"], [["a", "b"], ["c", "d"]]),
        ("#,area\n1,2\n", ["#", "area"], [[1, 2]]),
        ("# x,y\n", ["x", "y"], []),
        # A remark that happens to have as many cells as the header.
        ("# cells, v2\nname,area\na,1\n", ["name", "area"], [["a", 1]]),
    ],
)
def test_a_header_behind_the_mark_of_a_comment_is_told_from_a_remark(
    tmp_path: Path, text: str, header: list[str], cells: list[list[object]]
) -> None:
    found = table(tmp_path, text)
    assert (titles(found), rows(found)) == (header, cells)


def test_comments_may_stand_above_a_line_that_declares_the_columns(tmp_path: Path) -> None:
    found = table(tmp_path, "# by us\n# header image,l\nimage,n\nx,1\n")
    assert found.declared
    assert rows(found) == [["x", 1]]


def test_a_first_line_may_name_the_delimiter(tmp_path: Path) -> None:
    assert rows(table(tmp_path, "sep=;\r\na,b;c\r\n1,5;2\r\n")) == [[1.5, 2]]


def test_a_semicolon_separates_though_titles_and_numbers_have_commas(tmp_path: Path) -> None:
    found = table(tmp_path, "Area, µm²;Perimeter, µm;Mean, grey, raw\n1,5;2,5;3\n2,5;3,5;4\n")
    assert titles(found) == ["Area, µm²", "Perimeter, µm", "Mean, grey, raw"]
    assert rows(found) == [[1.5, 2.5, 3], [2.5, 3.5, 4]]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_wide_characters_are_read_with_and_without_a_mark(tmp_path: Path, encoding: str) -> None:
    assert rows(table(tmp_path, "name,n\nµm,1\n", encoding=encoding)) == [["µm", 1]]


def test_zeros_make_a_file_no_table(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="it is no text, but has zeros in it"):
        table(tmp_path, "name,n\na\0,1\n")


def test_the_header_alone_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("# x\n a ,b\n1,2,3\n")
    assert read_titles(tmp_path / "m.csv") == ("a", "b")


def test_a_file_of_comments_only_is_read_in_part(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="are comments, empty, or too long"):
        table(tmp_path, "# x, y\n" * 5_000)
