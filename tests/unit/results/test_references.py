"""Which object a row of a table is about, and when nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.results.delimited import read_delimited
from worker.results.known import Known, Well
from worker.results.model import SourceFile
from worker.results.references import NOTHING, find_references

if TYPE_CHECKING:
    from pathlib import Path

CELLS = SourceFile("cells.tif.zarr", "Image", 11, 11, "cells.tif")
NUCLEI = SourceFile("nuclei.tif.zarr", "Image", 12, 12, "nuclei.tif")
TWIN = SourceFile("nuclei.tif_2.zarr", "Image", 13, 13, "nuclei.tif")
FIELDS = (
    SourceFile("plate.zarr/A/1/0", "Plate", 5, 21, "f1"),
    SourceFile("plate.zarr/B/12/0", "Plate", 5, 22, "f2"),
)
WELLS = (Well(5, 101, 0, 0), Well(5, 102, 1, 11), Well(5, 103, 1, 0))
IMAGES = Known(sources=(CELLS, NUCLEI), datasets={7: "analysed"})
PLATE = Known(sources=FIELDS, wells=WELLS, well_of_image={21: 101, 22: 102}, plates={5: "my plate"})


def ids(
    tmp_path: Path, text: str, known: Known, about: SourceFile | None = None
) -> tuple[dict[str, list[int]], tuple[str, ...]]:
    path = tmp_path / "m.csv"
    path.write_text(text)
    table = read_delimited(path)
    references, notes = find_references(table, known, about)
    return {
        each.kind: [found for batch in table.batches() for found in each.ids(batch, len(batch[0]))]
        for each in references
    }, notes


@pytest.mark.parametrize(
    ("title", "first", "second"),
    [
        ("image", "cells.tif", "nuclei.tif"),
        ("Image Name", "cells.tif", "nuclei.tif"),
        ("image_id", "11", "12"),
        ("filename", "cells.tif.zarr", "nuclei.tif.zarr"),
        ("FileName_DNA", r"C:\data\in\cells.tif", r"C:\data\in\nuclei.tif"),
        ("Image_FileName_DNA", "cells.tif", "nuclei.tif"),
        ("source", "/tmp/out/cells_mask.png", "/tmp/out/nuclei_mask.png"),
    ],
)
def test_images_are_known_by_id_name_or_file(tmp_path: Path, title: str, first: str, second: str) -> None:
    assert ids(tmp_path, f"{title},v\n{first},1\n{second},2\n,3\n", IMAGES) == ({"Image": [11, 12, NOTHING]}, ())


def test_ids_with_gaps_are_ids(tmp_path: Path) -> None:
    assert ids(tmp_path, "image_id,v\n11,1\n,2\n12,3\n", IMAGES)[0] == {"Image": [11, NOTHING, 12]}


def test_a_name_that_two_images_have_is_left_as_text(tmp_path: Path) -> None:
    found, notes = ids(tmp_path, "image\nnuclei.tif\n", Known(sources=(CELLS, NUCLEI, TWIN)))
    assert found == {}
    assert notes == ("the column 'image' does not say which image a row is about: 'nuclei.tif' may be any of 12, 13",)


def test_one_unknown_name_leaves_the_column_as_text(tmp_path: Path) -> None:
    found, notes = ids(tmp_path, "image\ncells.tif\nother.tif\n", IMAGES)
    assert found == {}
    assert notes == ("the column 'image' does not say which image a row is about: 'other.tif' is none that is known",)


def test_numbers_that_are_no_ids_of_analysed_images_are_no_ids(tmp_path: Path) -> None:
    assert ids(tmp_path, "image\n1\n2\n", IMAGES)[0] == {}


def test_a_file_about_one_image_is_about_it_in_each_row(tmp_path: Path) -> None:
    assert ids(tmp_path, "v\n1\n2\n", IMAGES, CELLS) == ({"Image": [11, 11]}, ())


def test_a_column_is_believed_more_than_the_name_of_the_file(tmp_path: Path) -> None:
    assert ids(tmp_path, "image\nnuclei.tif\n", IMAGES, CELLS)[0] == {"Image": [12]}


@pytest.mark.parametrize(
    "text",
    [
        "well\nA1\nB12\n",
        "Well Name\nA01\nb12\n",
        "well\nR01C01\nr2c12\n",
        "well_id\n101\n102\n",
        "row,col\nA,1\nB,12\n",
        "Metadata_Well\nA01\nB12\n",
        "Image_Metadata_Row,Image_Metadata_Col\nA,1\nB,12\n",
    ],
)
def test_wells_are_known_by_name_place_or_id(tmp_path: Path, text: str) -> None:
    assert ids(tmp_path, text, PLATE) == ({"Well": [101, 102]}, ())


def test_rows_that_are_numbers_tell_nothing(tmp_path: Path) -> None:
    assert ids(tmp_path, "row,column\n1,1\n2,12\n", PLATE) == ({}, ())


def test_a_well_that_the_plate_has_not_leaves_the_column_as_text(tmp_path: Path) -> None:
    found, notes = ids(tmp_path, "well\nA1\nH9\n", PLATE)
    assert found == {}
    assert notes == ("the column 'well' does not say which well a row is about: 'H9' is none that is known",)


def test_the_well_follows_from_the_image(tmp_path: Path) -> None:
    assert ids(tmp_path, "image\nf2\n", PLATE)[0] == {"Image": [22], "Well": [102]}


def test_wells_of_two_plates_need_the_plate(tmp_path: Path) -> None:
    two = Known(sources=FIELDS, wells=(*WELLS, Well(6, 201, 0, 0)), plates={5: "my plate", 6: "other"})
    assert ids(tmp_path, "plate,well\nmy plate,A1\n6,A1\n", two)[0] == {"Plate": [5, 6], "Well": [101, 201]}
    assert ids(tmp_path, "well\nA1\n", two) == (
        {},
        ("the column 'well' does not say which well a row is about: 'A1' may be any of 101, 201",),
    )


def test_datasets_are_known_by_name(tmp_path: Path) -> None:
    assert ids(tmp_path, "dataset\nanalysed\n7\n", IMAGES)[0] == {"Dataset": [7, 7]}


ROIS = {(11, 1): (901,), (11, 2): (902,), (12, 1): (911,)}


def test_labels_are_known_by_the_image_of_the_row(tmp_path: Path) -> None:
    known = Known(sources=(CELLS, NUCLEI), rois=ROIS)
    assert ids(tmp_path, "image,label\ncells.tif,2\nnuclei.tif,1\n", known)[0]["Roi"] == [902, 911]
    assert ids(tmp_path, "label,area\n1,3.5\n2,4.5\n", known, CELLS)[0]["Roi"] == [901, 902]


def test_labels_without_an_image_are_of_nobody_knows_what(tmp_path: Path) -> None:
    found, notes = ids(tmp_path, "label\n1\n", Known(sources=(CELLS, NUCLEI), rois=ROIS))
    assert found == {}
    assert notes == ("the column 'label' does not say which ROI a row is about: its image is not known",)


def test_a_label_from_which_two_rois_were_made_is_left_as_text(tmp_path: Path) -> None:
    found, notes = ids(tmp_path, "label\n1\n", Known(sources=(CELLS,), rois={(11, 1): (901, 905)}), CELLS)
    assert "Roi" not in found
    assert notes == ("the column 'label' does not say which ROI a row is about: '1' may be any of 901, 905",)


def test_ids_of_rois_are_rois(tmp_path: Path) -> None:
    assert ids(tmp_path, "roi_id\n902\n911\n", Known(rois=ROIS))[0] == {"Roi": [902, 911]}


def test_a_number_that_may_be_a_roi_or_a_label_is_neither(tmp_path: Path) -> None:
    known = Known(sources=(CELLS,), rois={(11, 1): (2,), (11, 2): (1,)})
    found, notes = ids(tmp_path, "roi\n1\n2\n", known, CELLS)
    assert "Roi" not in found
    assert notes == ("the column 'roi' may name different ROIs",)
    assert ids(tmp_path, "roi_id\n1\n2\n", known, CELLS)[0]["Roi"] == [1, 2]
    assert ids(tmp_path, "label\n1\n2\n", known, CELLS)[0]["Roi"] == [2, 1]


def test_columns_that_name_different_images_tell_nothing(tmp_path: Path) -> None:
    found, notes = ids(tmp_path, "FileName_A,FileName_B\ncells.tif,cells_b.tif\n,nuclei.tif\n", IMAGES)
    assert (found, notes) == ({"Image": [11, NOTHING]}, ())
    found, notes = ids(tmp_path, "FileName_A,FileName_B\ncells.tif,nuclei.tif\n", IMAGES)
    assert (found, notes) == ({}, ("the columns 'FileName_A', 'FileName_B' name different images",))


def test_a_name_that_is_the_id_of_another_image_is_left_as_text(tmp_path: Path) -> None:
    named = SourceFile("11.zarr", "Image", 12, 12, "11")
    found, notes = ids(tmp_path, "image\n11\n", Known(sources=(CELLS, named)))
    assert found == {}
    assert notes == ("the column 'image' does not say which image a row is about: '11' may be any of 11, 12",)


def test_a_declared_header_names_what_columns_refer_to_and_nothing_else_is_looked_for(tmp_path: Path) -> None:
    text = "# header s,image,l\nimage,what,label\nx,cells.tif,1\n"
    known = Known(sources=(CELLS, NUCLEI), rois=ROIS)
    assert ids(tmp_path, text, known, NUCLEI) == ({"Image": [11]}, ())
    assert ids(tmp_path, "# header s\nv\nx\n", known, NUCLEI) == ({}, ())


def test_the_two_titles_that_populate_knows_are_known_below_a_declared_header(tmp_path: Path) -> None:
    assert ids(tmp_path, "# header s\nImage Name\ncells.tif\n", IMAGES)[0] == {"Image": [11]}


def test_a_table_without_rows_has_nothing_to_say(tmp_path: Path) -> None:
    assert ids(tmp_path, "image,well\n", IMAGES) == ({}, ())
