"""Where persons look at objects of OMERO."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SHOWN = {kind: kind.lower() for kind in ("Project", "Dataset", "Image", "Screen", "Plate")}
"""What OMERO.web shows in its tree, and how its address calls that."""


def link_to(web_url: str | None) -> Callable[[str, int], str]:
    """Make what gives the addresses of objects in OMERO.web.

    Parameters
    ----------
    web_url : str or None
        Address of OMERO.web; None: there are none.

    Returns
    -------
    callable
        Gives the address of an object by kind and id; empty if it has none.
    """

    def link(kind: str, object_id: int) -> str:
        if web_url is None:
            return ""
        if kind in _SHOWN:
            return f"{web_url}/webclient/?show={_SHOWN[kind]}-{object_id}"
        if kind == "FileAnnotation":
            return f"{web_url}/webclient/annotation/{object_id}/"
        return ""

    return link
