"""Which section and time point of an image somebody has viewed last, as OMERO's viewers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.unit.pixels.sinks import CountingSink
from worker.pixels.choice import PixelChoice
from worker.pixels.exporter import export
from worker.pixels.lastviewed import last_viewed
from worker.pixels.selection import read_selection
from worker.pixels.views import Taken

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab


def look_at(gateway: BlitzGateway, image_id: int, *, z: int, t: int) -> None:
    """View an image in OMERO.web, and save the settings."""
    image = gateway.getObject("Image", image_id)
    image._prepareRenderingEngine()
    image.setDefaultZ(z)
    image.setDefaultT(t)
    image.saveDefaults()


def test_ones_own_view_counts_then_the_owners_then_the_middle(alice: BlitzGateway, lab: Lab) -> None:
    image_id = import_image(alice, np.zeros((3, 1, 6, 8, 8), "uint8"), "viewed")
    with logged_in(lab, "bob", "lab-a") as bob:
        images = read_selection(bob, "Image", [image_id]).images
        assert last_viewed(bob, images) == {image_id: (3, 0)}
        look_at(alice, image_id, z=4, t=2)
        assert last_viewed(alice, images) == last_viewed(bob, images) == {image_id: (4, 2)}
        look_at(bob, image_id, z=1, t=0)
        assert last_viewed(bob, images) == {image_id: (1, 0)}
        assert last_viewed(alice, images) == {image_id: (4, 2)}
    manifest = export(
        alice,
        read_selection(alice, "Image", [image_id]),
        format="tiff",
        sink=CountingSink(),
        progress=lambda *_: None,
        choice=PixelChoice(z="default", t="default"),
    )
    assert manifest.entries[0].taken == (Taken((2, 2), (0,), (4, 4)),)
