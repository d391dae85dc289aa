"""Reading planes through several stores."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import Ice
import numpy as np
import omero
import pytest

from tests.unit.pixels.pixel_server import PixelServer, numbered_planes, wait
from worker.errors import ExportError, OmeroUnavailable
from worker.pixels import planes as planes_module
from worker.pixels.planes import Plane, read_planes

if TYPE_CHECKING:
    from collections.abc import Callable


def itself(plane: Plane) -> Plane:
    return plane


def reader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pixels-")]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_every_plane_arrives_in_order_with_its_own_pixels(dtype: str) -> None:
    server = PixelServer()
    images = [server.add(numbered_planes(dtype)), server.add(numbered_planes(dtype, (1, 1, 4, 3, 3)))]
    planes = list(read_planes(server.gateway, images, itself))
    places = [(p.number, p.t, p.c, p.z) for p in planes]
    assert places == [
        (number, t, c, z) for number, image in enumerate(images) for t, c, z in np.ndindex(*image.shape[:3])
    ]
    for plane in planes:
        expected = server.array(plane.image)[plane.t, plane.c, plane.z]
        assert plane.pixels.dtype == np.dtype(dtype).newbyteorder("<")
        assert np.array_equal(plane.pixels, expected)


def test_order_is_kept_when_the_first_planes_are_the_slowest() -> None:
    delays = iter([0.2, 0.1, 0.05, *[0.0] * 100])
    server = PixelServer(before=lambda operation: time.sleep(next(delays) if operation == "getPlane" else 0))
    images = [server.add(numbered_planes("uint8", (1, 1, 1, 2, 2))) for _ in range(8)]
    assert [plane.number for plane in read_planes(server.gateway, images, itself)] == list(range(8))


def test_an_image_costs_one_call_for_each_plane_and_one_more() -> None:
    server = PixelServer()
    images = [server.add(numbered_planes("uint16")) for _ in range(6)]
    list(read_planes(server.gateway, images, itself, stores=3))
    assert server.calls == {"createRawPixelsStore": 3, "setPixelsId": 6, "getPlane": 6 * 18, "close": 3}


def test_a_large_image_is_read_through_all_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planes_module, "SPREAD_BYTES", 100)
    server = PixelServer(before=wait({"getPlane": 0.01}))
    image = server.add(numbered_planes("uint16"))
    planes = list(read_planes(server.gateway, [image], itself, stores=3))
    assert [(p.t, p.c, p.z) for p in planes] == list(np.ndindex(2, 3, 3))
    assert server.calls["setPixelsId"] == 3


def test_stores_work_at_the_same_time() -> None:
    together = threading.Barrier(4, timeout=5)

    def before(operation: str) -> None:
        if operation == "getPlane":
            together.wait()

    server = PixelServer(before)
    images = [server.add(numbered_planes("uint8", (1, 1, 1, 2, 2))) for _ in range(4)]
    assert len(list(read_planes(server.gateway, images, itself, stores=4))) == 4


def test_no_more_bytes_than_allowed_are_read_ahead() -> None:
    server = PixelServer()
    images = [server.add(numbered_planes("uint8", (1, 1, 1, 10, 10))) for _ in range(20)]
    planes = read_planes(server.gateway, images, itself, ahead_bytes=300)
    with contextlib.closing(planes):
        next(planes)
        time.sleep(0.2)
        assert server.calls["getPlane"] <= 3


def test_a_plane_that_is_larger_than_allowed_is_read_all_the_same() -> None:
    server = PixelServer()
    image = server.add(numbered_planes("uint8", (1, 1, 3, 100, 100)))
    assert len(list(read_planes(server.gateway, [image], itself, ahead_bytes=10))) == 3


def test_a_huge_plane_is_put_together_from_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planes_module, "PLANE_LIMIT_BYTES", 1000)
    monkeypatch.setattr(planes_module, "TILE_SIDE", 16)
    server = PixelServer()
    array = np.random.default_rng(2).integers(0, 65536, (1, 2, 1, 50, 37), "uint16")
    planes = list(read_planes(server.gateway, [server.add(array)], itself))
    assert np.array_equal(np.stack([plane.pixels for plane in planes]), array[0, :, 0])
    assert server.calls["getTile"] == 2 * 4 * 3
    assert "getPlane" not in server.calls


def fail_after(count: int, error: Callable[[], Exception]) -> Callable[[str], None]:
    left = iter(range(count))

    def before(operation: str) -> None:
        if operation == "getPlane" and next(left, None) is None:
            raise error()

    return before


@pytest.mark.parametrize("error", [Ice.ConnectionLostException, omero.RemovedSessionException])
def test_a_lost_connection_is_transient_and_leaves_neither_thread_nor_store(error: Callable[[], Exception]) -> None:
    server = PixelServer(before=fail_after(7, error))
    images = [server.add(numbered_planes("uint16"), name="my cells") for _ in range(3)]
    with pytest.raises(OmeroUnavailable, match="my cells"):
        list(read_planes(server.gateway, images, itself))
    assert reader_threads() == []
    assert server.open_stores == 0


def test_a_reader_that_is_left_early_leaves_neither_thread_nor_store() -> None:
    server = PixelServer()
    planes = read_planes(server.gateway, [server.add(numbered_planes("uint16"))], itself)
    with contextlib.closing(planes):
        next(planes)
    assert reader_threads() == []
    assert server.open_stores == 0


def test_damaged_pixels_are_not_delivered() -> None:
    server = PixelServer()
    image = server.add(numbered_planes("uint16"))
    server._arrays[image.pixels_id] = numbered_planes("uint16", (2, 3, 3, 5, 6))
    with pytest.raises(ExportError, match="60 bytes instead of 70"):
        list(read_planes(server.gateway, [image], itself))
