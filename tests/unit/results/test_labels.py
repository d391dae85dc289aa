"""Which of several result images holds the labels."""

from __future__ import annotations

import numpy as np
import pytest

from worker.errors import ResultsError
from worker.results.labels import Candidate, candidate, check_values, choose_labels, whole_numbers
from worker.results.outlines import boundaries
from worker.results.readers.model import FileImage, PixelSize

REFUSED = "it has 3 channels"


def image(dtype: str = "uint16", channels: int = 1, *, name: str = "", label: bool = False) -> FileImage:
    def read(_t: int, _c: int, _z: int, rows: slice, columns: slice) -> np.ndarray:
        return np.zeros((4, 5), dtype)[rows, columns]

    return FileImage(1, channels, 1, 4, 5, np.dtype(dtype), PixelSize(), read, name=name, label=label)


def chosen(*names: str, pattern: str = "", refused: tuple[str, ...] = ()) -> list[str]:
    candidates = [Candidate(name, 0, refusal=REFUSED if name in refused else "") for name in names]
    return [each.path for each in choose_labels(candidates, pattern)]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", ">u2", "uint32", "int64", "uint64"])
def test_whole_numbers_may_be_labels(dtype: str) -> None:
    assert candidate("a.tif", 0, image(dtype), named=False).refusal == ""


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f4", "float64"])
def test_whole_numbers_may_be_stored_as_fractions(dtype: str) -> None:
    assert candidate("a.tif", 0, image(dtype), named=False) == Candidate("a.tif", 0, fractions=True)
    assert whole_numbers(np.array([[0, 7], [300, 1]], dtype)).tolist() == [[0, 7], [300, 1]]


@pytest.mark.parametrize("value", [0.5, 1e-9, float("nan"), float("inf"), 2.0**53])
def test_fractions_are_no_labels(value: float) -> None:
    with pytest.raises(ResultsError, match="It holds no labels: it has values that are not whole numbers"):
        whole_numbers(np.array([[1, value]]))


def test_whole_numbers_are_left_as_they_are() -> None:
    values = np.array([2**64 - 1], "uint64")
    assert whole_numbers(values) is values


def test_complex_numbers_are_no_labels() -> None:
    refusal = candidate("a.tif", 0, image("complex64"), named=False).refusal
    assert refusal == "its pixels are of type complex64, not whole numbers"


def test_an_image_of_fractions_counts_only_where_there_is_no_other() -> None:
    smooth, mask = Candidate("a_smooth.tif", 0, fractions=True), Candidate("a_out.tif", 0)
    assert choose_labels([smooth, mask], "") == (mask,)
    assert choose_labels([smooth], "") == (smooth,)
    with pytest.raises(ResultsError, match="It is not clear which"):
        choose_labels([smooth, Candidate("a_flow.tif", 0, fractions=True)], "")


def test_colours_are_no_labels() -> None:
    assert candidate("a.png", 0, image("uint8", 3), named=False).refusal == "it has 3 channels"


def test_an_image_is_called_by_its_own_name_too_where_there_are_several_in_the_file() -> None:
    assert str(candidate("a.zarr", 1, image(name="nuclei"), named=True)) == "a.zarr (nuclei)"
    assert str(candidate("a.tif", 0, image(name="Image0"), named=False)) == "a.tif"


def test_the_only_image_is_it_whatever_it_is_called() -> None:
    assert chosen("x/cells_out.tif") == ["x/cells_out.tif"]
    assert chosen("cells_out.tif", "cells_flow.tif", refused=("cells_flow.tif",)) == ["cells_out.tif"]


@pytest.mark.parametrize(
    "name", ["cells_mask.tif", "cells_LABELS.tif", "cells_segmented.png", "instances.tif", "predictions.tif"]
)
def test_of_several_images_it_is_the_one_whose_name_says_so(name: str) -> None:
    assert chosen("cells_overlay.tif", name) == [name]


def test_the_name_of_a_folder_says_nothing_about_one_file_in_it() -> None:
    with pytest.raises(ResultsError, match="It is not clear which of its results"):
        chosen("masks/a.tif", "masks/b.tif")


@pytest.mark.parametrize("names", [("a_mask.tif", "b_label.tif"), ("a_out.tif", "b_out.tif")])
def test_where_it_is_not_clear_none_is_taken(names: tuple[str, ...]) -> None:
    with pytest.raises(ResultsError, match=f"It is not clear .*{names[0]}, {names[1]}.*Give a part of the name"):
        chosen(*names)


@pytest.mark.parametrize("pattern", ["CELL", "*_cells.*", "a_c????.tif", " cells ", "a_[bc]ells.tif"])
def test_a_pattern_is_a_part_of_the_name_or_all_of_it(pattern: str) -> None:
    assert chosen("x/a_cells.tif", "x/a_mask.tif", pattern=pattern) == ["x/a_cells.tif"]


def test_a_pattern_that_several_or_no_images_have_is_told() -> None:
    with pytest.raises(ResultsError, match="It is not clear which"):
        chosen("a_mask.tif", "b_mask.tif", pattern="mask")
    with pytest.raises(ResultsError, match=r"None of its results \(a.tif, b.tif\) has a name like 'cyto'"):
        chosen("a.tif", "b.tif", pattern="cyto")


def test_a_pattern_does_not_make_labels_of_what_holds_none() -> None:
    with pytest.raises(ResultsError, match=f"a_prob.tif holds no labels: {REFUSED}"):
        chosen("a_prob.tif", "a_mask.tif", pattern="prob", refused=("a_prob.tif",))


def test_all_labels_of_an_ome_zarr_are_label_images() -> None:
    inside = [
        candidate("a.zarr", 0, image("uint16", 3), named=True),
        candidate("a.zarr", 1, image(name="nuclei", label=True), named=True),
        candidate("a.zarr", 2, image(name="cells", label=True), named=True),
    ]
    assert [each.name for each in choose_labels(inside, "")] == ["nuclei", "cells"]
    assert [each.name for each in choose_labels(inside, "a.zarr")] == ["nuclei", "cells"]
    assert [each.name for each in choose_labels(inside, "CELLS")] == ["cells"]
    assert [each.name for each in choose_labels([*inside, Candidate("a_mask.tif", 0)], "")] == ["nuclei", "cells"]


def test_of_many_images_a_message_names_a_few() -> None:
    with pytest.raises(ResultsError, match=r"\(0.tif, 1.tif, 2.tif, 3.tif, 4.tif and 2 more\)"):
        chosen(*(f"{n}.tif" for n in range(7)))


def test_a_picture_is_recognised_by_its_values() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (400, 400))
    with pytest.raises(ResultsError, match="It looks like a picture, not like labels: nearly every pixel differs"):
        boundaries([noise])
    dark = np.where(noise > 250, noise % 50, 0)
    dark[::7] = np.arange(400) % 50
    with pytest.raises(
        ResultsError, match=r"It looks like a picture, not like labels: its 49 values lie in \d+,\d+ places"
    ):
        check_values(boundaries([dark]))


def test_a_few_classes_may_be_in_any_number_of_places() -> None:
    check_values(boundaries([np.tile(np.array([[1, 0, 2, 0], [0] * 4]), (40, 40))]))


def test_many_objects_are_labels() -> None:
    y, x = np.mgrid[:300, :300]
    cells = (1 + y // 10 * 30 + x // 10) * ((y % 10 > 1) & (x % 10 > 1))
    check_values(boundaries([cells]))


def test_negative_values_are_no_labels() -> None:
    with pytest.raises(ResultsError, match=r"it has negative values \(-1\)"):
        check_values(boundaries([np.array([[0, -1, 5]])]))
