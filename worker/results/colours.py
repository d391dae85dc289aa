"""Colours of ROIs: what a person writes, and how OMERO keeps it."""

from __future__ import annotations

import uuid
from typing import Final

from PIL import ImageColor

from worker.errors import RequestError

PALETTE: Final = (
    "#ff3b30",
    "#34c759",
    "#0a84ff",
    "#ffcc00",
    "#ff2d9b",
    "#00c7be",
    "#ff9500",
    "#bf5af2",
    "#a2e61b",
    "#64d2ff",
)
"""Colours that stand out from micrographs and from each other; a run has one of them."""


def read_colour(text: str) -> tuple[int, ...]:
    """Read a colour.

    Parameters
    ----------
    text : str
        ``#rrggbb``, ``#rrggbbaa`` or a name.

    Returns
    -------
    tuple of int
        Red, green and blue, 0 to 255, and how opaque it is if that was given.

    Raises
    ------
    RequestError
        If it is no colour.
    """
    try:
        return ImageColor.getrgb(text.strip())
    except ValueError as error:
        raise RequestError(
            f"{text!r} is no colour for ROIs.",
            remedy="Give #rrggbb, #rrggbbaa or a name such as 'red', or nothing for one colour per run.",
        ) from error


def colour_of_run(run_id: str) -> str:
    """Choose the colour of a run, always the same one.

    Parameters
    ----------
    run_id : str
        UUID of the run.

    Returns
    -------
    str
        A colour of the palette.
    """
    return PALETTE[uuid.UUID(run_id).int % len(PALETTE)]


def omero_colour(red: int, green: int, blue: int, alpha: int) -> int:
    """Pack a colour as OMERO keeps it: red, green, blue, alpha as one signed 32-bit number.

    Parameters
    ----------
    red, green, blue, alpha : int
        Its components, 0 to 255.

    Returns
    -------
    int
        The number.
    """
    return int.from_bytes(bytes((red, green, blue, alpha)), "big", signed=True)
