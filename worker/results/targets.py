"""What results go into: by id, as this run has created it, one of one's own by name, or a new one, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.results.ledger import Key, Ledger
from worker.results.surroundings import Place, read_place

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Target:
    """What a person chose to put results into.

    Parameters
    ----------
    kind : str
        ``Dataset`` or ``Screen``.
    object_id : int or None
        Id of an existing one; beats the name.
    name : str
        Its name.
    allow_duplicate : bool
        Whether to create one even if the person has one with this name.
    """

    kind: str
    object_id: int | None
    name: str
    allow_duplicate: bool


def find_or_create(
    ledger: Ledger,
    target: Target,
    own: Callable[[], list[int]],
    make: Callable[[], tuple[Any, tuple[str, ...]]],
) -> tuple[Place, tuple[str, ...]]:
    """Find what results go into, or create it.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    target : Target
        What the person chose.
    own : Callable
        Lists those of the person's own that have this name and may be meant, the best first.
    make : Callable
        Makes a new one, not saved yet, with notes about it.

    Returns
    -------
    place : Place
        What they go into.
    notes : tuple of str
        What a person should know about it.

    Raises
    ------
    RequestError
        If the chosen id is not that of one that this person can see.
    """
    gateway, kind, name = ledger.gateway, target.kind, target.name
    if target.object_id is not None:
        return read_place(gateway, kind, target.object_id), ()
    key = Key("-", "-", f"{kind.lower()}:{name}", "")
    entry = ledger.find(key)
    if entry is not None:
        return read_place(gateway, kind, entry.object_id), ()
    found = [] if target.allow_duplicate else own()
    if found:
        several = f"You have {len(found)} {kind.lower()}s named {name!r}; used {found[0]}."
        return read_place(gateway, kind, found[0]), (several,) if len(found) > 1 else ()
    item, notes = make()
    saved, _ = ledger.create(item, key)
    return Place(kind, saved.getId().val, name, may_annotate=True, may_link=True), notes
