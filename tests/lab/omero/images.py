"""Bring images and plates into OMERO through its public API, as an ordinary user could."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import omero
import omero.model
from omero.rtypes import rint, rstring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray


def import_image(
    gateway: Any,
    array: NDArray[Any],
    name: str,
    dataset_id: int | None = None,
    *,
    pixel_size_um: float | tuple[float, float] | tuple[float, float, float] | None = None,
    channel_names: Sequence[str] = (),
    description: str = "",
) -> int:
    """Store an array as an image.

    Parameters
    ----------
    gateway : BlitzGateway
        Connection of the user who is to own the image.
    array : ndarray
        Pixels, (T, C, Z, Y, X) or (Y, X), of a type that OMERO knows: (u)int8, (u)int16, (u)int32, float32, float64.
    name : str
        Its name.
    dataset_id : int, optional
        Dataset to put it into.
    pixel_size_um : float or tuple of float, optional
        Size of a pixel in micrometres: for x and y alike, or (x, y), or (x, y, z).
    channel_names : sequence of str
        Names of the channels, as many as there are channels.
    description : str
        Its description.

    Returns
    -------
    int
        Id of the image.
    """
    if array.ndim == 2:
        array = array[np.newaxis, np.newaxis, np.newaxis]
    if array.ndim != 5:
        raise ValueError(f"an image has the axes (T, C, Z, Y, X) or (Y, X), this array has {array.ndim}")
    size_t, size_c, size_z = array.shape[:3]

    def planes() -> Iterator[NDArray[Any]]:
        for z in range(size_z):
            for c in range(size_c):
                for t in range(size_t):
                    yield np.ascontiguousarray(array[t, c, z])

    dataset = omero.model.DatasetI(dataset_id, False) if dataset_id is not None else None
    image = gateway.createImageFromNumpySeq(
        planes(), name, sizeZ=size_z, sizeC=size_c, sizeT=size_t, description=description, dataset=dataset
    )
    image_id = int(image.getId())
    if pixel_size_um is not None:
        set_pixel_size(gateway, image_id, pixel_size_um)
    if channel_names:
        if len(channel_names) != size_c:
            raise ValueError(f"{len(channel_names)} names for {size_c} channels")
        gateway.setChannelNames("Image", [image_id], dict(enumerate(channel_names, start=1)))
    return image_id


def set_pixel_size(gateway: Any, image_id: int, size_um: float | tuple[float, ...]) -> None:
    """Set the physical size of an image's pixels, in micrometres: one number for x and y, or (x, y), or (x, y, z)."""
    sizes = (size_um, size_um) if isinstance(size_um, (int, float)) else size_um
    pixels = gateway.getObject("Image", image_id).getPrimaryPixels()._obj
    for axis, size in zip("XYZ", sizes, strict=False):
        length = omero.model.LengthI(float(size), omero.model.enums.UnitsLength.MICROMETER)
        getattr(pixels, f"setPhysicalSize{axis}")(length)
    gateway.getUpdateService().saveObject(pixels, gateway.SERVICE_OPTS)


def make_dataset(gateway: Any, name: str, *, project_id: int | None = None) -> int:
    """Make a dataset, in a project if one is given, and return its id."""
    dataset = omero.model.DatasetI()
    dataset.setName(rstring(name))
    update = gateway.getUpdateService()
    dataset = update.saveAndReturnObject(dataset, gateway.SERVICE_OPTS)
    if project_id is not None:
        link = omero.model.ProjectDatasetLinkI()
        link.setParent(omero.model.ProjectI(project_id, False))
        link.setChild(omero.model.DatasetI(dataset.getId().val, False))
        update.saveObject(link, gateway.SERVICE_OPTS)
    return int(dataset.getId().val)


def make_project(gateway: Any, name: str) -> int:
    """Make a project and return its id."""
    project = omero.model.ProjectI()
    project.setName(rstring(name))
    return int(gateway.getUpdateService().saveAndReturnObject(project, gateway.SERVICE_OPTS).getId().val)


def make_plate(
    gateway: Any,
    name: str,
    rows: int,
    columns: int,
    fields: int,
    maker: Callable[[int, int, int], NDArray[Any] | None],
    *,
    screen_id: int | None = None,
    pixel_size_um: float | tuple[float, float] | None = None,
    channel_names: Sequence[str] = (),
) -> int:
    """Make a plate with an image in every field.

    Parameters
    ----------
    gateway : BlitzGateway
        Connection of the user who is to own the plate.
    name : str
        Its name.
    rows, columns : int
        Its size in wells.
    fields : int
        Fields in a well.
    maker : callable
        Called with row, column and field (all counted from 0); returns the field's pixels, (T, C, Z, Y, X) or (Y, X),
        or None to leave the field out. A well without fields is not made.
    screen_id : int, optional
        Screen to put it into.
    pixel_size_um : float or tuple of float, optional
        As for :func:`import_image`.
    channel_names : sequence of str
        As for :func:`import_image`.

    Returns
    -------
    int
        Id of the plate.
    """
    update = gateway.getUpdateService()
    plate = omero.model.PlateI()
    plate.setName(rstring(name))
    plate.setRows(rint(rows))
    plate.setColumns(rint(columns))
    plate.setRowNamingConvention(rstring("letter"))
    plate.setColumnNamingConvention(rstring("number"))
    acquisition = omero.model.PlateAcquisitionI()
    acquisition.setName(rstring("Run 1"))
    plate.addPlateAcquisition(acquisition)
    plate = update.saveAndReturnObject(plate, gateway.SERVICE_OPTS)
    plate_id = int(plate.getId().val)
    acquisition_id = plate.copyPlateAcquisitions()[0].getId().val
    for row in range(rows):
        for column in range(columns):
            image_ids = []
            for field in range(fields):
                array = maker(row, column, field)
                if array is None:
                    continue
                field_name = f"{name} [Well {chr(ord('A') + row)}{column + 1}, Field {field + 1}]"
                image_ids.append(
                    import_image(gateway, array, field_name, pixel_size_um=pixel_size_um, channel_names=channel_names)
                )
            if image_ids:
                update.saveObject(_well(plate_id, acquisition_id, row, column, image_ids), gateway.SERVICE_OPTS)
    if screen_id is not None:
        link = omero.model.ScreenPlateLinkI()
        link.setParent(omero.model.ScreenI(screen_id, False))
        link.setChild(omero.model.PlateI(plate_id, False))
        update.saveObject(link, gateway.SERVICE_OPTS)
    return plate_id


def _well(plate_id: int, acquisition_id: int, row: int, column: int, image_ids: Sequence[int]) -> Any:
    well = omero.model.WellI()
    well.setPlate(omero.model.PlateI(plate_id, False))
    well.setRow(rint(row))
    well.setColumn(rint(column))
    for image_id in image_ids:
        sample = omero.model.WellSampleI()
        sample.setImage(omero.model.ImageI(image_id, False))
        sample.setPlateAcquisition(omero.model.PlateAcquisitionI(acquisition_id, False))
        well.addWellSample(sample)
    return well
