"""What the importer is given, and what it must never be given."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.lab import ngff
from worker.results.inplace.division import AT_ONCE, Share, divide, zarr_of
from worker.results.model import ImportOptions

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = np.zeros((1, 1, 4, 5), "uint8")
LABELS = np.zeros((4, 5), "int32")

DATASET = ImportOptions(new_dataset="results")
SCREEN = ImportOptions(new_screen="results")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Everything that an analysis may write."""
    for name in ("a.tif", "b.ome.tiff", "c.PNG", "d.czi", "table.csv", "notes.txt", "figure.html", "x.h5"):
        (tmp_path / name).touch()
    ngff.write_image(tmp_path / "plain.ome.zarr", PIXELS, "czyx")
    ngff.write_image(tmp_path / "labelled.zarr", PIXELS, "czyx", labels={"nuclei": LABELS, "cells": LABELS})
    ngff.write_image(tmp_path / "newer.zarr", PIXELS, "czyx", version="0.5", labels={"nuclei": LABELS})
    ngff.write_plate(tmp_path / "plate.zarr", {(0, 0): [PIXELS]}, "czyx")
    return tmp_path


def divided(results: Path, options: ImportOptions, *, registers_zarr: bool = True) -> dict[tuple[str, str], list[str]]:
    paths = [str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()]
    shares = divide(results, paths, options, registers_zarr=registers_zarr)
    return {(share.what, share.destination): list(share.paths) for share in shares}


FILES = ["a.tif", "b.ome.tiff", "c.PNG", "d.czi"]


def test_images_go_into_the_dataset_and_labels_by_themselves(results: Path) -> None:
    assert divided(results, DATASET) == {
        ("images", "Dataset"): [*FILES, "plain.ome.zarr"],
        ("labels", "Dataset"): [
            *("labelled.zarr/labels/nuclei", "labelled.zarr/labels/cells", "newer.zarr/labels/nuclei"),
        ],
    }


def test_the_image_around_labels_is_given_if_it_is_wanted(results: Path) -> None:
    found = divided(results, replace(DATASET, only_labels=False))

    assert found["images", "Dataset"] == [*FILES, "labelled.zarr", "newer.zarr", "plain.ome.zarr"]
    assert "labelled.zarr/labels/nuclei" in found["labels", "Dataset"]


def test_labels_are_left_out_if_they_are_not_wanted(results: Path) -> None:
    assert divided(results, replace(DATASET, label_zarrs=False)) == {
        ("images", "Dataset"): [*FILES, "labelled.zarr", "newer.zarr", "plain.ome.zarr"]
    }


def test_a_screen_is_given_plates_alone(results: Path) -> None:
    assert divided(results, SCREEN) == {("images", "Screen"): ["plate.zarr"]}
    both = divided(results, replace(SCREEN, new_dataset="results"))
    assert both["images", "Screen"] == ["plate.zarr"]
    assert set(both) == {("images", "Screen"), ("labels", "Dataset")}


def test_a_plate_is_never_given_for_a_dataset(results: Path) -> None:
    # The importer would look for a screen with the dataset's id, which may be anything.
    assert not any("plate.zarr" in path for paths in divided(results, DATASET).values() for path in paths)


def test_nothing_is_given_if_no_images_are_wanted(results: Path) -> None:
    assert divided(results, ImportOptions()) == {}


def test_zarr_is_kept_from_an_importer_that_does_not_register_it(results: Path) -> None:
    assert divided(results, DATASET, registers_zarr=False) == {("images", "Dataset"): FILES}


@pytest.mark.parametrize(
    "path", ["a:b.tif", "a?.tif", "a\nb.tif", "a.zarr.tif", "x.zarr2/a.tif", "a.tif ", "\udcff.tif", "a.zar"]
)
def test_what_the_importer_would_take_for_something_else_is_kept_from_it(tmp_path: Path, path: str) -> None:
    assert divide(tmp_path, [path], DATASET) == ()


def test_zarr_that_cannot_be_read_is_left_to_whoever_tells_why(tmp_path: Path) -> None:
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / ".zattrs").write_text("{")
    (tmp_path / "broken.zarr" / ".zgroup").write_text("{}")

    assert divide(tmp_path, ["broken.zarr/.zattrs", "broken.zarr/.zgroup"], DATASET) == ()


def test_zarr_with_a_link_in_it_is_not_given(results: Path) -> None:
    (results / "plain.ome.zarr" / "passwd").symlink_to("/etc/passwd")

    assert "plain.ome.zarr" not in divided(results, DATASET)["images", "Dataset"]


def test_what_is_missing_is_ordered_alone() -> None:
    share = Share("images", "Dataset", ("a.tif", "b.tif", "c.tif"))

    assert share.only({"b.tif"}) == Share("images", "Dataset", ("b.tif",))


@pytest.mark.parametrize(
    ("path", "zarr"),
    [
        ("a.tif", None),
        ("x.zarr", None),
        ("x.zarr/.zattrs", "x.zarr"),
        ("sub/x.OME.Zarr/0/0", "sub/x.OME.Zarr"),
        ("x.zarr/y.zarr/0", "x.zarr"),
    ],
)
def test_a_member_knows_the_zarr_that_it_is_in(path: str, zarr: str | None) -> None:
    assert zarr_of(path) == zarr


def test_many_files_make_several_orders_so_that_the_importer_works_on_them_side_by_side(tmp_path: Path) -> None:
    names = [f"{number:03}.tif" for number in range(2 * AT_ONCE + 1)]
    for name in names:
        (tmp_path / name).touch()
    shares = divide(tmp_path, names, DATASET)
    assert [share.what for share in shares] == ["images", "images-2", "images-3"]
    assert [len(share.paths) for share in shares] == [AT_ONCE, AT_ONCE, 1]
    assert [path for share in shares for path in share.paths] == names
    # What is missing is looked for in the same portions, so that an order keeps its name.
    assert [share.only(names[-1:]).paths for share in shares] == [(), (), (names[-1],)]
