"""The files of OMERO that are given to parameters: which, and whether they can be read, before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worker.analyses.parameters import extensions
from worker.dialogs.fields import file_name, shown
from worker.errors import NotPermitted, RequestError
from worker.pixels.attachments import read_attachment, require_format

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omero.gateway import BlitzGateway

    from worker.analyses.catalogue import Catalogue, CatalogueEntry
    from worker.engine.request import RunRequest


def read_files(inputs: Mapping[str, Any], entry: CatalogueEntry) -> dict[str, list[int]]:
    """Read which files of OMERO were given to the parameters of a ticked workflow.

    Parameters
    ----------
    inputs : Mapping
        The inputs of the script by name.
    entry : CatalogueEntry
        The workflow.

    Returns
    -------
    dict
        Ids of file annotations by the id of the parameter, each once, in their order.

    Raises
    ------
    RequestError
        One is missing, or is no id; the message names the field.
    """
    chosen: dict[str, list[int]] = {}
    for parameter in entry.analysis.files if entry.analysis is not None else ():
        if parameter.hidden:
            continue
        name = file_name(entry.name, parameter.id)
        ids = list(dict.fromkeys(inputs.get(name) or ()))
        for value in ids:
            if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
                raise RequestError(
                    f"'{shown(name)}' holds {value!r}.", remedy="Give ids of file attachments in OMERO, such as 51,52."
                )
        if not ids and not parameter.optional:
            raise RequestError(
                f"'{shown(name)}' is empty, and '{shown(entry.name)}' needs a file there.",
                remedy="Attach the file to something in OMERO, and give the id of the attachment.",
            )
        if len(ids) > 1 and parameter.file_count == "single":
            raise RequestError(f"'{shown(name)}' names {len(ids)} files.", remedy="It takes one; leave one id there.")
        if ids:
            chosen[parameter.id] = ids
    return chosen


def check_files(gateway: BlitzGateway, request: RunRequest, catalogue: Catalogue) -> None:
    """Look every file up, without reading it.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        The session of the person who gave them.
    request : RunRequest
        What was asked for.
    catalogue : Catalogue
        Which kinds of files the workflows take.

    Raises
    ------
    RequestError
        A file is not there, or is of another kind; the message names the field.
    NotPermitted
        The person may not take a file away.
    OmeroError
        OMERO does not answer.
    """
    for choice in request.workflows:
        entry = catalogue.entry(choice.name)
        known = entry.analysis.files if entry is not None and entry.analysis is not None else ()
        formats = {parameter.id: extensions(parameter) for parameter in known}
        for parameter, ids in choice.files.items():
            label = shown(file_name(choice.name, parameter))
            for annotation_id in ids:
                try:
                    require_format(read_attachment(gateway, annotation_id).name, formats.get(parameter, ()))
                except NotPermitted as error:
                    raise NotPermitted(f"'{label}': {error.message}", remedy=error.remedy) from error
                except RequestError as error:
                    raise RequestError(f"'{label}': {error.message}", remedy=error.remedy) from error
