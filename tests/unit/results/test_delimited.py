"""CSV and TSV files as they come out of real programs."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ResultsError
from worker.results.columns import BATCH_ROWS, is_missing
from worker.results.delimited import DelimitedTable, read_delimited


def table(tmp_path: Path, text: str, *, name: str = "m.csv", encoding: str = "utf-8") -> DelimitedTable:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return read_delimited(path)


def kinds(found: DelimitedTable) -> list[str]:
    return [column.kind for column in found.columns]


def values(found: DelimitedTable) -> list[list[object]]:
    return [[value for batch in found.batches() for value in batch[at]] for at in range(len(found.columns))]


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path: Path) -> None:
    found = table(tmp_path, "area;n;t\n1,5;2;a\n-,25;3;b\n1,5e-3;;c\n")
    assert kinds(found) == ["Double", "Double", "String"]
    assert values(found)[0] == [1.5, -0.25, 0.0015]


def test_a_comma_is_no_decimal_comma_where_another_column_has_decimal_points(tmp_path: Path) -> None:
    found = table(tmp_path, "area;thousands\n1.5;1,234\n2.5;2,345\n")
    assert kinds(found) == ["Double", "String"]
    assert values(found)[1] == ["1,234", "2,345"]


def test_points_and_commas_in_one_column_are_text(tmp_path: Path) -> None:
    assert kinds(table(tmp_path, "a;b\n1.5;x\n1,5;x\n")) == ["String", "String"]


def test_a_declared_header_is_followed(tmp_path: Path) -> None:
    found = table(
        tmp_path, "# header s,d,l,b,image,S\nid,area,n,ok,image,t\n1,2,3,yes,cells.tif,x\n2,,4,F,cells.tif,y\n"
    )
    assert found.declared
    assert kinds(found) == ["String", "Double", "Long", "Bool", "String", "String"]
    assert [column.refers_to for column in found.columns] == ["", "", "", "", "image", ""]
    ids, areas, counts, flags, *_ = values(found)
    assert (ids, counts, flags) == (["1", "2"], [3, 4], [True, False])
    assert areas[0] == 2.0
    assert math.isnan(float(str(areas[1])))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("# header l\nn\n1.5\n", "'n' is declared as l, an integer of 64 bits, and holds other numbers"),
        ("# header l\nn,\n", "declares 1 columns, its header has 2"),
        ("# header l\nn\n1\n''\n", "holds \"''\""),
        ("# header l,s\nn,t\n1,a\n,b\n", "and holds an empty cell"),
        ("# header l\nn\n9223372036854775808\n", "an integer of 64 bits, and holds other numbers"),
        ("# header d\nn\nmuch\n", "'n' is declared as d, a number, and holds 'much'"),
        ("# header b\nok\nmaybe\n", "declared as b, true or false, and holds 'maybe'"),
        ("# header float\nn\n1\n", "declares a column as 'float'. There are: d, l, s, b, dataset, image"),
    ],
)
def test_a_header_that_the_cells_contradict_makes_the_file_no_table(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ResultsError) as caught:
        table(tmp_path, text)
    assert why in str(caught.value)


def test_a_key_and_value_behind_percent_signs_become_the_description(tmp_path: Path) -> None:
    (column,) = table(tmp_path, "Area %% unit=um\n1\n").columns
    assert (column.name, column.description) == ("Area", '{"unit": "um"}')


def test_cells_keep_their_line_breaks_and_quotes(tmp_path: Path) -> None:
    found = table(tmp_path, 'a,b\n"1\n2","say ""hi"", now"\n')
    assert values(found) == [["1\n2"], ['say "hi", now']]


def test_blank_lines_and_empty_cells_behind_a_row_do_not_count(tmp_path: Path) -> None:
    found = table(tmp_path, "\n\na,b\n1,2,,\n\n3,4\n")
    assert (found.rows, values(found)) == (2, [[1, 3], [2, 4]])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_read_in_the_encodings_of_spreadsheets(tmp_path: Path, encoding: str) -> None:
    found = table(tmp_path, "größe\tn\n5 µm – “x”\t1\n", encoding=encoding)
    assert found.columns[0].title == "größe"
    assert values(found) == [["5 µm – “x”"], [1]]


def test_latin_1_is_read_where_nothing_else_fits(tmp_path: Path) -> None:
    assert values(table(tmp_path, "t\nä\x81\n", encoding="latin-1")) == [["ä\x81"]]


def test_numbers_that_a_double_cannot_hold_stay_text(tmp_path: Path) -> None:
    found = table(tmp_path, "big,huge,inf\n9223372036854775808,1e999,inf\n1,2,-Infinity\n")
    assert kinds(found) == ["String", "String", "Double"]
    assert values(found)[2] == [math.inf, -math.inf]


def test_a_column_of_nothing_but_nan_is_one_of_numbers(tmp_path: Path) -> None:
    found = table(tmp_path, "feature,remark,other\nnan,,NA\nNaN,,NA\n")
    assert kinds(found) == ["Double", "String", "String"]
    assert all(math.isnan(float(str(value))) for value in values(found)[0])


def test_dates_stay_text(tmp_path: Path) -> None:
    assert kinds(table(tmp_path, "day,when\n2026-01-02,2026-01-02T03:04:05Z\n")) == ["String", "String"]


def test_a_type_that_changes_late_in_a_long_file_is_seen(tmp_path: Path) -> None:
    rows = "".join(f"{number},{number}\n" for number in range(BATCH_ROWS * 2 + 7))
    found = table(tmp_path, f"a,b\n{rows}1.5,x\n")
    assert (kinds(found), found.rows) == (["Double", "String"], BATCH_ROWS * 2 + 8)
    sizes = [len(batch[0]) for batch in found.batches()]
    assert sum(sizes) == found.rows
    assert max(sizes) <= BATCH_ROWS


def test_batches_of_wide_tables_have_fewer_rows(tmp_path: Path) -> None:
    header = ",".join(f"c{number}" for number in range(2_000))
    row = ",".join("1" for _ in range(2_000))
    found = table(tmp_path, "\n".join([header, *[row] * 1_200]))
    sizes = [len(batch[0]) for batch in found.batches()]
    assert sum(sizes) == 1_200
    assert max(sizes) <= 500


def test_only_what_is_wanted_is_converted(tmp_path: Path) -> None:
    (batch,) = table(tmp_path, "a,b\n1,x\n").batches(only=[1])
    assert batch == [[], ["x"]]


def test_what_is_no_text_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="is no table: its text breaks off"):
        table(tmp_path, "\ufeffa,b\n".encode("utf-16-le").decode("latin-1") + "x", encoding="latin-1")
    with pytest.raises(ResultsError, match="is no table: a cell has more than 131072 characters"):
        table(tmp_path, "a\n" + "x" * (csv.field_size_limit() + 1))


CELLS = st.one_of(
    st.sampled_from(
        ["", "NaN", "n/a", "true", "False", "007", "1e999", "-0", "+3", " 4 ", "inf", "1,5", "1_0", "\u0661"]
    ),
    st.integers(-(2**64), 2**64).map(str),
    st.floats().map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=5),
)


@given(st.lists(CELLS, min_size=1, max_size=30), st.sampled_from([",", ";"]))
def test_no_cell_becomes_something_else(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str], delimiter: str
) -> None:
    path = tmp_path_factory.mktemp("cells") / "m.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([("row", "cell"), *enumerate(cells)])
    found = read_delimited(path)
    column, (_, kept) = found.columns[1], values(found)
    for cell, value in zip(cells, kept, strict=True):
        plain = cell.strip().replace(",", "." if column.decimal == "," else ",")
        match column.kind:
            case "Long":
                assert value == int(plain)
            case "Double":
                assert isinstance(value, float)
                assert math.isnan(value) if is_missing(cell) else value == float(plain)
                if plain.lstrip("+-").isdecimal():
                    assert int(value) == int(plain)
            case "Bool":
                assert str(value).lower() == plain.lower()
            case _:
                assert value == cell
                assert len(cell.encode()) <= column.size_bytes


def bombs(folder: Path) -> dict[str, Path]:
    """Files of 64 MiB each, in which something does not end."""
    long = "y" * 2**20
    parts = {
        # One line, one quoted cell, one quoted row that never end; a header without end; long rows behind short ones.
        "line": ["a,b\n", "1,", *[long] * 64],
        "cell": ["a,b\n", '1,"', *[f"{long}\n"] * 64],
        "row": ["a,b\n", *['"x\n",' * 2**18] * 50],
        "header": [*["a," * 2**19] * 64],
        "rows": ["a,b\n", "1,2\n" * 20_000, *[f"1,{long[:100_000]}\n"] * 640],
    }
    made = {}
    for name, texts in parts.items():
        made[name] = folder / f"{name}.csv"
        with made[name].open("w") as stream:
            stream.writelines(texts)
    return made


READ_BOMBS = """
import json, resource, sys
from pathlib import Path
from worker.errors import ResultsError
from worker.results.delimited import read_delimited
def outcome(file):
    try:
        table = read_delimited(Path(file))
        return f"{sum(len(batch[0]) for batch in table.batches())} rows"
    except (ResultsError, MemoryError) as error:
        return repr(error)
(size,) = [int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize")]
resource.setrlimit(resource.RLIMIT_AS, (size + 64 * 2**20,) * 2)
print(json.dumps({file: outcome(file) for file in sys.argv[1:]}))
"""


def test_no_line_cell_or_row_takes_more_memory_than_it_may(tmp_path: Path) -> None:
    made = bombs(tmp_path)
    argv = [sys.executable, "-c", READ_BOMBS, *map(str, made.values())]
    ended = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    told = {Path(file).stem: said for file, said in json.loads(ended.stdout).items()}
    assert "one of its rows has more than 2,097,152 characters" in told["line"]
    assert "a cell has more than 131072 characters" in told["cell"]
    assert "one of its rows has more than 2,097,152 characters" in told["row"]
    assert "one of its rows has more than 2,097,152 characters" in told["header"]
    assert told["rows"] == "20640 rows"


def test_a_header_of_very_many_columns_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="2001 columns are more than it can hold"):
        table(tmp_path, "a," * 2_000 + "b\n")
