"""Exports of a part of the pixels, compared with numpy on the pixels that they come from."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.pixels.ome_zarr_validation import validate
from tests.unit.pixels.pixel_server import PixelServer, numbered_planes
from tests.unit.pixels.sinks import CountingSink, FolderSink
from tests.unit.pixels.test_export import silently, sparse_plate
from worker.errors import ExportError, RequestError
from worker.pixels.choice import ZOOMS, PixelChoice
from worker.pixels.exporter import FORMATS, FormatName, export
from worker.pixels.image import Channel, SourceImage
from worker.pixels.manifest import ExportManifest
from worker.pixels.selection import Selection
from worker.pixels.views import Taken, choose
from worker.pixels.zoom import zoomed

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DTYPES = ("uint8", "uint16", "int16", "float32")
SHAPE = (3, 2, 4, 5, 7)


def noise(dtype: str, shape: tuple[int, int, int, int, int] = SHAPE) -> NDArray[Any]:
    values = np.random.default_rng(7).integers(-30_000, 30_000, shape)
    return values.astype(dtype)


def write(
    server: PixelServer, selection: Selection, choice: PixelChoice, folder: Path, format_name: FormatName = "zarr-0.5"
) -> ExportManifest:
    return export(
        server.gateway,
        selection,
        format=format_name,
        sink=FolderSink(folder),
        progress=silently,
        choice=choice,
    )


def read(path: Path) -> NDArray[Any]:
    """Read the full resolution of a file or tree, (T, C, Z, Y, X)."""
    if path.is_dir():
        return np.asarray(zarr.open_array(str(path / "0"), mode="r")[:])
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        return np.asarray(series.asarray(squeeze=False)).reshape(series.get_shape(squeeze=False)[:5])


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


@st.composite
def ranges(draw: st.DrawFn) -> tuple[tuple[int, int, int, int, int], dict[str, Any], Any, Any]:
    """A shape, a choice of sections and time points, and the slices that numpy takes for them."""
    shape = (draw(st.integers(1, 5)), 1, draw(st.integers(1, 5)), 3, 2)
    chosen: dict[str, Any] = {}
    slices = []
    for axis, size in (("t", shape[0]), ("z", shape[2])):
        first = draw(st.integers(1, size))
        last = draw(st.integers(first, size))
        chosen[axis] = (first, last)
        slices.append(slice(first - 1, last))
    return shape, chosen, slices[0], slices[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(case=ranges())
def test_ranges_count_from_1_and_include_both_ends(
    case: tuple[tuple[int, int, int, int, int], dict[str, Any], Any, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    shape, chosen, t, z = case
    server = PixelServer()
    array = numbered_planes("uint16", shape)
    folder = tmp_path_factory.mktemp("ranges")
    write(server, Selection((server.add(array),)), PixelChoice(**chosen), folder, "tiff")
    assert np.array_equal(read(folder / "image.tif"), array[t, :, z])


@pytest.mark.parametrize("axis", ["z", "t"])
@given(size=st.integers(1, 50), first=st.integers(1, 60), more=st.integers(0, 60))
def test_what_is_beyond_the_stack_is_refused_and_what_is_within_is_not(
    axis: str, size: int, first: int, more: int
) -> None:
    image = SourceImage(12, "deep", 1, 1, 1, 4, 4, "uint8", 5, channels=(Channel("0", "00FF00"),))
    image = replace(image, size_z=size) if axis == "z" else replace(image, size_t=size)
    sections = (first, first + more)
    choice = PixelChoice(z=sections) if axis == "z" else PixelChoice(t=sections)
    if first + more <= size:
        (view,) = choose(Selection((image,)), choice, {}).views
        assert getattr(view.image, f"size_{axis}") == more + 1
        return
    with pytest.raises(RequestError, match=rf"image 12 \(deep\) has {size}") as raised:
        choose(Selection((image,)), choice, {})
    assert f"{axis.upper()} from {first} to {first + more}" in str(raised.value)
    assert f"from 1 to {size}" in raised.value.remedy


def test_nothing_is_read_or_written_before_a_choice_is_known_to_fit(tmp_path: Path) -> None:
    server = PixelServer()
    images = (server.add(noise("uint8")), server.add(noise("uint8", (1, 1, 2, 4, 4)), name="shallow"))
    with pytest.raises(RequestError, match=r"shallow\) has 2"):
        write(server, Selection(images), PixelChoice(z=(3, 3)), tmp_path)
    with pytest.raises(RequestError, match=r"no channel 'channel 1' in image 1002 \(shallow\), which has 'channel 0'"):
        write(server, Selection(images), PixelChoice(channel_names=("channel 1",)), tmp_path)
    assert not server.calls
    assert list(tmp_path.iterdir()) == []


def test_what_was_viewed_last_is_taken_of_each_image() -> None:
    images = tuple(
        SourceImage(number, "image", 4, 1, 6, 4, 4, "uint8", number, channels=(Channel("0", "00FF00"),))
        for number in (1, 2)
    )
    views = choose(Selection(images), PixelChoice(z="default", t="default"), {1: (5, 0), 2: (3, 2)}).views
    assert [view.taken for view in views] == [Taken((0, 0), (0,), (5, 5)), Taken((2, 2), (0,), (3, 3))]
    assert {view.image.shape for view in views} == {(1, 1, 1, 4, 4)}


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


def test_the_manifest_records_what_was_chosen(tmp_path: Path) -> None:
    server = PixelServer()
    choice = PixelChoice(channel_names=("channel 0",), z=(2, 3), t="max", zoom_percent=25)
    manifest = write(server, Selection((server.add(noise("uint8")),)), choice, tmp_path)
    assert manifest.choice == choice
    again = ExportManifest.from_json(manifest.to_json())
    assert again == manifest
    assert json.loads(manifest.to_json())["choice"]["z"] == [2, 3]


def test_a_manifest_of_before_is_still_read() -> None:
    entry = {"path": "a", "object_type": "Image", "object_id": 1, "name": "a", "images": [], "shape": [], "sha256": ""}
    manifest = ExportManifest.from_json(json.dumps({"entries": [entry]}))
    assert (manifest.choice, manifest.entries[0].taken) == (None, ())


@pytest.mark.parametrize("choice", [None, PixelChoice(), PixelChoice(grey=True)])
def test_by_default_images_are_exported_as_they_are(tmp_path: Path, choice: PixelChoice | None) -> None:
    server = PixelServer()
    array = noise("int16")
    manifest = export(
        server.gateway,
        Selection((server.add(array),)),
        format="zarr-0.4",
        sink=FolderSink(tmp_path),
        progress=silently,
        choice=choice,
    )
    assert np.array_equal(read(tmp_path / "image.zarr"), array)
    assert (manifest.choice, manifest.entries[0].taken) == (None, ())
    assert server.calls["getPlane"] == 24


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


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"merged": False}, "Neither the merged"),
        ({"z": (0, 3)}, "Z is from 0 to 3"),
        ({"t": (4, 3)}, "T is from 4 to 3"),
        ({"z": "middle"}, "Z is 'middle'"),
        ({"z": [1]}, "Z is"),
        ({"z": [1, 2.5]}, "Z is"),
        ({"z": [True, 2]}, "Z is"),
        ({"t": 3}, "T is 3"),
        ({"t": None}, "T is None"),
        ({"zoom_percent": 150}, "Zoom is 150"),
        ({"zoom_percent": 0}, "Zoom is 0"),
        ({"zoom_percent": 100.0}, r"Zoom is 100\.0"),
        ({"zoom_percent": "50"}, "Zoom is 50"),
        ({"channel_names": [""]}, "channel name is empty"),
        ({"channel_names": "DAPI"}, "channel_names is 'DAPI'"),
        ({"channel_names": [1]}, "channel_names"),
        ({"merged": "yes"}, "merged is 'yes'"),
        ({"rotate": 90}, "no field rotate"),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_door(data: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        PixelChoice.from_json(data)


SECTIONS = st.one_of(
    st.sampled_from(["default", "all", "max"]),
    st.tuples(st.integers(1, 100), st.integers(0, 100)).map(lambda pair: (pair[0], sum(pair))),
)


@given(
    st.builds(
        PixelChoice,
        merged=st.just(True),
        individual_channels=st.booleans(),
        grey=st.booleans(),
        channel_names=st.lists(st.text(min_size=1).filter(str.strip), max_size=3).map(tuple),
        z=SECTIONS,
        t=SECTIONS,
        zoom_percent=st.sampled_from(ZOOMS),
    )
)
def test_a_choice_survives_json(choice: PixelChoice) -> None:
    assert PixelChoice.from_json(json.loads(json.dumps(choice.to_json()))) == choice
