"""The files of a run that come from attachments in OMERO: where each goes on the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.engine.request import FileChoice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import PurePosixPath

    from worker.cluster.layout import RunLayout
    from worker.engine.request import RunRequest


def files_of(request: RunRequest) -> tuple[FileChoice, ...]:
    """List the files of a run, each with its folder.

    Parameters
    ----------
    request : RunRequest
        What was asked for.

    Returns
    -------
    tuple of FileChoice
        Those that were asked for by themselves, and those of the analyses' parameters. The files of one parameter
        share a folder: ``p1`` for the first parameter that has any, and so on.
    """
    chosen = [
        FileChoice(annotation_id=annotation_id, slot=slot)
        for slot, (_, _, ids) in zip(_slots(), _parameters(request), strict=False)
        for annotation_id in ids
    ]
    return (*request.files, *chosen)


def folders_of(request: RunRequest, index: int, layout: RunLayout) -> Mapping[str, tuple[str, ...]]:
    """Say where the files of an analysis are on the cluster.

    Parameters
    ----------
    request : RunRequest
        What was asked for.
    index : int
        Number of the analysis among those of the run, from 0.
    layout : RunLayout
        Where the run's files are.

    Returns
    -------
    mapping of str to tuple of str
        The folder of each parameter that has files, by its id.
    """
    return {
        parameter_id: (str(slot_folder(layout, slot)),)
        for slot, (workflow, parameter_id, _) in zip(_slots(), _parameters(request), strict=False)
        if workflow == index
    }


def parameters_of(request: RunRequest) -> Mapping[str, tuple[str, str]]:
    """Say whose files the folders of a run hold.

    Parameters
    ----------
    request : RunRequest
        What was asked for.

    Returns
    -------
    mapping of str to tuple of str
        The workflow and the id of its parameter, by the name of the folder.
    """
    return {
        slot: (request.workflows[workflow].name, parameter_id)
        for slot, (workflow, parameter_id, _) in zip(_slots(), _parameters(request), strict=False)
    }


def slot_folder(layout: RunLayout, slot: str) -> PurePosixPath:
    """Locate the folder of some files.

    Parameters
    ----------
    layout : RunLayout
        Where the run's files are.
    slot : str
        Name of the folder.

    Returns
    -------
    PurePosixPath
        Its path.
    """
    return layout.input / slot


def _parameters(request: RunRequest) -> list[tuple[int, str, tuple[int, ...]]]:
    """Every parameter that has files: number of its analysis, its id, ids of the annotations."""
    return [
        (index, parameter_id, ids)
        for index, workflow in enumerate(request.workflows)
        for parameter_id, ids in workflow.files.items()
        if ids
    ]


def _slots() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"p{number}"
