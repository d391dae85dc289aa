"""Which images in OMERO the importer has made of which file of an archive.

The path decides, and never the name or the dataset: files are known by the paths that a fileset was imported from
(all of its images are the file's, be they one or forty series), OME-Zarr by the path that the importer writes into
``ExternalInfo`` as it registers it. Only what belongs to the person is looked at: others may import the same file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import omero.sys
from omero.rtypes import unwrap

from worker.pixels.session import call_context, translated, who

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from omero.gateway import BlitzGateway

    from worker.results.inplace.layout import ArchiveLayout

_OF_FILES = """
select u.clientPath, i.id, i.series, i.details.creationEvent.time
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


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What has become of the files of an archive in OMERO.

    Parameters
    ----------
    images : Mapping
        Path of a file or OME-Zarr folder, below the results, to the ids of its images, in the order of their series.
    unfinished : frozenset of str
        Paths of files that OMERO knows, but has made no image of: it may be at it still.
    newest_ms : int
        When the last image was made, in milliseconds since 1970 by OMERO's clock; 0 if there is none.
    """

    images: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unfinished: frozenset[str] = frozenset()
    newest_ms: int = 0

    def missing(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Name the paths that no image was made of."""
        return tuple(path for path in paths if path not in self.images)


def find_arrivals(gateway: BlitzGateway, layout: ArchiveLayout, paths: Iterable[str]) -> Arrivals:
    """Look up what the importer has made of the files of an archive.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session, in the group of the results.
    layout : ArchiveLayout
        The archive.
    paths : iterable of str
        What was ordered, below the results: files, OME-Zarr folders, label images inside these.

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
    found: dict[str, list[tuple[Any, int]]] = {}
    unfinished, newest = set(), 0
    for path, image_id, series, made_at in (*files, *zarrs):
        of = _ordered(path, wanted)
        if of is None:
            continue
        if image_id is None:
            unfinished.add(of)
            continue
        found.setdefault(of, []).append(((_natural(path), series or 0, image_id), image_id))
        newest = max(newest, made_at or 0)
    images = {path: tuple(dict.fromkeys(image_id for _, image_id in sorted(each))) for path, each in found.items()}
    return Arrivals(images, frozenset(unfinished - set(images)), newest)


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
    ids = list(image_ids)
    if not ids:
        return {}
    parameters = _of_person(gateway)
    parameters.addIds(ids)
    with translated("look up the plates that the importer has made"):
        rows = gateway.c.sf.getQueryService().projection(_PLATES, parameters, call_context(gateway))
    return dict(map(unwrap, rows))


def _located(gateway: BlitzGateway, hql: str, start: str) -> list[tuple[str, int | None, int | None, int | None]]:
    """Ask for images by the path that they came from, and give that path from the results on."""
    parameters = _of_person(gateway)
    # An underscore stands for any character here; what is found is compared character by character below.
    parameters.addString("inside", f"%{start}%")
    rows = gateway.c.sf.getQueryService().projection(hql, parameters, call_context(gateway))
    located = []
    for path, image_id, series, made_at in (unwrap(row) for row in rows):
        _, there, below = str(path).partition(start)
        if there:
            located.append((below.rstrip("/"), image_id, series, made_at))
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
