"""Exports a selection: reads planes from OMERO in parallel and writes them, in order, into a sink.

Nothing is written to OMERO, no rendering engine is opened, and nothing is kept on our own disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from worker.errors import ExportError, RequestError
from worker.pixels.lastviewed import last_viewed
from worker.pixels.manifest import ExportEntry, ExportManifest
from worker.pixels.omezarr import OmeZarr
from worker.pixels.planes import DEFAULT_AHEAD_BYTES, DEFAULT_STORES, read_planes
from worker.pixels.sink import ArchiveSink
from worker.pixels.tiff import OmeTiff
from worker.pixels.views import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from omero.gateway import BlitzGateway

    from worker.pixels.choice import PixelChoice
    from worker.pixels.formats import ExportFormat, PreparedPlane, Target
    from worker.pixels.image import SourceImage
    from worker.pixels.selection import Selection
    from worker.pixels.views import Taken, View

LARGEST_PLANE_BYTES: Final = 4 * 2**30
"""A plane is held in memory as a whole, with its pyramid; larger ones are refused before memory runs out."""

__all__ = ["FORMATS", "ArchiveSink", "FormatName", "export"]

FormatName = Literal["zarr-0.4", "zarr-0.5", "tiff"]
FORMATS: tuple[FormatName, ...] = ("zarr-0.4", "zarr-0.5", "tiff")


def export(
    gateway: BlitzGateway,
    selection: Selection,
    *,
    format: FormatName,  # noqa: A002  # the word that people use for it
    sink: ArchiveSink,
    progress: Callable[[int, int], None],
    stores: int = DEFAULT_STORES,
    ahead_bytes: int = DEFAULT_AHEAD_BYTES,
    choice: PixelChoice | None = None,
) -> ExportManifest:
    """Export all images and plates of a selection.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        Session of a person who can read them.
    selection : Selection
        What to export.
    format : str
        ``zarr-0.4``, ``zarr-0.5`` or ``tiff``.
    sink : ArchiveSink
        Where to; it is called from this thread only, and left open.
    progress : callable
        Called after each plane with the number of planes done, and of all.
    stores : int
        How many planes are read at a time.
    ahead_bytes : int
        How many bytes of pixels may be under way or waiting.
    choice : PixelChoice, optional
        Which pixels of each image; by default all.

    Returns
    -------
    ExportManifest
        What was written, and what it came from.

    Raises
    ------
    RequestError
        There is no such format, or an image does not have what was chosen.
    ExportError
        There is nothing to export, a pixel type has no place in these formats, a plane is too large, or OMERO sent
        damaged data.
    OmeroError
        OMERO does not answer, or refuses.
    """
    how = _format(format)
    views: tuple[View, ...] = ()
    names = {}
    if choice is not None and not choice.whole:
        names = {("Image", image.image_id): image.name for image in selection.images}
        names |= {("Plate", plate.plate_id): plate.name for plate in selection.plates}
        chosen = choose(selection, choice, _viewed(gateway, selection, choice), drop=how.drop)
        selection, views = chosen.selection, chosen.views
    targets = how.targets(selection)
    if views:
        # What is written may have the name of a channel; what it comes from has not.
        targets = tuple(replace(each, object_name=names[each.object_type, each.object_id]) for each in targets)
    _require_exportable([target.image for target in targets] + [view.source for view in views])
    how.write_containers(selection, sink)
    total = selection.plane_count
    done = itertools.count(1)
    digests = [hashlib.sha256() for _ in targets]

    def followed(planes: Iterable[PreparedPlane]) -> Iterator[PreparedPlane]:
        for plane in planes:
            digests[plane.number].update(plane.pixels.data)
            yield plane
            progress(next(done), total)

    wanted = views or (target.image for target in targets)
    planes = read_planes(gateway, wanted, how.prepare, stores=stores, ahead_bytes=ahead_bytes)
    with contextlib.closing(planes):
        for number, group in itertools.groupby(planes, key=lambda plane: plane.number):
            how.write_image(targets[number], followed(group), sink)
    entries = _entries(targets, [digest.hexdigest() for digest in digests], views)
    return ExportManifest(entries, choice if views else None)


def _viewed(gateway: BlitzGateway, selection: Selection, choice: PixelChoice) -> Mapping[int, tuple[int, int]]:
    if "default" not in (choice.z, choice.t):
        return {}
    return last_viewed(gateway, list(selection.all_images()))


def _format(name: str) -> ExportFormat:
    if name == "zarr-0.4":
        return OmeZarr("0.4")
    if name == "zarr-0.5":
        return OmeZarr("0.5")
    if name == "tiff":
        return OmeTiff()
    raise RequestError(f"{name!r} is not an export format.", remedy=f"Choose one of: {', '.join(FORMATS)}.")


def _require_exportable(images: Sequence[SourceImage]) -> None:
    """Find out before the first byte is sent whether all can be."""
    if not images:
        raise ExportError("There is nothing to export.", remedy="Choose at least one image.")
    for image in images:
        # Knowing the size of a plane takes a pixel type that has a place in an array, and raises for others.
        if image.plane_bytes > LARGEST_PLANE_BYTES:
            raise ExportError(
                f"A plane of image {image.image_id} ({image.name}) has"
                f" {image.plane_bytes / 2**30:.1f} GiB; this exporter takes up to"
                f" {LARGEST_PLANE_BYTES / 2**30:.0f} GiB.",
                remedy="Choose the exporter omero-cli-zarr, which works tile by tile, or export a part of the image.",
            )


def _entries(targets: Sequence[Target], digests: Sequence[str], views: Sequence[View]) -> tuple[ExportEntry, ...]:
    entries = []
    taken: Sequence[Taken | None] = [view.taken for view in views] or [None] * len(targets)
    rows = zip(targets, digests, taken, strict=True)
    for path, group in itertools.groupby(rows, key=lambda row: row[0].entry_path):
        parts = list(group)
        first = parts[0][0]
        shapes = {target.image.shape for target, _, _ in parts}
        if first.path == path:
            sha256 = parts[0][1]
        else:
            lines = "".join(f"{digest}  {target.path}\n" for target, digest, _ in parts)
            sha256 = hashlib.sha256(lines.encode()).hexdigest()
        entries.append(
            ExportEntry(
                path=path,
                object_type=first.object_type,
                object_id=first.object_id,
                name=first.object_name,
                images=tuple((target.image.image_id, target.path) for target, _, _ in parts),
                shape=first.image.shape if len(shapes) == 1 else (),
                sha256=sha256,
                taken=tuple(each for _, _, each in parts if each is not None),
            )
        )
    return tuple(entries)
