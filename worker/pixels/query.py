"""HQL questions to OMERO: few, whatever the number of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import omero.rtypes
import omero.sys

from worker.pixels.session import call_context, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from omero.gateway import BlitzGateway

BATCH: Final = 10_000
"""Ids in one question: PostgreSQL takes 32,767 parameters, and an answer must stay far below Ice's message limit."""


def rows(gateway: BlitzGateway, hql: str, ids: Sequence[int], *, what: str) -> list[list[Any]]:
    """Ask for values.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        A connected gateway.
    hql : str
        A projection with the parameter ``:ids``.
    ids : sequence of int
        What stands for ``:ids``.
    what : str
        What is asked for, for error messages.

    Returns
    -------
    list of list
        Plain values, one list for each row.

    Raises
    ------
    OmeroError
        OMERO does not answer, or refuses.
    """
    answer: list[list[Any]] = []
    with translated(f"look up {what}"):
        service = gateway.c.sf.getQueryService()
        for parameters in _batches(ids):
            answer += [
                [omero.rtypes.unwrap(value) for value in row]
                for row in service.projection(hql, parameters, call_context(gateway))
            ]
    return answer


def objects(gateway: BlitzGateway, hql: str, ids: Sequence[int], *, what: str) -> list[Any]:
    """Ask for objects of OMERO's model, where values alone do not say enough (permissions, units).

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        A connected gateway.
    hql : str
        A query with the parameter ``:ids``.
    ids : sequence of int
        What stands for ``:ids``.
    what : str
        What is asked for, for error messages.

    Returns
    -------
    list
        Loaded objects.

    Raises
    ------
    OmeroError
        OMERO does not answer, or refuses.
    """
    answer: list[Any] = []
    with translated(f"look up {what}"):
        service = gateway.c.sf.getQueryService()
        for parameters in _batches(ids):
            answer += service.findAllByQuery(hql, parameters, call_context(gateway))
    return answer


def _batches(ids: Sequence[int]) -> Iterator[Any]:
    for start in range(0, len(ids), BATCH):
        parameters = omero.sys.ParametersI()
        parameters.addIds(list(ids[start : start + BATCH]))
        yield parameters
