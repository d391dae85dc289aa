"""Convert an OME-Zarr to OME-TIFF: all channels, sections and time points, with their names and pixel sizes.

Runs in a container of its own, so that it needs nothing but numpy, zarr and tifffile. Reads OME-Zarr 0.4 and 0.5:
images, plates (one file for each field) and collections of images (``bioformats2raw.layout``). ``a.zarr`` becomes
``a.tif`` beside it, ``a.ome.zarr`` becomes ``a.ome.tif``, and the first field of well A1 of a plate ``a_A01_s001.tif``.

Source: https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

BLOCK_BYTES = 256 * 2**20
"""So much is read at once at most, unless one plane is larger."""

CLASSIC_BYTES = 2**32 - 2**25
"""More pixels than that make a BigTIFF."""

AXES = "tczyx"

UM_OF = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "inch": 25_400.0,
}
S_OF = {
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86_400.0,
}
STORED_AS = {"bool": "uint8", "float16": "float32", "int64": "int32", "uint64": "uint32"}
"""Types of pixels that OME-TIFF does not know, and those that stand in for them."""


class NotConvertible(Exception):
    """The input is no OME-Zarr that can be converted."""


@dataclass(frozen=True)
class Image:
    """One image of an OME-Zarr.

    Parameters
    ----------
    array : zarr.Array
        The level with all pixels.
    axes : str
        Its axes, of `AXES`.
    scale : Mapping[str, float]
        Size of a pixel in micrometres (``x``, ``y``, ``z``) and seconds (``t``), as far as it is known.
    name : str
        Its name.
    channels : list[Mapping[str, Any]]
        What is known of its channels (``label``, ``color``).
    """

    array: Any
    axes: str
    scale: Mapping[str, float]
    name: str
    channels: list[Mapping[str, Any]]

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each of `AXES`."""
        sizes = dict(zip(self.axes, self.array.shape, strict=True))
        return tuple(int(sizes.get(axis, 1)) for axis in AXES)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels in the TIFF."""
        name = str(self.array.dtype.name)
        return np.dtype(STORED_AS.get(name, name))

    def planes(self) -> Iterator[np.ndarray[Any, Any]]:
        """Read all planes (Y, X) in the order T, C, Z, as many sections at once as lie in one chunk.

        Yields
        ------
        numpy.ndarray
            A plane.
        """
        times, channels, sections, height, width = self.shape
        chunk = getattr(self.array, "shards", None) or self.array.chunks
        together = dict(zip(self.axes, chunk, strict=True)).get("z", 1)
        if together * height * width * self.array.dtype.itemsize > BLOCK_BYTES:
            together = 1
        for t in range(times):
            for c in range(channels):
                for z in range(0, sections, together):
                    where = {"t": t, "c": c, "z": slice(z, z + together)}
                    block = np.asarray(self.array[tuple(where.get(axis, slice(None)) for axis in self.axes)])
                    yield from self._stored(block.reshape(-1, height, width))

    def _stored(self, block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if block.dtype.kind in "iu" and block.dtype.itemsize > self.dtype.itemsize and block.size:
            limits = np.iinfo(self.dtype)
            if block.min() < limits.min or block.max() > limits.max:
                raise NotConvertible(
                    f"{self.name} has pixels of type {block.dtype} that OME-TIFF cannot hold "
                    f"(from {block.min()} to {block.max()})."
                )
        return block.astype(self.dtype, copy=False)


def convert(source: Path, *, output: Path | None = None, key: str | None = None) -> list[Path]:
    """Convert everything in an OME-Zarr.

    Parameters
    ----------
    source : Path
        The OME-Zarr.
    output : Path, optional
        The file to write, for a single image; by default beside the input.
    key : str, optional
        Path of the array in the image; by default that with all pixels.

    Returns
    -------
    list[Path]
        The files.

    Raises
    ------
    NotConvertible
        If it is no OME-Zarr.
    """
    try:
        root: Any = zarr.open_group(str(source), mode="r")
    except Exception as error:  # zarr has many, for whatever is wrong with a folder
        raise NotConvertible(f"{source} is no OME-Zarr: {error}.") from error
    images = list(_images(root, _stem(source), key))
    if not images:
        raise NotConvertible(f"{source} holds no image: it has neither multiscales nor a plate.")
    if output is not None and len(images) > 1:
        raise NotConvertible(f"{source} holds {len(images)} images, which do not fit into one file.")
    written = []
    for suffix, image in images:
        target = output or source.with_name(f"{_stem(source)}{suffix}.tif")
        write(image, target)
        written.append(target)
    return written


def write(image: Image, target: Path) -> None:
    """Write an OME-TIFF, whole or not at all.

    Parameters
    ----------
    image : Image
        The image.
    target : Path
        The file.
    """
    part = target.with_name(f".{target.name}.part")
    size_bytes = int(np.prod(image.shape, dtype=np.int64)) * image.dtype.itemsize
    try:
        with tifffile.TiffWriter(part, bigtiff=size_bytes > CLASSIC_BYTES, ome=True) as writer:
            writer.write(
                image.planes(),
                shape=image.shape,
                dtype=image.dtype,
                photometric="minisblack",
                metadata=_ome(image),
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _images(group: Any, name: str, key: str | None) -> Iterator[tuple[str, Image]]:
    """Find the images in a group, each with what its file is called after the name of the whole."""
    attributes = _attributes(group)
    if "multiscales" in attributes:
        yield "", _image(group, attributes, name, key)
    elif "plate" in attributes:
        for well in attributes["plate"].get("wells", []):
            row, column = well["path"].split("/")
            label = f"{row}{int(column):02d}" if column.isdecimal() else f"{row}{column}"
            fields = _attributes(group[well["path"]])["well"]["images"]
            for number, field in enumerate(fields, 1):
                suffix = f"_{label}_s{number:03d}"
                inner = group[f"{well['path']}/{field['path']}"]
                yield suffix, _image(inner, _attributes(inner), f"{name}{suffix}", key)
    elif "bioformats2raw.layout" in attributes:
        series = sorted((path for path in group.group_keys() if path.isdecimal()), key=int)
        for path in series:
            suffix = f"_{path}" if len(series) > 1 else ""
            yield suffix, _image(group[path], _attributes(group[path]), f"{name}{suffix}", key)


def _image(group: Any, attributes: Mapping[str, Any], name: str, key: str | None) -> Image:
    if not attributes.get("multiscales"):
        raise NotConvertible(f"{name} is no image: its metadata have no multiscales.")
    multiscale = attributes["multiscales"][0]
    dataset = multiscale["datasets"][0]
    array = group[key or dataset["path"]]
    written = multiscale.get("axes", list(AXES[-array.ndim :]))
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in written]
    names = "".join(str(axis["name"]).lower() for axis in axes)
    if len(names) != array.ndim or not set(names) <= set(AXES) or list(names) != sorted(names, key=AXES.index):
        raise NotConvertible(f"{name} has axes that cannot be written: {names}, for {array.ndim} dimensions.")
    scale: dict[str, float] = {}
    for number, axis in enumerate(axes):
        unit = {**UM_OF, **S_OF}.get(str(axis.get("unit")))
        factors = [_scale(part, number) for part in (multiscale, dataset)]
        if unit is not None and any(factor is not None for factor in factors):
            scale[names[number]] = unit * float(np.prod([factor for factor in factors if factor is not None]))
    channels = attributes.get("omero", {}).get("channels", [])
    return Image(array, names, scale, str(multiscale.get("name") or name), list(channels))


def _scale(part: Mapping[str, Any], number: int) -> float | None:
    for transformation in part.get("coordinateTransformations", []):
        if transformation.get("type") == "scale":
            return float(transformation["scale"][number])
    return None


def _attributes(group: Any) -> Mapping[str, Any]:
    """Read the metadata of a group: since 0.5 they are under ``ome``."""
    attributes = dict(group.attrs)
    found: Mapping[str, Any] = attributes.get("ome", attributes)
    return found


def _ome(image: Image) -> dict[str, Any]:
    """Give OME-XML attributes under the names of tifffile."""
    metadata: dict[str, Any] = {"axes": "TCZYX", "Name": image.name}
    for axis in "xyz":
        if axis in image.scale:
            metadata[f"PhysicalSize{axis.upper()}"] = image.scale[axis]
            metadata[f"PhysicalSize{axis.upper()}Unit"] = "µm"
    if "t" in image.scale and image.shape[0] > 1:
        metadata["TimeIncrement"] = image.scale["t"]
        metadata["TimeIncrementUnit"] = "s"
    if len(image.channels) == image.shape[1]:
        metadata["Channel"] = {
            "Name": [str(channel.get("label") or f"Channel {n}") for n, channel in enumerate(image.channels)],
            "Color": [_colour(str(channel.get("color", ""))) for channel in image.channels],
        }
    return metadata


def _colour(colour: str) -> int:
    """Give an OME colour: RGBA as a signed 32-bit integer; white if there is none."""
    try:
        value = int(colour.removeprefix("#")[:6], 16) << 8 | 255
    except ValueError:
        return -1
    return value - 2**32 if value >= 2**31 else value


def _stem(source: Path) -> str:
    return source.name[: -len(".zarr")] if source.name.lower().endswith(".zarr") else source.name


def main(arguments: list[str] | None = None) -> int:
    """Convert what the command line says.

    Parameters
    ----------
    arguments : list[str], optional
        By default those of the process.

    Returns
    -------
    int
        Exit status.
    """
    parser = argparse.ArgumentParser(description="Convert an OME-Zarr to OME-TIFF.")
    parser.add_argument("zarr_file", type=Path, help="the OME-Zarr")
    parser.add_argument("--key", help="path of the array to convert; by default that with all pixels")
    parser.add_argument("--output", type=Path, help="the TIFF to write; by default beside the input")
    given = parser.parse_args(arguments)
    try:
        for path in convert(given.zarr_file, output=given.output, key=given.key):
            print(f"Written: {path}")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the input, one line says so
        print(f"ERROR: {given.zarr_file} was not converted: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
