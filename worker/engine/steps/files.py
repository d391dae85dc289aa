"""Step ``files``: what is attached to something in OMERO, streamed into folders beside the images of a run."""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from worker.analyses.parameters import extensions
from worker.cluster.fence import Fence
from worker.cluster.uploads import TarUpload
from worker.engine.context import Done, Outcome
from worker.engine.files import files_of, parameters_of, slot_folder
from worker.engine.jobs import analysis_of
from worker.errors import RequestError
from worker.pixels.attachments import read_attachment, require_format

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from worker.engine.context import StepContext
    from worker.engine.request import FileChoice
    from worker.pixels.attachments import Attachment


def transfer_files(context: StepContext) -> Outcome:
    """Transfer all files of a run; a folder that a broken attempt has left is replaced.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With ``files`` (annotation_id, name, size_bytes, path on the cluster) and ``notes`` for the person.

    Raises
    ------
    RequestError
        If a file has another format than is allowed, or two files of one folder have the same name.
    """
    by_slot: dict[str, list[tuple[UUID, FileChoice]]] = defaultdict(list)
    files = files_of(context.request)
    for task_id, file in zip(context.run.tasks[len(context.run.tasks) - len(files) :], files, strict=True):
        by_slot[file.slot].append((task_id, file))
    sent = [entry for slot, chosen in by_slot.items() for entry in _transfer(context, slot, chosen)]
    notes = (
        [f"{entry['name']} is at {entry['path']} on the cluster." for entry in sent] if context.request.files else []
    )
    return Done({"files": sent, "paths": [entry["path"] for entry in sent], "notes": notes})


def _transfer(context: StepContext, slot: str, chosen: list[tuple[UUID, FileChoice]]) -> list[dict[str, object]]:
    """Transfer the files of one folder."""
    folder = slot_folder(context.layout, slot)
    formats = _formats(context, slot)
    fence = Fence(context.layout.fence, context.resources.leases.number(context.run_id))
    sent: dict[str, dict[str, object]] = {}
    context.guard()
    with context.omero() as gateway, TarUpload(context.transport, folder, fence=fence) as upload:
        for task_id, file in chosen:
            context.guard()
            context.tracker.start_task(task_id)
            attachment = read_attachment(gateway, file.annotation_id)
            require_format(attachment.name, file.formats or formats)
            if attachment.name in sent:
                raise RequestError(
                    f"Two of the chosen files are called {attachment.name!r}.", remedy="Rename one of them in OMERO."
                )
            with contextlib.closing(attachment.chunks):
                upload.add_stream(attachment.name, _followed(context, attachment), attachment.size_bytes)
            sent[attachment.name] = {
                "annotation_id": file.annotation_id,
                "name": attachment.name,
                "size_bytes": attachment.size_bytes,
                "path": str(folder / attachment.name),
            }
        upload.close()
    for task_id, file in chosen:
        context.tracker.complete_task(task_id, f"File {file.annotation_id} is on the cluster.")
    return list(sent.values())


def _followed(context: StepContext, attachment: Attachment) -> Iterator[bytes]:
    """Give the pieces of a file as long as the run is ours, and say how far it is."""
    sent, size, said_at = 0, f"{attachment.size_bytes / 2**20:.1f} MiB", -math.inf
    for piece in attachment.chunks:
        context.guard()
        if time.monotonic() - said_at > 1.0:
            said_at = time.monotonic()
            context.report(f"Sending {attachment.name} to the cluster: {sent / 2**20:.0f} of {size}.")
        yield piece
        sent += len(piece)


def _formats(context: StepContext, slot: str) -> tuple[str, ...]:
    """Look up which formats the descriptor of an analysis allows in one of its folders."""
    owner = parameters_of(context.request).get(slot)
    if owner is None:
        return ()
    workflow, parameter_id = owner
    analysis = analysis_of(context.settings, workflow, context.resources.state_dir)
    return next((extensions(parameter) for parameter in analysis.files if parameter.id == parameter_id), ())
