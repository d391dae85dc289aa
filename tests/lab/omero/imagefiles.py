"""Images in files: what Bio-Formats and omero-zarr-pixel-buffer are to the real server.

TIFF, OME-TIFF and PNG are read here, and OME-Zarr 0.4 and 0.5: what analyses write. Other formats are not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from PIL import Image, UnidentifiedImageError

from tests.lab.omero.planes import DTYPES, Planes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SUFFIXES = frozenset({".tif", ".tiff", ".png"})
"""Ends of the names of files that are read."""

_TIFF_AXES: Mapping[str, str] = {"I": "T", "Q": "T", "S": "C"}
"""What axes of tifffile are taken for: plain pages follow each other in time, samples of a pixel are channels."""

_PIXEL_TYPES: Mapping[str, str] = {
    dtype.newbyteorder("=").name: name for name, dtype in DTYPES.items() if name not in {"bit", "double-complex"}
}


class _TiffSeries:
    """The values of one series of a TIFF. The file is open only while they are read, and only what is looked at is."""

    def __init__(self, path: Path, index: int, shape: tuple[int, ...], dtype: Any) -> None:
        self._path = path
        self._index = index
        self.shape = shape
        self.dtype = dtype

    def __getitem__(self, selection: Any) -> Any:
        with tifffile.TiffFile(self._path) as tiff, tiff.series[self._index].aszarr(level=0) as store:
            return zarr.open_array(store, mode="r")[selection]


class UnknownImage(Exception):
    """A file that holds no image that can be read here."""


@dataclass(frozen=True, slots=True)
class FileImage:
    """One image of a file.

    Parameters
    ----------
    planes : Planes
        Its values.
    pixel_type : str
        A value of the enumeration PixelsType.
    name : str
        Its name inside the file, if it has one.
    pixel_sizes_um : dict
        Size of a pixel by axis (``"X"``), in micrometres, as far as the file tells.
    channel_names : tuple of str
        Names of the channels, as far as the file tells.
    """

    planes: Planes
    pixel_type: str
    name: str
    pixel_sizes_um: Mapping[str, float]
    channel_names: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """Sizes in X, Y, Z, C and T."""
        size_t, size_c, size_z, size_y, size_x = self.planes.shape
        return size_x, size_y, size_z, size_c, size_t


def read(path: Path) -> list[FileImage]:
    """Return the images of a file.

    Parameters
    ----------
    path : Path
        A TIFF or a PNG.

    Returns
    -------
    list of FileImage
        One for every series; their values are read as they are looked at.

    Raises
    ------
    UnknownImage
        If it cannot be read.
    """
    try:
        images = _read_png(path) if path.suffix.lower() == ".png" else _read_tiff(path)
    except (tifffile.TiffFileError, UnidentifiedImageError, OSError, ValueError, KeyError, IndexError) as error:
        raise UnknownImage(f"{path}: {error}") from error
    if not images:
        raise UnknownImage(f"{path} holds no image")
    return images


def _read_png(path: Path) -> list[FileImage]:
    with Image.open(path) as picture:
        values = np.asarray(picture)
    if values.dtype == bool:
        values = values.astype(np.uint8) * 255
    return [_image(values, "YX" if values.ndim == 2 else "YXC", path.name, {})]


def _read_tiff(path: Path) -> list[FileImage]:
    found = []
    with tifffile.TiffFile(path) as tiff:
        described = _ome_images(tiff)
        for index, series in enumerate(tiff.series):
            axes = "".join(_TIFF_AXES.get(axis, axis) for axis in series.axes)
            name, sizes, channels = described[index] if index < len(described) else (series.name, _sizes(tiff), ())
            found.append(_image(_TiffSeries(path, index, series.shape, series.dtype), axes, name, sizes, channels))
    return found


def _ome_images(tiff: Any) -> list[tuple[str, dict[str, float], tuple[str, ...]]]:
    """Return name, pixel sizes and channel names of every image of an OME-TIFF."""
    if not tiff.is_ome:
        return []
    images = tifffile.xml2dict(tiff.ome_metadata)["OME"].get("Image", [])
    found = []
    for image in images if isinstance(images, list) else [images]:
        pixels = image["Pixels"]
        channels = pixels.get("Channel", [])
        names = [str(channel.get("Name", "")) for channel in (channels if isinstance(channels, list) else [channels])]
        sizes = {
            axis: float(pixels[f"PhysicalSize{axis}"])
            for axis in "XYZ"
            if pixels.get(f"PhysicalSize{axis}") and pixels.get(f"PhysicalSize{axis}Unit", "µm") == "µm"
        }
        found.append((str(image.get("Name", "")), sizes, tuple(names) if any(names) else ()))
    return found


def _sizes(tiff: Any) -> dict[str, float]:
    """Return the size of a pixel of a TIFF as ImageJ writes it."""
    metadata = tiff.imagej_metadata or {}
    if str(metadata.get("unit", "")).encode("unicode_escape") not in {b"micron", b"um", rb"\xb5m", rb"\\u00B5m"}:
        return {}
    tags = tiff.pages[0].tags
    found = {"Z": float(metadata["spacing"])} if metadata.get("spacing") else {}
    for axis in "XY":
        tag = tags.get(f"{axis}Resolution")
        if tag is not None and tag.value[0]:
            found[axis] = tag.value[1] / tag.value[0]
    return found


def read_zarr(path: Path) -> FileImage:
    """Return the image of a multiscales group: its finest resolution.

    Parameters
    ----------
    path : Path
        The group, as the ``lsid`` of an image's external information names it.

    Returns
    -------
    FileImage
        The image; its values are read as they are looked at.

    Raises
    ------
    UnknownImage
        If there is none.
    """
    try:
        group = zarr.open_group(path, mode="r")
        attributes: Any = group.attrs.asdict()
        multiscales = attributes.get("ome", attributes)["multiscales"][0]
        axes = "".join((axis if isinstance(axis, str) else axis["name"]).upper() for axis in multiscales["axes"])
        values = group[multiscales["datasets"][0]["path"]]
        return _image(values, axes, str(multiscales.get("name", "")), {})
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UnknownImage(f"{path}: {error!r}") from error


def _image(values: Any, axes: str, name: str, sizes_um: Mapping[str, float], channels: Sequence[str] = ()) -> FileImage:
    pixel_type = _PIXEL_TYPES.get(np.dtype(values.dtype).newbyteorder("=").name)
    if pixel_type is None:
        raise ValueError(f"OMERO has no pixels of the type {values.dtype}")
    return FileImage(Planes(values, axes, DTYPES[pixel_type]), pixel_type, name, sizes_um, tuple(channels))
