"""Step ``export``: the chosen pixels, streamed from OMERO into the run's directory on the cluster."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from worker.cluster.fence import Fence
from worker.cluster.folders import claim_folder
from worker.cluster.uploads import TarUpload
from worker.engine.context import Done, Outcome
from worker.pixels import exporter
from worker.pixels.choice import PixelChoice
from worker.pixels.selection import read_selection
from worker.results.importer import check_permissions
from worker.results.inplace.checking import check_in_place
from worker.results.model import ImportOptions, SourceFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from worker.engine.context import StepContext
    from worker.pixels.manifest import ExportManifest
    from worker.pixels.selection import Selection

PROGRESS_STEP_PERCENT = 10
"""Progress is recorded in steps of so many percent: an event per plane would drown the record."""


class GuardedSink:
    """Hands exported files on to the cluster, as long as the run is ours.

    Parameters
    ----------
    upload : TarUpload
        The stream to the cluster.
    guard : callable
        Raises `LeaseLost` when the run is another's.
    """

    def __init__(self, upload: TarUpload, guard: Callable[[], None]) -> None:
        self._upload = upload
        self._guard = guard

    def add(self, path: str, data: bytes | memoryview) -> None:
        """Send one file."""
        self._guard()
        self._upload.add(path, data)


def export_pixels(context: StepContext) -> Outcome:
    """Export the selection of a run.

    A repeated export starts anew: what a broken one left in the run's input directory is replaced.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With ``sources`` (which file holds which image), ``files``, ``size_bytes`` and ``seconds``; where only a part of
        the images was wanted, with ``taken`` (which planes a file was made from, by its path).
    """
    request, tracker = context.request, context.tracker
    task_id = context.run.tasks[0]
    started = time.monotonic()
    tracker.start_task(task_id)
    context.report(f"Reading the selection ({request.data_type} {', '.join(map(str, request.ids))}).")
    choice = PixelChoice.from_json(request.pixels) if request.pixels is not None else None
    with context.omero() as gateway:
        selection = read_selection(gateway, request.data_type, request.ids)
        # Whoever may not write the results is told before the cluster has spent an hour on them.
        if request.kind == "analysis":
            check_permissions(gateway, selected_sources(selection), ImportOptions.from_json(request.output))
        if request.in_place:
            check_in_place(context.resources.importer(), request.group_name, request.group_id)
        context.guard()
        if request.folder is not None:
            claim_folder(context.transport, context.layout)
        fence = Fence(context.layout.fence, context.resources.leases.number(context.run_id))
        with TarUpload(context.transport, context.layout.input, fence=fence) as upload:
            manifest = exporter_of(context, choice)(
                gateway,
                selection,
                format=request.export_format,
                sink=GuardedSink(upload, context.guard),
                progress=_progress(context, task_id),
                choice=choice,
            )
            uploaded = upload.close()
    tracker.complete_task(task_id, f"{uploaded.files} files, {uploaded.size_bytes} bytes")
    return Done(
        {
            "sources": [asdict(source) for source in exported_sources(selection, manifest)],
            "files": uploaded.files,
            "size_bytes": uploaded.size_bytes,
            "seconds": round(time.monotonic() - started, 3),
            **_taken(manifest),
            "path": str(context.layout.input),
            "notes": [] if request.folder is None else [f"{uploaded.files} files are at {context.layout.input}."],
        }
    )


def exporter_of(context: StepContext, choice: PixelChoice | None) -> Callable[..., ExportManifest]:
    """What writes the pixels: as the admin has set it, but omero-cli-zarr writes no TIFF, and nothing but the whole."""
    part = choice is not None and not choice.whole
    if context.settings.worker.exporter == "own" or not context.request.use_zarr or part:
        return exporter.export
    # Imported only where it is chosen: it brings dask and scipy along, a second for every script.
    from worker.pixels import cli_zarr

    return cli_zarr.export


def selected_sources(selection: Selection) -> list[SourceFile]:
    """What is going to be analysed, before it has been written anywhere.

    Parameters
    ----------
    selection : Selection
        The selection.

    Returns
    -------
    list of SourceFile
        One for each image, with its name in the place of a path.
    """
    plates = [
        SourceFile(field.image.name, "Plate", plate.plate_id, field.image.image_id, field.image.name)
        for plate in selection.plates
        for well in plate.wells
        for field in well.fields
    ]
    images = [SourceFile(image.name, "Image", image.image_id, image.image_id, image.name) for image in selection.images]
    return images + plates


def exported_sources(selection: Selection, manifest: ExportManifest) -> list[SourceFile]:
    """Which exported file holds which image.

    Parameters
    ----------
    selection : Selection
        What was exported.
    manifest : ExportManifest
        Where it was written.

    Returns
    -------
    list of SourceFile
        One for each image in each file.
    """
    paths: dict[int, list[str]] = {}
    for entry in manifest.entries:
        for image_id, path in entry.images:
            paths.setdefault(image_id, []).append(path)
    return [replace(source, path=path) for source in selected_sources(selection) for path in paths[source.image_id]]


def _taken(manifest: ExportManifest) -> dict[str, Any]:
    """Which planes were taken, where that is not all of them: what was viewed last is not known any more later on."""
    if manifest.choice is None:
        return {}
    return {
        "taken": {
            path: asdict(taken)
            for entry in manifest.entries
            for (_, path), taken in zip(entry.images, entry.taken, strict=True)
        }
    }


def _progress(context: StepContext, task_id: UUID) -> Callable[[int, int], None]:
    """Tell how far the export is: each plane to the person, each tenth to the record."""
    recorded = 0
    said_at = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal recorded, said_at
        percent = 100 * done // max(total, 1)
        if percent >= recorded + PROGRESS_STEP_PERCENT:
            recorded = percent
            context.tracker.update_task_progress(task_id, f"{percent}%")
        if time.monotonic() - said_at > 1.0:
            said_at = time.monotonic()
            context.report(f"Exporting: {done} of {total} planes ({percent}%).")

    return progress
