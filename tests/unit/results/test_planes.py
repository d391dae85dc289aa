"""The pixels of result images, on their way to OMERO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from worker.errors import ResultsError
from worker.results.planes import omero_pixel_type
from worker.results.readers.opening import open_images

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("dtype", "values", "pixel_type"),
    [
        ("bool", (0, 1), "uint8"),
        ("uint8", (0, 255), "uint8"),
        (">u2", (0, 65535), "uint16"),
        ("int16", (-3, 3), "int16"),
        ("uint32", (0, 2**32 - 1), "uint32"),
        ("float16", (0, 1), "float"),
        ("float32", (0, 1), "float"),
        ("float64", (0, 1), "double"),
        ("int64", (0, 200), "uint8"),
        ("int64", (0, 300), "uint16"),
        ("uint64", (0, 70_000), "uint32"),
        ("int64", (-1, 300), "int32"),
        ("int64", (-1, 2**40), "double"),
    ],
)
def test_the_pixel_type_holds_every_value(tmp_path: Path, dtype: str, values: tuple[int, int], pixel_type: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.array([values], dtype=dtype), metadata={"axes": "YX"})
    with open_images(path) as images:
        assert omero_pixel_type(images[0]) == pixel_type


def test_values_that_no_pixel_type_holds_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.array([[0, 2**60 + 1]], dtype="int64"), metadata={"axes": "YX"})
    with open_images(path) as images, pytest.raises(ResultsError, match="no pixel type for int64"):
        omero_pixel_type(images[0])
