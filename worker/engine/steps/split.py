"""Step ``split``: the selection of a parent, divided into batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.engine.context import Done, Outcome
from worker.engine.steps.export import selected_sources
from worker.errors import RequestError
from worker.pixels.selection import read_selection
from worker.results.importer import check_permissions
from worker.results.model import ImportOptions

if TYPE_CHECKING:
    from worker.engine.context import StepContext
    from worker.engine.request import RunRequest
    from worker.pixels.selection import Selection


def split(context: StepContext) -> Outcome:
    """Look the selection up as the person who chose it, and divide it.

    Nothing is started before the whole of it can be read, and its results be written.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With ``data_type`` (of what the batches hold), ``batches`` (lists of ids) and ``parallel`` (how many of them
        may be at work at the same time).

    Raises
    ------
    RequestError
        If there is nothing to analyse, or this run is not one to be split.
    """
    request = context.request
    if request.batch is None:
        raise RequestError("This run is not to be split into batches.")
    context.report(f"Reading the selection ({request.data_type} {', '.join(map(str, request.ids))}).")
    with context.omero() as gateway:
        selection = read_selection(gateway, request.data_type, request.ids)
        check_permissions(gateway, selected_sources(selection), ImportOptions.from_json(request.output))
    data_type, ids = members(selection, request)
    size = request.batch.size
    batches = [ids[start : start + size] for start in range(0, len(ids), size)]
    most = context.settings.worker.batch_parallel_max
    context.report(f"{len(ids)} {data_type.lower()}s, in {len(batches)} batches of up to {size}.")
    return Done({"data_type": data_type, "batches": batches, "parallel": min(request.batch.parallel or most, most)})


def members(selection: Selection, request: RunRequest) -> tuple[str, list[int]]:
    """Say what is put into batches: images, those of plates too, or plates where they come back as plates.

    Parameters
    ----------
    selection : Selection
        What was chosen.
    request : RunRequest
        Says where the results go.

    Returns
    -------
    data_type : str
        ``Image`` or ``Plate``.
    ids : list of int
        Their ids, each once, in the order of the selection.
    """
    into_screen = any(request.output.get(option) for option in ("new_screen", "screen_id"))
    if selection.plates and into_screen:
        return "Plate", [plate.plate_id for plate in selection.plates]
    return "Image", list(dict.fromkeys(image.image_id for image in selection.all_images()))
