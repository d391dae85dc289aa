"""Which images in OMERO the importer has made of which file of an archive.

The path decides, and never the name or the dataset: files are known by the paths that a fileset was imported from
(all of its images are the file's, be they one or forty series), OME-Zarr by the path that the importer writes into
``ExternalInfo`` as it registers it. Only what belongs to the person is looked at: others may import the same file.

An importer may make more of a file than one set of images: two of them on one table take every order both, and one that
is restarted leaves what it had begun. OME-Zarr is registered image by image, so that a set may also be cut short. Of
the sets that are whole the first is the result, for good; all others are spare.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import omero.sys
from omero.rtypes import unwrap

from worker.pixels.session import call_context, translated, who

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from omero.gateway import BlitzGateway

    from worker.results.inplace.layout import ArchiveLayout

_OF_FILES = """
select u.clientPath, i.id, i.series, i.details.creationEvent.time, fs.id
from Fileset fs join fs.usedFiles u left outer join fs.images i
where fs.details.owner.id = :user and u.clientPath like :inside
"""

_OF_ZARRS = """
select e.lsid, i.id, i.series, i.details.creationEvent.time from Image i join i.details.externalInfo e
where i.details.owner.id = :user and e.lsid like :inside
"""

_PLATES = """
select ws.image.id, p.id from Plate p join p.wells w join w.wellSamples ws
where p.details.owner.id = :user and ws.image.id in (:ids)
"""

_NUMBER = re.compile(r"(\d+)")

_AT_ONCE: Final = 1000
"""How many ids one query asks about."""

_NO_PARTS: Final[Mapping[str, frozenset[str]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What has become of the files of an archive in OMERO.

    Parameters
    ----------
    images : Mapping
        Path of a file or OME-Zarr folder, below the results, to the ids of its images, in the order of their series.
    spare : Mapping
        Path to the ids of images that were made of it besides: those of further copies, and of ones that are not whole.
    unfinished : frozenset of str
        Paths of files that OMERO knows, but has made no image of: it may be at it still.
    newest_ms : int
        When the last image was made, in milliseconds since 1970 by OMERO's clock; 0 if there is none.
    """

    images: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    spare: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unfinished: frozenset[str] = frozenset()
    newest_ms: int = 0

    def missing(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Name the paths that no image was made of."""
        return tuple(path for path in paths if path not in self.images)


class _Made(NamedTuple):
    """An image that was made of a result."""

    path: str
    image_id: int
    series: int
    fileset_id: int | None
    """None for an image that was registered by itself."""


def find_arrivals(
    gateway: BlitzGateway,
    layout: ArchiveLayout,
    paths: Iterable[str],
    parts: Mapping[str, frozenset[str]] = _NO_PARTS,
) -> Arrivals:
    """Look up what the importer has made of the files of an archive.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session, in the group of the results.
    layout : ArchiveLayout
        The archive.
    paths : iterable of str
        What was ordered, below the results: files, OME-Zarr folders, label images inside these.
    parts : Mapping
        Of OME-Zarr folders, the paths of all images that must come of them.

    Returns
    -------
    Arrivals
        What is there now.

    Raises
    ------
    OmeroError
        If OMERO does not answer, or refuses.
    """
    wanted = frozenset(paths)
    start = f"{layout.marker}/{layout.job_id}_out/data/out/"
    with translated("look up what the importer has made"):
        files = _located(gateway, _OF_FILES, start)
        zarrs = _located(gateway, _OF_ZARRS, start)
    made: dict[str, list[_Made]] = {}
    unfinished, newest = set(), 0
    for path, image_id, series, made_at, *fileset in (*files, *zarrs):
        of = _ordered(path, wanted)
        if of is None:
            continue
        if image_id is None:
            unfinished.add(of)
            continue
        made.setdefault(of, []).append(_Made(path, image_id, series or 0, fileset[0] if fileset else None))
        newest = max(newest, made_at or 0)
    plates = plates_of(gateway, [each.image_id for of in made if len(parts.get(of, ())) > 1 for each in made[of]])
    images: dict[str, tuple[int, ...]] = {}
    spare: dict[str, tuple[int, ...]] = {}
    for of, those in made.items():
        sets = _sets(those, plates)
        whole = next((each for each in sets if parts.get(of, frozenset()) <= {one.path for one in each}), None)
        if whole is not None:
            images[of] = tuple(dict.fromkeys(one.image_id for one in sorted(whole, key=_place)))
        if more := sorted({one.image_id for one in those} - set(images.get(of, ()))):
            spare[of] = tuple(more)
    return Arrivals(images, spare, frozenset(unfinished - set(images)), newest)


def _sets(made: Sequence[_Made], plates: Mapping[int, int]) -> list[list[_Made]]:
    """Tell what was made at one time from what was made at another, the oldest first."""
    sets: dict[tuple[str, int], list[_Made]] = {}
    copies: Counter[str] = Counter()
    for each in sorted(set(made), key=lambda one: one.image_id):
        if each.fileset_id is not None:
            which = ("fileset", each.fileset_id)
        elif each.image_id in plates:
            which = ("plate", plates[each.image_id])
        else:
            which = ("copy", copies[each.path])
            copies[each.path] += 1
        sets.setdefault(which, []).append(each)
    return list(sets.values())


def _place(image: _Made) -> tuple[Any, int, int]:
    return _natural(image.path), image.series, image.image_id


def plates_of(gateway: BlitzGateway, image_ids: Iterable[int]) -> Mapping[int, int]:
    """Look up the plates that images lie in.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    image_ids : iterable of int
        The images.

    Returns
    -------
    Mapping
        From image to plate, for those that lie in one.
    """
    plates: dict[int, int] = {}
    with translated("look up the plates that the importer has made"):
        for ids in _portions(list(image_ids)):
            parameters = _of_person(gateway)
            parameters.addIds(ids)
            rows = gateway.c.sf.getQueryService().projection(_PLATES, parameters, call_context(gateway))
            plates.update(map(unwrap, rows))
    return plates


def _portions(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]


def _located(gateway: BlitzGateway, hql: str, start: str) -> list[tuple[Any, ...]]:
    """Ask for images by the path that they came from, and give that path from the results on."""
    parameters = _of_person(gateway)
    # An underscore stands for any character here; what is found is compared character by character below.
    parameters.addString("inside", f"%{start}%")
    rows = gateway.c.sf.getQueryService().projection(hql, parameters, call_context(gateway))
    located = []
    for path, *rest in (unwrap(row) for row in rows):
        _, there, below = str(path).partition(start)
        if there:
            located.append((below.rstrip("/"), *rest))
    return located


def _of_person(gateway: BlitzGateway) -> Any:
    parameters = omero.sys.ParametersI()
    parameters.addLong("user", who(gateway).user_id)
    return parameters


def _ordered(path: str, wanted: frozenset[str]) -> str | None:
    """Find what was ordered: the path itself, or the nearest folder around it."""
    while path:
        if path in wanted:
            return path
        path = path.rpartition("/")[0]
    return None


def _natural(path: str) -> list[tuple[bool, int, str]]:
    """Sort numbers in paths by their value: series 10 comes after series 9."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _NUMBER.split(path)]
