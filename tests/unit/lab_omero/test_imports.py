"""Files become images where they lie: through the managed repository, and as OME-Zarr that is registered."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import omero
import omero.cmd
import omero.grid
import omero.model
import pytest
import tifffile
import yaml
from omero.rtypes import rlong, rstring
from PIL import Image

from tests.lab.importer.client import MAIN_CLASS, describe
from tests.lab.ngff import write_image
from tests.lab.omero.images import make_dataset
from tests.lab.omero.private import CHECKOUT, HOST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.omero.private import PrivateOmero

PIXELS = np.random.default_rng(5).integers(0, 4_000, (2, 3, 4, 16, 24), dtype="uint16")
"""(T, C, Z, Y, X)"""


@pytest.fixture
def alice(omero_server: PrivateOmero) -> Iterator[Any]:
    with omero_server.login("alice") as gateway:
        yield gateway


@pytest.fixture
def folder(omero_server: PrivateOmero, request: pytest.FixtureRequest) -> Path:
    """A folder that importer and server share."""
    path: Path = omero_server.base / "shared" / request.node.name
    path.mkdir(parents=True)
    return path


def run_client(
    server: PrivateOmero, gateway: Any, *arguments: object, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the import client as ``omero import`` does."""
    login = ["-s", HOST, "-p", str(server.port), "-k", gateway.getSession().getUuid().val]
    command = [sys.executable, "-m", "tests.lab.importer.client", "-Domero.import.depth=4", MAIN_CLASS, *login]
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=CHECKOUT, capture_output=True, text=True, check=check, timeout=60
    )


def imported(completed: subprocess.CompletedProcess[str]) -> list[int]:
    """The images that the client tells of in YAML."""
    return [image for fileset in yaml.safe_load(completed.stdout) for image in fileset["Image"]]


def test_a_file_is_imported_where_it_lies(omero_server: PrivateOmero, alice: Any, folder: Path) -> None:
    file, dataset = folder / "cells.ome.tiff", make_dataset(alice, "in place")
    tifffile.imwrite(
        file,
        PIXELS,
        metadata={"axes": "TCZYX", "PhysicalSizeX": 0.5, "Channel": {"Name": ["DAPI", "GFP", "RFP"]}},
    )
    completed = run_client(
        omero_server, alice, "--transfer=ln_s", "--checksum-algorithm=File-Size-64", "--no-thumbnails",
        "--no-stats-info", "--output=yaml", "-d", dataset, file,
    )  # fmt: skip
    (image_id,) = imported(completed)
    assert "1 file uploaded, 1 fileset created, 1 image imported, 0 errors" in completed.stderr

    (image,) = alice.getObject("Dataset", dataset).listChildren()
    assert (image.getId(), image.getName(), image.getOwnerOmeName()) == (image_id, file.name, "alice")
    assert [channel.getLabel() for channel in image.getChannels()] == ["DAPI", "GFP", "RFP"]
    assert image.getPixelSizeX() == 0.5
    planes = image.getPrimaryPixels()
    for t, c, z in np.ndindex(PIXELS.shape[:3]):
        np.testing.assert_array_equal(planes.getPlane(z, c, t), PIXELS[t, c, z])
    np.testing.assert_array_equal(planes.getTile(1, 2, 0, (5, 6, 10, 7)), PIXELS[0, 2, 1, 6:13, 5:15])
    assert image.getThumbnail()
    paths = image.getImportedImageFilePaths()
    assert paths["client_paths"] == [str(file).lstrip("/")]
    link = omero_server.data / "ManagedRepository" / paths["server_paths"][0]
    assert link.readlink() == file

    alice.deleteObjects("Image", [image_id], deleteAnns=True, wait=True)
    assert not link.is_symlink()
    assert file.exists()


def test_a_file_is_sent_as_well(omero_server: PrivateOmero, alice: Any, tmp_path: Path) -> None:
    Image.fromarray(PIXELS[0, 0, 0].astype("uint8")).save(tmp_path / "a.png")
    completed = run_client(omero_server, alice, "--name", "mine", "-x", "all of it", tmp_path / "a.png")
    image = alice.getObject("Image", int(completed.stdout.removeprefix("Image:")))
    (tmp_path / "a.png").unlink()
    assert (image.getName(), image.getDescription()) == ("mine", "all of it")
    np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(), PIXELS[0, 0, 0].astype("uint8"))
    assert image.getChannels()[0].getWindowMax() == PIXELS[0, 0, 0].astype("uint8").max()


def test_images_of_one_file_stay_together(omero_server: PrivateOmero, alice: Any, folder: Path) -> None:
    with tifffile.TiffWriter(folder / "two.ome.tif") as tiff:
        for name in ("left", "right"):
            tiff.write(PIXELS[0, 0, 0], metadata={"axes": "YX", "Name": name})
    left, right = imported(run_client(omero_server, alice, "--transfer=ln_s", "--output=yaml", folder))
    assert alice.getObject("Image", right).getName() == "two.ome.tif [right]"
    assert alice.getObject("Image", left).getFileset().getId() == alice.getObject("Image", right).getFileset().getId()
    with pytest.raises(omero.CmdError, match="may not delete"):
        alice.deleteObjects("Image", [left], wait=True)
    alice.deleteObjects("Image", [left, right], wait=True)
    assert alice.getObject("Image", left) is None


def test_a_damaged_file_is_named(omero_server: PrivateOmero, alice: Any, folder: Path) -> None:
    (folder / "damaged.tif").write_bytes(b"II*\0 and then nothing of the kind")
    completed = run_client(omero_server, alice, "--transfer=ln_s", "--output=yaml", folder / "damaged.tif")
    assert completed.stdout == ""
    assert f"FILE_EXCEPTION: {folder / 'damaged.tif'}" in completed.stderr
    (folder / "notes.txt").touch()
    assert run_client(omero_server, alice, folder / "notes.txt", check=False).returncode == 1


def test_nothing_is_put_into_the_dataset_of_another(omero_server: PrivateOmero, alice: Any, folder: Path) -> None:
    tifffile.imwrite(folder / "a.tif", PIXELS[0, 0, 0])
    with omero_server.login("root") as root:
        dataset = make_dataset(root, "not alice's")
    completed = run_client(omero_server, alice, "--transfer=ln_s", "-d", dataset, folder, check=False)
    assert completed.returncode == 2
    assert "INTERNAL_EXCEPTION" in completed.stderr
    assert not list(alice.getObjects("Image", attributes={"name": "a.tif"}))


def test_what_came_in_must_be_what_was_sent(alice: Any, folder: Path) -> None:
    tifffile.imwrite(folder / "a.tif", PIXELS[0, 0, 0])
    settings = omero.grid.ImportSettings()
    process = alice.c.getManagedRepository().importFileset(describe(folder / "a.tif"), settings)
    store = process.getUploader(0)
    store.write(b"something else", 0, 14)
    store.close()
    with pytest.raises(omero.ChecksumValidationException):
        process.verifyUpload([alice.c.sha1(str(folder / "a.tif"))])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_pixels_of_a_registered_ome_zarr_are_read_from_it(alice: Any, folder: Path, version: Any) -> None:
    path = write_image(folder / "cells.zarr", PIXELS, "tczyx", version=version)
    image = registered(alice, path)
    planes = image.getPrimaryPixels()
    for t, c, z in np.ndindex(PIXELS.shape[:3]):
        np.testing.assert_array_equal(planes.getPlane(z, c, t), PIXELS[t, c, z])
    assert image.getThumbnail()
    store = alice.c.sf.createRawPixelsStore()
    store.setPixelsId(image.getPixelsId(), True)
    with pytest.raises(omero.ApiUsageException, match="imported"):
        store.setPlane(store.getPlane(0, 0, 0), 0, 0, 0)
    store.close()


def test_no_ome_zarr_outside_of_the_servers_directory_is_read(alice: Any, tmp_path: Path, folder: Path) -> None:
    write_image(tmp_path / "elsewhere.zarr", PIXELS, "tczyx")
    (folder / "link.zarr").symlink_to(tmp_path / "elsewhere.zarr")
    for path in (tmp_path / "elsewhere.zarr", folder / "link.zarr"):
        image = registered(alice, path)
        with pytest.raises(omero.ResourceError, match="outside"):
            alice.c.sf.createRawPixelsStore().setPixelsId(image.getPixelsId(), True)


def registered(gateway: Any, path: Path) -> Any:
    """Make an image whose pixels lie in an OME-Zarr of the shape of PIXELS."""
    size_t, size_c, size_z, size_y, size_x = PIXELS.shape
    pixels_type = gateway.getQueryService().findByQuery("from PixelsType where value = 'uint16'", None)
    image_id = gateway.getPixelsService().createImage(
        size_x, size_y, size_z, size_t, list(range(size_c)), pixels_type, path.name, "", gateway.SERVICE_OPTS
    )
    image = gateway.getObject("Image", image_id.val)._obj
    info = omero.model.ExternalInfoI()
    info.entityId, info.entityType = rlong(3), rstring("com.glencoesoftware.ngff:multiscales")
    info.lsid = rstring(str(path))
    image.details.externalInfo = info
    gateway.getUpdateService().saveAndReturnObject(image, gateway.SERVICE_OPTS)
    return gateway.getObject("Image", image_id.val)
