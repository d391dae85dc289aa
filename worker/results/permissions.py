"""What a person chose, checked before anything is computed or written: it exists, and OMERO will allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from worker.errors import NotPermitted, RequestError
from worker.results.model import OF_ANALYSED
from worker.results.naming import NAME_LENGTH
from worker.results.surroundings import read_place, read_places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omero.gateway import BlitzGateway

    from worker.results.model import ImportOptions
    from worker.results.surroundings import Place, Surroundings

_NAMED: Final = 3
"""How many objects a message names."""


def check_options(gateway: BlitzGateway, surroundings: Surroundings, options: ImportOptions) -> None:
    """Check that everything that was chosen can be written, before anything is.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    surroundings : Surroundings
        Where the analysed images lie.
    options : ImportOptions
        What the person chose.

    Raises
    ------
    NotPermitted
        If OMERO would refuse one of the writes.
    RequestError
        If something was chosen that does not exist, or that does not fit the analysed images.
    """
    if not surroundings.images:
        raise RequestError(
            "None of the analysed images can be seen in this group.",
            remedy="They were deleted or moved, or the session is in another group.",
        )
    _check_containers(gateway, surroundings, options)
    _check_attachments(gateway, surroundings, options)
    refused = [image.place for image in surroundings.images.values() if not image.place.may_annotate]
    if options.attach_to_images and refused:
        raise _refused("attach results to", refused)
    drawn_on = [place for place in refused if not options.roi_targets or place.object_id in options.roi_targets]
    if options.create_rois and drawn_on:
        raise _refused("draw ROIs on", drawn_on, remedy="Import label images into a dataset of your own instead.")


def _check_containers(gateway: BlitzGateway, surroundings: Surroundings, options: ImportOptions) -> None:
    for kind, object_id, name in (
        ("Dataset", options.dataset_id, options.new_dataset),
        ("Screen", options.screen_id, options.new_screen),
    ):
        if object_id is not None:
            place = read_place(gateway, kind, object_id)
            if not place.may_link:
                raise _refused("import images into", (place,))
        elif name and not name.strip():
            raise RequestError(f"The name of the new {kind.lower()} is blank.", remedy="Give it a name.")
        elif name and len(name) > NAME_LENGTH:
            raise RequestError(
                f"The name of the new {kind.lower()} has {len(name)} characters.",
                remedy=f"OMERO takes at most {NAME_LENGTH}.",
            )
    outside = [image.place for image_id, image in surroundings.images.items() if image_id not in surroundings.wells]
    if options.into_screen and not options.into_dataset and outside:
        raise RequestError(
            f"Results of {_listed(outside)} cannot go into a screen: they are not in wells of a plate.",
            remedy="Choose a dataset, instead or as well: results of wells go to the screen, others to the dataset.",
        )


def _check_attachments(gateway: BlitzGateway, surroundings: Surroundings, options: ImportOptions) -> None:
    # What is imported into containers of one's own can have files and tables attached to it there.
    tables = options.csv_tables and not options.imports_images
    # Those of the analysed images are taken where this person may attach to them.
    zip_places = [each for each in options.zip_places if not each.endswith(f":{OF_ANALYSED}")]
    for wanted, chosen, what in (
        (options.zip_to_parent, zip_places, "the zip of results"),
        (options.csv_tables, options.table_places, "tables"),
        (options.attach_files, options.file_places, "results"),
    ):
        refused = [place for place in read_places(gateway, chosen) if not place.may_annotate] if wanted else []
        if refused:
            raise _refused(f"attach {what} to", refused)
    by_default = (
        (options.zip_to_parent and not zip_places)
        or (options.attach_files and not options.file_places)
        or (tables and not options.table_places)
    )
    if by_default and not surroundings.parents:
        around = (*surroundings.projects, *surroundings.datasets, *surroundings.plates, *surroundings.screens)
        raise _refused("attach results to", around or tuple(image.place for image in surroundings.images.values()))


def _refused(what: str, places: Sequence[Place], *, remedy: str = "") -> NotPermitted:
    return NotPermitted(
        f"You may not {what} {_listed(places)}: they belong to somebody else, in a group that does not allow it.",
        remedy=remedy or "Import into a new dataset of your own instead, or ask the owner of the group.",
    )


def _listed(places: Sequence[Place]) -> str:
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return ", ".join(str(place) for place in places[:_NAMED]) + more
