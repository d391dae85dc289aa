"""Tables of CellProfiler: one has the files of the images, all others their numbers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from worker.results.delimited import read_delimited
from worker.results.known import Known, Well
from worker.results.model import SourceFile
from worker.results.numbering import find_numberings
from worker.results.outputs import Output
from worker.results.references import find_references

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = (
    SourceFile("plate.zarr/A/1/0", "Plate", 5, 21, "A01.tif"),
    SourceFile("plate.zarr/B/12/0", "Plate", 5, 22, "B12.tif"),
)
KNOWN = Known(
    sources=SOURCES,
    wells=(Well(5, 101, 0, 0), Well(5, 102, 1, 11)),
    well_of_image={21: 101, 22: 102},
    plates={5: "my plate"},
)
IMAGE = "ImageNumber,FileName_DNA,Metadata_Well,Metadata_Plate\n1,A01.tif,A01,my plate\n2,B12.tif,B12,my plate\n"
CELLS = "ImageNumber,ObjectNumber,AreaShape_Area\n1,1,10\n1,2,20\n2,1,30\n"


def write(folder: Path, **texts: str) -> list[Output]:
    found = []
    for name, text in texts.items():
        path = folder / f"{name}.csv"
        path.write_text(text)
        found.append(Output(f"out/{path.name}", path, hashlib.sha256(text.encode()).hexdigest()))
    return found


def ids(output: Output, outputs: list[Output], known: Known = KNOWN) -> tuple[dict[str, list[int]], tuple[str, ...]]:
    table = read_delimited(output.file)
    references, notes = find_references(table, known, None, find_numberings(outputs, known).get("out"))
    return {
        each.kind: [found for batch in table.batches() for found in each.ids(batch, len(batch[0]))]
        for each in references
    }, notes


def test_objects_are_of_the_image_whose_number_they_have(tmp_path: Path) -> None:
    image, cells = outputs = write(tmp_path, Image=IMAGE, Cells=CELLS)
    assert ids(image, outputs) == ({"Plate": [5, 5], "Image": [21, 22], "Well": [101, 102]}, ())
    assert ids(cells, outputs) == ({"Image": [21, 21, 22], "Well": [101, 101, 102]}, ())


def test_numbers_that_two_tables_give_to_different_images_tell_nothing(tmp_path: Path) -> None:
    other = "ImageNumber,FileName_DNA\n1,B12.tif\n"
    *_, cells = outputs = write(tmp_path, Image=IMAGE, Other_Image=other, Cells=CELLS)
    assert ids(cells, outputs) == ({}, ())


def test_a_number_that_the_images_have_not_tells_nothing(tmp_path: Path) -> None:
    _, cells = outputs = write(tmp_path, Image=IMAGE, Cells=f"{CELLS}3,1,1\n")
    assert ids(cells, outputs) == (
        {},
        ("the column 'ImageNumber' does not say which image a row is about: '3' is none that is known",),
    )


def test_a_table_that_is_none_disturbs_no_other(tmp_path: Path) -> None:
    _, cells, _ = outputs = write(tmp_path, Image=IMAGE, Cells=CELLS, Ragged="ImageNumber,FileName_DNA\n1,2,3\n")
    assert ids(cells, outputs)[0]["Image"] == [21, 21, 22]


def test_objects_are_the_rois_where_one_table_has_objects(tmp_path: Path) -> None:
    known = Known(sources=SOURCES, rois={(21, 1): (901,), (21, 2): (902,), (22, 1): (911,)})
    _, cells = outputs = write(tmp_path, Image=IMAGE, Cells=CELLS)
    assert ids(cells, outputs, known)[0]["Roi"] == [901, 902, 911]
    _, cells, _ = outputs = write(tmp_path, Image=IMAGE, Cells=CELLS, Nuclei=CELLS)
    found, notes = ids(cells, outputs, known)
    assert "Roi" not in found
    assert len(notes) == 1
    assert notes[0].endswith("several tables number objects, which may be of as many kinds")
