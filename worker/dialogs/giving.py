"""What a script gives beside its message: objects to go to, files to download, the log of a job.

OMERO.web makes buttons of them. They are short cuts: where OMERO does not take one, the results are there all the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import omero.clients  # before the model, whose modules need each other
import omero.model
from omero.rtypes import robject, wrap

from worker.errors import OmeroError
from worker.pixels import session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from omero.gateway import BlitzGateway

    from worker.dialogs.launch import Teller
    from worker.engine.attached import Created, RunOutcome

_TO_GO_TO = ("Dataset", "Plate", "Screen", "Image")
"""What OMERO.web can show in its tree; of several kinds the first."""


def give_objects(teller: Teller, gateway: BlitzGateway, outcome: RunOutcome) -> None:
    """Give OMERO.web what it makes buttons of: the new dataset (else plate, screen, image) to go to, and files.

    Parameters
    ----------
    teller : Teller
        Sets the outputs.
    gateway : omero.gateway.BlitzGateway
        The script's own connection.
    outcome : RunOutcome
        What came of the run.
    """
    first = _first_of_each_kind(outcome.objects)
    files = {"File_Annotation": first}
    if outcome.batches:
        files = {f"File_Annotation_{index}": _first_of_each_kind(each) for index, each in enumerate(outcome.batches)}
    try:
        for kind in _TO_GO_TO:
            if kind in first:
                teller.give(kind, robject(getattr(omero.model, f"{kind}I")(first[kind], False)))
                break
        for name, objects in files.items():
            if "FileAnnotation" in objects:
                give_annotation(teller, gateway, name, objects["FileAnnotation"])
    except OmeroError as error:
        # The results are in OMERO; only the short cuts to them are not.
        print(error, flush=True)


def give_log(teller: Teller, gateway: BlitzGateway, outcome: RunOutcome, job_id: int | None = None) -> None:
    """Give OMERO.web the log of a job, as the outputs ``Job_Log`` and ``URL``.

    Parameters
    ----------
    teller : Teller
        Sets the outputs.
    gateway : omero.gateway.BlitzGateway
        The script's own connection.
    outcome : RunOutcome
        What came of the run.
    job_id : int, optional
        The job; by default the first one that has a log.
    """
    name = re.compile(rf"omero-{r'[0-9]+' if job_id is None else job_id}\.log")
    logs = [each for each in outcome.objects if each[0] == "FileAnnotation" and name.fullmatch(each[2])]
    if not logs:
        return
    try:
        annotation = give_annotation(teller, gateway, "Job_Log", logs[0][1])
        if annotation is not None:
            give_address(teller, gateway, annotation)
    except OmeroError as error:
        # It is in OMERO; only the short cut to it is missing.
        print(error, flush=True)


def give_annotation(teller: Teller, gateway: BlitzGateway, name: str, annotation_id: int) -> Any:
    """Give OMERO.web a file to download.

    Parameters
    ----------
    teller : Teller
        The way to the person.
    gateway : omero.gateway.BlitzGateway
        The script's own connection.
    name : str
        Name of the output.
    annotation_id : int
        Id of the file annotation.

    Returns
    -------
    omero.gateway.FileAnnotationWrapper or None
        The annotation; None if it is not there any more.

    Raises
    ------
    OmeroError
        OMERO does not answer, or refuses.
    """
    with session.translated("read the attachment"):
        annotation = gateway.getObject("FileAnnotation", annotation_id)
    # Loaded, so that OMERO.web knows the file's name and type.
    if annotation is not None:
        teller.give(name, robject(annotation._obj))  # noqa: SLF001 - the wrapped object
    return annotation


def give_address(teller: Teller, gateway: BlitzGateway, annotation: Any) -> None:
    """Give OMERO.web the address of a file, as the output ``URL``.

    Parameters
    ----------
    teller : Teller
        The way to the person.
    gateway : omero.gateway.BlitzGateway
        The script's own connection.
    annotation : omero.gateway.FileAnnotationWrapper
        The file.

    Raises
    ------
    OmeroError
        OMERO does not answer, or refuses.
    """
    with session.translated("look up the address of OMERO.web"):
        # If the server does not know it, the path alone is good within OMERO.web.
        host = gateway.c.sf.getConfigService().getConfigValue("omero.client.web.host")
    href = f"{(host or '').rstrip('/')}/webclient/get_original_file/{annotation.getFile().getId()}/"
    title = f"Open {annotation.getFile().getName()}"
    teller.give("URL", wrap({"type": "URL", "href": href, "title": title}))


def _first_of_each_kind(objects: Iterable[Created]) -> dict[str, int]:
    """What to offer of some results: of files one, the zip with everything if there is one."""
    first: dict[str, int] = {}
    for kind, object_id, _ in sorted(objects, key=lambda item: not item[2].endswith(".zip")):
        first.setdefault(kind, object_id)
    return first
