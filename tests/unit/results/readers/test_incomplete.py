"""Of an OME-Zarr with broken parts, everything else is read, and each of these parts is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.unit.results.readers.ngff import write_group, write_image
from worker.errors import ResultsError
from worker.results.readers.opening import open_images

if TYPE_CHECKING:
    from pathlib import Path

ONES = np.ones((4, 5), "uint8")


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def opened(path: Path) -> tuple[list[tuple[str, Any, Any]], list[str]]:
    """Names, wells and fields of what is intact, and what is told of the rest."""
    told: list[str] = []
    with open_images(path, None, "out/a.zarr", told.append) as images:
        assert all(np.array_equal(image.plane(0, 0, 0), ONES) for image in images)
        return [(image.name, image.well, image.field) for image in images], told


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    """Wells A/1 and B/2 with fields 0 and 1, each with two label images."""
    root = tmp_path / "a.zarr"
    wells = [{"path": path, "rowIndex": at, "columnIndex": at} for at, path in enumerate(("A/1", "B/2"))]
    write_group(root, "", "0.4", {"plate": {"wells": wells}})
    for well in ("A/1", "B/2"):
        write_group(root, well, "0.4", {"well": {"images": [{"path": "0"}, {"path": "1"}]}})
        for field in ("0", "1"):
            write_image(root, f"{well}/{field}", ONES, "yx")
            write_group(root, f"{well}/{field}/labels", "0.4", {"labels": ["cells", "nuclei"]})
            for label in ("cells", "nuclei"):
                write_image(root, f"{well}/{field}/labels/{label}", ONES, "yx")
    return root


def everything() -> list[tuple[str, Any, Any]]:
    names = ("an image", "cells", "nuclei")
    return [(name, (well, well), field) for well in (0, 1) for field in (0, 1) for name in names]


def test_nothing_is_told_of_what_is_whole(plate: Path) -> None:
    assert opened(plate) == (everything(), [])


def test_a_broken_field_is_told_and_the_others_stay_at_their_places(plate: Path) -> None:
    edit(plate / "A" / "1" / "0" / "0" / ".zarray", dtype="|O")
    intact, told = opened(plate)
    assert intact == [each for each in everything() if each != ("an image", (0, 0), 0)]
    (said,) = told
    assert said.startswith("Of out/a.zarr, the field A/1/0 is missing: ")


def test_a_broken_label_image_is_told(plate: Path) -> None:
    (plate / "B" / "2" / "1" / "labels" / "cells" / "0" / ".zarray").unlink()
    intact, told = opened(plate)
    assert intact == [each for each in everything() if each != ("cells", (1, 1), 1)]
    (said,) = told
    assert said.startswith("Of out/a.zarr, the label image B/2/1/labels/cells is missing: there is no Zarr array ")


def test_a_well_without_its_metadata_is_told(plate: Path) -> None:
    (plate / "A" / "1" / ".zattrs").write_text("{")
    intact, told = opened(plate)
    assert intact == [each for each in everything() if each[1] == (1, 1)]
    assert told[0].startswith("Of out/a.zarr, the well A/1 is missing: its A/1/.zattrs is no JSON")


def test_a_well_of_no_place_is_told(plate: Path) -> None:
    document = json.loads((plate / ".zattrs").read_text())
    del document["plate"]["wells"][1]["rowIndex"]
    (plate / ".zattrs").write_text(json.dumps(document))
    intact, told = opened(plate)
    assert {each[1] for each in intact} == {(0, 0)}
    assert told == [
        "Of out/a.zarr, the well B/2 is missing: its metadata do not say in which row and column the well 'B/2' is."
    ]


def test_an_array_without_pixels_is_told(plate: Path) -> None:
    edit(plate / "A" / "1" / "0" / "0" / ".zarray", shape=[0, 5])
    assert opened(plate)[1][0].startswith("Of out/a.zarr, the field A/1/0 is missing: it has no pixels")


def test_of_many_broken_parts_all_places_are_told(plate: Path) -> None:
    for array in plate.glob("*/*/*/labels/*/0/.zarray"):
        array.unlink()
    intact, told = opened(plate)
    assert len(intact) == 4
    assert len(told) == 6
    assert told[-1].startswith("Of out/a.zarr, 3 more parts are missing: the label image B/2/0/labels/nuclei, ")


def test_labels_are_read_if_the_image_around_them_is_broken(tmp_path: Path) -> None:
    root = tmp_path / "a.zarr"
    write_image(root, "", ONES, "yx")
    write_group(root, "labels", "0.4", {"labels": ["cells"]})
    write_image(root, "labels/cells", ONES, "yx")
    (root / "0" / ".zarray").unlink()
    intact, told = opened(root)
    assert [each[0] for each in intact] == ["cells"]
    assert told == ["Of out/a.zarr, the image is missing: there is no Zarr array 0 (neither zarr.json nor .zarray)."]


def test_where_nothing_is_intact_the_file_is_refused(plate: Path) -> None:
    for array in plate.rglob(".zarray"):
        array.unlink()
    with pytest.raises(
        ResultsError, match=r"out/a\.zarr cannot be read as an image: the field A/1/0 is broken: there is"
    ):
        opened(plate)


def test_whoever_wants_all_or_nothing_gets_nothing(plate: Path) -> None:
    (plate / "A" / "1" / "0" / "0" / ".zarray").unlink()
    with pytest.raises(ResultsError, match="the field A/1/0 is broken"), open_images(plate):
        pass
