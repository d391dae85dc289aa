"""Orders to the importer: rows of a table of its own, which it follows and appends to.

The tables belong to the importer, which makes and migrates them; here they are only described, checked and added to.
An order is a uuid. Its first row (``Import Pending``) is ours; the importer appends one row for each stage that it
reaches and never changes one. The uuid of an order follows from what it is for, so that a repetition finds the order
that it has placed before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID, uuid5

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


PENDING: Final = "Import Pending"
STARTED: Final = "Import Started"
PREPROCESSING: Final = "Import Preprocessing"
COMPLETED: Final = "Import Completed"
FAILED: Final = "Import Failed"

FORGOTTEN_S: Final = 300.0
"""The importer looks for orders every 5 s, and every minute at worst: one that waits longer is waiting for nobody."""

_METADATA = sa.MetaData()

preprocessing = sa.Table(
    "imports_preprocessing",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("container", sa.String, nullable=False),
    sa.Column("input_file", sa.String, nullable=False),
    sa.Column("output_folder", sa.String, nullable=False),
    sa.Column("alt_output_folder", sa.String),
    sa.Column("extra_params", sa.JSON),
)

imports = sa.Table(
    "imports",
    _METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("user_name", sa.String, nullable=False, index=True),
    sa.Column("destination_id", sa.String, nullable=False),
    sa.Column("destination_type", sa.String, nullable=False),
    sa.Column("stage", sa.String, nullable=False),
    sa.Column("uuid", sa.String(36), nullable=False, index=True),
    sa.Column("timestamp", sa.DateTime(timezone=True)),
    sa.Column("files", sa.Text, nullable=False),
    sa.Column("file_names", sa.Text),
    sa.Column("description", sa.Text),
    sa.Column("preprocessing_id", sa.Integer, sa.ForeignKey("imports_preprocessing.id")),
    sa.Index("imports_ix_uuid_timestamp", "uuid", "timestamp"),
)
"""The importer's table, as version 1.4.2 has it."""


@dataclass(frozen=True, slots=True)
class Order:
    """Files that the importer is to register, and where.

    Parameters
    ----------
    uuid : UUID
        What it is known by; see `order_uuid`.
    group_name, user_name : str
        On whose behalf, in which group of OMERO.
    destination_type : str
        ``Dataset`` or ``Screen``.
    destination_id : int
        Its id.
    files : tuple of str
        Absolute paths of files and OME-Zarr folders.
    """

    uuid: UUID
    group_name: str
    user_name: str
    destination_type: Literal["Dataset", "Screen"]
    destination_id: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One thing that was said about an order.

    Parameters
    ----------
    row_id : int
        Grows with every row.
    stage : str
        The stage, such as ``Import Started``.
    description : str
        What was said with it; of a failure, why.
    said_at : datetime or None
        When, with time zone; by the clock of whoever said it.
    """

    row_id: int
    stage: str
    description: str = ""
    said_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OrderHistory:
    """All that was said about one order.

    Parameters
    ----------
    uuid : UUID
        The order.
    rows : tuple of OrderRow
        What was said, in its order.
    overtaken : bool
        Whether the importer has begun an order that was placed after it.
    silent_s : float
        For how many seconds nothing was said about it.
    """

    uuid: UUID
    rows: tuple[OrderRow, ...] = ()
    overtaken: bool = False
    silent_s: float = 0.0

    @property
    def importers(self) -> int:
        """How many importers have begun it: none does so twice."""
        return sum(row.stage == STARTED for row in self.rows)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Orders that nobody has begun, and those that too many have.

    Parameters
    ----------
    orders : int
        How many, of the last ten days.
    oldest_s : float
        For how long the oldest of them has waited.
    shared : int
        How many orders of that time more than one importer has begun.
    """

    orders: int = 0
    oldest_s: float = 0.0
    shared: int = 0

    @property
    def forgotten(self) -> bool:
        """Whether the importer seems to be down."""
        return self.orders > 0 and self.oldest_s > FORGOTTEN_S


def order_uuid(task_id: UUID, what: str, attempt: int) -> UUID:
    """Name an order, so that whoever places it again finds it.

    Parameters
    ----------
    task_id : UUID
        The task that imports the results.
    what : str
        What is ordered: ``images``, ``labels``, ``images-2``, ...
    attempt : int
        Number of the attempt, from 1.

    Returns
    -------
    UUID
        Its name, always the same.
    """
    return uuid5(task_id, f"{what}/{attempt}")


def name_orders(uuids: Sequence[object]) -> str:
    """Name orders in a sentence.

    Parameters
    ----------
    uuids : Sequence
        Their uuids; more than four are not all told.

    Returns
    -------
    str
        Their names.
    """
    names = [str(uuid) for uuid in uuids]
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} more"]
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def file_names(files: Sequence[str]) -> list[str]:
    """Name the files of an order as the importer's own clients do: of more than two, the first and the last."""
    names = [PurePosixPath(file).name for file in files]
    return names if len(names) <= 2 else [names[0], "...", names[-1]]
