"""Which images of a result a person gets, and under which names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worker.results.model import ImportOptions
from worker.results.pictures import name_inside, wanted_images
from worker.results.readers.model import FileImage, PixelSize


def image(name: str, *, label: bool = False) -> FileImage:
    return FileImage(1, 1, 1, 4, 5, np.dtype("uint8"), PixelSize(), lambda *_: np.zeros((4, 5)), name=name, label=label)


LABELLED = (image("cells"), image("nuclei", label=True), image("dots", label=True), image("bare"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ImportOptions(), ["nuclei", "dots", "bare"]),
        (ImportOptions(only_labels=False), ["cells", "nuclei", "dots", "bare"]),
        (ImportOptions(label_zarrs=False), ["cells", "bare"]),
        (ImportOptions(label_zarrs=False, only_labels=False), ["cells", "bare"]),
    ],
)
def test_labels_and_the_image_around_them_are_a_choice(options: ImportOptions, expected: list[str]) -> None:
    chosen = wanted_images(LABELLED, options)
    assert [each.name for _, each in chosen] == expected
    assert all(LABELLED[index] is each for index, each in chosen)


def test_what_an_image_is_called_inside_of_its_file_tells_it_from_the_others() -> None:
    cells, nuclei, *_ = LABELLED
    assert name_inside(cells, [cells]) == ""
    assert [name_inside(each, [cells, nuclei]) for each in (cells, nuclei)] == ["", "nuclei"]
    assert [name_inside(each, [cells, image("")]) for each in (cells, image(""))] == ["cells", ""]


def test_a_field_of_a_plate_is_called_by_its_place() -> None:
    field = replace(image("whatever"), well=(2, 11), field=3)
    label = replace(image("nuclei", label=True), well=(26, 0), field=0)
    assert name_inside(field, [field]) == "C12, field 4"
    assert name_inside(label, [field, label]) == "AA1, field 1, nuclei"
