"""Exports of a part of the pixels, compared with numpy on the pixels that they come from."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr

from tests.unit.pixels.exports import noise, read, write
from tests.unit.pixels.ome_zarr_validation import validate
from tests.unit.pixels.pixel_server import PixelServer, numbered_planes
from tests.unit.pixels.sinks import CountingSink
from tests.unit.pixels.test_export import silently, sparse_plate
from worker.errors import ExportError
from worker.pixels.choice import ZOOMS, PixelChoice
from worker.pixels.exporter import FORMATS, FormatName, export
from worker.pixels.image import Channel, SourceImage
from worker.pixels.selection import Selection
from worker.pixels.views import Taken, choose
from worker.pixels.zoom import zoomed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DTYPES = ("uint8", "uint16", "int16", "float32")


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_channel_as_its_maximum_projection(tmp_path: Path, dtype: str, format_name: FormatName) -> None:
    server = PixelServer()
    array = noise(dtype)
    image = server.add(array, name="cells.tif")
    choice = PixelChoice(channel_names=("Channel_1",), z="max")
    manifest = write(server, Selection((image,)), choice, tmp_path, format_name)
    (entry,) = manifest.entries
    assert np.array_equal(read(tmp_path / entry.path), array[:, 1:2].max(axis=2, keepdims=True))
    assert entry.taken == (Taken((0, 2), (1,), (0, 3)),)
    assert (entry.shape, entry.name) == ((3, 1, 1, 5, 7), "cells.tif")


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("percent", ZOOMS)
def test_zoom_changes_every_plane(tmp_path: Path, dtype: str, format_name: FormatName, percent: int) -> None:
    server = PixelServer()
    array = noise(dtype, (1, 2, 2, 13, 9))
    manifest = write(server, Selection((server.add(array),)), PixelChoice(zoom_percent=percent), tmp_path, format_name)
    written = read(tmp_path / manifest.entries[0].path)
    for c in range(2):
        for z in range(2):
            assert np.array_equal(written[0, c, z], zoomed(array[0, c, z], percent))


@pytest.mark.parametrize("format_name", FORMATS)
def test_each_channel_gets_a_file_of_its_own(tmp_path: Path, format_name: FormatName) -> None:
    server = PixelServer()
    array = noise("int16")
    images = (server.add(array, name="a.tif"), server.add(array, name="a.tif"))
    choice = PixelChoice(merged=True, individual_channels=True)
    manifest = write(server, Selection(images), choice, tmp_path, format_name)
    names = ["a", "a_channel_0", "a_channel_1", "a_(1)", "a_channel_0_(1)", "a_channel_1_(1)"]
    if format_name == "tiff":
        assert [entry.path for entry in manifest.entries] == [f"{name}.tif" for name in names]
    else:
        zarrs = [name.replace("a", "a.tif", 1) + ".zarr" for name in names]
        assert [entry.path for entry in manifest.entries] == zarrs
    for entry in manifest.entries:
        (taken,) = entry.taken
        assert np.array_equal(read(tmp_path / entry.path), array[:, list(taken.c)])
        assert entry.name == "a.tif"
    assert [entry.object_id for entry in manifest.entries] == [1001] * 3 + [1002] * 3


def test_channels_of_one_name_do_not_meet(tmp_path: Path) -> None:
    server = PixelServer()
    array = noise("uint8")
    image = replace(server.add(array), channels=(Channel("DAPI", "0000FF"), Channel("DAPI", "00FF00")))
    manifest = write(server, Selection((image,)), PixelChoice(merged=False, individual_channels=True), tmp_path)
    assert [entry.path for entry in manifest.entries] == ["image_DAPI.zarr", "image_DAPI_(1).zarr"]
    assert np.array_equal(read(tmp_path / "image_DAPI_(1).zarr"), array[:, 1:])


def test_a_long_name_does_not_push_the_channel_out(tmp_path: Path) -> None:
    server = PixelServer()
    image = replace(
        server.add(noise("uint8"), name="ö" * 300),
        channels=(Channel("Ch/1 " + "x" * 100, "0000FF"), Channel("Ch/2 " + "x" * 100, "00FF00")),
    )
    manifest = write(server, Selection((image,)), PixelChoice(merged=False, individual_channels=True), tmp_path)
    paths = [entry.path for entry in manifest.entries]
    assert ["_Ch_1_" in path for path in paths] == [True, False]
    assert all(len(path.encode()) <= 200 and "/" not in path for path in paths)


def colours_of(path: Path) -> list[str]:
    attributes: dict[str, Any] = zarr.open_group(str(path), mode="r").attrs.asdict()
    return [channel["color"] for channel in attributes["ome"]["omero"]["channels"]]


@pytest.mark.parametrize("grey", [True, False])
def test_single_channels_are_grey_or_coloured(tmp_path: Path, grey: bool) -> None:
    server = PixelServer()
    choice = PixelChoice(merged=True, individual_channels=True, grey=grey)
    write(server, Selection((server.add(noise("uint8")),)), choice, tmp_path)
    colours = {path.name: colours_of(path) for path in tmp_path.iterdir()}
    single = ["FFFFFF" if grey else "00FF00"]
    assert colours == {
        "image.zarr": ["00FF00", "00FF00"],
        "image_channel_0.zarr": single,
        "image_channel_1.zarr": single,
    }


def test_sizes_of_pixels_follow_the_zoom_and_projections_have_no_depth() -> None:
    image = replace(
        PixelServer().add(noise("uint8"), pixel_size_x_um=0.5, pixel_size_y_um=0.25, pixel_size_z_um=2.0),
        time_increment_s=10.0,
    )
    (half,) = choose(Selection((image,)), PixelChoice(zoom_percent=50, z=(2, 3)), {}).views
    assert (half.image.pixel_size_x_um, half.image.pixel_size_y_um, half.image.pixel_size_z_um) == (1.0, 0.5, 2.0)
    assert half.image.time_increment_s == 10.0
    (flat,) = choose(Selection((image,)), PixelChoice(zoom_percent=400, z="max", t="max"), {}).views
    assert (flat.image.pixel_size_x_um, flat.image.pixel_size_z_um, flat.image.time_increment_s) == (0.125, None, None)


def test_a_projection_over_time_and_depth_holds_two_planes_at_a_time() -> None:
    server = PixelServer()
    array = noise("uint16", (6, 1, 40, 20, 20))
    image = server.add(array)
    (view,) = choose(Selection((image,)), PixelChoice(z="max", t="max"), {}).views
    held: list[Any] = []

    def read_plane(source: SourceImage, t: int, c: int, z: int) -> NDArray[Any]:
        held.append((t, c, z))
        return np.array(server.array(source)[t, c, z])

    assert np.array_equal(view.pixels(read_plane, 0, 0, 0), array.max(axis=(0, 2))[0])
    assert len(held) == len(set(held)) == 240
    assert view.held_bytes == 2 * image.plane_bytes
    assert view.read_bytes == 240 * image.plane_bytes


def test_memory_does_not_grow_with_the_depth_of_a_projection() -> None:
    server = PixelServer()
    deep = np.broadcast_to(np.arange(300, dtype="uint16").reshape(1, 1, 300, 1, 1), (1, 1, 300, 512, 512))
    image = server.add(deep)
    tracemalloc.start()
    try:
        export(
            server.gateway,
            Selection((image,)),
            format="zarr-0.5",
            sink=CountingSink(),
            progress=silently,
            choice=PixelChoice(z="max"),
        )
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 12 * image.plane_bytes


def test_a_section_that_is_not_a_number_does_not_spoil_a_projection() -> None:
    array = noise("float32")
    array[:, :, 1] = np.nan
    image = PixelServer().add(array)
    (view,) = choose(Selection((image,)), PixelChoice(z="max"), {}).views
    made = view.pixels(lambda _, t, c, z: array[t, c, z].copy(), 0, 0, 0)
    assert np.array_equal(made, np.nanmax(array[0, 0], axis=0))


@pytest.mark.parametrize("format_name", FORMATS)
def test_plates_are_written_by_channel_too(tmp_path: Path, format_name: FormatName) -> None:
    server = PixelServer()
    plate = sparse_plate(server)
    choice = PixelChoice(individual_channels=True, zoom_percent=50)
    manifest = write(server, Selection((), (plate,)), choice, tmp_path, format_name)
    written = [
        (image_id, path, taken)
        for entry in manifest.entries
        for (image_id, path), taken in zip(entry.images, entry.taken, strict=True)
    ]
    assert {(entry.object_id, entry.name) for entry in manifest.entries} == {(5, "My plate")}
    assert len(written) == 3 * len(list(plate.fields()))
    by_id = {field.image.image_id: server.array(field.image) for _, field in plate.fields()}
    for image_id, path, taken in written:
        pixels = read(tmp_path / path)
        for index, c in enumerate(taken.c):
            assert np.array_equal(pixels[0, index, 0], zoomed(by_id[image_id][0, c, 0], 50))
    if format_name != "tiff":
        version = format_name.removeprefix("zarr-")
        for name in ("My plate.zarr", "My plate_channel_0.zarr", "My plate_channel_1.zarr"):
            validate(tmp_path / name, version, "plate")


def test_fields_that_lack_a_channel_are_left_out_of_its_plate(tmp_path: Path) -> None:
    server = PixelServer()
    plate = sparse_plate(server)
    first = plate.wells[0]
    short = replace(first.fields[0], image=server.add(numbered_planes("uint16", (1, 1, 1, 9, 11)), name="one channel"))
    plate = replace(plate, wells=(replace(first, fields=(short,)), *plate.wells[1:]))
    choice = PixelChoice(merged=False, individual_channels=True)
    manifest = write(server, Selection((), (plate,)), choice, tmp_path)
    assert [len(entry.images) for entry in manifest.entries] == [5, 4]
    validate(tmp_path / "My plate_channel_1.zarr", "0.5", "plate")


def test_progress_counts_the_planes_that_are_written() -> None:
    server = PixelServer()
    seen: list[tuple[int, int]] = []
    export(
        server.gateway,
        Selection((server.add(noise("uint8")),)),
        format="tiff",
        sink=CountingSink(),
        progress=lambda done, total: seen.append((done, total)),
        choice=PixelChoice(z="max"),
    )
    assert seen == [(done, 6) for done in range(1, 7)]
    assert server.calls["getPlane"] == 24


def test_planes_that_become_too_large_are_refused_before_memory_runs_out() -> None:
    server = PixelServer()
    image = replace(server.add(noise("uint8")), size_y=20_000, size_x=20_000)
    with pytest.raises(ExportError, match=r"5\.\d GiB|6\.0 GiB"):
        export(
            server.gateway,
            Selection((image,)),
            format="zarr-0.5",
            sink=CountingSink(),
            progress=silently,
            choice=PixelChoice(zoom_percent=400),
        )
