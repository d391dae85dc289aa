"""Exports from a pixel server into a folder, in every format."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import tifffile
import zarr

from tests.unit.pixels.ome_zarr_validation import validate
from tests.unit.pixels.pixel_server import PixelServer, numbered_planes
from tests.unit.pixels.sinks import CountingSink, FolderSink
from worker.errors import ExportError, RequestError
from worker.pixels import cli_zarr, tiff
from worker.pixels.exporter import FormatName, export
from worker.pixels.plate import Acquisition, Field, PlateIndex, Well
from worker.pixels.selection import Selection

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from worker.pixels.image import SourceImage
    from worker.pixels.manifest import ExportManifest


def silently(done: int, total: int) -> None:
    """Show no progress."""


def run(server: PixelServer, selection: Selection, format_name: FormatName, folder: Path) -> ExportManifest:
    return export(server.gateway, selection, format=format_name, sink=FolderSink(folder), progress=silently)


def sparse_plate(server: PixelServer) -> PlateIndex:
    """A plate of 3 x 4 wells of which 3 have images, two acquisitions, and a field number that is missing."""

    def field(index: int, acquisition_id: int) -> Field:
        image = server.add(numbered_planes("uint16", (1, 2, 1, 9, 11)), name=f"field {index}")
        return Field(index, acquisition_id, image)

    wells = (
        Well(1, 0, 0, (field(0, 7), field(1, 8))),
        Well(2, 0, 3, (field(2, 8),)),
        Well(3, 2, 1, (field(0, 7), field(2, 7), field(3, 8))),
    )
    acquisitions = (Acquisition(7, "first", start_ms=1_700_000_000_000), Acquisition(8), Acquisition(9, "none"))
    return PlateIndex(5, "My plate", ("A", "B", "C"), ("1", "2", "3", "4"), wells, acquisitions)


class ExportFormatContract:
    """What every export format must do."""

    format_name: ClassVar[FormatName]

    def read(self, path: Path) -> NDArray[Any]:
        """Read the full resolution of an image, (T, C, Z, Y, X)."""
        raise NotImplementedError

    def read_by_manifest(self, folder: Path, manifest: ExportManifest, image: SourceImage) -> NDArray[Any]:
        (path,) = [p for entry in manifest.entries for image_id, p in entry.images if image_id == image.image_id]
        return self.read(folder / path)

    @pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
    def test_every_plane_is_where_it_belongs(self, tmp_path: Path, dtype: str) -> None:
        server = PixelServer()
        image = server.add(numbered_planes(dtype))
        manifest = run(server, Selection((image,)), self.format_name, tmp_path)
        read = self.read_by_manifest(tmp_path, manifest, image)
        assert read.dtype == np.dtype(dtype)
        assert np.array_equal(read, server.array(image))

    @pytest.mark.parametrize("size", [(1, 1), (257, 1), (1025, 1030), (600, 511)])
    def test_odd_sizes_are_kept(self, tmp_path: Path, size: tuple[int, int]) -> None:
        server = PixelServer()
        array = np.random.default_rng(3).integers(0, 65536, (1, 2, 1, *size), "uint16")
        image = server.add(array)
        manifest = run(server, Selection((image,)), self.format_name, tmp_path)
        assert np.array_equal(self.read_by_manifest(tmp_path, manifest, image), array)

    def test_black_planes_are_kept(self, tmp_path: Path) -> None:
        server = PixelServer()
        image = server.add(np.zeros((1, 2, 1, 30, 30), "uint8"))
        manifest = run(server, Selection((image,)), self.format_name, tmp_path)
        assert not self.read_by_manifest(tmp_path, manifest, image).any()

    def test_images_of_one_name_do_not_meet(self, tmp_path: Path) -> None:
        server = PixelServer()
        images = tuple(server.add(np.full((1, 1, 1, 4, 4), value, "uint8"), name="same") for value in (1, 2, 3))
        manifest = run(server, Selection(images), self.format_name, tmp_path)
        assert [entry.object_id for entry in manifest.entries] == [image.image_id for image in images]
        assert [self.read_by_manifest(tmp_path, manifest, image).max() for image in images] == [1, 2, 3]

    def test_fields_of_a_sparse_plate_are_found_by_the_manifest(self, tmp_path: Path) -> None:
        server = PixelServer()
        plate = sparse_plate(server)
        manifest = run(server, Selection((), (plate,)), self.format_name, tmp_path)
        assert {(entry.object_type, entry.object_id, entry.name) for entry in manifest.entries} == {
            ("Plate", 5, "My plate")
        }
        for _, field in plate.fields():
            read = self.read_by_manifest(tmp_path, manifest, field.image)
            assert np.array_equal(read, server.array(field.image))

    def test_the_checksum_is_that_of_the_pixels(self, tmp_path: Path) -> None:
        server = PixelServer()
        image = server.add(numbered_planes("int16"))
        (entry,) = run(server, Selection((image,)), self.format_name, tmp_path).entries
        assert entry.sha256 == hashlib.sha256(server.array(image).astype("<i2").tobytes()).hexdigest()
        assert entry.shape == (2, 3, 3, 5, 7)

    def test_progress_counts_every_plane_once(self, tmp_path: Path) -> None:
        server = PixelServer()
        seen: list[tuple[int, int]] = []
        images = (server.add(numbered_planes("uint8")), server.add(numbered_planes("uint8")))
        export(
            server.gateway,
            Selection(images),
            format=self.format_name,
            sink=CountingSink(),
            progress=lambda done, total: seen.append((done, total)),
        )
        assert seen == [(done, 36) for done in range(1, 37)]

    def test_a_sink_that_fails_ends_the_export_with_its_own_error(self) -> None:
        class Broken:
            def add(self, path: str, data: bytes | memoryview) -> None:
                raise BrokenPipeError(path)

        server = PixelServer()
        with pytest.raises(BrokenPipeError):
            export(
                server.gateway,
                Selection((server.add(numbered_planes("uint8")),)),
                format=self.format_name,
                sink=Broken(),
                progress=silently,
            )
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("pixels-")]

    def test_a_pixel_type_without_a_place_is_refused_before_anything_is_written(self, tmp_path: Path) -> None:
        server = PixelServer()
        good = server.add(numbered_planes("uint8"))
        with pytest.raises(ExportError, match="bit"):
            run(server, Selection((good, replace(good, pixel_type="bit"))), self.format_name, tmp_path)
        assert list(tmp_path.iterdir()) == []


class ZarrContract(ExportFormatContract):
    """What both versions of OME-Zarr must do."""

    version: ClassVar[str]

    def read(self, path: Path) -> NDArray[Any]:
        return np.asarray(zarr.open_array(str(path / "0"), mode="r")[:])

    def attributes(self, path: Path) -> dict[str, Any]:
        attributes: dict[str, Any] = zarr.open_group(str(path), mode="r").attrs.asdict()
        return attributes["ome"] if self.version == "0.5" else attributes

    def test_an_image_is_valid(self, tmp_path: Path) -> None:
        server = PixelServer()
        image = server.add(numbered_planes("uint16", (1, 2, 1, 700, 300)), pixel_size_x_um=0.5)
        run(server, Selection((image,)), self.format_name, tmp_path)
        validate(tmp_path / "image.zarr", self.version, "image")

    def test_a_sparse_plate_is_valid(self, tmp_path: Path) -> None:
        run(server := PixelServer(), Selection((), (sparse_plate(server),)), self.format_name, tmp_path)
        model = validate(tmp_path / "My plate.zarr", self.version, "plate")
        plate = self.attributes(tmp_path / "My plate.zarr")["plate"]
        assert [well["path"] for well in plate["wells"]] == ["A/1", "A/4", "C/2"]
        assert [row["name"] for row in plate["rows"]] == ["A", "B", "C"]
        assert plate["field_count"] == 3
        assert [a.get("maximumfieldcount") for a in plate["acquisitions"]] == [2, 1, None]
        assert model is not None
        well = self.attributes(tmp_path / "My plate.zarr" / "C" / "2")["well"]
        assert well["images"] == [
            {"path": "0", "acquisition": 7},
            {"path": "2", "acquisition": 7},
            {"path": "3", "acquisition": 8},
        ]

    def test_levels_say_the_spacing_of_their_pixels(self, tmp_path: Path) -> None:
        server = PixelServer()
        image = server.add(
            numbered_planes("uint16", (2, 1, 2, 515, 301)),
            pixel_size_x_um=0.5,
            pixel_size_y_um=0.25,
            pixel_size_z_um=2.0,
            time_increment_s=30.0,
        )
        run(server, Selection((image,)), self.format_name, tmp_path)
        (multiscale,) = self.attributes(tmp_path / "image.zarr")["multiscales"]
        scales = [dataset["coordinateTransformations"][0]["scale"] for dataset in multiscale["datasets"]]
        assert scales == [[30, 1, 2, 0.25, 0.5], [30, 1, 2, 0.5, 1], [30, 1, 2, 1, 2]]
        units = {axis["name"]: axis.get("unit") for axis in multiscale["axes"]}
        assert units == {"t": "second", "c": None, "z": "micrometer", "y": "micrometer", "x": "micrometer"}
        shapes = [zarr.open_array(str(tmp_path / "image.zarr" / str(n)), mode="r").shape[3:] for n in range(3)]
        assert shapes == [(515, 301), (258, 151), (129, 76)]

    def test_no_unit_is_invented(self, tmp_path: Path) -> None:
        server = PixelServer()
        run(server, Selection((server.add(numbered_planes("uint8")),)), self.format_name, tmp_path)
        (multiscale,) = self.attributes(tmp_path / "image.zarr")["multiscales"]
        assert not any("unit" in axis for axis in multiscale["axes"])

    def test_channels_keep_their_names_colours_and_limits(self, tmp_path: Path) -> None:
        server = PixelServer()
        image = server.add(numbered_planes("uint16", (1, 2, 1, 4, 4)))
        counted = replace(image.channels[1], label="GFP", colour="FF8000", minimum=3.0, maximum=900.0)
        image = replace(image, channels=(image.channels[0], counted))
        run(server, Selection((image,)), self.format_name, tmp_path)
        channels = self.attributes(tmp_path / "image.zarr")["omero"]["channels"]
        assert [channel["label"] for channel in channels] == ["channel 0", "GFP"]
        assert channels[1]["color"] == "FF8000"
        assert channels[0]["window"] == {"min": 0, "max": 65535, "start": 1, "end": 1}
        assert channels[1]["window"] == {"min": 0, "max": 65535, "start": 3, "end": 900}

    def test_pixels_that_are_not_numbers_do_not_spoil_the_metadata(self, tmp_path: Path) -> None:
        server = PixelServer()
        array = np.full((1, 1, 1, 4, 4), np.nan, "float32")
        run(server, Selection((server.add(array),)), self.format_name, tmp_path)
        window = self.attributes(tmp_path / "image.zarr")["omero"]["channels"][0]["window"]
        assert window == {"min": 0, "max": 1, "start": 0, "end": 1}

    def test_metadata_of_an_image_come_after_its_pixels(self, tmp_path: Path) -> None:
        server = PixelServer()
        sink = FolderSink(tmp_path)
        image = server.add(numbered_planes("uint8"))
        export(server.gateway, Selection((image,)), format=self.format_name, sink=sink, progress=silently)
        last = "image.zarr/.zattrs" if self.version == "0.4" else "image.zarr/zarr.json"
        assert sink.paths[-1] == last

    def test_images_and_plates_share_the_names(self, tmp_path: Path) -> None:
        server = PixelServer()
        image = server.add(numbered_planes("uint8"), name="My plate")
        manifest = run(server, Selection((image,), (sparse_plate(server),)), self.format_name, tmp_path)
        assert [entry.path for entry in manifest.entries] == ["My plate.zarr", "My plate_(1).zarr"]


class TestOmeZarr04(ZarrContract):
    format_name = "zarr-0.4"
    version = "0.4"

    def test_arrays_are_zarr_v2_with_nested_keys(self, tmp_path: Path) -> None:
        server = PixelServer()
        run(server, Selection((server.add(numbered_planes("uint16")),)), self.format_name, tmp_path)
        document = json.loads((tmp_path / "image.zarr" / "0" / ".zarray").read_text())
        assert (document["zarr_format"], document["dimension_separator"], document["dtype"]) == (2, "/", "<u2")
        assert (tmp_path / "image.zarr/0/1/2/2/0/0").is_file()


class TestOmeZarr05(ZarrContract):
    format_name = "zarr-0.5"
    version = "0.5"

    def test_a_plane_is_one_file_for_each_level(self, tmp_path: Path) -> None:
        server = PixelServer()
        image = server.add(np.zeros((1, 2, 1, 1500, 1500), "uint16"))
        run(server, Selection((image,)), self.format_name, tmp_path)
        files = [path for path in (tmp_path / "image.zarr").rglob("*") if path.is_file() and path.name != "zarr.json"]
        assert len(files) == 2 * 4


class TestOmeTiff(ExportFormatContract):
    format_name = "tiff"

    def read(self, path: Path) -> NDArray[Any]:
        with tifffile.TiffFile(path) as file:
            (series,) = file.series
            assert series.kind == "ome"
            return np.asarray(series.asarray(squeeze=False)).reshape(series.get_shape(False)[:5])

    def test_axes_sizes_and_channels_are_described(self, tmp_path: Path) -> None:
        server = PixelServer()
        image = server.add(numbered_planes("uint16"), name="cells.tif", pixel_size_x_um=0.5, pixel_size_y_um=0.25)
        run(server, Selection((image,)), self.format_name, tmp_path)
        with tifffile.TiffFile(tmp_path / "cells.tif") as file:
            assert file.series[0].get_axes(squeeze=False)[:5] == "TCZYX"
            description = file.ome_metadata or ""
        for part in ('PhysicalSizeX="0.5"', 'PhysicalSizeY="0.25"', 'PhysicalSizeXUnit="µm"', 'Name="channel 2"'):
            assert part in description

    def test_fields_are_named_after_well_and_number(self, tmp_path: Path) -> None:
        server = PixelServer()
        manifest = run(server, Selection((), (sparse_plate(server),)), self.format_name, tmp_path)
        assert [entry.path for entry in manifest.entries][:3] == [
            "My plate_A01_s001.tif",
            "My plate_A01_s002.tif",
            "My plate_A04_s003.tif",
        ]

    def test_a_long_plate_name_keeps_the_well(self, tmp_path: Path) -> None:
        server = PixelServer()
        plate = replace(sparse_plate(server), name="p" * 300)
        manifest = run(server, Selection((), (plate,)), self.format_name, tmp_path)
        assert manifest.entries[0].path.endswith("p_A01_s001.tif")

    def test_a_large_image_goes_through_a_temporary_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tiff, "IN_MEMORY_BYTES", 100)
        server = PixelServer()
        image = server.add(numbered_planes("uint16"))
        run(server, Selection((image,)), self.format_name, tmp_path)
        assert np.array_equal(self.read(tmp_path / "image.tif"), server.array(image))


def test_a_plane_that_memory_cannot_hold_is_refused_with_a_way_out() -> None:
    server = PixelServer()
    image = replace(server.add(numbered_planes("uint8")), size_y=100_000, size_x=100_000)
    with pytest.raises(ExportError, match="omero-cli-zarr"):
        export(server.gateway, Selection((image,)), format="zarr-0.5", sink=CountingSink(), progress=silently)
    assert not server.calls


def test_the_other_exporter_refuses_what_it_does_not_write() -> None:
    with pytest.raises(RequestError, match="omero-cli-zarr does not write 'tiff'"):
        cli_zarr.export(PixelServer().gateway, Selection(()), format="tiff", sink=CountingSink(), progress=silently)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(RequestError, match=r"zarr-0\.4, zarr-0\.5, tiff"):
        export(PixelServer().gateway, Selection(()), format="czi", sink=CountingSink(), progress=silently)  # type: ignore[arg-type]  # on purpose


def test_an_empty_selection_is_refused() -> None:
    with pytest.raises(ExportError, match="nothing"):
        export(PixelServer().gateway, Selection(()), format="tiff", sink=CountingSink(), progress=silently)
