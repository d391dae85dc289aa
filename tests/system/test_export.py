"""Exports from a running OMERO, by ordinary users, with the gateway that OMERO gives them."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import omero.clients  # before the model, whose modules need each other
import omero.model
import omero.sys
import pytest
import tifffile
import zarr
from omero.rtypes import rint, rstring

from tests.bench.calls import count_calls
from tests.lab.omero.images import import_image, make_dataset, make_plate
from tests.unit.pixels.ome_zarr_validation import validate
from tests.unit.pixels.pixel_server import numbered_planes
from tests.unit.pixels.sinks import CountingSink, FolderSink
from worker.errors import NotPermitted, OmeroRefused, OmeroUnavailable, RequestError
from worker.pixels import cli_zarr
from worker.pixels.exporter import FORMATS, FormatName, export
from worker.pixels.selection import Selection, read_selection
from worker.pixels.session import Session, as_user, join, open_session, who

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab
    from worker.pixels.manifest import ExportManifest
    from worker.pixels.session import WorkerGateway

pytestmark = pytest.mark.lab

DTYPES = ("uint8", "uint16", "int16", "float32")


@pytest.fixture
def log_in(lab: Lab) -> Iterator[Callable[[str], WorkerGateway]]:
    """Logs people in, and ends their sessions at the end of the test."""
    gateways: list[WorkerGateway] = []

    def log_in(user: str) -> WorkerGateway:
        assert lab.omero_host is not None
        assert lab.omero_port is not None
        gateway = open_session(lab.omero_host, lab.omero_port, user=user, password=lab.omero_users[user])
        gateways.append(gateway)
        return gateway

    yield log_in
    for gateway in gateways:
        Session(gateway).close()


@pytest.fixture
def alice(log_in: Callable[[str], WorkerGateway]) -> WorkerGateway:
    return log_in("alice")


def silently(done: int, total: int) -> None:
    """Show no progress."""


def unique(name: str) -> str:
    return f"{name} {uuid.uuid4().hex[:8]}"


def gradient(row: int, column: int, field: int) -> NDArray[Any]:
    """A small image that is different for each field of a plate."""
    return np.full((1, 2, 1, 6, 5), 1 + row * 1000 + column * 10 + field, "uint16") + np.arange(5, dtype="uint16")


def read(folder: Path, path: str, format_name: str) -> NDArray[Any]:
    if format_name == "tiff":
        with tifffile.TiffFile(folder / path) as file:
            series = file.series[0]
            return np.asarray(series.asarray(squeeze=False)).reshape(series.get_shape(squeeze=False)[:5])
    return np.asarray(zarr.open_array(str(folder / path / "0"), mode="r")[:])


def path_of(manifest: ExportManifest, image_id: int) -> str:
    (path,) = [path for entry in manifest.entries for i, path in entry.images if i == image_id]
    return path


def rendering_settings(gateway: BlitzGateway) -> int:
    (row,) = gateway.c.sf.getQueryService().projection("select count(r) from RenderingDef r", None)
    return int(row[0].getValue())


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_pixel_of_a_dataset_arrives(alice: WorkerGateway, tmp_path: Path, format_name: FormatName) -> None:
    dataset_id = make_dataset(alice, unique("types"))
    arrays = {
        import_image(alice, numbered_planes(dtype, (2, 2, 3, 33, 47)), dtype, dataset_id): numbered_planes(
            dtype, (2, 2, 3, 33, 47)
        )
        for dtype in DTYPES
    }
    selection = read_selection(alice, "Dataset", [dataset_id])
    assert [image.image_id for image in selection.images] == sorted(arrays)
    manifest = export(alice, selection, format=format_name, sink=FolderSink(tmp_path), progress=silently)
    for image_id, array in arrays.items():
        exported = read(tmp_path, path_of(manifest, image_id), format_name)
        assert exported.dtype == array.dtype
        assert np.array_equal(exported, array)


def test_an_image_keeps_its_sizes_names_and_dataset(alice: WorkerGateway) -> None:
    dataset_id = make_dataset(alice, unique("facts"))
    image_id = import_image(
        alice,
        numbered_planes("uint8", (1, 2, 3, 8, 9)),
        "Zellen µ.tif",
        dataset_id,
        pixel_size_um=(0.25, 0.5, 2.0),
        channel_names=["DAPI", "GFP"],
    )
    (image,) = read_selection(alice, "Image", [image_id, image_id]).images
    assert (image.name, image.shape, image.pixel_type) == ("Zellen µ.tif", (1, 2, 3, 8, 9), "uint8")
    assert (image.pixel_size_x_um, image.pixel_size_y_um, image.pixel_size_z_um) == (0.25, 0.5, 2.0)
    assert [channel.label for channel in image.channels] == ["DAPI", "GFP"]
    assert image.dataset_id == dataset_id


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_field_of_a_sparse_plate_arrives(alice: WorkerGateway, tmp_path: Path, format_name: FormatName) -> None:
    def maker(row: int, column: int, field: int) -> NDArray[Any] | None:
        return None if (row + column) % 2 or (row == 0 and field == 1) else gradient(row, column, field)

    plate_id = make_plate(alice, unique("sparse"), 3, 4, 2, maker)
    selection = read_selection(alice, "Plate", [plate_id])
    (plate,) = selection.plates
    assert [well.label for well in plate.wells] == ["A01", "A03", "B02", "B04", "C01", "C03"]
    manifest = export(alice, selection, format=format_name, sink=FolderSink(tmp_path), progress=silently)
    for well, field in plate.fields():
        exported = read(tmp_path, path_of(manifest, field.image.image_id), format_name)
        assert np.array_equal(exported, gradient(well.row, well.column, field.index))
    if format_name != "tiff":
        validate(tmp_path / manifest.entries[0].path, format_name.removeprefix("zarr-"), "plate")


def test_fields_belong_to_their_acquisitions(alice: WorkerGateway) -> None:
    update = alice.getUpdateService()
    plate = omero.model.PlateI()
    plate.setName(rstring(unique("two runs")))
    for name in ("first", "second"):
        acquisition = omero.model.PlateAcquisitionI()
        acquisition.setName(rstring(name))
        plate.addPlateAcquisition(acquisition)
    plate = update.saveAndReturnObject(plate)
    runs = sorted(acquisition.getId().getValue() for acquisition in plate.copyPlateAcquisitions())
    well = omero.model.WellI()
    well.setPlate(omero.model.PlateI(plate.getId(), False))
    well.setRow(rint(26))
    well.setColumn(rint(0))
    for run in runs:
        sample = omero.model.WellSampleI()
        sample.setImage(omero.model.ImageI(import_image(alice, gradient(0, 0, run), "field"), False))
        sample.setPlateAcquisition(omero.model.PlateAcquisitionI(run, False))
        well.addWellSample(sample)
    update.saveObject(well)
    (index,) = read_selection(alice, "Plate", [plate.getId().getValue()]).plates
    assert [acquisition.name for acquisition in index.acquisitions] == ["first", "second"]
    assert [(well.label, field.index, field.acquisition_id) for well, field in index.fields()] == [
        ("AA01", 0, runs[0]),
        ("AA01", 1, runs[1]),
    ]


def test_a_screen_is_its_plates(alice: WorkerGateway) -> None:
    screen = omero.model.ScreenI()
    screen.setName(rstring(unique("screen")))
    screen_id = alice.getUpdateService().saveAndReturnObject(screen).getId().getValue()
    plate_ids = [make_plate(alice, unique("plate"), 1, 1, 1, gradient, screen_id=screen_id) for _ in range(2)]
    selection = read_selection(alice, "Screen", [screen_id])
    assert [(plate.plate_id, plate.screen_id) for plate in selection.plates] == [(i, screen_id) for i in plate_ids]


def test_96_wells_cost_as_many_questions_as_one(log_in: Callable[[str], WorkerGateway]) -> None:
    alice = log_in("alice")
    small = make_plate(alice, unique("1 well"), 1, 1, 1, gradient)
    large = make_plate(alice, unique("96 wells"), 8, 12, 1, gradient)
    counts = []
    for plate_id in (small, large):
        gateway = log_in("alice")
        calls = count_calls(gateway)
        assert len(read_selection(gateway, "Plate", [plate_id]).plates) == 1
        counts.append({name: n for name, n in calls.counts.items() if name != "getQueryService"})
    assert counts == [{"findAllByQuery": 2, "projection": 2}] * 2


def test_an_export_asks_for_planes_and_little_else_and_writes_nothing(
    log_in: Callable[[str], WorkerGateway],
) -> None:
    alice = log_in("alice")
    dataset_id = make_dataset(alice, unique("calls"))
    for number in range(5):
        import_image(alice, numbered_planes("uint16", (2, 2, 1, 8, 8)), f"image {number}", dataset_id)
    settings = rendering_settings(alice)
    gateway = log_in("alice")
    calls = count_calls(gateway)
    selection = read_selection(gateway, "Dataset", [dataset_id])
    export(gateway, selection, format="zarr-0.5", sink=CountingSink(), progress=silently, stores=2)
    assert calls.counts == {
        "getQueryService": 4,
        "projection": 3,
        "findAllByQuery": 1,
        "createRawPixelsStore": 2,
        "setPixelsId": 5,
        "getPlane": 20,
        "close": 2,
    }
    assert rendering_settings(alice) == settings


def test_ids_that_do_not_exist_are_named(alice: WorkerGateway) -> None:
    dataset_id = make_dataset(alice, unique("there"))
    with pytest.raises(RequestError, match=r"Dataset 99999998, 99999999"):
        read_selection(alice, "Dataset", [99999999, dataset_id, 99999998])


def test_an_empty_dataset_is_refused(alice: WorkerGateway) -> None:
    with pytest.raises(RequestError, match="no image in Dataset"):
        read_selection(alice, "Dataset", [make_dataset(alice, unique("empty"))])


def group_id(gateway: BlitzGateway, name: str) -> int:
    return int(gateway.c.sf.getAdminService().lookupGroup(name).getId().getValue())


@pytest.fixture
def service(lab: Lab, log_in: Callable[[str], WorkerGateway]) -> WorkerGateway:
    assert lab.omero_service_user is not None
    return log_in(lab.omero_service_user)


def test_the_service_exports_for_a_person_in_a_private_group(
    service: WorkerGateway, alice: WorkerGateway, tmp_path: Path
) -> None:
    private = group_id(service, "lab-b")
    with Session(as_user(service, "bob", private)) as bob:
        assert (who(bob).user_name, who(bob).group_id, who(bob).email) == ("bob", private, "bob@localhost")
        image_id = import_image(bob, numbered_planes("uint8"), "private")
        selection = read_selection(bob, "Image", [image_id])
        manifest = export(bob, selection, format="zarr-0.5", sink=FolderSink(tmp_path), progress=silently)
        assert np.array_equal(read(tmp_path, path_of(manifest, image_id), "zarr-0.5"), numbered_planes("uint8"))
    with pytest.raises(RequestError, match=f"Image {image_id}"):
        read_selection(alice, "Image", [image_id])


def test_the_service_does_not_put_a_person_into_a_group_of_others(service: WorkerGateway) -> None:
    with pytest.raises(NotPermitted):
        as_user(service, "alice", group_id(service, "lab-b"))


def test_an_ordinary_user_cannot_act_for_another(alice: WorkerGateway) -> None:
    with pytest.raises(NotPermitted):
        as_user(alice, "bob", who(alice).group_id)


def test_a_wrong_password_is_told_as_such(lab: Lab) -> None:
    assert lab.omero_host is not None
    assert lab.omero_port is not None
    with pytest.raises(OmeroRefused, match="wrong password"):
        open_session(lab.omero_host, lab.omero_port, user="alice", password="not hers")


def test_who_joins_a_session_never_ends_it_and_who_owns_it_does(
    lab: Lab, log_in: Callable[[str], WorkerGateway]
) -> None:
    assert lab.omero_host is not None
    assert lab.omero_port is not None
    owner = log_in("alice")
    key = owner.c.getSessionId()
    joined = join(lab.omero_host, lab.omero_port, session_key=key)
    assert who(joined).user_name == "alice"
    joined.close(hard=True)
    assert who(owner).user_name == "alice"
    Session(owner).close()
    with pytest.raises(OmeroUnavailable):
        join(lab.omero_host, lab.omero_port, session_key=key)


def test_connections_are_encrypted(alice: WorkerGateway) -> None:
    assert alice.c.sf.ice_getConnection().type() == "ssl"


def test_a_session_that_ends_in_the_middle_ends_the_export_cleanly(
    log_in: Callable[[str], WorkerGateway],
) -> None:
    alice, other = log_in("alice"), log_in("alice")
    image_id = import_image(alice, np.zeros((1, 1, 200, 64, 64), "uint16"), "long")
    selection = read_selection(alice, "Image", [image_id])
    session = omero.model.SessionI()
    session.setUuid(rstring(alice.c.getSessionId()))

    def end_session(done: int, total: int) -> None:
        if done == 3:
            service = other.c.sf.getSessionService()
            while service.closeSession(session) > 0:
                pass

    with pytest.raises(OmeroUnavailable, match=f"image {image_id}"):
        export(
            alice,
            selection,
            format="zarr-0.5",
            sink=CountingSink(),
            progress=end_session,
            ahead_bytes=10 * 64 * 64 * 2,
        )
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pixels-")]


@pytest.mark.parametrize("format_name", ["zarr-0.4", "zarr-0.5"])
def test_the_other_exporter_writes_the_same_pixels_under_the_same_names(
    alice: WorkerGateway, tmp_path: Path, format_name: str
) -> None:
    image_id = import_image(alice, numbered_planes("uint16", (2, 2, 3, 20, 30)), "cells")
    plate_id = make_plate(alice, unique("plate"), 2, 2, 2, gradient)
    selection = Selection(
        read_selection(alice, "Image", [image_id]).images, read_selection(alice, "Plate", [plate_id]).plates
    )
    name = cast("FormatName", format_name)
    theirs = cli_zarr.export(alice, selection, format=name, sink=FolderSink(tmp_path / "theirs"), progress=silently)
    ours = export(alice, selection, format=name, sink=FolderSink(tmp_path / "ours"), progress=silently)
    for mine, other in zip(ours.entries, theirs.entries, strict=True):
        assert (mine.path, mine.images, mine.object_id) == (other.path, other.images, other.object_id)
        for _, path in mine.images:
            assert np.array_equal(
                read(tmp_path / "ours", path, format_name).squeeze(),
                read(tmp_path / "theirs", path, format_name).squeeze(),
            )
