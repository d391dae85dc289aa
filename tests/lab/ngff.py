"""OME-Zarr as analyses write it: images of one resolution, labels, plates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import zarr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Version = Literal["0.4", "0.5"]

_KINDS = {"t": "time", "c": "channel"}


def write_image(
    path: Path,
    pixels: NDArray[Any],
    axes: str,
    *,
    version: Version = "0.4",
    pixel_size_um: float = 0.5,
    channels: Sequence[str] = (),
    labels: Mapping[str, NDArray[Any]] | None = None,
) -> Path:
    """Write an image.

    Parameters
    ----------
    path : Path
        The folder to make.
    pixels : ndarray
        Its pixels.
    axes : str
        Their axes, such as ``"tczyx"``.
    version : str
        Version of OME-Zarr.
    pixel_size_um : float
        Size of a pixel along x, y and z, in micrometres.
    channels : sequence of str
        Names of the channels.
    labels : mapping, optional
        Label images by name, with the last axes of the image.

    Returns
    -------
    Path
        The folder.
    """
    group = _group(path, version)
    chunks = tuple(1 if axis not in "yx" else size for axis, size in zip(axes, pixels.shape, strict=True))
    group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, chunks=chunks)[...] = pixels
    scale = [pixel_size_um if axis in "zyx" else 1.0 for axis in axes]
    multiscale = {
        "version": version,
        "name": path.name,
        "axes": [_axis(axis) for axis in axes],
        "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}],
    }
    attributes: dict[str, Any] = {"multiscales": [multiscale]}
    if channels:
        window = {"start": 0, "end": 255, "min": 0, "max": 255}
        described = [{"label": name, "color": "00FF00", "window": window, "active": True} for name in channels]
        attributes["omero"] = {"channels": described}
    _describe(group, attributes, version)
    if labels:
        folder = _group(path / "labels", version)
        _describe(folder, {"labels": list(labels)}, version)
        for name, values in labels.items():
            write_image(path / "labels" / name, values, axes[-values.ndim :], version=version)
            _describe(zarr.open_group(path / "labels" / name, mode="r+"), {"image-label": {}}, version)
    return path


def write_plate(path: Path, fields: Mapping[tuple[int, int], Sequence[NDArray[Any]]], axes: str) -> Path:
    """Write a plate, in version 0.4.

    Parameters
    ----------
    path : Path
        The folder to make.
    fields : mapping
        The pixels of each field of a well, by the well's row and column, counted from 0.
    axes : str
        Axes of the pixels.

    Returns
    -------
    Path
        The folder.
    """
    rows = [{"name": chr(ord("A") + row)} for row in range(1 + max(row for row, _ in fields))]
    columns = [{"name": str(column + 1)} for column in range(1 + max(column for _, column in fields))]
    wells = []
    for (row, column), images in fields.items():
        well = f"{rows[row]['name']}/{columns[column]['name']}"
        wells.append({"path": well, "rowIndex": row, "columnIndex": column})
        members = [{"path": str(index)} for index in range(len(images))]
        _describe(_group(path / well, "0.4"), {"well": {"version": "0.4", "images": members}}, "0.4")
        for index, pixels in enumerate(images):
            write_image(path / well / str(index), pixels, axes)
    plate = {"version": "0.4", "name": path.stem, "rows": rows, "columns": columns, "wells": wells}
    _describe(_group(path, "0.4"), {"plate": plate}, "0.4")
    return path


def _group(path: Path, version: Version) -> Any:
    return zarr.open_group(path, mode="a", zarr_format=2 if version == "0.4" else 3)


def _describe(group: Any, attributes: Mapping[str, Any], version: Version) -> None:
    if version == "0.5":
        attributes = {"ome": {**group.attrs.get("ome", {}), "version": version, **attributes}}
    group.attrs.update(attributes)


def _axis(name: str) -> dict[str, str]:
    kind = _KINDS.get(name, "space")
    return {"name": name, "type": kind} | ({"unit": "micrometer"} if kind == "space" else {})
