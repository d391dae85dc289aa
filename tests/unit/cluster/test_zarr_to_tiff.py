"""The converter that ships with us: values and metadata of what it writes, and how it refuses."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from worker.cluster.converters import zarr_to_tiff
from worker.cluster.converters.zarr_to_tiff import NotConvertible, convert

AXES = [
    {"name": "t", "type": "time", "unit": "second"},
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space", "unit": "micrometer"},
    {"name": "y", "type": "space", "unit": "nanometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]
SHAPE = (2, 3, 4, 30, 50)


def pixels(shape: tuple[int, ...] = SHAPE, dtype: str = "uint16") -> np.ndarray[Any, Any]:
    return np.random.default_rng(7).integers(0, 200, shape).astype(dtype)


def write_image(
    path: Path, values: np.ndarray[Any, Any], *, version: str = "0.4", axes: list[Any] | None = None, **more: Any
) -> Path:
    """Write an OME-Zarr image as the specification says."""
    zarr_format: Any = 2 if version == "0.4" else 3
    group = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    chunks = more.pop("chunks", (*(1,) * (values.ndim - 2), 16, 16))
    array = group.create_array("0", shape=values.shape, dtype=values.dtype, chunks=chunks)
    array[...] = values
    axes = AXES[-values.ndim :] if axes is None else axes
    scale = [0.5, 1.0, 2.0, 300.0, 0.25][-values.ndim :]
    metadata: dict[str, Any] = {
        "multiscales": [
            {
                "version": version,
                "name": "cells",
                "axes": axes,
                "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
            }
        ],
        "omero": {
            "channels": [{"label": "DAPI", "color": "0000FF"}, {"label": "GFP", "color": "00FF00"}, {"label": "x"}]
        },
        **more,
    }
    group.attrs.update(metadata if version == "0.4" else {"ome": metadata})
    return path


def ome(path: Path) -> str:
    with tifffile.TiffFile(path) as tiff:
        return str(tiff.ome_metadata)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
class TestBothVersions:
    def test_all_pixels_arrive(self, tmp_path: Path, version: str) -> None:
        values = pixels()
        (written,) = convert(write_image(tmp_path / "a.zarr", values, version=version))
        assert written == tmp_path / "a.tif"
        with tifffile.TiffFile(written) as tiff:
            assert tiff.series[0].axes == "TCZYX"
            np.testing.assert_array_equal(tiff.asarray(), values)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "a.zarr"]

    def test_sizes_units_names_and_colours_arrive(self, tmp_path: Path, version: str) -> None:
        text = ome(convert(write_image(tmp_path / "a.zarr", pixels(), version=version))[0])
        for expected in (
            'PhysicalSizeX="0.25"', 'PhysicalSizeXUnit="µm"', 'PhysicalSizeY="0.3"', 'PhysicalSizeZ="2.0"',
            'TimeIncrement="0.5"', 'TimeIncrementUnit="s"', 'Name="cells"', 'Name="DAPI"', 'Name="GFP"',
            'Color="65535"', 'Color="16711935"',
        ):  # fmt: skip
            assert expected in text

    def test_a_plate_becomes_a_file_for_each_field(self, tmp_path: Path, version: str) -> None:
        plate = tmp_path / "plate.zarr"
        zarr_format: Any = 2 if version == "0.4" else 3
        root = zarr.open_group(str(plate), mode="w", zarr_format=zarr_format)
        wells = {"A/1": ["0", "1"], "B/12": ["0"]}

        def describe(group: Any, metadata: dict[str, Any]) -> None:
            group.attrs.update(metadata if version == "0.4" else {"ome": metadata})

        describe(root, {"plate": {"wells": [{"path": path} for path in wells]}})
        values = {}
        for number, (well, fields) in enumerate(wells.items()):
            describe(root.create_group(well), {"well": {"images": [{"path": field} for field in fields]}})
            for field in fields:
                values[f"{well}/{field}"] = pixels((8, 9)) + 10 * number + int(field)
                write_image(plate / well / field, values[f"{well}/{field}"], version=version)
        written = convert(plate)
        assert [path.name for path in written] == ["plate_A01_s001.tif", "plate_A01_s002.tif", "plate_B12_s001.tif"]
        for path, expected in zip(written, values.values(), strict=True):
            np.testing.assert_array_equal(tifffile.imread(path), expected)


class TestImages:
    @pytest.mark.parametrize(
        ("name", "expected"), [("a.ome.zarr", "a.ome.tif"), ("a.ZARR", "a.tif"), ("it's ü.zarr", "it's ü.tif")]
    )
    def test_a_file_is_named_after_its_input(self, tmp_path: Path, name: str, expected: str) -> None:
        assert convert(write_image(tmp_path / name, pixels((5, 6))))[0].name == expected

    @pytest.mark.parametrize("ndim", [2, 3, 4, 5])
    def test_missing_axes_are_of_length_one(self, tmp_path: Path, ndim: int) -> None:
        values = pixels(SHAPE[-ndim:])
        (written,) = convert(write_image(tmp_path / "a.zarr", values))
        with tifffile.TiffFile(written) as tiff:
            np.testing.assert_array_equal(tiff.asarray().reshape(values.shape), values)

    def test_axes_without_z_are_not_mixed_up(self, tmp_path: Path) -> None:
        values = pixels((2, 3, 8, 9))
        (written,) = convert(write_image(tmp_path / "a.zarr", values, axes=[AXES[0], AXES[1], AXES[3], AXES[4]]))
        with tifffile.TiffFile(written) as tiff:
            assert tiff.series[0].axes == "TCYX"
            np.testing.assert_array_equal(tiff.asarray(), values)

    @pytest.mark.parametrize("chunks", [(2, 3, 4, 30, 50), (1, 1, 3, 7, 11)])
    def test_chunks_of_several_sections_are_read_together(
        self, tmp_path: Path, chunks: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = write_image(tmp_path / "a.zarr", pixels(), chunks=chunks)
        for limit_bytes in (zarr_to_tiff.BLOCK_BYTES, 1):
            monkeypatch.setattr(zarr_to_tiff, "BLOCK_BYTES", limit_bytes)
            np.testing.assert_array_equal(tifffile.imread(convert(source)[0]), pixels())

    @pytest.mark.parametrize(
        ("dtype", "stored"),
        [("uint8", "uint8"), ("int16", "int16"), ("float32", "float32"), ("float64", "float64"), (">u2", "uint16"),
         ("bool", "uint8"), ("float16", "float32"), ("int64", "int32"), ("uint64", "uint32")],
    )  # fmt: skip
    def test_every_type_of_pixels_keeps_its_values(self, tmp_path: Path, dtype: str, stored: str) -> None:
        values = pixels((3, 8, 9)).astype(dtype)
        found = tifffile.imread(convert(write_image(tmp_path / "a.zarr", values))[0])
        assert found.dtype == stored
        np.testing.assert_array_equal(found, values.astype(stored))

    def test_values_that_would_change_are_refused(self, tmp_path: Path) -> None:
        values = pixels((8, 9)).astype("int64")
        values[0, 0] = 2**40
        with pytest.raises(NotConvertible, match="int64 that OME-TIFF cannot hold"):
            convert(write_image(tmp_path / "a.zarr", values))
        assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]

    def test_a_large_image_is_a_bigtiff(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zarr_to_tiff, "CLASSIC_BYTES", 100)
        with tifffile.TiffFile(convert(write_image(tmp_path / "a.zarr", pixels()))[0]) as tiff:
            assert tiff.is_bigtiff

    def test_a_collection_becomes_a_file_for_each_image(self, tmp_path: Path) -> None:
        root = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
        root.attrs["bioformats2raw.layout"] = 3
        for number in (0, 10, 2):
            write_image(tmp_path / "a.zarr" / str(number), pixels((4, 5)) + number)
        assert [path.name for path in convert(tmp_path / "a.zarr")] == ["a_0.tif", "a_2.tif", "a_10.tif"]
        assert tifffile.imread(tmp_path / "a_10.tif")[0, 0] == pixels((4, 5))[0, 0] + 10


class TestRefusals:
    @pytest.mark.parametrize(
        ("axes", "problem"),
        [(["x", "y"], "axes that cannot be written: xy"), (["q", "y", "x"], "for 2 dimensions")],
    )
    def test_unknown_axes(self, tmp_path: Path, axes: list[str], problem: str) -> None:
        with pytest.raises(NotConvertible, match=problem):
            convert(write_image(tmp_path / "a.zarr", pixels((4, 5)), axes=axes))

    def test_what_is_no_zarr(self, tmp_path: Path) -> None:
        (tmp_path / "a.zarr").mkdir()
        with pytest.raises(NotConvertible, match="no OME-Zarr"):
            convert(tmp_path / "a.zarr")

    def test_a_zarr_without_an_image(self, tmp_path: Path) -> None:
        zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
        with pytest.raises(NotConvertible, match="holds no image"):
            convert(tmp_path / "a.zarr")

    def test_a_damaged_chunk_leaves_nothing(self, tmp_path: Path) -> None:
        source = write_image(tmp_path / "a.zarr", pixels())
        chunk = next(path for path in (source / "0").rglob("*") if path.is_file() and not path.name.startswith("."))
        chunk.write_bytes(b"damaged")
        ended = self.run(str(source))
        assert ended.returncode == 1
        assert re.match(rf"ERROR: {re.escape(str(source))} was not converted: .+", ended.stderr)
        assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the program as the container does: by itself, without this package."""
        command = [sys.executable, "-I", "-W", "error", zarr_to_tiff.__file__, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def test_the_program_stands_by_itself(self, tmp_path: Path) -> None:
        source = write_image(tmp_path / "-a b.zarr", pixels())
        ended = self.run(str(source))
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout == f"Written: {tmp_path}/-a b.tif\n"


def test_its_image_is_defined_with_the_versions_that_were_tested() -> None:
    text = Path(zarr_to_tiff.__file__).with_suffix(".def").read_text()
    pinned = dict(re.findall(r"([a-z]+)==(\S+)", text))
    assert pinned == {name: importlib.metadata.version(name) for name in ("numpy", "tifffile", "zarr")}
