"""Channels of results: called as the analysis says, else as in the image that was analysed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worker.results.channels import channels_of
from worker.results.readers.model import FileChannel, FileImage, PixelSize
from worker.results.surroundings import AnalysedImage, Place

BLUE, GREEN = (0, 0, 255), (0, 255, 0)
DAPI, GFP = FileChannel("DAPI", BLUE), FileChannel("GFP", GREEN)
SOURCE = AnalysedImage(Place("Image", 1, "cells", True, True), {}, PixelSize(), (DAPI, GFP))


def result(*channels: FileChannel, size_c: int = 2) -> FileImage:
    return FileImage(1, size_c, 1, 4, 5, np.dtype("uint8"), PixelSize(), lambda *_: np.zeros((4, 5)), channels=channels)


def test_a_file_that_says_nothing_has_those_of_the_image_that_was_analysed() -> None:
    assert channels_of(result(), SOURCE) == (DAPI, GFP)


@pytest.mark.parametrize(
    "names", [("", ""), ("Channel 0", "Channel 1"), ("0", "1"), ("C:0", "ch_2"), ("Channel:0:0", "")]
)
def test_numbers_are_no_names(names: tuple[str, str]) -> None:
    assert channels_of(result(*(FileChannel(name, BLUE) for name in names)), SOURCE) == (DAPI, GFP)


def test_names_that_the_analysis_gave_stay() -> None:
    named = FileChannel("background", (9, 9, 9)), FileChannel("nuclei")
    assert channels_of(result(*named), SOURCE) == (named[0], FileChannel("nuclei", GREEN))


def test_other_numbers_of_channels_do_not_match() -> None:
    assert channels_of(result(size_c=3), SOURCE) == ()
    own = (FileChannel("1"), FileChannel("2"), FileChannel("3"))
    assert channels_of(result(*own, size_c=3), SOURCE) == own
    assert channels_of(result(DAPI, GFP), None) == (DAPI, GFP)


def test_a_label_image_has_no_colours_of_the_source() -> None:
    assert channels_of(replace(result(), label=True), SOURCE) == ()


@pytest.mark.parametrize(
    ("file", "dtype", "channels"),
    [("masks/cells.tif", "uint16", (DAPI,)), ("cells_mask.tif", "uint16", ()), ("cells_mask.tif", "float32", (DAPI,))],
)
def test_a_file_is_known_for_labels_by_its_name_and_type(
    file: str, dtype: str, channels: tuple[FileChannel, ...]
) -> None:
    image = replace(result(size_c=1), file=file, dtype=np.dtype(dtype))
    assert channels_of(image, replace(SOURCE, channels=(DAPI,))) == channels
