"""What a client was told is there, whatever happens to the server."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import Ice
import numpy as np
import omero
import omero.model
import pytest
from omero.gateway import MapAnnotationWrapper
from omero.rtypes import rstring

from tests.lab.omero.images import import_image, make_dataset, make_plate

if TYPE_CHECKING:
    from tests.lab.omero.private import PrivateOmero


def test_everything_is_there_after_a_kill(own_server: PrivateOmero) -> None:
    own_server.start()
    pixels = np.random.default_rng(0).integers(0, 60_000, (2, 2, 3, 16, 20), dtype="uint16")
    with own_server.login("alice") as alice:
        dataset_id = make_dataset(alice, "cells")
        image_id = import_image(
            alice, pixels, "image", dataset_id, pixel_size_um=(0.5, 0.25, 2.0), channel_names=["a", "b"]
        )
        annotation = MapAnnotationWrapper(alice)
        annotation.setNs("test")
        annotation.setValue([("key", "value")])
        annotation.save()
        alice.getObject("Image", image_id).linkAnnotation(annotation)
        plate_id = make_plate(alice, "plate", 2, 2, 1, lambda row, column, _: np.full((4, 5), row + column, "uint8"))
        file = omero.model.OriginalFileI()
        file.name, file.path = rstring("file"), rstring("/")
        file = alice.getUpdateService().saveAndReturnObject(file)
        store = alice.c.sf.createRawFileStore()
        store.setFileId(file.id.val)
        store.write(b"0123456789" * 1000, 0, 10_000)
        store.save()
    own_server.kill()
    own_server.start()
    with own_server.login("alice") as alice:
        image = alice.getObject("Image", image_id)
        planes = image.getPrimaryPixels()
        for t, c, z in np.ndindex(pixels.shape[:3]):
            np.testing.assert_array_equal(planes.getPlane(z, c, t), pixels[t, c, z])
        assert image.getParent().getId() == dataset_id
        assert (image.getPixelSizeX(), image.getPixelSizeY(), image.getPixelSizeZ()) == (0.5, 0.25, 2.0)
        assert [channel.getLabel() for channel in image.getChannels()] == ["a", "b"]
        assert image.getAnnotation("test").getValue() == [("key", "value")]
        wells = list(alice.getObject("Plate", plate_id).listChildren())
        assert [well.getImage().getPrimaryPixels().getPlane(0, 0, 0).max() for well in wells] == [0, 1, 1, 2]
        store = alice.c.sf.createRawFileStore()
        store.setFileId(file.id.val)
        assert store.read(9_995, 100) == b"56789"
        store.close()


def test_no_acknowledged_write_is_lost_when_the_server_dies_at_any_moment(own_server: PrivateOmero) -> None:
    acknowledged: list[int] = []

    def write() -> None:
        with contextlib.suppress(Ice.LocalException, RuntimeError), own_server.login("alice") as alice:
            update = alice.c.sf.getUpdateService()
            for _ in range(100_000):
                tag = omero.model.TagAnnotationI()
                tag.textValue = rstring("tag")
                acknowledged.append(update.saveAndReturnObject(tag).id.val)

    for _ in range(3):
        own_server.start()
        writers = [threading.Thread(target=write) for _ in range(2)]
        for writer in writers:
            writer.start()
        before, deadline = len(acknowledged), time.monotonic() + 10
        while len(acknowledged) < before + 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        own_server.kill()
        for writer in writers:
            writer.join(timeout=30)
    own_server.start()
    with own_server.login("alice") as alice:
        kept = {row[0].val for row in alice.getQueryService().projection("select t.id from TagAnnotation t", None)}
    assert len(acknowledged) >= 150
    assert len(set(acknowledged)) == len(acknowledged), "no id is given out twice"
    assert set(acknowledged) <= kept


def test_a_save_that_fails_halfway_leaves_nothing_behind(omero_server: PrivateOmero) -> None:
    def tag(text: str) -> Any:
        result = omero.model.TagAnnotationI()
        result.textValue = rstring(text)
        return result

    link = omero.model.ImageAnnotationLinkI()
    link.parent, link.child = omero.model.ImageI(999_999, False), tag("third")
    with omero_server.login("alice") as alice:
        with pytest.raises(omero.ValidationException, match="Image:999999"):
            alice.getUpdateService().saveArray([tag("first"), tag("second"), link])
        texts = ("first", "second", "third")
        assert not [found for found in alice.getObjects("TagAnnotation") if found.getValue() in texts]


def test_it_stops_within_two_seconds(own_server: PrivateOmero) -> None:
    own_server.start()
    with own_server.login("alice") as alice:
        alice.getUser()
        assert own_server.stop() < 2.0
