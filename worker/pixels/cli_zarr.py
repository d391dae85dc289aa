"""The other exporter: omero-cli-zarr, called in this process, for who wants exactly what it writes.

It is slower; it opens a rendering engine for each image, through which OMERO may store default rendering settings;
and it leaves out axes of length 1. It writes to a folder, from which the files then go into the sink. As it names trees
after ids, so that image 1 and plate 1 would meet, each object gets a folder of its own, and its tree is named as our
own exporter names it. No session key leaves this process: the library works with the gateway it is given.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from worker.errors import ExportError, OmeroRefused, RequestError, WorkerError
from worker.pixels.manifest import ExportEntry, ExportManifest
from worker.pixels.omezarr import OmeZarr
from worker.pixels.session import translated

with warnings.catch_warnings():
    # ome-zarr, which it uses, warns of its own deprecated classes on import.
    warnings.simplefilter("ignore", DeprecationWarning)
    import omero_zarr.raw_pixels
    import omero_zarr.util

if TYPE_CHECKING:
    from collections.abc import Callable

    from omero.gateway import BlitzGateway

    from worker.pixels.choice import PixelChoice
    from worker.pixels.exporter import FormatName
    from worker.pixels.formats import Target
    from worker.pixels.selection import Selection
    from worker.pixels.sink import ArchiveSink

_VERSIONS: Final = {"zarr-0.4": "0.4", "zarr-0.5": "0.5"}
_log = logging.getLogger(__name__)


def export(
    gateway: BlitzGateway,
    selection: Selection,
    *,
    format: FormatName,  # noqa: A002  # the word that people use for it
    sink: ArchiveSink,
    progress: Callable[[int, int], None],
    choice: PixelChoice | None = None,
) -> ExportManifest:
    """Export all images and plates of a selection with omero-cli-zarr.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        Session of a person who can read them.
    selection : Selection
        What to export.
    format : str
        ``zarr-0.4`` or ``zarr-0.5``.
    sink : ArchiveSink
        Where to; it is called from this thread only, and left open.
    progress : callable
        Called after each image or plate with the number of planes done, and of all.
    choice : PixelChoice, optional
        Which pixels of each image; omero-cli-zarr knows only all.

    Returns
    -------
    ExportManifest
        What was written, and what it came from; the checksums are those of files, not of pixels.

    Raises
    ------
    RequestError
        omero-cli-zarr does not write this format, or not a part of an image.
    ExportError
        omero-cli-zarr failed, or left an image out.
    OmeroError
        OMERO does not answer, or refuses.
    """
    if format not in _VERSIONS:
        raise RequestError(
            f"omero-cli-zarr does not write {format!r}.", remedy=f"Choose one of: {', '.join(_VERSIONS)}."
        )
    if choice is not None and not choice.whole:
        raise RequestError("omero-cli-zarr writes images as a whole.", remedy="Use the product's own exporter.")
    version = _VERSIONS[format]
    _silence()
    total = selection.plane_count
    done = 0
    entries = []
    for path, targets in _by_entry(OmeZarr("0.4" if version == "0.4" else "0.5").targets(selection)).items():
        with tempfile.TemporaryDirectory(prefix="omero-worker-") as folder:
            tree = _export_object(gateway, targets[0], version, Path(folder))
            entries.append(_send(tree, path, targets, sink))
        done += sum(target.image.plane_count for target in targets)
        progress(done, total)
    return ExportManifest(tuple(entries))


def _by_entry(targets: tuple[Target, ...]) -> dict[str, list[Target]]:
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.entry_path, []).append(target)
    return groups


def _export_object(gateway: BlitzGateway, target: Target, version: str, folder: Path) -> Path:
    """Run omero-cli-zarr on an image or a plate, and give the tree that it wrote."""
    what = f"{target.object_type} {target.object_id} ({target.object_name})"
    arguments = argparse.Namespace(output=str(folder), name_by="id", format=version, tile_width=None, tile_height=None)
    write: Callable[..., None] = (
        omero_zarr.raw_pixels.image_to_zarr if target.object_type == "Image" else omero_zarr.raw_pixels.plate_to_zarr
    )
    try:
        with translated(f"export {what} with omero-cli-zarr"):
            write(_wrapper(gateway, target), arguments)
    except WorkerError:
        raise
    except Exception as error:
        # The library documents no exceptions of its own; whatever it stumbles over ends here, with its cause.
        raise ExportError(
            f"omero-cli-zarr failed on {what}: {type(error).__name__}: {error}.",
            remedy="Use the product's own exporter.",
        ) from error
    (tree,) = folder.iterdir()
    return tree


def _wrapper(gateway: BlitzGateway, target: Target) -> Any:
    wrapper = gateway.getObject(target.object_type, target.object_id)
    if wrapper is None:
        raise OmeroRefused(
            f"{target.object_type} {target.object_id} ({target.object_name}) is not there any more.",
            remedy="Choose again.",
        )
    return wrapper


def _send(tree: Path, path: str, targets: list[Target], sink: ArchiveSink) -> ExportEntry:
    first = targets[0]
    for target in targets:
        if not (tree / target.path.removeprefix(path).lstrip("/")).is_dir():
            raise ExportError(
                f"omero-cli-zarr left image {target.image.image_id} ({target.image.name}) out.",
                remedy="Use the product's own exporter.",
            )
    digest = hashlib.sha256()
    for file in sorted(file for file in tree.rglob("*") if file.is_file()):
        data = file.read_bytes()
        name = f"{path}/{file.relative_to(tree).as_posix()}"
        sink.add(name, data)
        digest.update(f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode())
    shapes = {target.image.shape for target in targets}
    return ExportEntry(
        path=path,
        object_type=first.object_type,
        object_id=first.object_id,
        name=first.object_name,
        images=tuple((target.image.image_id, target.path) for target in targets),
        shape=first.image.shape if len(shapes) == 1 else (),
        sha256=digest.hexdigest(),
    )


def _silence() -> None:
    """Send what the library prints, a line for each tile, to the log instead of a script's output."""

    def log(*values: Any, **_: Any) -> None:
        _log.debug("%s", " ".join(map(str, values)))

    for module in (omero_zarr.raw_pixels, omero_zarr.util):
        vars(module)["print"] = log
