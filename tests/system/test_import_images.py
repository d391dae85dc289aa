"""Result images in OMERO: pixels, types, sizes, names, and where they say that they come from."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.system.interruption import MortalGateway
from tests.system.results_bench import (
    NOTHING,
    PIXEL_SIZE_UM,
    Bench,
    ask,
    children,
    files_on,
    images_of_run,
    maps_on,
    only,
    results_dataset,
)
from worker.errors import ResultsError, RunCancelled
from worker.results import planes
from worker.results.flow import IN_FLIGHT
from worker.results.ledger import NS_KEY
from worker.results.model import ImportOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from omero.gateway import BlitzGateway

pytestmark = pytest.mark.lab


def constant_planes(dtype: str = "uint16") -> NDArray[Any]:
    """Planes, shape (T=2, C=3, Z=3, 4, 5), whose every pixel says which plane it is in: 100 z + 10 c + t."""
    t, c, z = np.ogrid[:2, :3, :3]
    return np.broadcast_to((100 * z + 10 * c + t).astype(dtype)[..., None, None], (2, 3, 3, 4, 5)).copy()


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_every_plane_arrives_at_its_place_with_its_values_and_type(
    bench: Bench, fresh: BlitzGateway, dtype: str, byteorder: Any
) -> None:
    # 211 is the largest value of the fixture: too large for int8.
    planes = (constant_planes("int16") % 128).astype(dtype)
    tifffile.imwrite(bench.folder / "cells_mask.ome.tif", planes, metadata={"axes": "TCZYX"}, byteorder=byteorder)
    report = bench.bring(replace(NOTHING, new_dataset="labels"))
    image = fresh.getObject("Image", only(report, "Image"))
    expected_type = {"float32": "float", "float64": "double"}.get(dtype, dtype)
    assert image.getPixelsType() == expected_type
    assert (image.getSizeT(), image.getSizeC(), image.getSizeZ()) == (2, 3, 3)
    pixels = image.getPrimaryPixels()
    for t, c, z in np.ndindex(2, 3, 3):
        assert np.array_equal(pixels.getPlane(z, c, t), planes[t, c, z])


def test_labels_beyond_16_bits_keep_their_numbers(bench: Bench, fresh: BlitzGateway) -> None:
    labels = np.array([[0, 1, 70_000], [2**31, 2**32 - 1, 3]], "int64")
    tifffile.imwrite(bench.folder / "cells_mask.tif", labels, metadata={"axes": "YX"})
    image = fresh.getObject("Image", only(bench.bring(replace(NOTHING, new_dataset="labels")), "Image"))
    assert image.getPixelsType() == "uint32"
    assert np.array_equal(image.getPrimaryPixels().getPlane(0, 0, 0), labels)


def test_png_becomes_an_image(bench: Bench, fresh: BlitzGateway) -> None:
    pixels = np.arange(60, dtype="uint8").reshape(4, 5, 3)
    Image.fromarray(pixels).save(bench.folder / "cells_overlay.png")
    image = fresh.getObject("Image", only(bench.bring(replace(NOTHING, new_dataset="labels")), "Image"))
    assert [np.array_equal(image.getPrimaryPixels().getPlane(0, c, 0), pixels[..., c]) for c in range(3)] == [True] * 3


def test_the_size_of_pixels_comes_from_the_analysed_image(bench: Bench, fresh: BlitzGateway) -> None:
    tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((2, 4, 5), "uint8"), metadata={"axes": "ZYX"})
    image = fresh.getObject("Image", only(bench.bring(replace(NOTHING, new_dataset="labels")), "Image"))
    assert (image.getPixelSizeX(), image.getPixelSizeY()) == PIXEL_SIZE_UM[:2]
    # Three planes were analysed and two came back: their distance is not that of the original.
    assert image.getPixelSizeZ() is None


def test_an_image_of_another_size_does_not_claim_the_size_of_pixels(bench: Bench, fresh: BlitzGateway) -> None:
    tifffile.imwrite(bench.folder / "cells_small.tif", np.ones((2, 2), "uint8"))
    image = fresh.getObject("Image", only(bench.bring(replace(NOTHING, new_dataset="labels")), "Image"))
    assert image.getPixelSizeX() is None


def test_the_range_of_each_channel_is_known(bench: Bench, fresh: BlitzGateway) -> None:
    pixels = np.array([[[1, 2]], [[30, 40]]], "float32")
    pixels[0, 0, 0] = np.nan
    tifffile.imwrite(bench.folder / "cells_p.ome.tif", pixels, metadata={"axes": "CYX"})
    report = bench.bring(replace(NOTHING, new_dataset="labels"))
    # Not image.getChannels(): it opens a rendering engine, which looks at the pixels again.
    hql = "select s.globalMin, s.globalMax from Channel c join c.statsInfo s where c.pixels.image.id = :id"
    assert ask(fresh, hql, id=only(report, "Image")) == [[2, 2], [30, 40]]


def test_names_follow_the_pattern_and_descriptions_tell_the_source(bench: Bench, fresh: BlitzGateway) -> None:
    for name in ("cells_mask.tif", "cells_outline.tif", "summary.tif"):
        tifffile.imwrite(bench.folder / name, np.ones((4, 5), "uint8"))
    report = bench.bring(replace(NOTHING, new_dataset="labels", rename="{original_file}_labels.{ext}"))
    found = children(fresh, "Dataset", results_dataset(fresh, bench))
    assert sorted(each.getName() for each in found) == ["cells_labels.tif", "cells_labels_2.tif", "summary_labels.tif"]
    images = {each.getName(): each for each in found}
    source = bench.sources[0]
    said = images["cells_labels.tif"].getDescription()
    assert said == (
        f"Result from job 42 (Workflow {bench.provenance.run_id}) | analysis nuclei v1"
        f" | source: cells.tif (id: {source.image_id})"
    )
    assert "source" not in images["summary_labels.tif"].getDescription()
    assert report.notes == ("summary.tif is not linked to an image: its name begins with the name of none.",)


def test_every_image_says_where_it_comes_from(bench: Bench, fresh: BlitzGateway) -> None:
    tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))
    report = bench.bring(replace(NOTHING, new_dataset="labels"))
    for kind in ("Image", "Dataset"):
        maps = maps_on(fresh, kind, only(report, kind))
        assert sorted(maps) == [
            NS_KEY,
            "biomero/workflow",
            "biomero/workflow/task/nuclei",
            "biomero/workflow/task/nuclei/job",
        ]
        assert maps["biomero/workflow"][0]["Workflow_ID"] == bench.provenance.run_id
        assert maps["biomero/workflow/task/nuclei"][0]["Param_diameter"] == "30"
        assert maps["biomero/workflow/task/nuclei/job"][0]["Job_ID"] == "42"


def test_a_damaged_image_leaves_nothing_behind_and_does_not_stop_the_others(bench: Bench, fresh: BlitzGateway) -> None:
    broken = bench.folder / "cells_mask.tif"
    ones = np.ones((3, 40, 50), "uint8")
    tifffile.imwrite(broken, ones, photometric="minisblack", compression="zlib", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(broken) as tiff:
        page: Any = tiff.pages[2]
        offset = page.dataoffsets[0]
    with broken.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 8)
    tifffile.imwrite(bench.folder / "nuclei_mask.tif", np.ones((4, 5), "uint8"))
    with pytest.raises(ResultsError, match=r"cells_mask\.tif cannot be read"):
        bench.bring(replace(NOTHING, new_dataset="labels"))
    assert [each.getName() for each in children(fresh, "Dataset", results_dataset(fresh, bench))] == ["nuclei_mask.tif"]
    assert images_of_run(fresh, bench) == ["nuclei_mask.tif"]


def test_results_that_are_there_already_are_linked_to_another_dataset_too(bench: Bench, fresh: BlitzGateway) -> None:
    tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))
    image_id = only(bench.bring(replace(NOTHING, new_dataset="labels")), "Image")
    for _ in range(2):
        assert only(bench.bring(replace(NOTHING, new_dataset="others")), "Image") == image_id
    for name in ("labels", "others"):
        assert [each.getId() for each in children(fresh, "Dataset", results_dataset(fresh, bench, name))] == [image_id]
    assert all(len(maps) == 1 for maps in maps_on(fresh, "Image", image_id).values())


def test_a_name_that_omero_cannot_hold_is_shortened_and_told(bench: Bench, fresh: BlitzGateway) -> None:
    for name in ("cells_mask.tif", "cells_outline.tif"):
        tifffile.imwrite(bench.folder / name, np.ones((4, 5), "uint8"))
    report = bench.bring(replace(NOTHING, new_dataset="labels", rename="x" * 300 + "{original_file}.{ext}"))
    names = {each.getName() for each in children(fresh, "Dataset", results_dataset(fresh, bench))}
    assert len(names) == 2
    assert all(len(name) <= 255 and name.startswith("xxx") and name.endswith(".tif") for name in names)
    assert sum("309 characters, which OMERO does not hold" in note for note in report.notes) == 2


def test_results_whose_names_are_not_utf_8_come_in_with_these_bytes_written_out(
    bench: Bench, fresh: BlitzGateway
) -> None:
    tifffile.imwrite(bench.folder / os.fsdecode(b"cells_\xff.tif"), np.ones((4, 5), "uint8"))
    (bench.folder / os.fsdecode(b"m\xe9sures.csv")).write_text("a,b\n1,2\n")
    (bench.folder / os.fsdecode(b"r\xe9sum\xe9.txt")).write_text("x")
    bench.bring(ImportOptions(new_dataset="labels", attach_to_images=True, attach_files=True))
    dataset_id = results_dataset(fresh, bench)
    assert [each.getName() for each in children(fresh, "Dataset", dataset_id)] == [r"cells_\xff.tif"]
    attached = {*files_on(fresh, "Dataset", bench.dataset_id), *files_on(fresh, "Dataset", dataset_id)}
    assert r"r\xe9sum\xe9.txt" in attached
    assert any(name.startswith(r"m\xe9sures") for name in attached)


def test_an_import_that_is_stopped_leaves_no_image_that_nobody_finds(bench: Bench, fresh: BlitzGateway) -> None:
    for number in range(6):
        tifffile.imwrite(bench.folder / f"cells_{number}.tif", np.full((4, 5), number, "uint8"))

    def stop_at_the_second(done: int, _total: int) -> None:
        if done == 2:
            raise RunCancelled("Somebody does not want this any more.")

    with pytest.raises(RunCancelled):
        bench.bring(replace(NOTHING, new_dataset="labels"), progress=stop_at_the_second)
    there = [each.getName() for each in children(fresh, "Dataset", results_dataset(fresh, bench))]
    assert there == ["cells_0.tif", "cells_1.tif"]
    assert images_of_run(fresh, bench) == there
    # The rest comes in with the next attempt, and ids follow the order of names.
    counted = MortalGateway(bench.gateway)
    bench.bring(replace(NOTHING, new_dataset="labels"), gateway=counted)
    assert counted.calls["setPlane"] == 4
    assert 1 <= counted.calls["requiresPixelsPyramid"] <= IN_FLIGHT, "asked once for images of a size"
    images = children(fresh, "Dataset", results_dataset(fresh, bench))
    assert [each.getName() for each in images] == [f"cells_{number}.tif" for number in range(6)]
    assert [int(each.getPrimaryPixels().getPlane(0, 0, 0)[0, 0]) for each in images] == list(range(6))


def test_planes_that_are_too_large_for_one_piece_are_sent_in_tiles(
    bench: Bench, fresh: BlitzGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planes, "WHOLE_PLANE_BYTES", 2**20)
    pixels = np.random.default_rng(0).integers(0, 2**16, (2, 1300, 2100)).astype("uint16")
    tifffile.imwrite(bench.folder / "cells_mask.ome.tif", pixels, metadata={"axes": "ZYX"}, photometric="minisblack")
    counted = MortalGateway(bench.gateway)
    image_id = only(bench.bring(replace(NOTHING, new_dataset="labels"), gateway=counted), "Image")
    # Tiles of the lab's OMERO have sides of 1024: two rows of three, in each of two planes.
    assert (counted.calls["setTile"], counted.calls["setPlane"]) == (12, 0)
    found = fresh.getObject("Image", image_id).getPrimaryPixels()
    assert all(np.array_equal(found.getPlane(z, 0, 0), pixels[z]) for z in range(2))
