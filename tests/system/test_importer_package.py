"""What the released importer does with orders: it decides what our results in place have to cope with."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import omero.model
import pytest
import tifffile
from omero.rtypes import rstring

from tests.lab import ngff
from tests.lab.importer.service import COMPLETED, FAILED, PENDING, STARTED
from tests.lab.omero.images import make_dataset
from tests.lab.person import logged_in
from tests.system.results_bench import ask, children, maps_on

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab
    from tests.lab.importer.service import Importer, Order

pytestmark = pytest.mark.lab

GROUP = "lab-r"
"""Not the group that alice works in when she logs in."""

PIXELS = np.random.default_rng(3).integers(0, 3_000, (2, 3, 16, 20), dtype="uint16")
"""(C, Z, Y, X)"""

LABELS = np.arange(16 * 20, dtype="int32").reshape(16, 20) // 7


@dataclass(frozen=True, slots=True)
class Placed:
    """Orders that were placed at the same time, as the importer looks for new ones every 5 s only."""

    files: Order
    damaged: Order
    plate: Order


@pytest.fixture(scope="module")
def gateway(lab: Lab) -> Iterator[BlitzGateway]:
    with logged_in(lab, "alice", GROUP) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def placed(importer: Importer, gateway: BlitzGateway) -> Placed:
    folder = importer.storage / GROUP / f"package-{time.time_ns()}"
    folder.mkdir(parents=True)
    tifffile.imwrite(folder / "stack.ome.tiff", PIXELS, metadata={"axes": "CZYX", "Channel": {"Name": ["DAPI", "GFP"]}})
    tifffile.imwrite(folder / "labels.tif", LABELS.astype(">i4"), byteorder=">")
    zarr = ngff.write_image(folder / "cells.ome.zarr", PIXELS, "czyx", channels=["a", "b"], labels={"nuclei": LABELS})
    newer = ngff.write_image(folder / "newer.zarr", PIXELS, "czyx", version="0.5")
    for index in range(5):
        tifffile.imwrite(folder / f"field {index}.tif", PIXELS[0, 0] + index)
    (folder / "field 2.tif").write_bytes(b"II*\0" + bytes(range(64)))
    plate = ngff.write_plate(folder / "screened.zarr", {(0, 0): [PIXELS], (1, 2): [PIXELS + 1, PIXELS + 2]}, "czyx")
    screen = omero.model.ScreenI()
    screen.setName(rstring("screen"))
    screen = gateway.getUpdateService().saveAndReturnObject(screen, gateway.SERVICE_OPTS)

    def order(files: list[Path]) -> Order:
        return importer.order(files, user="alice", group=GROUP, dataset=make_dataset(gateway, "in place"))

    return Placed(
        order([folder / "stack.ome.tiff", folder / "labels.tif", zarr, zarr / "labels" / "nuclei", newer]),
        order([folder / f"field {index}.tif" for index in range(5)]),
        importer.order([plate], user="alice", group=GROUP, screen=screen.getId().val),
    )


def test_files_and_ome_zarr_become_images_of_the_person(
    importer: Importer, placed: Placed, gateway: BlitzGateway
) -> None:
    order = placed.files
    assert importer.wait(order.uuid) == COMPLETED
    assert importer.stages(order.uuid) == [PENDING, STARTED, COMPLETED]

    images = {each.getName(): each for each in children(gateway, "Dataset", order.destination_id)}
    # The package takes "cells.ome.zarr" for "cells", and strips letters of ".ome" from the end of any name.
    assert sorted(images) == ["cells", "labels.tif", "newer", "nuclei", "stack.ome.tiff"]
    for name, image in images.items():
        assert (image.getOwnerOmeName(), image.getDetails().getGroup().getName()) == ("alice", GROUP)
        expected = LABELS[np.newaxis, np.newaxis] if name in {"labels.tif", "nuclei"} else PIXELS
        assert_pixels(image, expected)
    assert [channel.getLabel() for channel in images["stack.ome.tiff"].getChannels()] == ["DAPI", "GFP"]
    assert [channel.getLabel() for channel in images["cells"].getChannels()] == ["a", "b"]

    # By these paths an image is known as that of a file.
    by_name = dict(zip(["stack.ome.tiff", "labels.tif", "cells", "nuclei", "newer"], order.files, strict=True))
    for name, path in by_name.items():
        (annotation,) = maps_on(gateway, "Image", images[name].getId())["biomero.import"]
        assert (annotation["UUID"], annotation["Filepath"]) == (order.uuid, path)
        assert origins(gateway, images[name].getId()) == [path if "zarr" in path else path.lstrip("/")]


def test_a_plate_goes_into_the_screen(importer: Importer, placed: Placed, gateway: BlitzGateway) -> None:
    order = placed.plate
    assert importer.wait(order.uuid) == COMPLETED
    (plate,) = gateway.getObject("Screen", order.destination_id).listChildren()
    wells = {(well.row, well.column): [field.image() for field in well.listChildren()] for well in plate.listChildren()}
    assert {place: len(images) for place, images in wells.items()} == {(0, 0): 1, (1, 2): 2}
    assert_pixels(wells[1, 2][1], PIXELS + 2)
    assert origins(gateway, wells[1, 2][1].getId()) == [f"{order.files[0]}/B/3/1/"]
    assert maps_on(gateway, "Plate", plate.getId())["biomero.import"][0]["UUID"] == order.uuid


def test_a_damaged_file_fails_the_order_and_the_others_are_imported(
    importer: Importer, placed: Placed, gateway: BlitzGateway
) -> None:
    order = placed.damaged
    assert importer.wait(order.uuid) == FAILED
    assert order.files[2] in importer.rows(order.uuid)[-1][1]
    assert f"FILE_EXCEPTION: {order.files[2]}" in importer.client_log(order.uuid)
    names = sorted(image.getName() for image in children(gateway, "Dataset", order.destination_id))
    assert names == ["field 0.tif", "field 1.tif", "field 3.tif", "field 4.tif"]


@pytest.mark.slow  # its own classes are asked in tests/contract, and a whole run is restarted in test_import_in_place
def test_an_order_that_a_restart_cuts_short_fails_without_a_reason(
    importer: Importer, placed: Placed, gateway: BlitzGateway
) -> None:
    folder = importer.storage / GROUP / f"restart-{time.time_ns()}"
    folder.mkdir()
    files = [folder / f"{index}.tif" for index in range(8)]
    for index, file in enumerate(files):
        tifffile.imwrite(file, PIXELS[0, 0] + index)
    dataset = make_dataset(gateway, "cut short")
    begun = importer.order(files, user="alice", group=GROUP, dataset=dataset)
    importer.wait(begun.uuid, STARTED)
    deadline = time.monotonic() + 120
    while not children(gateway, "Dataset", dataset):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    importer.kill()
    waiting = importer.order(files[-1:], user="alice", group=GROUP, dataset=dataset)
    importer.start()
    # Also the order that it has never seen, and that it will never look at again.
    assert importer.rows(begun.uuid) == [(PENDING, ""), (STARTED, ""), (FAILED, "")]
    assert importer.rows(waiting.uuid) == [(PENDING, ""), (FAILED, "")]
    assert 0 < len(children(gateway, "Dataset", dataset)) < len(files)


def assert_pixels(image: Any, expected: Any) -> None:
    """Every plane of an image is the one of an array of (C, Z, Y, X)."""
    planes = image.getPrimaryPixels()
    assert (image.getSizeC(), image.getSizeZ()) == expected.shape[:2]
    for c, z in np.ndindex(expected.shape[:2]):
        np.testing.assert_array_equal(planes.getPlane(z, c, 0), expected[c, z])


def origins(gateway: BlitzGateway, image_id: int) -> list[str]:
    """Where an image was imported from, as its fileset or its external information has it."""
    files = "select u.clientPath from Image i join i.fileset f join f.usedFiles u where i.id = :id"
    links = "select e.lsid from Image i join i.details.externalInfo e where i.id = :id"
    return [row[0] for query in (files, links) for row in ask(gateway, query, id=image_id)]
