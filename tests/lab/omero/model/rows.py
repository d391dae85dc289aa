"""Stored objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a unit.

    Parameters
    ----------
    type : str
        What is measured, as the model's class is called: ``Length``, ``Time``, ...
    value : float
        The number.
    unit : str
        The unit, as the model's enumeration calls it: ``MICROMETER``.
    """

    type: str
    value: float
    unit: str


class Row:
    """A stored object. It is changed through :class:`tests.lab.omero.model.store.Store` alone.

    Rows are compared by identity: there is one for each object.
    """

    __slots__ = (
        "cls",
        "creation_event",
        "external_info",
        "extra",
        "group",
        "id",
        "owner",
        "permissions",
        "update_event",
        "values",
    )

    def __init__(self, cls: str, row_id: int) -> None:
        self.cls = cls
        self.id = row_id
        self.values: dict[str, Any] = {}
        self.owner: Row | None = None
        self.group: Row | None = None
        self.creation_event: Row | None = None
        self.update_event: Row | None = None
        self.external_info: Row | None = None
        # Of groups alone: the permissions of everything in them, as the model's integer.
        self.permissions: int | None = None
        # What the server keeps about an object outside of the model: passwords, inputs of sessions.
        self.extra: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"{self.cls}:{self.id}"

    def __getitem__(self, name: str) -> Any:
        return self.values.get(name)


DETAILS = ("owner", "group", "creation_event", "update_event", "external_info")
"""Attributes of a row that are rows."""
