"""An unmodified BlitzGateway, and ezomero on top of it, do their daily work against the stand-in."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import ezomero
import numpy as np
import omero
import omero.model
import pytest
from omero.gateway import FileAnnotationWrapper, MapAnnotationWrapper, TagAnnotationWrapper
from omero.rtypes import rdouble, rstring, unwrap
from PIL import Image

from tests.lab.omero.images import import_image, make_dataset, make_plate, make_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.omero.private import PrivateOmero


@pytest.fixture
def alice(omero_server: PrivateOmero) -> Iterator[Any]:
    with omero_server.login("alice") as gateway:
        yield gateway


PIXELS = np.random.default_rng(1).integers(0, 4_000, (2, 3, 4, 16, 24), dtype="uint16")


@pytest.fixture
def image_id(alice: Any) -> int:
    return import_image(alice, PIXELS, "cells", pixel_size_um=0.65, channel_names=["DAPI", "GFP", "RFP"])


@pytest.mark.parametrize("pixel_type", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_pixels_of_every_type_come_back_as_they_went(alice: Any, pixel_type: str) -> None:
    pixels = (PIXELS % 120).astype(pixel_type)
    planes = alice.getObject("Image", import_image(alice, pixels, pixel_type)).getPrimaryPixels()
    for t, c, z in np.ndindex(pixels.shape[:3]):
        np.testing.assert_array_equal(planes.getPlane(z, c, t), pixels[t, c, z])
    np.testing.assert_array_equal(planes.getTile(1, 2, 0, (5, 6, 10, 7)), pixels[0, 2, 1, 6:13, 5:15])


def test_an_image_describes_itself(alice: Any, image_id: int) -> None:
    image = alice.getObject("Image", image_id)
    assert (image.getSizeT(), image.getSizeC(), image.getSizeZ(), image.getSizeY(), image.getSizeX()) == PIXELS.shape
    assert image.getPixelsType() == "uint16"
    assert image.getPixelSizeX() == 0.65
    assert [channel.getLabel() for channel in image.getChannels()] == ["DAPI", "GFP", "RFP"]
    assert image.getOwnerOmeName() == "alice"
    assert image.getDate() is not None


def test_hypercubes_and_stacks(alice: Any, image_id: int) -> None:
    store = alice.c.sf.createRawPixelsStore()
    store.setPixelsId(alice.getObject("Image", image_id).getPixelsId(), True)
    cube = np.frombuffer(store.getHypercube([2, 1, 0, 0, 0], [6, 8, 2, 3, 2], [2, 1, 1, 2, 1]), ">u2")
    np.testing.assert_array_equal(cube.reshape(2, 2, 2, 8, 3), PIXELS[:, 0:3:2, 0:2, 1:9, 2:8:2])
    np.testing.assert_array_equal(np.frombuffer(store.getStack(1, 1), ">u2").reshape(4, 16, 24), PIXELS[1, 1])
    store.close()


def test_containers(alice: Any) -> None:
    project_id = make_project(alice, "project")
    dataset_id = make_dataset(alice, "dataset", project_id=project_id)
    for name in ("b", "a"):
        import_image(alice, PIXELS[0, 0, 0], name, dataset_id)
    project = alice.getObject("Project", project_id)
    (dataset,) = project.listChildren()
    assert sorted(image.getName() for image in dataset.listChildren()) == ["a", "b"]
    assert dataset.countChildren() == 2
    assert dataset.getParent().getId() == project_id
    found = alice.getObjects("Image", opts={"dataset": dataset_id, "order_by": "obj.name"})
    assert [image.getName() for image in found] == ["a", "b"]
    assert [item.getId() for item in alice.getObjects("Dataset", attributes={"name": "dataset"})][-1] == dataset_id


def test_plates(alice: Any) -> None:
    plate_id = make_plate(alice, "plate", 2, 3, 2, lambda row, column, _: np.full((4, 5), row * 10 + column, "uint8"))
    plate = alice.getObject("Plate", plate_id)
    assert plate.getGridSize() == {"rows": 2, "columns": 3}
    assert (plate.getRowLabels(), plate.getColumnLabels()) == (["A", "B"], [1, 2, 3])
    assert plate.getNumberOfFields() == (0, 1)
    wells = {(well.row, well.column): well for well in plate.listChildren()}
    assert len(wells) == 6
    assert wells[1, 2].countWellSample() == 2
    assert wells[1, 2].getImage(1).getPrimaryPixels().getPlane(0, 0, 0).tolist() == [[12] * 5] * 4
    assert wells[1, 2].getImage(0).getParent().getParent().getId() == wells[1, 2].getId()


def test_annotations(alice: Any, image_id: int, tmp_path: Path) -> None:
    image = alice.getObject("Image", image_id)
    pairs = MapAnnotationWrapper(alice)
    pairs.setNs("test.pairs")
    pairs.setValue([("a", "1"), ("b", "2")])
    pairs.save()
    image.linkAnnotation(pairs)
    tag = TagAnnotationWrapper(alice)
    tag.setValue("a tag")
    tag.save()
    image.linkAnnotation(tag)
    table = tmp_path / "cells.csv"
    table.write_text("label,area\n" + "1,20\n" * 5_000, encoding="utf-8")
    attached = alice.createFileAnnfromLocalFile(str(table), mimetype="text/csv", ns="test.file", desc="cells")
    image.linkAnnotation(attached)
    image = alice.getObject("Image", image_id)
    assert image.getAnnotation("test.pairs").getValue() == [("a", "1"), ("b", "2")]
    assert {type(item).__name__ for item in image.listAnnotations()} == {
        "MapAnnotationWrapper",
        "TagAnnotationWrapper",
        "FileAnnotationWrapper",
    }
    found = alice.getObject("FileAnnotation", attached.getId())
    assert isinstance(found, FileAnnotationWrapper)
    assert b"".join(found.getFileInChunks()) == table.read_bytes()
    assert found.getFile().getSize() == table.stat().st_size


def test_a_copy_takes_channels_from_its_source(alice: Any, image_id: int) -> None:
    planes = iter([PIXELS[0, 0, 0]] * 6)
    copy = alice.createImageFromNumpySeq(planes, "copy", sizeZ=2, sizeC=3, sizeT=1, sourceImageId=image_id)
    assert [channel.getLabel() for channel in copy.getChannels()] == ["DAPI", "GFP", "RFP"]
    assert copy.getPixelSizeX() == 0.65


def test_regions_of_interest(alice: Any, image_id: int) -> None:
    rectangle = omero.model.RectangleI()
    rectangle.x, rectangle.y, rectangle.width, rectangle.height = (rdouble(value) for value in (1, 2, 3, 4))
    rectangle.textValue = rstring("cell")
    roi = omero.model.RoiI()
    roi.image = omero.model.ImageI(image_id, False)
    roi.addShape(rectangle)
    alice.getUpdateService().saveObject(roi)
    (found,) = alice.getRoiService().findByImage(image_id, None).rois
    (shape,) = found.copyShapes()
    assert (shape.width.val, shape.textValue.val) == (3.0, "cell")


def test_pictures(alice: Any, image_id: int) -> None:
    image = alice.getObject("Image", image_id)
    assert Image.open(io.BytesIO(image.getThumbnail(96))).size == (96, 64)
    assert image.renderImage(0, 0).size == (24, 16)
    grey = alice.getObject("Image", import_image(alice, np.array([[0, 50], [100, 200]], "uint8"), "grey"))
    drawn = np.asarray(grey.renderImage(0, 0, compression=1.0).convert("L"), int)
    assert abs(drawn - np.array([[0, 64], [128, 255]])).max() < 20


def test_projections_of_the_web_client(alice: Any) -> None:
    make_dataset(alice, "with permissions")
    query = (
        "select new map(dataset.id as id, dataset.name as name, dataset.details.owner.id as ownerId, "
        "dataset as dataset_details_permissions, "
        "(select count(id) from DatasetImageLink dil where dil.parent=dataset.id) as childCount) "
        "from Dataset dataset order by lower(dataset.name)"
    )
    (row, *_) = unwrap(alice.getQueryService().projection(query, None, alice.SERVICE_OPTS))
    assert set(row[0]) == {"id", "name", "ownerId", "dataset_details_permissions", "childCount"}
    assert row[0]["dataset_details_permissions"]["canEdit"] is True


def test_ezomero(alice: Any, image_id: int) -> None:
    image, pixels = ezomero.get_image(alice, image_id)
    assert image.getId() == image_id
    np.testing.assert_array_equal(pixels, np.moveaxis(PIXELS, 1, -1))
    project_id = ezomero.post_project(alice, "by ezomero")
    dataset_id = ezomero.post_dataset(alice, "by ezomero", project_id=project_id)
    posted = ezomero.post_image(alice, np.zeros((8, 9, 2, 2, 1), "uint16"), "posted", dataset_id=dataset_id)
    assert ezomero.get_image_ids(alice, dataset=dataset_id) == [posted]
    annotation_id = ezomero.post_map_annotation(alice, "Image", posted, {"workflow": "x"}, "test.ezomero")
    assert ezomero.get_map_annotation_ids(alice, "Image", posted, ns="test.ezomero") == [annotation_id]
    assert ezomero.get_map_annotation(alice, annotation_id) == {"workflow": "x"}
    roi_id = ezomero.post_roi(alice, posted, [ezomero.rois.Rectangle(1, 2, 3, 4, z=0, c=0, t=0, label="r")], name="roi")
    assert ezomero.get_roi_ids(alice, posted) == [roi_id]
    table_id = ezomero.post_table(alice, [["a", "b"], [1, 2], [3, 4]], "Dataset", dataset_id, title="t")
    # A data frame, as pandas is there.
    table = ezomero.get_table(alice, table_id)
    assert [list(table.columns), *table.values.tolist()] == [["a", "b"], [1, 2], [3, 4]]


def test_several_clients_at_once(omero_server: PrivateOmero, image_id: int) -> None:
    import threading

    sums: list[int] = []

    def read() -> None:
        with omero_server.login("alice") as alice:
            planes = alice.getObject("Image", image_id).getPrimaryPixels()
            sums.append(sum(int(plane.sum()) for plane in planes.getPlanes(list(np.ndindex(4, 3, 2)))))

    readers = [threading.Thread(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert sums == [int(PIXELS.sum())] * 6
