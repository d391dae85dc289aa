"""Label images as ROIs: on the right image and plane, exactly the pixels of each object, once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import omero.model
import pytest
import requests
import tifffile
from omero.rtypes import rdouble, rstring, unwrap
from PIL import Image
from skimage.draw import polygon2mask

from tests.lab import ngff
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in
from tests.system.interruption import Killed, MortalGateway
from tests.system.results_bench import NOTHING, Bench, children, files_on, images_of_run, results_dataset
from worker.errors import RequestError
from worker.results.deletion import delete
from worker.results.importer import check_permissions
from worker.results.ledger import Ledger
from worker.results.rois import rois_by_label

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

    Labels = NDArray[Any]

pytestmark = pytest.mark.lab

ROIS: Final = replace(NOTHING, create_rois=True)

ROWS, COLUMNS, SECTIONS, TIMES = 4, 5, 3, 2
"""Sizes of the analysed images."""


@dataclass(frozen=True)
class Drawn:
    """An ROI as another client sees it."""

    id: int
    name: str
    shapes: tuple[Any, ...]

    def pixels(self, shape: tuple[int, ...] = (TIMES, SECTIONS, ROWS, COLUMNS)) -> Labels:
        """Which pixels of an image (T, Z, Y, X) it covers; a shape without z or t covers every plane."""
        covered = np.zeros(shape, bool)
        for each in self.shapes:
            t, z = unwrap(each.getTheT()), unwrap(each.getTheZ())
            planes = (slice(None) if t is None else t, slice(None) if z is None else z)
            covered[planes] |= drawn(each, shape[-2:])
        return covered


def drawn(shape: Any, size: tuple[int, ...]) -> Labels:
    """The pixels of one plane in a shape."""
    if isinstance(shape, omero.model.PolygonI):
        corners = np.array([[float(each) for each in point.split(",")] for point in shape.getPoints().val.split()])
        return np.asarray(polygon2mask(size, corners[:, ::-1] - 0.5))
    x, y, width, height = (int(getattr(shape, f"get{name}")().val) for name in ("X", "Y", "Width", "Height"))
    covered = np.zeros(size, bool)
    bits = np.unpackbits(np.frombuffer(shape.getBytes(), np.uint8), count=width * height)
    covered[y : y + height, x : x + width] = bits.reshape(height, width)
    return covered


def rois_on(gateway: BlitzGateway, image_id: int) -> dict[str, Drawn]:
    """The ROIs of an image by name; no two may have the same."""
    found = {}
    for each in gateway.getRoiService().findByImage(image_id, None, gateway.SERVICE_OPTS).rois:
        name = unwrap(each.getName()) or ""
        assert name not in found, f"two ROIs are called {name}"
        found[name] = Drawn(each.getId().val, name, tuple(each.copyShapes()))
    return found


def labels_on(gateway: BlitzGateway, image_id: int, prefix: str) -> Labels:
    """The label image (T, Z, Y, X) that the ROIs of an image make together."""
    labels = np.zeros((TIMES, SECTIONS, ROWS, COLUMNS), np.int64)
    for name, each in rois_on(gateway, image_id).items():
        labels[each.pixels()] = int(name.removeprefix(f"{prefix}_"))
    return labels


def prefix_of(bench: Bench) -> str:
    return f"nuclei__{bench.provenance.run_id}"


def draw_by_hand(gateway: BlitzGateway, image_id: int, name: str) -> int:
    """Draw a rectangle, as a person does."""
    rectangle = omero.model.RectangleI()
    for side in ("X", "Y", "Width", "Height"):
        getattr(rectangle, f"set{side}")(rdouble(1))
    roi = omero.model.RoiI()
    roi.setName(rstring(name))
    roi.setImage(omero.model.ImageI(image_id, False))
    roi.addShape(rectangle)
    return int(gateway.getUpdateService().saveAndReturnObject(roi, gateway.SERVICE_OPTS).getId().val)


def remove(gateway: BlitzGateway, *rois: Drawn) -> None:
    delete(gateway, "Roi", [each.id for each in rois])


@pytest.fixture
def stack() -> Labels:
    """Objects, shape (T, Z, Y, X), that move through sections and time, with a hole and in two parts."""
    labels = np.zeros((TIMES, SECTIONS, ROWS, COLUMNS), np.uint16)
    labels[:, :, 0:3, 0:3] = 3
    labels[0, :, 1, 1] = 0
    labels[0, 1:, 3, 4] = 700
    labels[1, 0, 0, 4] = labels[1, 0, 3, 3] = 700
    labels[1, 2, 3, 0] = 65535
    return labels


def write_labels(bench: Bench, labels: Labels, name: str = "cells_mask.tif") -> None:
    axes = "TZYX" if labels.ndim == 4 else "YX"
    tifffile.imwrite(bench.folder / name, labels, metadata={"axes": axes}, ome=True, photometric="minisblack")


@pytest.mark.parametrize("shape", ["Polygon", "Mask"])
def test_each_object_is_one_roi_on_its_planes_of_the_source(
    bench: Bench, fresh: BlitzGateway, stack: Labels, shape: str
) -> None:
    write_labels(bench, stack, "cells_mask.ome.tif")
    report = bench.bring(replace(ROIS, roi_shape=shape, roi_color="#10203040"))
    cells, nuclei = (source.image_id for source in bench.sources)
    rois = rois_on(fresh, cells)
    assert sorted(rois) == sorted(f"{prefix_of(bench)}_{label}" for label in (3, 700, 65535))
    assert (labels_on(fresh, cells, prefix_of(bench)) == stack).all()
    for roi in rois.values():
        for each in roi.shapes:
            assert isinstance(each, getattr(omero.model, f"{shape}I"))
            assert (unwrap(each.getTheC()), unwrap(each.getTextValue())) == (None, roi.name.rpartition("_")[2])
            assert each.getStrokeColor().val == 0x102030FF
            assert each.getFillColor().val == 0x10203040
            assert (each.getStrokeWidth().getValue(), each.getStrokeWidth().getUnit().name) == (1.0, "PIXEL")
    assert rois_on(fresh, nuclei) == {}
    (told,) = [each.name for each in report.objects if each.kind == "Roi"]
    assert told == f"3 objects of cells_mask.ome.tif on Image {cells} (cells.tif)"
    assert images_of_run(fresh, bench) == []


def test_one_label_plane_for_a_stack_is_on_every_plane(bench: Bench, fresh: BlitzGateway, stack: Labels) -> None:
    write_labels(bench, stack[0, 1])
    # As ImageJ keeps labels: whole numbers, of a type for fractions.
    tifffile.imwrite(
        bench.folder / "nuclei.tif", stack[:, :1].astype("float32"), metadata={"axes": "TZYX"}, imagej=True
    )
    report = bench.bring(replace(ROIS, roi_shape="Mask", roi_name_prefix="cell"))
    cells, nuclei = (source.image_id for source in bench.sources)
    assert {unwrap(each.getTheZ()) for roi in rois_on(fresh, cells).values() for each in roi.shapes} == {None}
    assert (labels_on(fresh, cells, "cell") == stack[0, 1]).all()
    assert (labels_on(fresh, nuclei, "cell") == stack[:, :1]).all()
    assert (
        f"There is one label plane for every section of the images {cells}, {nuclei}: so are the ROIs." in report.notes
    )
    assert f"There is one label plane for every time point of the images {cells}: so are the ROIs." in report.notes


def test_the_web_client_shows_them(lab: Lab, bench: Bench, stack: Labels) -> None:
    write_labels(bench, stack[0, 1])
    image_id = bench.sources[0].image_id
    bench.bring(replace(ROIS, roi_color="lime"))
    bench.bring(replace(ROIS, roi_shape="Mask", roi_color="#ff000080", roi_name_prefix="mask"))
    address = f"http://{lab.web_host}:{lab.web_port}"
    with requests.Session() as web:
        token = web.get(f"{address}/api/v0/token/", timeout=30).json()["data"]
        login = {"username": "alice", "password": lab.omero_users["alice"], "server": 1}
        header = {"X-CSRFToken": token, "Referer": address}
        assert web.post(f"{address}/api/v0/login/", login, headers=header, timeout=30).json()["success"]
        rois = web.get(f"{address}/webgateway/get_rois_json/{image_id}/", timeout=30).json()
        shapes = {(each["type"], each["textValue"]): each for roi in rois for each in roi["shapes"]}
        assert sorted(shapes) == [(kind, label) for kind in ("Mask", "Polygon") for label in ("3", "700")]
        assert shapes["Polygon", "700"]["points"].startswith("M 4 3 L 5 3 L 5 4 L 4 4")
        assert shapes["Polygon", "700"]["strokeColor"] == "#00ff00"
        mask = web.get(f"{address}/webgateway/render_shape_mask/{shapes['Mask', '3']['id']}/", timeout=30)
    (bench.folder / "seen.png").write_bytes(mask.content)
    with Image.open(bench.folder / "seen.png") as seen:
        pixels = np.asarray(seen.convert("RGBA"))
    assert (pixels[..., 3] == np.where(stack[0, 1, :3, :3] == 3, 128, 0)).all()


def test_existing_rois_are_removed_once_by_their_names(
    lab: Lab, bench: Bench, fresh: BlitzGateway, stack: Labels
) -> None:
    write_labels(bench, stack)
    cells, nuclei = (source.image_id for source in bench.sources)
    for image_id, name in ((cells, "cell 1"), (cells, "Cell 2"), (cells, "border"), (nuclei, "cell 3")):
        draw_by_hand(bench.gateway, image_id, name)
    with logged_in(lab, "bob") as bob:
        draw_by_hand(bob, cells, "cell of bob's")
    options = replace(ROIS, roi_clear_existing=True, roi_clear_filter="ell ", roi_name_prefix="cell ")
    first = bench.bring(options)
    own = {"cell _3", "cell _700", "cell _65535"}
    assert set(rois_on(fresh, cells)) == {"border", "cell of bob's"} | own
    assert set(rois_on(fresh, nuclei)) == {"cell 3"}
    assert "2 ROIs that were on the images before were removed." in first.notes
    assert "1 ROIs that were on the images before stay there: you may not delete them." in first.notes
    draw_by_hand(bench.gateway, cells, "cell drawn since")
    assert bench.bring(options) == first
    assert set(rois_on(fresh, cells)) == {"border", "cell of bob's", "cell drawn since"} | own


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_each_write_and_repeated_gives_the_same_rois_once(
    bench: Bench, lab: Lab, fresh: BlitzGateway, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    write_labels(bench, np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(ROWS, COLUMNS))
    image_id = bench.sources[0].image_id
    options = replace(ROIS, roi_clear_existing=True, roi_clear_filter="old", roi_name_prefix="cell")
    expected = {"kept"} | {f"cell_{label}" for label in range(1, ROWS * COLUMNS)}

    def begin_anew() -> None:
        # An attempt and its repetition make batches of different sizes, as versions of us may.
        monkeypatch.setattr("worker.results.rois.BATCH_SHAPES", 6)
        remove(bench.gateway, *rois_on(fresh, image_id).values())
        for name in ("old 1", "old 2", "kept"):
            draw_by_hand(bench.gateway, image_id, name)

    begin_anew()
    clean = MortalGateway(bench.gateway)
    bench.bring(options, gateway=clean)
    assert set(rois_on(fresh, image_id)) == expected
    removal = clean.writes.index("submit")
    assert clean.writes[removal - 1 :] == [
        *("saveAndReturnObject", "submit", "saveAndReturnArray"),
        *("saveAndReturnIds",) * 4,
    ]
    for number in range(removal - 1, len(clean.writes) + 1):
        again = bench.again()
        begin_anew()
        with logged_in(lab, "alice") as mortal, pytest.raises(Killed):
            again.bring(options, gateway=MortalGateway(mortal, number, reply_lost=moment == "after"))
        draw_by_hand(bench.gateway, image_id, "old one drawn since")
        monkeypatch.setattr("worker.results.rois.BATCH_SHAPES", 4)
        report = again.bring(options)
        # What was drawn before anything was said about removing is removed with the rest.
        since = set() if number < removal + (moment == "before") else {"old one drawn since"}
        assert set(rois_on(fresh, image_id)) == expected | since, f"killed {moment} write {number}"
        counted = MortalGateway(bench.gateway)
        assert again.bring(options, gateway=counted) == report
        assert counted.writes == []


def test_rois_that_were_deleted_by_hand_do_not_come_back(bench: Bench, fresh: BlitzGateway, stack: Labels) -> None:
    write_labels(bench, stack)
    image_id = bench.sources[0].image_id
    options = replace(ROIS, roi_name_prefix="cell")
    bench.bring(options)
    remove(bench.gateway, rois_on(fresh, image_id)["cell_700"])
    bench.bring(options)
    assert set(rois_on(fresh, image_id)) == {"cell_3", "cell_65535"}
    ledger = Ledger.open(fresh, bench.provenance.run_id)
    assert {label: len(ids) for label, ids in rois_by_label(ledger, image_id).items()} == {3: 1, 65535: 1}


def test_label_images_that_only_serve_for_rois_are_not_kept(bench: Bench, fresh: BlitzGateway, stack: Labels) -> None:
    write_labels(bench, stack)
    tifffile.imwrite(bench.folder / "nuclei_mask.tif", np.ones((ROWS, COLUMNS + 1), "uint8"))
    tifffile.imwrite(bench.folder / "cells_smooth.tif", np.ones((ROWS, COLUMNS), "float32"))
    options = replace(ROIS, new_dataset="labels")
    bench.try_to_bring(options)
    assert len(images_of_run(fresh, bench)) == 3
    report = bench.try_to_bring(replace(options, roi_delete_label_images=True))
    dataset = results_dataset(fresh, bench)
    assert {each.getName() for each in children(fresh, "Dataset", dataset)} == {"cells_smooth.tif", "nuclei_mask.tif"}
    (problem,) = report.problems
    assert "nuclei_mask.tif are not on Image" in problem
    assert "It is 6 x 4 pixels large, and the image 5 x 4." in problem
    again = bench.again()
    again.try_to_bring(replace(options, roi_delete_label_images=True, allow_duplicate_dataset=True))
    assert sorted(images_of_run(fresh, again)) == ["cells_smooth.tif", "nuclei_mask.tif"]


@pytest.mark.parametrize("shape", ["Polygon", "Mask"])
def test_every_label_image_inside_an_ome_zarr_is_drawn(
    bench: Bench, fresh: BlitzGateway, stack: Labels, shape: str
) -> None:
    labels: dict[str, Labels] = {"cells": stack.astype(np.uint32), "nuclei": (stack > 3).astype(np.uint8)}
    pixels = np.zeros((TIMES, SECTIONS, ROWS, COLUMNS), np.uint8)
    ngff.write_image(bench.folder / "cells.ome.zarr", pixels, "tzyx", version="0.5", labels=labels)
    bench.bring(replace(ROIS, roi_shape=shape, roi_name_prefix="r", new_dataset="mine", roi_delete_label_images=True))
    image_id = bench.sources[0].image_id
    assert set(rois_on(fresh, image_id)) == {"r_cells_3", "r_cells_700", "r_cells_65535", "r_nuclei_1"}
    assert (rois_on(fresh, image_id)["r_nuclei_1"].pixels() == labels["nuclei"]).all()
    assert (rois_on(fresh, image_id)["r_cells_700"].pixels() == (stack == 700)).all()
    assert images_of_run(fresh, bench) == []
    rois = rois_by_label(Ledger.open(fresh, bench.provenance.run_id), image_id)
    assert {label: len(ids) for label, ids in rois.items()} == {1: 1, 3: 1, 700: 1, 65535: 1}


def test_label_images_that_the_importer_has_made_go_when_their_rois_are_there(
    bench: Bench, fresh: BlitzGateway, stack: Labels
) -> None:
    dataset_id = bench.dataset_id
    write_labels(bench, stack)
    write_labels(bench, stack[:, :2], "nuclei_mask.tif")
    pixels = np.zeros((TIMES, SECTIONS, ROWS, COLUMNS), np.uint8)
    ngff.write_image(bench.folder / "nuclei.zarr", pixels, "tzyx", labels={"inside": stack.astype(np.uint8)})
    given = {
        path: (import_image(bench.gateway, stack[:, None], path, dataset_id),)
        for path in ("cells_mask.tif", "nuclei_mask.tif", "nuclei.zarr", "nuclei.zarr/labels/inside")
    }
    kept = import_image(bench.gateway, stack[:, None], "not of this run", dataset_id)
    options = replace(ROIS, dataset_id=dataset_id, roi_delete_label_images=True, roi_name_prefix="r")
    first = bench.bring(options, in_place=given)
    left = {each.getName() for each in children(fresh, "Dataset", dataset_id)}
    assert left == {"cells.tif", "nuclei.tif", "nuclei_mask.tif", "nuclei.zarr", "not of this run"}
    assert fresh.getObject("Image", kept) is not None
    assert [len(rois_on(fresh, source.image_id)) for source in bench.sources] == [3, 3]
    assert bench.bring(options, in_place=given) == first


def test_what_holds_no_labels_is_told_for_each_image_and_nothing_is_removed(bench: Bench, fresh: BlitzGateway) -> None:
    cells, nuclei = (source.image_id for source in bench.sources)
    kept = draw_by_hand(bench.gateway, cells, "by hand")
    tifffile.imwrite(bench.folder / "cells_prob.tif", np.full((ROWS, COLUMNS), 0.5, "float32"))
    tifffile.imwrite(bench.folder / "cells_rgb.tif", np.ones((ROWS, COLUMNS, 3), "uint8"))
    for name in ("nuclei_mask.tif", "nuclei_label.tif"):
        tifffile.imwrite(bench.folder / name, np.ones((ROWS, COLUMNS), "uint8"))
    report = bench.try_to_bring(replace(ROIS, roi_clear_existing=True))
    of_cells, of_nuclei = report.problems
    assert f"The objects of cells_prob.tif are not on Image {cells} (cells.tif)" in of_cells
    assert "It holds no labels: it has values that are not whole numbers (0.5)" in of_cells
    assert f"There are no ROIs on Image {nuclei} (nuclei.tif)" in of_nuclei
    assert "not clear which of its results (nuclei_label.tif, nuclei_mask.tif)" in of_nuclei
    assert [each.id for each in rois_on(fresh, cells).values()] == [kept]
    report = bench.bring(replace(ROIS, roi_label_pattern="*_LABEL.*", roi_targets=(nuclei,)))
    assert (len(rois_on(fresh, nuclei)), report.problems) == (1, ())


@pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # omero-py's own
def test_an_image_that_was_deleted_while_it_was_analysed_is_told_of(bench: Bench, fresh: BlitzGateway) -> None:
    cells, nuclei = (source.image_id for source in bench.sources)
    for name in ("cells_mask.tif", "nuclei_mask.tif"):
        tifffile.imwrite(bench.folder / name, np.ones((ROWS, COLUMNS), "uint8"))
    bench.gateway.deleteObjects("Image", [nuclei], wait=True)
    report = bench.bring(replace(ROIS, new_dataset="labels", attach_to_images=True))
    assert report.notes[0] == (
        "1 of the 2 analysed images cannot be seen in this group any more; they were deleted, or moved:"
        f" {nuclei} (nuclei.tif). Nothing is attached to them or drawn on them."
    )
    assert len(rois_on(fresh, cells)) == 1
    assert images_of_run(fresh, bench) == ["cells_mask.tif", "nuclei_mask.tif"]
    assert any(name.startswith("nuclei_mask.") for name in files_on(fresh, "Dataset", bench.dataset_id))


def test_a_shape_colour_or_name_that_cannot_be_is_refused_at_the_door(bench: Bench) -> None:
    for wrong in (
        replace(ROIS, roi_shape="Circle"),
        replace(ROIS, roi_color="no colour"),
        replace(ROIS, roi_name_prefix="x" * 200),
    ):
        with pytest.raises(RequestError):
            check_permissions(bench.gateway, bench.sources, wrong)


def test_in_a_group_where_others_may_annotate_they_may_draw(lab: Lab, bench: Bench, fresh: BlitzGateway) -> None:
    write_labels(bench, np.ones((ROWS, COLUMNS), "uint8"))
    with logged_in(lab, "bob", "lab-a") as bob:
        bench.bring(replace(ROIS, roi_name_prefix="bob's"), gateway=bob)
    assert set(rois_on(fresh, bench.sources[0].image_id)) == {"bob's_1"}
