"""What an importer has made too often, or not to the end: to be told, as nobody but a person may delete it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.results.inplace.arrivals import plates_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from omero.gateway import BlitzGateway

    from worker.results.inplace.arrivals import Arrivals

_NAMED: Final = 3
"""So many results are named; of the others it is said how many there are."""


@dataclass(frozen=True, slots=True)
class Doubles:
    """What is to be told.

    Parameters
    ----------
    copies : str
        Which results became images more than once, and which images are too many; empty if there are none.
    fragments : tuple of str
        Which results became images in part only.
    """

    copies: str = ""
    fragments: tuple[str, ...] = ()


def describe_doubles(gateway: BlitzGateway, arrivals: Arrivals, parts: Mapping[str, frozenset[str]]) -> Doubles:
    """Name the images that are not the result, although they were made of it.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    arrivals : Arrivals
        What the importer has made.
    parts : Mapping
        Of OME-Zarr folders, the paths of all images that must come of them.

    Returns
    -------
    Doubles
        In words.

    Raises
    ------
    OmeroError
        If OMERO does not answer, or refuses.
    """
    if not arrivals.spare:
        return Doubles()
    plates = plates_of(gateway, [each for path in arrivals.spare if path in parts for each in arrivals.spare[path]])
    copied = sorted(arrivals.spare.keys() & arrivals.images.keys())
    fragments = tuple(
        f"{path} is in OMERO in part only: {_objects(ids, plates)}, with {len(ids)} of its {len(parts[path])} images."
        for path, ids in sorted(arrivals.spare.items())
        if path not in arrivals.images and path in parts
    )
    if not copied:
        return Doubles(fragments=fragments)
    spare = [each for path in copied for each in arrivals.spare[path]]
    return Doubles(
        f"The importer has made images of {_named(copied)} more than once. Copies, without annotations of this run: "
        f"{_objects(spare, plates)}. They were left as they are; delete them in OMERO if you do not want them, the "
        "files stay.",
        fragments,
    )


def _named(paths: Sequence[str]) -> str:
    more = len(paths) - _NAMED
    return f"{', '.join(paths[:_NAMED])} and {more} more" if more > 0 else ", ".join(paths)


def _objects(image_ids: Collection[int], plates: Mapping[int, int]) -> str:
    """Name plates, and images that are in none."""
    kinds = {
        "plate": sorted({plates[each] for each in image_ids if each in plates}),
        "image": sorted({each for each in image_ids if each not in plates}),
    }
    return " and ".join(f"{kind}{'s' * (len(ids) > 1)} {_ranges(ids)}" for kind, ids in kinds.items() if ids)


def _ranges(ids: Iterable[int]) -> str:
    """Write ids in their order, shortly: ``3, 7-9``."""
    runs: list[list[int]] = []
    for each in ids:
        if runs and each == runs[-1][-1] + 1:
            runs[-1][1:] = [each]
        else:
            runs.append([each])
    return ", ".join("-".join(map(str, run)) for run in runs)
