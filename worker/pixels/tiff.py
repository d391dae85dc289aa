"""Writes OME-TIFF into a sink: one file for each image, or field of a plate.

Layout: ``<image name>.tif``, and ``<plate name>_A01_s001.tif`` for the first field of well A1. Planes are in the order
T, C, Z, and not compressed, so that every reader takes them. A file becomes a BigTIFF only when it must.
"""

from __future__ import annotations

import io
import mmap
import tempfile
from typing import TYPE_CHECKING, Any, ClassVar, Final

import tifffile

from worker.pixels.formats import PreparedPlane, Target
from worker.pixels.names import MAX_BYTES, Names, safe_stem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.pixels.image import SourceImage
    from worker.pixels.planes import Plane
    from worker.pixels.selection import Selection
    from worker.pixels.sink import ArchiveSink

IN_MEMORY_BYTES: Final = 256 * 2**20
"""A larger file is put together in a temporary file, because its directory of planes is only known at the end."""

_CLASSIC_LIMIT_BYTES: Final = 2**32 - 2**25
_WELL_SUFFIX_BYTES: Final = 40


class OmeTiff:
    """The export format ``tiff``."""

    drop: ClassVar[tuple[str, ...]] = (".ome.tiff", ".ome.tif", ".tiff", ".tif")

    def targets(self, selection: Selection) -> tuple[Target, ...]:
        """Decide where each image goes; see `worker.pixels.formats.ExportFormat`."""
        names = Names(".tif", drop=self.drop)
        targets = []
        for image in selection.images:
            path = names.take(image.name)
            targets.append(Target(image, path, path, "Image", image.image_id, image.name))
        for plate in selection.plates:
            # Cut before the well is added, which a long name must not push out.
            stem = safe_stem(plate.name, max_bytes=MAX_BYTES - _WELL_SUFFIX_BYTES)
            for well, field in plate.fields():
                path = names.take(f"{stem}_{well.label}_s{field.index + 1:03d}")
                targets.append(Target(field.image, path, path, "Plate", plate.plate_id, plate.name))
        return tuple(targets)

    def prepare(self, plane: Plane) -> PreparedPlane:
        """Pass a plane on; see `worker.pixels.formats.ExportFormat`."""
        return PreparedPlane(plane.number, plane.c, plane.pixels)

    def write_containers(self, selection: Selection, sink: ArchiveSink) -> None:
        """Write nothing: files stand for themselves."""

    def write_image(self, target: Target, planes: Iterator[PreparedPlane], sink: ArchiveSink) -> None:
        """Write one file; see `worker.pixels.formats.ExportFormat`."""
        image = target.image
        size_bytes = image.plane_bytes * image.plane_count
        if size_bytes <= IN_MEMORY_BYTES:
            memory = io.BytesIO()
            _write(memory, image, planes, size_bytes)
            with memory.getbuffer() as view:
                sink.add(target.path, view)
            return
        with tempfile.NamedTemporaryFile(prefix="omero-worker-", suffix=".tif") as file:
            _write(file, image, planes, size_bytes)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
                sink.add(target.path, view)


def _write(file: Any, image: SourceImage, planes: Iterator[PreparedPlane], size_bytes: int) -> None:
    with tifffile.TiffWriter(file, bigtiff=size_bytes > _CLASSIC_LIMIT_BYTES, ome=True) as writer:
        writer.write(
            (plane.pixels for plane in planes),
            shape=image.shape,
            dtype=image.dtype,
            photometric="minisblack",
            metadata=_metadata(image),
        )


def _metadata(image: SourceImage) -> dict[str, Any]:
    """Give OME-XML attributes under the names of tifffile."""
    metadata: dict[str, Any] = {
        "axes": "TCZYX",
        "Name": image.name,
        "Channel": {
            "Name": [channel.label for channel in image.channels],
            "Color": [_colour(channel.colour) for channel in image.channels],
        },
    }
    for axis, size in (("X", image.pixel_size_x_um), ("Y", image.pixel_size_y_um), ("Z", image.pixel_size_z_um)):
        if size is not None:
            metadata[f"PhysicalSize{axis}"] = size
            metadata[f"PhysicalSize{axis}Unit"] = "µm"
    if image.time_increment_s is not None:
        metadata["TimeIncrement"] = image.time_increment_s
        metadata["TimeIncrementUnit"] = "s"
    return metadata


def _colour(colour: str) -> int:
    """Give an OME colour: RGBA as a signed 32-bit integer."""
    value = int(colour, 16) << 8 | 255
    return value - 2**32 if value >= 2**31 else value
