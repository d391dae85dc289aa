"""Which section and time point people look at first, as OMERO's viewers show them; nothing is written for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.pixels import query
from worker.pixels.session import who

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from omero.gateway import BlitzGateway

    from worker.pixels.image import SourceImage


def last_viewed(gateway: BlitzGateway, images: Sequence[SourceImage]) -> Mapping[int, tuple[int, int]]:
    """Look up the default section and time point of images; one question.

    Parameters
    ----------
    gateway : omero.gateway.BlitzGateway
        Session of the person whose view counts.
    images : sequence of SourceImage
        The images.

    Returns
    -------
    mapping of int to tuple of int
        (Z, T) from 0 by the id of the image: of this person's own rendering settings, else of the owner's. Where there
        are none, OMERO's default: the section in the middle, and the first time point.

    Raises
    ------
    OmeroError
        OMERO does not answer, or refuses.
    """
    me = who(gateway).user_id
    saved: dict[int, tuple[bool, int, int]] = {}
    for pixels_id, owner_id, pixels_owner_id, z, t in query.rows(
        gateway,
        "select p.id, r.details.owner.id, p.details.owner.id, r.defaultZ, r.defaultT from RenderingDef r"
        " join r.pixels p where p.id in (:ids) order by r.id",
        list({image.pixels_id for image in images}),
        what="rendering settings",
    ):
        mine = owner_id == me
        # Settings of third persons do not count, and of several of one person the latest do.
        if mine or (owner_id == pixels_owner_id and not saved.get(pixels_id, (False, 0, 0))[0]):
            saved[pixels_id] = (mine, z, t)
    found = {}
    for image in images:
        _, z, t = saved.get(image.pixels_id, (False, image.size_z // 2, 0))
        found[image.image_id] = (min(max(z, 0), image.size_z - 1), min(max(t, 0), image.size_t - 1))
    return found
