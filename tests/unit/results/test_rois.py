"""How label images lie on their sources, and what a person may choose about ROIs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from worker.errors import RequestError, ResultsError
from worker.results.model import ImportOptions
from worker.results.parts.rois import check_rois
from worker.results.readers.model import FileImage, PixelSize
from worker.results.rois import Fit, fit, trace
from worker.results.spool import open_spool

SOURCE = {"T": 2, "C": 3, "Z": 5, "Y": 40, "X": 50}


def labels(size_t: int = 2, size_z: int = 5, size_y: int = 40, size_x: int = 50) -> FileImage:
    """Labels: the whole plane is object 1 + z."""

    def read(_t: int, _c: int, z: int, rows: slice, columns: slice) -> np.ndarray:
        return np.full((size_y, size_x), 1 + z)[rows, columns]

    return FileImage(size_t, 1, size_z, size_y, size_x, np.dtype("int64"), PixelSize(), read)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({}, Fit(every_z=False, every_t=False)),
        ({"size_z": 1}, Fit(every_z=True, every_t=False)),
        ({"size_t": 1}, Fit(every_z=False, every_t=True)),
        ({"size_t": 1, "size_z": 1}, Fit(every_z=True, every_t=True)),
    ],
)
def test_every_plane_lies_on_its_own_or_one_on_all(sizes: dict[str, int], expected: Fit) -> None:
    assert fit(labels(**sizes), SOURCE) == expected


def test_the_plane_of_a_single_one_is_known() -> None:
    assert fit(labels(1, 1), SOURCE | {"T": 1, "Z": 1}) == Fit(every_z=False, every_t=False)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"size_y": 20, "size_x": 25}, "It is 25 x 20 pixels large, and the image 50 x 40."),
        ({"size_y": 50, "size_x": 40}, "It is 40 x 50 pixels large"),
        ({"size_z": 4}, "It has 4 sections, and the image 5."),
        ({"size_t": 5, "size_z": 2}, "It has 2 sections"),
        ({"size_t": 3}, "It has 3 time points, and the image 2."),
    ],
)
def test_what_does_not_fit_is_not_drawn(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ResultsError, match=message):
        fit(labels(**sizes), SOURCE)


def test_each_plane_is_traced_where_it_lies() -> None:
    with open_spool() as spool:
        trace(labels(), Fit(every_z=False, every_t=True), "Polygon", spool)
        found = {each.label: {(shape.z, shape.t) for shape in each.shapes} for each in spool.objects(after=0)}
    assert found == {1 + z: {(z, None)} for z in range(5)}


def test_memory_does_not_grow_with_the_number_of_planes() -> None:
    y, x = np.mgrid[:160, :160]
    cells: np.ndarray = (1 + y // 8 * 20 + x // 8) * ((y % 8 > 1) & (x % 8 > 1))

    def read(_t: int, _c: int, _z: int, rows: slice, columns: slice) -> np.ndarray:
        return cells[rows, columns]

    def peak(planes: int) -> int:
        image = FileImage(1, 1, planes, 160, 160, cells.dtype, PixelSize(), read)
        tracemalloc.start()
        try:
            with open_spool() as spool:
                trace(image, Fit(every_z=False, every_t=True), "Mask", spool)
                assert max(len(each.shapes) for each in spool.objects(after=0)) == planes
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    few, many = peak(3), peak(15)
    assert many < 1.1 * few, (few, many)


@pytest.mark.parametrize(
    "options",
    [
        ImportOptions(create_rois=True),
        ImportOptions(create_rois=True, roi_shape="Mask", roi_color="#ff0000", roi_name_prefix="cells"),
        ImportOptions(roi_shape="Circle"),
    ],
)
def test_what_can_be_drawn_is_accepted(options: ImportOptions) -> None:
    check_rois(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ImportOptions(create_rois=True, roi_shape="Circle"), "cannot be drawn as 'Circle'. Choose Polygon or Mask"),
        (ImportOptions(create_rois=True, roi_color="reddish"), "'reddish' is no colour"),
        (ImportOptions(create_rois=True, roi_name_prefix="x" * 161), "begin with 161 characters. Give at most 160"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: ImportOptions, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        check_rois(options)
