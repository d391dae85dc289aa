"""OME-Zarr results as images in OMERO, and results that are not what they seem to be."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from tests.system.results_bench import NOTHING, Bench, ask, children, images_of_run, results_dataset
from tests.unit.results.readers.ngff import write_group, write_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from omero.gateway import BlitzGateway

pytestmark = pytest.mark.lab


PAGES = 1_000


def planes() -> NDArray[Any]:
    """Planes, shape (T=2, C=3, Z=3, 4, 5), whose every pixel says where it is."""
    t, c, z, y, x = np.ogrid[:2, :3, :3, :4, :5]
    pixels: NDArray[Any] = (1000 * z + 100 * c + 50 * t + 5 * y + x).astype("uint16")
    return pixels


def with_labels(root: Path, version: str) -> None:
    """Write an image of three channels with two label images."""
    write_image(root, "", planes(), "tczyx", version, chunks=(1, 1, 3, 4, 5))
    write_group(root, "labels", version, {"labels": ["nuclei", "cells"]})
    for number, name in enumerate(("nuclei", "cells")):
        label = planes()[:, 0].astype("int32") + number
        write_image(root, f"labels/{name}", label, "tzyx", version, attributes={"image-label": {}})


CHANNELS = """
select lc.name, c.red, c.green, c.blue from Pixels p join p.channels c join c.logicalChannel lc
where p.image.id = :id order by index(c)
"""


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_images_and_labels_of_ome_zarr_become_images(bench: Bench, fresh: BlitzGateway, version: str) -> None:
    with_labels(bench.folder / "cells.tif_out.zarr", version)
    omero = {"channels": [{"label": f"probe {c}", "color": f"0000{c:02X}"} for c in range(3)]}
    write_image(bench.folder / "nuclei.zarr", "", planes(), "tczyx", version, attributes={"omero": omero})
    bench.gateway.setChannelNames("Image", [bench.sources[0].image_id], {1: "DAPI", 2: "GFP", 3: "RFP"})
    report = bench.bring(replace(NOTHING, new_dataset="labels"))
    assert report.notes == ()
    found = {each.getName(): each for each in children(fresh, "Dataset", results_dataset(fresh, bench))}
    assert sorted(found) == ["cells.tif_out.zarr [cells]", "cells.tif_out.zarr [nuclei]", "nuclei.zarr"]
    label, image = (found[name].getPrimaryPixels() for name in ("cells.tif_out.zarr [cells]", "nuclei.zarr"))
    for t, c, z in np.ndindex(2, 3, 3):
        assert np.array_equal(image.getPlane(z, c, t), planes()[t, c, z])
        assert np.array_equal(label.getPlane(z, 0, t), planes()[t, 0, z] + 1)
    assert ask(fresh, CHANNELS, id=found["nuclei.zarr"].getId()) == [[f"probe {c}", 0, 0, c] for c in range(3)]
    assert ask(fresh, CHANNELS, id=found["cells.tif_out.zarr [cells]"].getId()) == [[None] * 4]
    # With the image around the labels too: the labels are there, and are not written again.
    bench.bring(replace(NOTHING, new_dataset="labels", only_labels=False))
    assert images_of_run(fresh, bench) == [
        "cells.tif_out.zarr",
        "cells.tif_out.zarr [cells]",
        "cells.tif_out.zarr [nuclei]",
        "nuclei.zarr",
    ]
    (source_like,) = [
        each
        for each in children(fresh, "Dataset", results_dataset(fresh, bench))
        if each.getName() == "cells.tif_out.zarr"
    ]
    assert [row[0] for row in ask(fresh, CHANNELS, id=source_like.getId())] == ["DAPI", "GFP", "RFP"]


def bomb() -> bytes:
    """A PNG of a few kilobytes that claims to have 10,000,000,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10**6)))


def test_each_broken_or_hostile_result_is_named_and_the_others_go_in(bench: Bench, fresh: BlitzGateway) -> None:
    folder = bench.folder
    ones = np.ones((3, 40, 50), "uint16")
    tifffile.imwrite(folder / "cut.tif", ones, photometric="minisblack", compression="zlib", metadata={"axes": "ZYX"})
    (folder / "cut.tif").write_bytes((folder / "cut.tif").read_bytes()[:-400])
    (folder / "empty.tif").touch()
    (folder / "empty.png").touch()
    (folder / "bomb.png").write_bytes(bomb())
    tifffile.imwrite(folder / "wide.tif", np.array([[2**60 + 1]], "uint64"), metadata={"axes": "YX"})
    for name in ("outside", "nothing", "chunk"):
        write_image(folder / f"{name}.zarr", "", ones, "zyx")
    attributes = json.loads((folder / "outside.zarr/.zattrs").read_text())
    attributes["multiscales"][0]["datasets"][0]["path"] = "../nuclei.zarr/0"
    (folder / "outside.zarr/.zattrs").write_text(json.dumps(attributes))
    array = json.loads((folder / "nothing.zarr/0/.zarray").read_text())
    (folder / "nothing.zarr/0/.zarray").write_text(json.dumps(array | {"shape": [3, 0, 50]}))
    (folder / "chunk.zarr/0/2.19.16").write_bytes(b"cut")
    # What is unusual is none of these, and goes in.
    long = f"cells{'x' * 245}.tif"
    tifffile.imwrite(folder / long, ones[0])
    write_image(folder / "nuclei.zarr", "", np.ones((20, 10, 10), "uint8"), "zyx", chunks=(1, 1, 1))
    with tifffile.TiffWriter(folder / "nuclei_pages.tif") as writer:
        for page in range(PAGES):
            writer.write(np.full((2, 2), page, "uint16"), metadata=None, contiguous=False)
    said = " ".join(bench.try_to_bring(replace(NOTHING, new_dataset="labels")).problems)
    for name, reason in {
        "cut.tif": "",
        "empty.tif": "",
        "empty.png": "it ends before its header does",
        "bomb.png": "it claims to have 100000 x 100000 pixels",
        "wide.tif": "no pixel type for uint64",
        "outside.zarr": "which is none inside of it",
        "nothing.zarr": "it has no pixels",
        "chunk.zarr": "",
    }.items():
        assert name in said
        assert reason in said
    assert images_of_run(fresh, bench) == sorted([long, "nuclei.zarr", "nuclei_pages.tif"])
    found = {each.getName(): each for each in children(fresh, "Dataset", results_dataset(fresh, bench))}
    assert sorted(found) == sorted([long, "nuclei.zarr", "nuclei_pages.tif"])
    pages = found["nuclei_pages.tif"]
    assert pages.getSizeZ() == PAGES
    assert [int(pages.getPrimaryPixels().getPlane(z, 0, 0)[0, 0]) for z in (0, PAGES - 1)] == [0, PAGES - 1]
