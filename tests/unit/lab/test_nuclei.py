"""The analysis itself, outside of its container."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
import zarr

from tests.lab import samples
from tests.lab.analyses.nuclei import nuclei

DESCRIPTOR = json.loads((Path(nuclei.__file__).parent / "descriptor.json").read_text(encoding="utf-8"))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "in").mkdir()
    return tmp_path / "in", tmp_path / "out"


def run(folders: tuple[Path, Path], *arguments: str) -> int:
    infolder, outfolder = folders
    fixed = ["--infolder", str(infolder), "--outfolder", str(outfolder), "--gtfolder", "unused", "--local", "-nmc"]
    return nuclei.main([*fixed, *arguments])


def rows(outfolder: Path) -> list[dict[str, str]]:
    with (outfolder / "measurements.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def blobs(*, size: int = 96) -> np.ndarray:
    """An image (Y, X) with four round nuclei of 20 pixels diameter."""
    y, x = np.mgrid[:size, :size]
    image = np.full((size, size), 100, dtype=np.uint16)
    for centre_y in (24, 72):
        for centre_x in (24, 72):
            image[(y - centre_y) ** 2 + (x - centre_x) ** 2 < 100] = 1000
    return image


def write_zarr(path: Path, pixels: np.ndarray, axes: str, version: Literal["0.4", "0.5"]) -> None:
    """Write an OME-Zarr image with one resolution."""
    names = [{"name": axis.lower(), "type": "space" if axis in "ZYX" else "other"} for axis in axes]
    multiscales = [{"version": version, "axes": names, "datasets": [{"path": "0"}]}]
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("0", data=pixels)
    set_metadata(group, {"multiscales": multiscales}, version)


def set_metadata(group: zarr.Group, metadata: dict[str, Any], version: Literal["0.4", "0.5"]) -> None:
    group.attrs.update(metadata if version == "0.4" else {"ome": {"version": version} | metadata})


def test_nuclei_of_a_real_micrograph_are_found(folders: tuple[Path, Path]) -> None:
    infolder, outfolder = folders
    tifffile.imwrite(infolder / "img2d.tif", samples.nuclei_image())
    assert run(folders) == 0
    labels = tifffile.imread(outfolder / "img2d_labels.tif")
    assert labels.dtype == np.uint16
    assert samples.f1_score(labels, samples.nuclei_truth()) >= 0.8


def test_each_nucleus_is_measured(folders: tuple[Path, Path]) -> None:
    infolder, outfolder = folders
    tifffile.imwrite(infolder / "blobs.tif", blobs())
    run(folders)
    table = rows(outfolder)
    assert [row["label"] for row in table] == ["1", "2", "3", "4"]
    assert {row["image"] for row in table} == {"blobs"}
    assert float(table[0]["centroid_y"]) == pytest.approx(24, abs=1)
    assert int(table[0]["area_px"]) == pytest.approx(314, rel=0.25)


def test_progress_is_told(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.tif", "b.ome.tiff"):
        tifffile.imwrite(folders[0] / name, blobs())
    run(folders)
    assert [line for line in capsys.readouterr().out.splitlines() if line.endswith("%")] == ["50%", "100%"]
    assert (folders[1] / "b_labels.tif").exists()


def test_the_channel_with_the_nuclei_can_be_chosen(folders: tuple[Path, Path]) -> None:
    stack = np.stack([np.full((96, 96), 7, dtype=np.uint16), blobs()])
    tifffile.imwrite(folders[0] / "two.ome.tif", stack, metadata={"axes": "CYX"})
    run(folders, "--channel", "1")
    assert len(rows(folders[1])) == 4


def test_a_channel_that_is_not_there_is_an_error(folders: tuple[Path, Path]) -> None:
    write_zarr(folders[0] / "one.zarr", blobs()[np.newaxis], "CYX", "0.4")
    with pytest.raises(SystemExit, match="no channel 3"):
        run(folders, "--channel", "3")


def test_an_image_without_nuclei_has_none(folders: tuple[Path, Path]) -> None:
    tifffile.imwrite(folders[0] / "empty.tif", np.zeros((64, 64), dtype=np.uint8))
    assert run(folders) == 0
    assert rows(folders[1]) == []
    assert tifffile.imread(folders[1] / "empty_labels.tif").max() == 0


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_ome_zarr_image_is_read(folders: tuple[Path, Path], version: Literal["0.4", "0.5"]) -> None:
    write_zarr(folders[0] / "image.ome.zarr", blobs()[np.newaxis, np.newaxis, np.newaxis], "TCZYX", version)
    assert run(folders) == 0
    assert tifffile.imread(folders[1] / "image_labels.tif").shape == (96, 96)
    assert len(rows(folders[1])) == 4


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_every_field_of_a_plate_gets_its_own_labels(folders: tuple[Path, Path], version: Literal["0.4", "0.5"]) -> None:
    path = folders[0] / "plate.zarr"
    plate = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    set_metadata(plate, {"plate": {"wells": [{"path": "A/1"}, {"path": "B/2"}]}}, version)
    for well in ("A/1", "B/2"):
        set_metadata(plate.require_group(well), {"well": {"images": [{"path": "0"}, {"path": "1"}]}}, version)
        for field in ("0", "1"):
            write_zarr(path / well / field, blobs()[np.newaxis], "CYX", version)
    assert run(folders) == 0
    names = sorted(file.name for file in folders[1].glob("*.tif"))
    assert names == [f"plate_{field}_labels.tif" for field in ("A1_0", "A1_1", "B2_0", "B2_1")]
    assert len(rows(folders[1])) == 16


def test_time_points_are_segmented_one_by_one(folders: tuple[Path, Path]) -> None:
    write_zarr(folders[0] / "film.zarr", np.stack([blobs(), blobs(), blobs()]), "TYX", "0.5")
    run(folders)
    assert tifffile.imread(folders[1] / "film_labels.tif").shape == (3, 96, 96)
    assert [row["t"] for row in rows(folders[1])] == ["0"] * 4 + ["1"] * 4 + ["2"] * 4


def test_an_empty_folder_is_an_error(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folders) == 3
    assert "no TIFF and no OME-Zarr" in capsys.readouterr().err


def test_it_fails_on_demand(folders: tuple[Path, Path]) -> None:
    tifffile.imwrite(folders[0] / "blobs.tif", blobs())
    assert run(folders, "--debug_exit", "7") == 7


def test_a_label_suffix_cannot_leave_the_folder(folders: tuple[Path, Path]) -> None:
    with pytest.raises(SystemExit):
        run(folders, "--label_suffix", "/../../elsewhere")


def test_the_descriptor_and_the_command_line_agree() -> None:
    options = vars(nuclei.read_command_line(["--infolder", "in", "--outfolder", "out"]))
    described = {item["id"]: item["default-value"] for item in DESCRIPTOR["inputs"] if not item["set-by-server"]}
    own = {"infolder", "outfolder", "gtfolder", "local", "nmc"}
    assert described == {name: value for name, value in options.items() if name not in own}


def test_labels_are_written_into_an_ome_zarr_if_the_suffix_is_one(folders: tuple[Path, Path]) -> None:
    tifffile.imwrite(folders[0] / "cells.tif", blobs())
    assert run(folders, "--label_suffix", "_found.ome.zarr") == 0
    group = zarr.open_group(folders[1] / "cells_found.ome.zarr", mode="r")
    image, labels = (nuclei.ome_attributes(each)["multiscales"][0] for each in (group, nuclei_labels(group)))
    np.testing.assert_array_equal(nuclei.read_zarr(group, image)[0], [blobs()])
    assert nuclei.read_zarr(nuclei_labels(group), labels)[0].max() == 4
    assert nuclei.member(group, "labels").attrs["labels"] == ["nuclei"]
    assert not list(folders[1].glob("*.tif"))


def nuclei_labels(group: zarr.Group) -> zarr.Group:
    return nuclei.member(group, "labels/nuclei")
