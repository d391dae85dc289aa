"""Metadata of OME-Zarr 0.4 and 0.5: pure functions from images and plates to JSON values.

Source: the OME-NGFF specification, https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from worker.pixels.chunks import AXES
from worker.pixels.pyramid import level_scale

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.pixels.image import SourceImage
    from worker.pixels.plate import PlateIndex, Well

Version = Literal["0.4", "0.5"]
ZARR_FORMAT: Final[dict[Version, int]] = {"0.4": 2, "0.5": 3}


def group_files(version: Version, attributes: Mapping[str, Any] | None = None) -> list[tuple[str, bytes]]:
    """Make the metadata files of a Zarr group.

    Parameters
    ----------
    version : str
        Version of OME-Zarr.
    attributes : mapping or None
        OME-Zarr metadata of the group without version; None for a group that only holds others.

    Returns
    -------
    list of tuple of str and bytes
        File names below the group, and their contents.
    """
    if version == "0.4":
        files = [(".zgroup", to_bytes({"zarr_format": 2}))]
        return files if attributes is None else [*files, (".zattrs", to_bytes(attributes))]
    document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {} if attributes is None else {"ome": {"version": version, **attributes}},
    }
    return [("zarr.json", to_bytes(document))]


def to_bytes(document: Mapping[str, Any]) -> bytes:
    """Write a JSON document as UTF-8.

    Parameters
    ----------
    document : mapping
        JSON values only; no NaN or infinity.

    Returns
    -------
    bytes
        Indented, for people who look into a Zarr.
    """
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode()


def image_attributes(
    image: SourceImage,
    shapes: tuple[tuple[int, int], ...],
    version: Version,
    seen: Mapping[int, tuple[float, float]],
) -> dict[str, Any]:
    """Describe an image: ``multiscales`` and ``omero``.

    Parameters
    ----------
    image : SourceImage
        The image.
    shapes : tuple of tuple of int
        (Y, X) of each level, full resolution first; levels are named ``0``, ``1``, ...
    version : str
        Version of OME-Zarr.
    seen : mapping of int to tuple of float
        Smallest and largest value of each channel among its pixels.

    Returns
    -------
    dict
        Attributes of the image's group.
    """
    sizes = (image.time_increment_s, None, image.pixel_size_z_um, image.pixel_size_y_um, image.pixel_size_x_um)
    datasets = []
    for level in range(len(shapes)):
        scale_y, scale_x = level_scale(shapes, level)
        factors = (1.0, 1.0, 1.0, scale_y, scale_x)
        scale = [(size or 1.0) * factor for size, factor in zip(sizes, factors, strict=True)]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    multiscale = {"name": image.name, "axes": _axes(image), "datasets": datasets}
    channels = [
        {
            "label": channel.label,
            "color": channel.colour,
            "active": True,
            "coefficient": 1,
            "family": "linear",
            "inverted": False,
            "window": _window(image, index, seen.get(index)),
        }
        for index, channel in enumerate(image.channels)
    ]
    omero = {
        "id": image.image_id,
        "name": image.name,
        "channels": channels,
        "rdefs": {
            "defaultT": 0,
            "defaultZ": image.size_z // 2,
            "model": "color" if image.size_c > 1 else "greyscale",
        },
    }
    if version == "0.4":
        return {"multiscales": [{"version": version, **multiscale}], "omero": {"version": version, **omero}}
    return {"multiscales": [multiscale], "omero": omero}


def plate_attributes(plate: PlateIndex, version: Version) -> dict[str, Any]:
    """Describe a plate.

    Parameters
    ----------
    plate : PlateIndex
        The plate.
    version : str
        Version of OME-Zarr.

    Returns
    -------
    dict
        Attributes of the plate's group.
    """
    content: dict[str, Any] = {
        "version": version,
        "name": plate.name,
        "rows": [{"name": name} for name in plate.rows],
        "columns": [{"name": name} for name in plate.columns],
        "wells": [
            {"path": well_path(plate, well), "rowIndex": well.row, "columnIndex": well.column} for well in plate.wells
        ],
        "field_count": plate.field_count,
    }
    if plate.acquisitions:
        content["acquisitions"] = [
            _without_none(
                {
                    "id": acquisition.acquisition_id,
                    "name": acquisition.name,
                    "description": acquisition.description,
                    "maximumfieldcount": plate.fields_of(acquisition.acquisition_id) or None,
                    "starttime": acquisition.start_ms,
                    "endtime": acquisition.end_ms,
                }
            )
            for acquisition in plate.acquisitions
        ]
    return {"plate": content}


def well_attributes(well: Well, version: Version) -> dict[str, Any]:
    """Describe a well.

    Parameters
    ----------
    well : Well
        The well.
    version : str
        Version of OME-Zarr.

    Returns
    -------
    dict
        Attributes of the well's group.
    """
    images = [_without_none({"path": str(field.index), "acquisition": field.acquisition_id}) for field in well.fields]
    return {"well": {"version": version, "images": images} if version == "0.4" else {"images": images}}


def well_path(plate: PlateIndex, well: Well) -> str:
    """Give the path of a well below its plate.

    Parameters
    ----------
    plate : PlateIndex
        The plate.
    well : Well
        One of its wells.

    Returns
    -------
    str
        ``A/1``.
    """
    return f"{plate.rows[well.row]}/{plate.columns[well.column]}"


def _axes(image: SourceImage) -> list[dict[str, str]]:
    """Axes in order; a unit only where the size is known, because a scale of 1 micrometre would be an invention."""
    known = {"t": image.time_increment_s, "z": image.pixel_size_z_um, "y": image.pixel_size_y_um}
    known["x"] = image.pixel_size_x_um
    axes = []
    for name in AXES:
        axis = {"name": name, "type": {"t": "time", "c": "channel"}.get(name, "space")}
        if known.get(name) is not None:
            axis["unit"] = "second" if name == "t" else "micrometer"
        axes.append(axis)
    return axes


def _window(image: SourceImage, index: int, seen: tuple[float, float] | None) -> dict[str, float]:
    """Limits for display: what OMERO counted at import, else what the pixels hold."""
    channel = image.channels[index]
    start, end = seen or (0.0, 1.0)
    if channel.minimum is not None and channel.maximum is not None:
        start, end = channel.minimum, channel.maximum
    if not (math.isfinite(start) and math.isfinite(end)):
        start, end = 0.0, 1.0
    if image.dtype.kind == "f":
        lowest, highest = start, end
    else:
        limits = np.iinfo(image.dtype.name)
        lowest, highest = float(limits.min), float(limits.max)
    return {"min": lowest, "max": highest, "start": start, "end": end}


def _without_none(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value is not None}
