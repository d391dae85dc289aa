"""Deleting what a run has made, or was asked to remove."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import omero.cmd

from worker.errors import OmeroRefused, OmeroUnavailable
from worker.pixels.session import call_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omero.gateway import BlitzGateway

DELETION_TIMEOUT_S: Final = 60.0


def delete(gateway: BlitzGateway, kind: str, ids: Sequence[int]) -> None:
    """Delete objects, and wait until they are gone.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    kind : str
        ``Image``, ``Roi`` or ``OriginalFile``.
    ids : Sequence of int
        Their ids.

    Raises
    ------
    OmeroRefused
        If OMERO does not delete them.
    OmeroUnavailable
        If it does not come to an end.
    """
    request = omero.cmd.Delete2(targetObjects={kind: list(ids)})
    handle = gateway.c.sf.submit(request, call_context(gateway))
    try:
        deadline = time.monotonic() + DELETION_TIMEOUT_S
        while (answer := handle.getResponse()) is None:
            if time.monotonic() > deadline:
                raise OmeroUnavailable(f"OMERO did not delete {_listed(kind, ids)} in {DELETION_TIMEOUT_S:.0f} s.")
            time.sleep(0.05)
    finally:
        handle.close()
    if isinstance(answer, omero.cmd.ERR):
        raise OmeroRefused(f"OMERO does not delete {_listed(kind, ids)}: {answer.name or answer.category}.")


def _listed(kind: str, ids: Sequence[int]) -> str:
    return f"{kind} {ids[0]}" if len(ids) == 1 else f"{len(ids):,} objects {kind}, from {ids[0]} to {ids[-1]},"
