"""CSV results as OMERO tables."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import omero.model
import pytest

from tests.system.results_bench import NOTHING, Bench, content, files_on

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

pytestmark = pytest.mark.lab


CSV = "Image,Area (µm²),n,ok,label\ncells_1.tif,1.5,2,true,a\nnuclei.tif,,-3,false,ü\n"


def test_a_csv_becomes_a_table_with_types_and_images(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "m.csv").write_text(CSV, encoding="utf-8")
    bench.bring(replace(NOTHING, csv_tables=True))
    annotation = files_on(fresh, "Dataset", bench.dataset_id)[f"m_42_{bench.provenance.run_id}.csv"]
    assert annotation.getNs() == "openmicroscopy.org/omero/bulk_annotations"
    columns = read_table(fresh, annotation)
    assert {column.name: type(column).__name__ for column in columns} == {
        "Image_Name": "StringColumn",
        "Area_um2": "DoubleColumn",
        "n": "LongColumn",
        "ok": "BoolColumn",
        "label": "StringColumn",
        "Image": "ImageColumn",
    }
    values = {column.name: list(column.values) for column in columns}
    assert values["Image"] == [source.image_id for source in bench.sources]
    assert values["n"] == [2, -3]
    assert values["ok"] == [True, False]
    assert values["label"] == ["a", "ü"]
    assert values["Area_um2"][0] == 1.5
    assert math.isnan(values["Area_um2"][1])


def test_many_rows_arrive_in_their_order(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "m.csv").write_text("v\n" + "".join(f"{row}\n" for row in range(25_001)))
    bench.bring(replace(NOTHING, csv_tables=True))
    annotation = files_on(fresh, "Dataset", bench.dataset_id)[f"m_42_{bench.provenance.run_id}.csv"]
    (column,) = read_table(fresh, annotation)
    assert list(column.values) == list(range(25_001))


def test_a_table_about_one_image_says_so_in_every_row(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "cells_measurements.csv").write_text("v\n1\n2\n")
    bench.bring(replace(NOTHING, csv_tables=True))
    (annotation,) = [
        each for name, each in files_on(fresh, "Dataset", bench.dataset_id).items() if name.startswith("cells_")
    ]
    assert list(read_table(fresh, annotation)[-1].values) == [bench.sources[0].image_id] * 2


def test_a_csv_that_is_no_table_is_attached_as_it_is(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "m.csv").write_text("a,b\n1,2,3\n")
    report = bench.bring(replace(NOTHING, csv_tables=True))
    assert content(files_on(fresh, "Dataset", bench.dataset_id)["m.csv"]) == b"a,b\n1,2,3\n"
    assert report.notes == ("m.csv is no table: row 1 has 3 cells, its header has 2. It is attached as a file.",)


def test_where_omero_has_no_tables_a_csv_is_attached_as_it_is(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "m.csv").write_text("a\n1\n")
    report = bench.bring(replace(NOTHING, csv_tables=True), gateway=WithoutTables(bench.gateway))
    assert content(files_on(fresh, "Dataset", bench.dataset_id)["m.csv"]) == b"a\n1\n"
    assert report.notes == ("OMERO has no tables service: tables are attached as files.",)


class WithoutTables:
    """A gateway to an OMERO whose tables service is switched off."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __getattr__(self, name: str) -> Any:
        if name == "areTablesEnabled":
            return lambda *_: False
        value = getattr(self._thing, name)
        if name in {"c", "sf"}:
            return WithoutTables(value)
        return (lambda: WithoutTables(value())) if name == "sharedResources" else value


def read_table(gateway: BlitzGateway, annotation: Any) -> list[Any]:
    """All columns of a table with all their values."""
    table = gateway.c.sf.sharedResources().openTable(omero.model.OriginalFileI(annotation.getFile().getId(), False))
    try:
        count = table.getNumberOfRows()
        data = table.read(list(range(len(table.getHeaders()))), 0, count)
        return list(data.columns)
    finally:
        table.close()
