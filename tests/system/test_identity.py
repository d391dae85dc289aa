"""Pixels that go to the cluster and come back unchanged: export, an analysis that copies what it is given, import."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.lab.omero.images import import_image, make_dataset
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript
from tests.system.results_bench import ask

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

USER = "alice"
IMAGES = {
    "uint8": "uint8",
    "uint16": "uint16",
    "int16": "int16",
    "float32": "float32",
    "big_endian": "uint16",
}
"""Names of the images, and types of their pixels."""
NAMES = ["DAPI", "GFP", "RFP"]
PIXEL_SIZE_UM = (0.25, 0.5, 1.5)
PIXEL_TYPES = {"float32": "float"}


def planes(dtype: str) -> NDArray[Any]:
    """Planes, shape (T=2, C=3, Z=3, 5, 7), whose every pixel says in which plane it is: 20 z + 6 c + t."""
    t, c, z = np.ogrid[:2, :3, :3]
    values = (20 * z + 6 * c + t)[..., None, None] * np.ones((5, 7))
    # Values that no other type would keep.
    offset = {"int16": -50, "uint16": 60_000, "float32": 0.25}.get(dtype, 0)
    pixels: NDArray[Any] = (values + offset).astype(dtype)
    return pixels


def start(lab: Lab, deployment: Deployment, title: str, ids: list[int], fields: dict[str, object]) -> DirectScript:
    directory = deployment.directory / title
    directory.mkdir()
    inputs: dict[str, object] = {
        "Data_Type": "Image",
        "IDs": ids,
        "E-mail": False,
        "Select how to import your results (one or more)": True,
        "1) Zip attachment to parent": False,
        "3a) Import into NEW Dataset": title,
        "4) Upload result CSVs as OMERO tables": False,
        "Cleanup?": False,
        "echo_plain": True,
        "echo_plain_Version": lab.nuclei_version,
        **fields,
    }
    return DirectScript(lab, USER, inputs, deployment.environ, directory)


def test_every_plane_comes_back_as_it_went(lab: Lab, tmp_path: Any, database_url: str) -> None:
    deployment = Deployment.create(lab, tmp_path, database_url)
    with logged_in(lab, USER) as gateway:
        dataset_id = make_dataset(gateway, f"identity {uuid.uuid4()}")
        ids = [
            import_image(
                gateway, planes(dtype), f"{name}.tif", dataset_id, pixel_size_um=PIXEL_SIZE_UM, channel_names=NAMES
            )
            for name, dtype in IMAGES.items()
        ]
    titles = {suffix: f"{suffix} {uuid.uuid4()}" for suffix in ("tif", "zarr")}
    formats: dict[str, dict[str, object]] = {"tif": {}, "zarr": {"Use_ZARR_Format": True, "OME-Zarr_version": "0.5"}}
    scripts = [start(lab, deployment, title, ids, formats[suffix]) for suffix, title in titles.items()]
    assert [ended.exit_status for ended in (script.wait() for script in scripts)] == [0, 0]
    with logged_in(lab, USER) as fresh:
        for suffix, title in titles.items():
            check(fresh, title, suffix)


def check(gateway: BlitzGateway, title: str, suffix: str) -> None:
    """Compare every plane of the images in a dataset with what went out."""
    query = "select i.id, i.name from DatasetImageLink l join l.child i where l.parent.name = :name"
    found = {name: gateway.getObject("Image", image_id) for image_id, name in ask(gateway, query, name=title)}
    assert sorted(found) == sorted(f"{name}_copy.{suffix}" for name in IMAGES)
    for name, dtype in IMAGES.items():
        image = found[f"{name}_copy.{suffix}"]
        assert image.getPixelsType() == PIXEL_TYPES.get(dtype, dtype)
        assert (image.getSizeT(), image.getSizeC(), image.getSizeZ()) == (2, 3, 3)
        assert (image.getPixelSizeX(), image.getPixelSizeY(), image.getPixelSizeZ()) == PIXEL_SIZE_UM
        assert [channel.getLabel() for channel in image.getChannels(noRE=True)] == NAMES
        pixels = image.getPrimaryPixels()
        for t, c, z in np.ndindex(2, 3, 3):
            assert np.array_equal(pixels.getPlane(z, c, t), planes(dtype)[t, c, z]), (name, suffix, t, c, z)
