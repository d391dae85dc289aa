"""Writes OME-Zarr 0.4 and 0.5 into a sink.

Layout: ``<image name>.zarr`` for an image, ``<plate name>.zarr/<row>/<column>/<field>`` for a field of a plate. The
metadata of an image are written after its pixels, so that an image that was cut off is not mistaken for a whole one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from worker.pixels import ngff
from worker.pixels.chunks import ArrayLayout
from worker.pixels.formats import PreparedPlane, Target
from worker.pixels.names import Names
from worker.pixels.pyramid import level_shapes, pyramid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.pixels.image import SourceImage
    from worker.pixels.planes import Plane
    from worker.pixels.plate import PlateIndex
    from worker.pixels.selection import Selection
    from worker.pixels.sink import ArchiveSink


class OmeZarr:
    """The export formats ``zarr-0.4`` and ``zarr-0.5``.

    Parameters
    ----------
    version : str
        Version of OME-Zarr, ``0.4`` (Zarr v2) or ``0.5`` (Zarr v3, sharded).
    """

    drop: ClassVar[tuple[str, ...]] = (".ome.zarr", ".zarr")

    def __init__(self, version: ngff.Version) -> None:
        self._version: ngff.Version = version
        self._zarr_format = ngff.ZARR_FORMAT[version]

    def targets(self, selection: Selection) -> tuple[Target, ...]:
        """Decide where each image goes; see `worker.pixels.formats.ExportFormat`."""
        image_paths, plate_paths = _paths(selection)
        targets = [
            Target(image, path, path, "Image", image.image_id, image.name)
            for image, path in zip(selection.images, image_paths, strict=True)
        ]
        for plate, root in zip(selection.plates, plate_paths, strict=True):
            for well, field in plate.fields():
                path = f"{root}/{ngff.well_path(plate, well)}/{field.index}"
                targets.append(Target(field.image, path, root, "Plate", plate.plate_id, plate.name))
        return tuple(targets)

    def prepare(self, plane: Plane) -> PreparedPlane:
        """Make the pyramid and the chunks of a plane; see `worker.pixels.formats.ExportFormat`."""
        layouts = self._layouts(plane.image)
        files = tuple(
            (f"{level}/{key}", data)
            for level, pixels in enumerate(pyramid(plane.pixels, len(layouts)))
            for key, data in layouts[level].encode(plane.t, plane.c, plane.z, pixels)
        )
        limits = (float(np.min(plane.pixels)), float(np.max(plane.pixels)))
        return PreparedPlane(plane.number, plane.c, plane.pixels, files, limits)

    def write_containers(self, selection: Selection, sink: ArchiveSink) -> None:
        """Write the groups of plates, rows and wells; see `worker.pixels.formats.ExportFormat`."""
        _, plate_paths = _paths(selection)
        for plate, root in zip(selection.plates, plate_paths, strict=True):
            self._write_plate(plate, root, sink)

    def write_image(self, target: Target, planes: Iterator[PreparedPlane], sink: ArchiveSink) -> None:
        """Write chunks, then the metadata; see `worker.pixels.formats.ExportFormat`."""
        seen: dict[int, tuple[float, float]] = {}
        for plane in planes:
            lowest, highest = seen.get(plane.c, plane.limits)
            seen[plane.c] = min(lowest, plane.limits[0]), max(highest, plane.limits[1])
            for key, data in plane.files:
                sink.add(f"{target.path}/{key}", data)
        for level, layout in enumerate(self._layouts(target.image)):
            name, document = layout.document()
            sink.add(f"{target.path}/{level}/{name}", ngff.to_bytes(document))
        shapes = level_shapes(target.image.size_y, target.image.size_x)
        attributes = ngff.image_attributes(target.image, shapes, self._version, seen)
        for name, data in ngff.group_files(self._version, attributes):
            sink.add(f"{target.path}/{name}", data)

    def _layouts(self, image: SourceImage) -> list[ArrayLayout]:
        return [
            ArrayLayout((*image.shape[:3], y, x), image.dtype, self._zarr_format)
            for y, x in level_shapes(image.size_y, image.size_x)
        ]

    def _write_plate(self, plate: PlateIndex, root: str, sink: ArchiveSink) -> None:
        groups = {"": ngff.plate_attributes(plate, self._version)}
        rows = dict.fromkeys(plate.rows[well.row] for well in plate.wells)
        wells = {ngff.well_path(plate, well): ngff.well_attributes(well, self._version) for well in plate.wells}
        for path, attributes in [*groups.items(), *rows.items(), *wells.items()]:
            for name, data in ngff.group_files(self._version, attributes):
                sink.add(f"{root}/{path}/{name}" if path else f"{root}/{name}", data)


def _paths(selection: Selection) -> tuple[list[str], list[str]]:
    """Name images, then plates; the same selection always gets the same names."""
    names = Names(".zarr", drop=OmeZarr.drop)
    return [names.take(image.name) for image in selection.images], [names.take(p.name) for p in selection.plates]
