"""Steps ``prepare`` and ``settle`` of a conversion: find what there is to convert; remove it once all of it was."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from worker.cluster import conversion
from worker.engine.context import Done, Outcome
from worker.engine.conversions import formats_of
from worker.errors import NotPermitted, RequestError
from worker.pixels.session import translated
from worker.results.attachments import Attachment, attach
from worker.results.ledger import Key, Ledger
from worker.results.model import CreatedObject
from worker.results.surroundings import read_place

if TYPE_CHECKING:
    from worker.engine.context import StepContext
    from worker.results.surroundings import Place

LOG_TARGET = "log_target"
"""In the output of a request: the object that the log is attached to, such as ``Image:12``."""

LOG_KINDS = ("Project", "Dataset", "Image", "Screen", "Plate")
"""What a log can be attached to."""


def prepare(context: StepContext) -> Outcome:
    """Find what there is to convert, and how many tasks Slurm allows for it.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With ``inputs`` (paths below ``data/in``) and ``tasks_max``.

    Raises
    ------
    RequestError
        If there is nothing to convert, or nothing that the log can be attached to.
    SettingsError
        If there is no converter for it.
    """
    formats = formats_of(context)
    context.tracker.start_task(context.run.tasks[0])
    if context.request.output.get(LOG_TARGET):
        # Whoever cannot be given the log is told before the cluster has worked for it.
        with context.omero() as gateway:
            _log_place(context, gateway)
    conversion.converter_image(context.slurm, context.settings.converters, formats.source, formats.target)
    inputs = conversion.find_inputs(context.transport, context.layout, formats.source)
    if not inputs:
        raise RequestError(
            f"There is nothing to convert: no {formats.source} in {context.layout.folder}.",
            remedy="Choose another folder, or the format in which its images are.",
        )
    context.report(f"Converting {len(inputs)} inputs from {formats.source} to {formats.target}.")
    return Done({"inputs": list(inputs), "tasks_max": conversion.most_tasks(context.transport)})


def settle(context: StepContext) -> Outcome:
    """Attach the log of all tasks to what the person named, and remove what was converted unless it is to be kept.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With ``objects`` in OMERO, ``notes`` for the person, and how many inputs were ``converted``.
    """
    branch = context.view.branches[0]
    job_id = int(context.view.step(branch.step("watch")).data["job_id"])
    inputs = context.view.step("prepare").data["inputs"]
    attached = attach_log(context, job_id)
    context.guard()
    if context.request.cleanup:
        context.report("Removing what was converted from the cluster.")
        number = context.resources.leases.number(context.run_id)
        conversion.remove_inputs(context.transport, context.layout, inputs, fence=number)
    note = f"{len(inputs)} inputs in {context.layout.folder} are now {formats_of(context).target}."
    return Done({"objects": [item.to_json() for item in attached], "notes": [note], "converted": len(inputs)})


def attach_log(context: StepContext, job_id: int) -> list[CreatedObject]:
    """Attach the logs of all tasks as one file, if the person has said to what.

    Parameters
    ----------
    context : StepContext
        A step of a conversion.
    job_id : int
        Its job, which has ended.

    Returns
    -------
    list of CreatedObject
        The file; none where it is not wanted.

    Raises
    ------
    RequestError
        If there is no such object, or the person may not attach anything to it.
    OmeroError
        If OMERO does not answer, or refuses.
    """
    target: Any = context.request.output.get(LOG_TARGET)
    if not target:
        return []
    log = conversion.read_logs(context.transport, context.layout, job_id)
    name = f"omero-{job_id}.log"
    attachment = Attachment(name, lambda: [log], f"Log of conversion {job_id}")
    key = Key(str(context.run.tasks[0]), str(target), f"log:{job_id}", hashlib.sha256(log).hexdigest())
    with context.omero() as gateway:
        context.guard()
        place = _log_place(context, gateway)
        with translated(f"attach the log to {target}"):
            annotation_id = attach(Ledger.open(gateway, str(context.run_id)), key, attachment, [place])
    return [CreatedObject("FileAnnotation", annotation_id, name)]


def _log_place(context: StepContext, gateway: Any) -> Place:
    """Look up what the log is to be attached to."""
    target = str(context.request.output[LOG_TARGET])
    kind, _, number = target.partition(":")
    if kind not in LOG_KINDS or not number.isdecimal():
        raise RequestError(
            f"The log cannot be attached to {target!r}.",
            remedy=f"Give a kind and an id, such as Dataset:42; kinds are {', '.join(LOG_KINDS)}.",
        )
    with translated(f"look up {target}"):
        place = read_place(gateway, kind, int(number))
    if not place.may_annotate:
        raise NotPermitted(f"You may not attach the log to {place}.", remedy="Choose something of your own.")
    return place
