"""Outlines on their way to OMERO: they come plane by plane, and leave object by object.

An object is one ROI with a shape on each of its planes, and is saved as a whole; so the shapes of a stack have to wait
for its last plane. They wait in a temporary SQLite database, which has no name in any folder and goes with its
connection: memory stays flat however many planes and objects there are.
"""

from __future__ import annotations

import errno
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker.errors import LocalDiskError
from worker.results.outlines import Polygon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.results.outlines import Outline

_LABEL_BYTES: Final = 8

_TABLE = """
create table shapes (label blob, z integer, t integer, points text, x integer, y integer, width integer,
                     height integer, bits blob)
"""
_INSERT = "insert into shapes values (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = """
select label, z, t, points, x, y, width, height, bits from shapes where label > ? order by label, t, z, rowid
"""


@dataclass(frozen=True, slots=True)
class PlacedShape:
    """A shape and the plane that it is on.

    Parameters
    ----------
    z, t : int or None
        The plane; None: every one.
    points : str
        Corners of a polygon as OMERO writes them, ``x,y x,y``; empty for a mask.
    x, y, width, height : int
        Box of a mask.
    bits : bytes
        Its pixels, see :class:`worker.results.outlines.Mask`; empty for a polygon.
    """

    z: int | None
    t: int | None
    points: str
    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0
    bits: bytes = b""

    @property
    def size_bytes(self) -> int:
        """How much of it goes to OMERO."""
        return len(self.points) + len(self.bits)


@dataclass(frozen=True, slots=True)
class PlacedObject:
    """An object on all of its planes.

    Parameters
    ----------
    label : int
        Its number.
    shapes : tuple of PlacedShape
        Its shapes, plane after plane.
    """

    label: int
    shapes: tuple[PlacedShape, ...]

    @property
    def size_bytes(self) -> int:
        """How much of it goes to OMERO."""
        return sum(shape.size_bytes for shape in self.shapes)


class Spool:
    """Shapes that wait until their objects are complete; made by :func:`open_spool`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        with _disk():
            # Nothing of it is ever rolled back, or read by anybody else.
            database.executescript(f"pragma journal_mode = off; pragma synchronous = off; begin; {_TABLE};")

    def add(self, outlines: Iterator[Outline], z: int | None, t: int | None) -> None:
        """Take in the outlines of a plane.

        Parameters
        ----------
        outlines : Iterator of Outline
            The outlines.
        z, t : int or None
            The plane; None: every one.
        """
        with _disk():
            self._database.executemany(_INSERT, (row for each in outlines for row in _rows(each, z, t)))

    def __len__(self) -> int:
        """How many objects there are."""
        with _disk():
            count: int = self._database.execute("select count(distinct label) from shapes").fetchone()[0]
        return count

    def objects(self, after: int) -> Iterator[PlacedObject]:
        """Give the objects in the order of their labels; they stay here.

        Parameters
        ----------
        after : int
            Only those with a higher label.

        Yields
        ------
        PlacedObject
            One object with all its shapes.
        """
        with _disk():
            self._database.execute("create index if not exists shapes_of_label on shapes (label)")
            label, shapes = b"", list[PlacedShape]()
            for each, *shape in self._database.execute(_SELECT, (_stored(after),)):
                if each != label and shapes:
                    yield PlacedObject(int.from_bytes(label, "big"), tuple(shapes))
                    shapes = []
                label = each
                shapes.append(PlacedShape(*shape))
            if shapes:
                yield PlacedObject(int.from_bytes(label, "big"), tuple(shapes))


@contextmanager
def open_spool() -> Iterator[Spool]:
    """Open an empty spool.

    Yields
    ------
    Spool
        The spool; gone when the context ends.

    Raises
    ------
    LocalDiskError
        If there is no room for it, now or later.
    """
    with _disk(), closing(sqlite3.connect("", isolation_level=None)) as database:
        yield Spool(database)


def _rows(outline: Outline, z: int | None, t: int | None) -> Iterator[tuple[object, ...]]:
    label = _stored(outline.label)
    for shape in outline.shapes:
        if isinstance(shape, Polygon):
            points = " ".join(f"{x},{y}" for x, y in shape.corners.tolist())
            yield (label, z, t, points, 0, 0, 0, 0, b"")
        else:
            yield (label, z, t, "", shape.x, shape.y, shape.width, shape.height, shape.bits)


def _stored(label: int) -> bytes:
    # SQLite's integers end at 2**63, labels at 2**64; bytes are sorted in the same order.
    return label.to_bytes(_LABEL_BYTES, "big")


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LocalDiskError(tempfile.gettempdir(), OSError(errno.ENOSPC, str(error))) from error
