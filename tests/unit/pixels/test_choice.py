"""What may be chosen of the pixels: what is refused, and what is taken of each image."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.pixels.exports import noise, read, write
from tests.unit.pixels.pixel_server import PixelServer, numbered_planes
from tests.unit.pixels.sinks import FolderSink
from tests.unit.pixels.test_export import silently
from worker.errors import RequestError
from worker.pixels.choice import ZOOMS, PixelChoice
from worker.pixels.exporter import export
from worker.pixels.image import Channel, SourceImage
from worker.pixels.manifest import ExportManifest
from worker.pixels.selection import Selection
from worker.pixels.views import Taken, choose

if TYPE_CHECKING:
    from pathlib import Path


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
