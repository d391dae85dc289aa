"""What belongs to an object: what goes with it when it is deleted or given to another group."""

from __future__ import annotations

from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING

from tests.lab.omero.model.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.model.store import Store

PARTS: Mapping[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "Image": (("Pixels", "image"), ("Roi", "image"), ("WellSample", "image")),
        "Pixels": (
            ("Channel", "pixels"),
            ("RenderingDef", "pixels"),
            ("Thumbnail", "pixels"),
            ("PlaneInfo", "pixels"),
        ),
        "Roi": (("Shape", "roi"),),
        "RenderingDef": (("ChannelBinding", "renderingDef"),),
        "Plate": (("Well", "plate"), ("PlateAcquisition", "plate")),
        "Well": (("WellSample", "well"),),
        "Fileset": (("FilesetEntry", "fileset"), ("Image", "fileset")),
    }
)
"""Objects that cannot be without another: class, and the field that points at it."""

OWNED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Channel": ("logicalChannel", "statsInfo"),
        "RenderingDef": ("quantization",),
        "FileAnnotation": ("file",),
        "WellSample": ("image",),
        "Image": ("fileset",),
        "FilesetEntry": ("originalFile",),
    }
)
"""References to objects that go when nothing else points at them any more."""

CONTAINERS = frozenset({"DatasetImageLink", "ProjectDatasetLink", "ScreenPlateLink", "FilesetJobLink"})
"""Links whose children go with their parents, unless they have another one."""


def is_link(row: Row) -> bool:
    """Whether a row links two others and is nothing without them."""
    return row.cls.endswith("Link") or row.cls in {"PixelsOriginalFileMap", "GroupExperimenterMap"}


def belongings(
    store: Store, targets: Iterable[Row], *, keep: Callable[[Row], bool] = lambda _: False
) -> dict[Row, None]:
    """Return objects with everything that belongs to them, in the order in which they were found.

    Parameters
    ----------
    store : Store
        All objects.
    targets : iterable of Row
        Where to begin.
    keep : callable
        Says of a child or an annotation that would be an orphan whether it stays nevertheless.

    Returns
    -------
    dict
        The rows, as keys.
    """
    found: dict[Row, None] = {}
    waiting = deque(targets)
    while waiting:
        while waiting:
            row = waiting.popleft()
            if row not in found:
                found[row] = None
                waiting.extend(_parts(store, row))
        waiting.extend(orphan for orphan in _orphans(store, found) if orphan not in found and not keep(orphan))
    return found


def _parts(store: Store, row: Row) -> list[Row]:
    known = PARTS.get(SCHEMA.root(row.cls), ())
    return [
        other
        for other, field in store.referrers(row)
        if is_link(other) or any(SCHEMA.is_a(other.cls, cls) and field == name for cls, name in known)
    ]


def _orphans(store: Store, found: Mapping[Row, None]) -> list[Row]:
    """Return what nothing but the rows found so far holds on to."""
    candidates: dict[Row, None] = {}
    for row in found:
        if (row.cls in CONTAINERS and row["parent"] in found) or row.cls.endswith("AnnotationLink"):
            candidates[row["child"]] = None
        for name in OWNED.get(row.cls, ()):
            if row[name] is not None:
                candidates[row[name]] = None
    return [row for row in candidates if row not in found and _is_held_by(store, row, found)]


def _is_held_by(store: Store, row: Row, found: Mapping[Row, None]) -> bool:
    """Whether everything that has a row as its child or part is among the rows found."""
    holders = [
        other
        for other, field in store.referrers(row)
        if field == "child" or (field in OWNED.get(other.cls, ()) and field != "parent")
    ]
    return all(holder in found for holder in holders)


def split_fileset(store: Store, found: Mapping[Row, None]) -> tuple[Row, Row] | None:
    """Return two images of one fileset of which one would go and one would stay; None if there are none."""
    for row in found:
        fileset = row["fileset"] if row.cls == "Image" else None
        if fileset is not None:
            for other in store.collection(fileset, "images"):
                if other not in found:
                    return row, other
    return None


def obstacle(store: Store, found: Mapping[Row, None]) -> tuple[Row, Row, str] | None:
    """Return a reference that forbids deleting rows: (referring row, row, field); None if there is none."""
    for row in found:
        for other, field in store.referrers(row):
            if other not in found and field not in _MAY_BE_EMPTY.get(other.cls, ()):
                return other, row, field
    return None


_MAY_BE_EMPTY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"Image": ("fileset",), "Pixels": ("relatedTo",), "WellSample": ("plateAcquisition",), "Roi": ("source",)}
)
"""References that are emptied when their object is deleted."""
