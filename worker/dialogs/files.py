"""Whether the files of OMERO that were given to parameters can be read, before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.dialogs.fields import file_name, shown
from worker.errors import NotPermitted, RequestError
from worker.pixels.attachments import read_attachment, require_format

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

    from worker.analyses.catalogue import Catalogue
    from worker.engine.request import RunRequest


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
        formats = {parameter.id: parameter.formats for parameter in known}
        for parameter, ids in choice.files.items():
            label = shown(file_name(choice.name, parameter))
            for annotation_id in ids:
                try:
                    require_format(read_attachment(gateway, annotation_id).name, formats.get(parameter, ()))
                except NotPermitted as error:
                    raise NotPermitted(f"'{label}': {error.message}", remedy=error.remedy) from error
                except RequestError as error:
                    raise RequestError(f"'{label}': {error.message}", remedy=error.remedy) from error
