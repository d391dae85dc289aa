"""Tables of an analysis as OMERO.tables."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import omero.model
import pyarrow as pa
import pytest
import tifffile
from omero.constants.namespaces import NSBULKANNOTATIONS
from pyarrow import parquet

from tests.lab.omero.images import make_plate
from tests.lab.person import logged_in
from tests.system.interruption import Killed, MortalGateway
from tests.system.results_bench import NOTHING, Bench, ask, content, files_on
from worker.results.model import SourceFile

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

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


def test_a_parquet_file_becomes_a_table(bench: Bench, fresh: BlitzGateway) -> None:
    columns = {
        "image_id": pa.array([bench.sources[1].image_id, None, bench.sources[0].image_id]),
        "area": pa.array([1.5, None, math.inf]),
        "when": pa.array([dt.datetime(2026, 1, 2), None, None]),  # noqa: DTZ001  # a file without time zones
        "spots": pa.array([[1, 2], [], None]),
    }
    parquet.write_table(pa.table(columns), bench.folder / "m.parquet", row_group_size=2)
    report = bench.bring(replace(NOTHING, csv_tables=True))
    assert report.notes == ("m.parquet: lists, structures and bytes have no place in a table; left out: spots.",)
    values = {each.name: list(each.values) for each in read_table(fresh, only_table(fresh, bench))}
    assert values["Image"] == [bench.sources[1].image_id, -1, bench.sources[0].image_id]
    assert values["when"] == ["2026-01-02T00:00:00", "", ""]
    assert [values["area"][0], values["area"][2]] == [1.5, math.inf]
    assert math.isnan(values["area"][1])


def test_rows_are_found_by_their_well_and_image_through_the_tables_service(alice: BlitzGateway, bench: Bench) -> None:
    plate_id = make_plate(alice, "my plate", 2, 2, 1, lambda *_: np.zeros((4, 5), "uint8"))
    wells = {(well.row, well.column): well for well in alice.getObject("Plate", plate_id).listChildren()}
    sources = tuple(
        SourceFile(f"plate.zarr/{'AB'[row]}/{column + 1}/0", "Plate", plate_id, well.getImage().getId(), "field")
        for (row, column), well in wells.items()
    )
    plated = replace(bench, sources=sources)
    (bench.folder / "wells.csv").write_text("Well Name,plate,n\nA01,my plate,1\nB2,my plate,2\nb02,my plate,3\n")
    (bench.folder / "images.csv").write_text(f"image_id,n\n{wells[0, 1].getImage().getId()},4\n")
    plated.bring(replace(NOTHING, csv_tables=True))
    tables = {name.partition("_")[0]: each for name, each in files_on(alice, "Plate", plate_id).items()}
    found = where(alice, tables["wells"], f"(Well == {wells[1, 1].getId()}) & (Plate == {plate_id})")
    assert (found["n"], found["Well_Name"]) == ([2, 3], ["B2", "b02"])
    found = where(alice, tables["images"], f"Image == {wells[0, 1].getImage().getId()}")
    assert (found["n"], found["Well"]) == ([4], [wells[0, 1].getId()])


def test_rows_about_labels_lead_to_the_rois_that_were_drawn_of_them(bench: Bench, fresh: BlitzGateway) -> None:
    labels = np.zeros((4, 5), "uint8")
    labels[0:2, 0:2], labels[2:4, 3:5] = 3, 7
    for name in ("cells_mask.tif", "nuclei_mask.tif"):
        tifffile.imwrite(bench.folder / name, labels)
    (bench.folder / "m.csv").write_text("image,label,area\nnuclei.tif,7,4\ncells.tif,3,4\ncells.tif,7,4\n")
    options = replace(NOTHING, csv_tables=True, create_rois=True)
    bench.bring(options)
    values = {each.name: list(each.values) for each in read_table(fresh, only_table(fresh, bench))}
    hql = "select r.image.id, r.id from Roi r where r.image.id in (:first, :second)"
    drawn = ask(fresh, hql, first=bench.sources[0].image_id, second=bench.sources[1].image_id)
    assert len(drawn) == 4
    assert len(set(values["Roi"])) == 3
    assert all([image, roi] in drawn for image, roi in zip(values["Image"], values["Roi"], strict=True))
    assert bench.bring(options).objects == bench.bring(options).objects


def test_tables_of_cellprofiler_know_their_images_by_number(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "Image.csv").write_text("ImageNumber,FileName_DNA\n1,nuclei.tif\n2,cells.tif\n")
    features = [f"Intensity_IntegratedIntensityEdge_Orig{number:03d}" for number in range(297)]
    row = ",".join(["nan", *["0.5"] * 296])
    (bench.folder / "Cells.csv").write_text(f"ImageNumber,ObjectNumber,{','.join(features)}\n2,1,{row}\n1,1,{row}\n")
    (bench.folder / "Experiment.csv").write_text(f'# 4.2.6\nKey,Value\nPipeline,"Version:5\n{"x" * 100_000}"\n')
    report = bench.bring(replace(NOTHING, csv_tables=True))
    assert report.notes == ()
    tables = {name.partition("_")[0]: each for name, each in files_on(fresh, "Dataset", bench.dataset_id).items()}
    cells = read_table(fresh, tables["Cells"])
    assert len(cells) == 300
    assert (cells[-1].name, list(cells[-1].values)) == ("Image", [each.image_id for each in bench.sources])
    assert math.isnan(cells[2].values[0])
    assert len(read_table(fresh, tables["Experiment"])[1].values[0]) == len("Version:5\n") + 100_000
    assert tables["Experiment"].getDescription() == "Table of Experiment.csv\n4.2.6"


def test_what_is_not_clear_stays_text_and_is_said(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "m.csv").write_text("image,n\ncells.tif,1\nsomething.tif,2\n")
    report = bench.bring(replace(NOTHING, csv_tables=True))
    assert report.notes == (
        "m.csv: the column 'image' does not say which image a row is about: 'something.tif' is none that is known.",
    )
    assert [each.name for each in read_table(fresh, only_table(fresh, bench))] == ["image", "n"]


def test_one_annotation_serves_all_places_that_were_chosen(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "m.csv").write_text("# header d,b\nn,ok\n1,yes\n")
    places = {"Project": bench.project_id, "Dataset": bench.dataset_id}
    report = bench.bring(
        replace(NOTHING, csv_tables=True, table_places=tuple(f"{kind}:{each}" for kind, each in places.items()))
    )
    (table,) = [each for each in report.objects if each.name.startswith("m_")]
    on = {files_on(fresh, kind, each)[table.name].getId() for kind, each in places.items()}
    assert on == {table.object_id}
    assert [type(each).__name__ for each in read_table(fresh, only_table(fresh, bench))] == [
        "DoubleColumn",
        "BoolColumn",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (",".join(f"column_{number}" for number in range(1_500)), "1500 columns are more than it can hold"),
        ("# header l\nn\nmuch\n", "declared as l, an integer of 64 bits, and holds 'much'"),
    ],
    ids=["too many columns", "not as declared"],
)
def test_what_omero_cannot_hold_as_a_table_is_attached_as_it_is(
    bench: Bench, fresh: BlitzGateway, text: str, why: str
) -> None:
    (bench.folder / "m.csv").write_text(text)
    (note,) = bench.bring(replace(NOTHING, csv_tables=True)).notes
    assert why in note
    assert note.endswith("It is attached as a file.")
    assert content(files_on(fresh, "Dataset", bench.dataset_id)["m.csv"]) == text.encode()


def test_the_file_that_says_where_results_come_from_is_no_table(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "m.csv").write_text("a\n1\n")
    bench.bring(replace(NOTHING, csv_tables=True, attach_files=True))
    types = {name: each.getFile().getMimetype() for name, each in files_on(fresh, "Dataset", bench.dataset_id).items()}
    run_id = bench.provenance.run_id
    assert types == {f"m_42_{run_id}.csv": "OMERO.tables", f"metadata_{run_id}.csv": "text/csv"}


def test_a_table_whose_writing_is_killed_anywhere_is_there_once_and_whole(
    bench: Bench, lab: Lab, fresh: BlitzGateway
) -> None:
    # Long texts make several batches of few rows.
    rows, text = 40, "x" * 120_000
    (bench.folder / "cells_m.csv").write_text("v,text\n" + "".join(f"{row},{text}\n" for row in range(rows)))
    options = replace(NOTHING, csv_tables=True)
    clean = MortalGateway(bench.gateway)
    bench.bring(options, gateway=clean)
    first = clean.writes.index("newTable") + 1
    assert clean.writes[first - 1 :].count("addData") == 3
    for number in range(first, len(clean.writes) + 1):
        again = bench.again()
        # In turns before and after the write; each write both ways takes minutes, and is done for all of an import.
        mortal = MortalGateway(bench.gateway, number, reply_lost=number % 2 == 0)
        with pytest.raises(Killed):
            again.bring(options, gateway=mortal)
        with logged_in(lab, "alice") as other:
            again.bring(options, gateway=other)
        names = "select f.id from OriginalFile f where f.name = :name"
        name = f"cells_m_42_{again.provenance.run_id}.csv"
        assert len(ask(fresh, names, name=name)) == 1, f"killed at {number}, {clean.writes[number - 1]}"
        assert where(fresh, only_table(fresh, again), "v >= 38")["v"] == [rows - 2, rows - 1]


def only_table(gateway: BlitzGateway, bench: Bench) -> Any:
    """The one table of the bench's run on its dataset."""
    (table,) = [
        each
        for name, each in files_on(gateway, "Dataset", bench.dataset_id).items()
        if name.endswith(f"_{bench.provenance.run_id}.csv") and each.getNs() == NSBULKANNOTATIONS
    ]
    return table


def where(gateway: BlitzGateway, annotation: Any, condition: str) -> dict[str, list[Any]]:
    """The values of the rows for which a condition is true."""
    table = open_table(gateway, annotation)
    try:
        data = table.readCoordinates(table.getWhereList(condition, {}, 0, table.getNumberOfRows(), 1))
        return {column.name: list(column.values) for column in data.columns}
    finally:
        table.close()


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
    table = open_table(gateway, annotation)
    try:
        count = table.getNumberOfRows()
        data = table.read(list(range(len(table.getHeaders()))), 0, count)
        return list(data.columns)
    finally:
        table.close()


def open_table(gateway: BlitzGateway, annotation: Any) -> Any:
    """Open a table as any client does."""
    file = omero.model.OriginalFileI(annotation.getFile().getId(), False)
    return gateway.c.sf.sharedResources().openTable(file)
