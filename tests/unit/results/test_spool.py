"""Outlines that come plane by plane and leave object by object."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from worker.errors import LocalDiskError
from worker.results.outlines import Mask, boundaries
from worker.results.spool import PlacedShape, Spool, open_spool

PLANES = [np.array(plane, np.uint64) for plane in ([[5, 0], [0, 300]], [[2**64 - 1, 0], [5, 5]])]


def test_an_object_leaves_with_its_shapes_of_all_planes_in_their_order() -> None:
    with open_spool() as spool:
        for z, plane in enumerate(PLANES):
            spool.add(boundaries([plane]).polygons(), z, None)
        objects = list(spool.objects(after=0))
        assert len(spool) == 3
    assert [each.label for each in objects] == [5, 300, 2**64 - 1]
    assert objects[0].shapes == (
        PlacedShape(0, None, "0,0 1,0 1,1 0,1"),
        PlacedShape(1, None, "0,1 2,1 2,2 0,2"),
    )
    assert objects[0].size_bytes == 30


def test_masks_come_out_as_they_went_in() -> None:
    (outline,) = boundaries([np.array([[0, 1, 1], [0, 1, 0]])]).masks()
    with open_spool() as spool:
        spool.add(iter([outline]), None, 4)
        (each,) = spool.objects(after=0)
    assert outline.shapes == (Mask(1, 0, 2, 2, bytes([0b11100000])),)
    assert each.shapes == (PlacedShape(None, 4, "", 1, 0, 2, 2, bytes([0b11100000])),)


@pytest.mark.parametrize(("after", "left"), [(0, 3), (4, 3), (5, 2), (299, 2), (300, 1), (2**64 - 1, 0)])
def test_what_was_drawn_before_stays_behind(after: int, left: int) -> None:
    with open_spool() as spool:
        for plane in PLANES:
            spool.add(boundaries([plane]).polygons(), None, None)
        assert len(list(spool.objects(after=after))) == left


def test_an_empty_spool_has_no_objects() -> None:
    with open_spool() as spool:
        assert (len(spool), list(spool.objects(after=0))) == (0, [])


def test_a_full_disk_is_told_as_such() -> None:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("pragma max_page_count = 3")
    spool = Spool(database)
    (outline,) = boundaries([np.ones((400, 400), np.uint8)]).masks()
    with pytest.raises(LocalDiskError, match="full"):
        spool.add(iter([outline] * 9), 0, 0)
    database.close()
