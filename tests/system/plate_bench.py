"""A plate of 96 wells, some of them with images, and results of its fields."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import omero.model
import pytest
import tifffile
from omero.rtypes import rstring

from tests.lab.omero.images import make_plate
from tests.system.results_bench import Bench, ask
from worker.results.model import SourceFile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from omero.gateway import BlitzGateway


WELLS: Final = ((0, 0), (2, 11), (7, 5))
"""Wells with images, of a plate of 96."""

FIELDS: Final = 2


@dataclass(frozen=True, slots=True)
class PlateBench:
    """A bench whose analysed images are the fields of a plate."""

    bench: Bench
    plate_id: int

    def write(self, row: int, column: int, field: int, kind: str = "_mask") -> Path:
        """Write a result of a field, under the name that our converter gave to its image."""
        path = self.bench.folder / f"plate_{chr(ord('A') + row)}{column + 1:02d}_s{field + 1:03d}{kind}.ome.tif"
        tifffile.imwrite(path, planes(row, column, field), metadata={"axes": "TCZYX"})
        return path

    def write_all(self, kind: str = "_mask") -> None:
        for row, column in WELLS:
            for field in range(FIELDS):
                self.write(row, column, field, kind)


def planes(row: int, column: int, field: int) -> NDArray[Any]:
    """Planes (T=2, C=3, Z=3, 4, 5), each constant and unlike all others of the plate."""
    t, c, z = np.ogrid[:2, :3, :3]
    value = 10_000 * field + 1_000 * row + 50 * column + 9 * t + 3 * c + z
    return np.broadcast_to(value.astype("uint16")[..., None, None], (2, 3, 3, 4, 5)).copy()


@pytest.fixture
def plates(alice: BlitzGateway, bench: Bench) -> PlateBench:
    name = f"plate {uuid.uuid4()}"

    def small(row: int, column: int, field: int) -> NDArray[Any] | None:
        return np.full((4, 5), 1, "uint8") if (row, column) in WELLS else None

    plate_id = make_plate(alice, name, 8, 12, FIELDS, small, pixel_size_um=(0.25, 0.5))
    rows = ask(
        alice,
        "select w.row, w.column, index(ws), ws.image.id from Well w join w.wellSamples ws where w.plate.id = :id",
        id=plate_id,
    )
    sources = tuple(
        SourceFile(f"plate.zarr/{chr(ord('A') + row)}/{column + 1}/{field}", "Plate", plate_id, image_id, "field")
        for row, column, field, image_id in sorted(rows)
    )
    return PlateBench(replace(bench, sources=sources), plate_id)


def fields_of(gateway: BlitzGateway, plate_id: int) -> dict[tuple[int, int, int], int]:
    """Image of each field by row, column and number, as another client sees them."""
    hql = "select w.row, w.column, index(ws), ws.image.id from Well w join w.wellSamples ws where w.plate.id = :id"
    return {(row, column, field): image_id for row, column, field, image_id in ask(gateway, hql, id=plate_id)}


def plates_of(gateway: BlitzGateway, screen_id: int) -> dict[str, int]:
    """Plates of a screen by name."""
    hql = "select p.name, p.id from ScreenPlateLink l join l.child p where l.parent.id = :id"
    found = ask(gateway, hql, id=screen_id)
    assert len(found) == len({name for name, _ in found})
    return dict(found)


def path_of(row: int, column: int, field: int) -> str:
    return f"/{chr(65 + row)}/{column + 1}/{field}"


def make_screen(gateway: BlitzGateway, name: str) -> int:
    screen = omero.model.ScreenI()
    screen.setName(rstring(name))
    return int(gateway.getUpdateService().saveAndReturnObject(screen, gateway.SERVICE_OPTS).getId().val)
