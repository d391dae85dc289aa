"""Images and files that people transfer to the cluster by hand, read back from there."""

from __future__ import annotations

import io
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from omero.rtypes import rlist, rlong, rstring

from tests.lab.analyses import sif
from tests.lab.omero.images import import_image
from tests.lab.person import logged_in, start_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path, PurePosixPath

    from numpy.typing import NDArray
    from omero.gateway import BlitzGateway

    from tests.lab.cluster import Cluster
    from tests.lab.description import Lab
    from tests.lab.person import ScriptOutcome

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

IMAGES, FILE, CONVERSION = "_SLURM_Image_Transfer.py", "_SLURM_File_Transfer.py", "SLURM_Remote_Conversion.py"
TABLE = b"well,compound\nA1,DMSO\n" * 1000


def stack(dtype: str, seed: int) -> NDArray[Any]:
    """An image of 2 time points, 2 channels and 5 sections, of odd size."""
    return np.random.default_rng(seed).integers(0, 200, (2, 2, 5, 33, 47)).astype(dtype)


@pytest.fixture
def folder(cluster: Cluster, data_path: PurePosixPath) -> Iterator[str]:
    """The name of a folder that nobody has used, removed at the end."""
    name = f"SLURM_IMAGES_{uuid.uuid4().hex[:10]}"
    yield name
    cluster.run("rm", "-rf", str(data_path / name))


@pytest.fixture
def data_path(lab: Lab) -> PurePosixPath:
    assert lab.data_path is not None
    return lab.data_path


def transfer(gateway: BlitzGateway, ids: list[int], folder: str, **changes: Any) -> ScriptOutcome:
    """Press Run in the dialog for images, which sends all of its defaults."""
    inputs = {
        "Data_Type": "Image",
        "IDs": ids,
        "Folder_Name": folder,
        "Cleanup?": True,
        "Image settings (Required)": True,
        "Format": "OME-ZARR",
        "OME-Zarr_version": "0.4",
        "Export_Merged_Image": True,
        "Export_Individual_Channels": False,
        "Individual_Channels_Grey": False,
        "Choose_Z_Section": "Default-Z (last-viewed)",
        "Choose_T_Section": "Default-T (last-viewed)",
        "Zoom": "100%",
    }
    return start_script(gateway, inputs | changes, name=IMAGES).wait(120)


def read_tiff(cluster: Cluster, path: PurePosixPath) -> NDArray[Any]:
    with tifffile.TiffFile(io.BytesIO(cluster.read(path))) as file:
        series = file.series[0]
        return np.asarray(series.asarray(squeeze=False)).reshape(series.get_shape(squeeze=False)[:5])


def test_images_and_a_file_arrive_in_one_folder_as_they_were_asked_for(
    alice: BlitzGateway, lab: Lab, cluster: Cluster, data_path: PurePosixPath, folder: str, tmp_path: Path
) -> None:
    arrays = {"cells.tif": stack("uint16", 1), "nuclei": stack("float32", 2)}
    names = ("DAPI", "Alexa 488")
    ids = [import_image(alice, array, name, channel_names=names) for name, array in arrays.items()]
    chosen = {"Channel_Names": rlist([rstring("alexa 488")]), "Choose_Z_Section": "Max projection"}
    ended = transfer(alice, ids, folder, Format="OME-TIFF", **chosen)
    assert ended.exit_status == 0, ended.message
    assert ended.message.startswith("Done. 2 files are at")
    where = data_path / folder / "data" / "in"
    assert set(cluster.run("ls", str(where)).split()) == {"cells.tif", "nuclei.tif"}
    for name, array in arrays.items():
        read = read_tiff(cluster, where / f"{name.removesuffix('.tif')}.tif")
        assert read.dtype == array.dtype
        assert np.array_equal(read, array[:, 1:2].max(axis=2, keepdims=True))

    (tmp_path / "plate map.csv").write_bytes(TABLE)
    annotation_id = alice.createFileAnnfromLocalFile(str(tmp_path / "plate map.csv")).getId()
    inputs = {"Annotation_ID": rlong(annotation_id), "Folder_Name": folder, "Param_Slot": "p1", "Cleanup?": True}
    sent = start_script(alice, {**inputs, "Allowed_Formats": "csv"}, name=FILE).wait(60)
    assert sent.exit_status == 0, sent.message
    assert sent.outputs["Slurm_Path"] == str(where / "p1" / "plate map.csv")
    assert cluster.read(where / "p1" / "plate map.csv") == TABLE
    assert set(cluster.run("ls", str(where)).split()) == {"cells.tif", "nuclei.tif", "p1"}

    with logged_in(lab, "bob") as bob:
        theirs = start_script(bob, inputs, name=FILE).wait(60)
    assert theirs.exit_status == 1
    assert f"You have no folder '{folder}'" in theirs.message


@pytest.fixture
def converter(lab: Lab, cluster: Cluster) -> Iterator[None]:
    """A converter where 'cluster init' would put it."""
    assert lab.cluster_home is not None
    path = lab.cluster_home / "my-scratch/singularity_images/converters/convert_zarr_to_tiff_latest.sif"
    cluster.write(path, sif.ensure("zarr_to_tiff").read_bytes())
    yield
    cluster.run("rm", "-f", str(path))


def log_of(gateway: BlitzGateway, image_id: int) -> tuple[int, int, bytes]:
    """The one file that is attached to an image: ids of the annotation and of the file, and its content."""
    (annotation,) = gateway.getObject("Image", image_id).listAnnotations()
    file = annotation.getFile()
    return annotation.getId(), file.getId(), b"".join(file.getFileInChunks())


@pytest.mark.usefixtures("converter")
def test_what_was_transferred_is_converted_on_the_cluster(
    alice: BlitzGateway, cluster: Cluster, data_path: PurePosixPath, folder: str
) -> None:
    arrays = {"first": stack("uint16", 4), "it's second": stack("uint8", 5)}
    ids = [import_image(alice, array, name) for name, array in arrays.items()]
    transferred = transfer(alice, ids, folder, **{"OME-Zarr_version": "0.5"})
    assert transferred.exit_status == 0, transferred.message
    inputs = {
        # OMERO takes only what the dialog has offered: alice's own folders.
        "Input data": folder,
        "Source format": "zarr",
        "Target format": "tiff",
        "Cleanup?": True,
        "Log_Fallback_Target": f"Image:{ids[0]}",
    }
    where = data_path / folder / "data" / "in"
    cluster.run("mv", str(where / "first.zarr" / "0"), str(where / "first.zarr" / "elsewhere"))
    failed = start_script(alice, inputs | {"Log_Fallback_Target": f"Image:{ids[1]}"}, name=CONVERSION).wait(150)
    assert failed.exit_status == 1
    assert "What was to be converted is still there" in failed.message
    assert log_of(alice, ids[1])[0] == failed.outputs["Conversion_Log"].getId().getValue()
    cluster.run("mv", str(where / "first.zarr" / "elsewhere"), str(where / "first.zarr" / "0"))

    ended = start_script(alice, inputs, name=CONVERSION).wait(150)
    assert ended.exit_status == 0, ended.message
    assert f"2 inputs in {folder} are now tiff" in ended.message
    assert set(cluster.run("ls", str(where)).splitlines()) == {f"{name}.tif" for name in arrays}
    for name, array in arrays.items():
        assert np.array_equal(read_tiff(cluster, where / f"{name}.tif"), array)
    annotation_id, file_id, log = log_of(alice, ids[0])
    assert b"Converting it's second.zarr" in log
    assert ended.outputs["Conversion_Log"].getId().getValue() == annotation_id
    address = ended.outputs["URL"]
    assert (address["type"], address["href"]) == ("URL", f"/webclient/get_original_file/{file_id}/")
