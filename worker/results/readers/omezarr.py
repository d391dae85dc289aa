"""OME-Zarr 0.4 and 0.5: images, their labels, collections of images as bioformats2raw writes them, and plates.

Source: the OME-NGFF specification, https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/.

Of each image the level with the full resolution is read, whatever the order of its axes; those that it does not have
are 1 pixel long. Chunks that are not there hold the fill value, as the specification of Zarr says.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from worker.results.readers import omexml
from worker.results.readers.model import Broken, FileChannel, FileImage, PixelSize, Unreadable, micrometres
from worker.results.readers.zarrfolder import ZarrFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from worker.results.readers.model import Plane
    from worker.results.readers.zarrfolder import ZarrArray

SLAB_BYTES_MAX: Final = 2**27
"""Chunks that reach over several planes are decoded once for all of these, if they fit into so much memory."""

_BY_TYPE: Final = {"time": "T", "channel": "C"}


def zarr_images(path: Path, _expected: Mapping[str, int], _stack: ExitStack) -> tuple[FileImage | Broken, ...]:
    """Open the images in an OME-Zarr folder.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    tuple of FileImage or Broken
        Every image, and after each its labels. Images of a plate say in which well and field they are. Wells, fields,
        series and labels that cannot be read are told in their places.

    Raises
    ------
    Unreadable
        If its metadata are missing or wrong, or lead out of the folder.
    """
    folder = ZarrFolder(path)
    attributes = folder.attributes("")
    if "plate" in attributes:
        return tuple(_plate(folder, attributes["plate"]))
    if "bioformats2raw.layout" in attributes:
        return tuple(_series(folder))
    if "multiscales" in attributes:
        return tuple(_image_and_labels(folder, ""))
    if "labels" in attributes:
        return tuple(_labels(folder, "", attributes["labels"]))
    raise Unreadable("it says nothing about images (neither multiscales nor plate): it is no OME-Zarr")


def _intact(where: str, images: Iterator[FileImage | Broken]) -> Iterator[FileImage | Broken]:
    """Give images up to the first that cannot be read, which is told."""
    try:
        yield from images
    except Exception as error:  # noqa: BLE001  # zarr-python raises what it likes; it is told, not swallowed
        yield Broken(where, str(error) or type(error).__name__)


def _plate(folder: ZarrFolder, plate: Any) -> Iterator[FileImage | Broken]:
    for well in _objects(plate, "wells"):
        yield from _intact(f"the well {well.get('path', '')!s}", _well(folder, well))


def _well(folder: ZarrFolder, well: Mapping[str, Any]) -> Iterator[FileImage | Broken]:
    path = str(well.get("path", ""))
    row, column = well.get("rowIndex"), well.get("columnIndex")
    if not (isinstance(row, int) and isinstance(column, int) and row >= 0 and column >= 0):
        raise Unreadable(f"its metadata do not say in which row and column the well {path!r} is")
    for index, field in enumerate(_objects(folder.attributes(path).get("well"), "images")):
        name = str(field.get("path", ""))
        for image in _image_and_labels(folder, f"{path}/{name}", f"the field {path}/{name}"):
            if isinstance(image, Broken):
                yield image
            else:
                yield replace(image, well=(row, column), field=int(name) if name.isdecimal() else index)


def _series(folder: ZarrFolder) -> Iterator[FileImage | Broken]:
    """Images beside each other, each in the group that has its number, unless the file says where they are."""
    described = omexml.images(folder.text("OME/METADATA.ome.xml") or "")
    listed = folder.attributes("OME").get("series", []) if folder.has_group("OME") else []
    paths = [str(each) for each in listed] if isinstance(listed, list) else []
    if not paths:
        while folder.has_group(str(len(paths))):
            paths.append(str(len(paths)))
    for index, path in enumerate(paths):
        for image in _image_and_labels(folder, path, f"the series {path}"):
            if isinstance(image, Broken) or image.label or index >= len(described):
                yield image
                continue
            about = described[index]
            channels = image.channels or (about.channels if len(about.channels) == image.size_c else ())
            pixel_size = image.pixel_size if image.pixel_size != PixelSize() else about.pixel_size
            yield replace(image, name=about.name or image.name, channels=channels, pixel_size=pixel_size)


def _image_and_labels(folder: ZarrFolder, path: str, where: str = "the image") -> Iterator[FileImage | Broken]:
    yield from _intact(where, _image(folder, path))
    labels = f"{path}/labels" if path else "labels"
    yield from _intact(labels, _labels_of(folder, labels))


def _labels_of(folder: ZarrFolder, path: str) -> Iterator[FileImage | Broken]:
    if folder.has_group(path):
        yield from _labels(folder, path, folder.attributes(path).get("labels", []))


def _labels(folder: ZarrFolder, path: str, names: Any) -> Iterator[FileImage | Broken]:
    if not isinstance(names, list):
        raise Unreadable(f"the metadata of {path or 'its root'} list no labels")
    for name in names:
        place = f"{path}/{name}" if path else str(name)
        for label in _intact(f"the label image {place}", _image(folder, place)):
            if isinstance(label, Broken):
                yield label
            else:
                yield replace(label, name=str(name), label=True, channels=())


def _image(folder: ZarrFolder, path: str) -> Iterator[FileImage | Broken]:
    attributes = folder.attributes(path)
    where = path or "it"
    multiscales = _objects(attributes, "multiscales")
    datasets = _objects(multiscales[0], "datasets") if multiscales else []
    if not datasets:
        raise Unreadable(f"{where} has no image in it (no multiscales with a dataset)")
    multiscale, dataset = multiscales[0], datasets[0]
    level = str(dataset.get("path", ""))
    array = folder.array(f"{path}/{level}" if path else level)
    axes = _axes(multiscale.get("axes"), array.shape, where)
    sizes = {name: array.shape[axes[name]] if name in axes else 1 for name in "TCZYX"}
    image = FileImage(
        sizes["T"],
        sizes["C"],
        sizes["Z"],
        sizes["Y"],
        sizes["X"],
        array.dtype,
        _pixel_size(multiscale, dataset, axes),
        _Planes(array, axes).read,
        name=str(multiscale.get("name") or ""),
        channels=_channels(attributes.get("omero"), sizes["C"]),
        label="image-label" in attributes,
    )
    image.check()
    yield image


def _axes(described: Any, shape: tuple[int, ...], where: str) -> dict[str, int]:
    """Say which axis of an array is which of our dimensions.

    Parameters
    ----------
    described : list of (str or Mapping) or None
        The axes as the metadata give them; None before version 0.3, which knew T, C, Z, Y, X only.
    shape : tuple of int
        Of the array.
    where : str
        Which image it is.

    Returns
    -------
    dict
        ``T``, ``C``, ``Z``, ``Y``, ``X`` to position; those that the array does not have are missing.
    """
    if described is None:
        described = list("tczyx")
    if not isinstance(described, list) or len(described) != len(shape):
        raise Unreadable(f"the axes of {where} are not those of its array of {len(shape)} dimensions")
    found: dict[str, int] = {}
    for position in reversed(range(len(shape))):
        axis = described[position]
        name, kind = (axis.get("name"), axis.get("type")) if isinstance(axis, dict) else (axis, None)
        letter = str(name).upper()
        if letter not in "TCZYX" or len(letter) != 1:
            # Names are free; the axes of space are the last ones, X last of all.
            free = (each for each in "XYZ" if each not in found)
            letter = _BY_TYPE.get(str(kind)) or (next(free, "") if kind == "space" else "")
        if letter and letter not in found:
            found[letter] = position
        elif shape[position] > 1:
            raise Unreadable(f"{where} has an axis {name!r}, and OMERO has only X, Y, Z, C and T")
    if "X" not in found or "Y" not in found:
        raise Unreadable(f"{where} has no rows and columns")
    return found


def _pixel_size(multiscale: Mapping[str, Any], dataset: Mapping[str, Any], axes: Mapping[str, int]) -> PixelSize:
    factors = [_scale(each, max(axes.values()) + 1) for each in (multiscale, dataset)]
    units = [axis.get("unit") if isinstance(axis, dict) else None for axis in multiscale.get("axes") or []]
    sizes: list[float | None] = []
    for name in "XYZ":
        position = axes.get(name)
        if position is None:
            sizes.append(None)
        else:
            unit = str(units[position]) if position < len(units) else ""
            sizes.append(micrometres(math.prod(factor[position] for factor in factors), unit))
    return PixelSize(*sizes)


def _scale(described: Mapping[str, Any], dimensions: int) -> list[float]:
    """Take the scale out of coordinate transformations; 1 where there is none, NaN where it is none."""
    for each in _objects(described, "coordinateTransformations"):
        scale = each.get("scale")
        if each.get("type") == "scale" and isinstance(scale, list) and len(scale) >= dimensions:
            return [float(factor) if isinstance(factor, int | float) else math.nan for factor in scale]
    return [1.0] * dimensions


def _channels(omero: Any, size_c: int) -> tuple[FileChannel, ...]:
    channels = _objects(omero, "channels")
    if len(channels) != size_c:
        return ()
    return tuple(FileChannel(str(each.get("label") or ""), _colour(each.get("color"))) for each in channels)


def _colour(text: Any) -> tuple[int, int, int] | None:
    try:
        value = bytes.fromhex(str(text).removeprefix("#"))
    except ValueError:
        return None
    return (value[0], value[1], value[2]) if len(value) in {3, 4} else None


def _objects(parent: Any, name: str) -> list[dict[str, Any]]:
    """Take a list of JSON objects out of metadata, whatever somebody has written there."""
    found = parent.get(name) if isinstance(parent, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


class _Planes:
    """The planes of an array: those that share chunks are decoded together, if they fit into memory."""

    def __init__(self, array: ZarrArray, axes: Mapping[str, int]) -> None:
        self._array = array
        self._axes = axes
        self._kept: tuple[tuple[slice, ...], Plane] | None = None

    def read(self, t: int, c: int, z: int, rows: slice, columns: slice) -> Plane:
        axes = self._axes
        wanted = {"T": slice(t, t + 1), "C": slice(c, c + 1), "Z": slice(z, z + 1), "Y": rows, "X": columns}
        index = [slice(0, 1)] * len(self._array.shape)
        for name, position in axes.items():
            index[position] = wanted[name]
        slab = list(index)
        for name in "TCZ":
            if name in axes:
                slab[axes[name]] = self._of_chunk(axes[name], index[axes[name]].start)
        if slab != index and self._bytes(slab) <= SLAB_BYTES_MAX:
            pixels = self._slab(tuple(slab))
            if all(index[axes[name]].stop == slab[axes[name]].stop for name in "TCZ" if name in axes):
                self._kept = None  # that was its last plane
            for position in (axes[name] for name in "TCZ" if name in axes):
                offset = index[position].start - slab[position].start
                pixels = pixels.take([offset], axis=position)
        else:
            pixels = self._array[tuple(index)]
        y, x = axes["Y"], axes["X"]
        others = [position for position in range(pixels.ndim) if position not in {y, x}]
        return pixels.transpose(*others, y, x).reshape(pixels.shape[y], pixels.shape[x])

    def _slab(self, slab: tuple[slice, ...]) -> Plane:
        if self._kept is None or self._kept[0] != slab:
            self._kept = None  # so that never two of them are in memory
            self._kept = slab, self._array[slab]
        return self._kept[1]

    def _of_chunk(self, position: int, start: int) -> slice:
        length = self._array.chunks[position]
        first = start - start % length
        return slice(first, min(first + length, self._array.shape[position]))

    def _bytes(self, index: list[slice]) -> int:
        pixels: int = math.prod(each.stop - each.start for each in index)
        return pixels * self._array.dtype.itemsize
