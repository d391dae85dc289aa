"""What results go into: by id, as this run has created it, one of one's own by name, or a new one, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import omero.sys
from omero.rtypes import unwrap

from worker.pixels.session import call_context, who
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


def own_by_name(ledger: Ledger, query: str, name: str) -> dict[int, set[int]]:
    """List what a person owns under a name, with what each is linked to.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    query : str
        Asks for the id of each and of what it is linked to, if anything; its parameters are ``name`` and ``user``.
    name : str
        The name.

    Returns
    -------
    dict of int to set of int
        Ids of what each is linked to, by its own id.
    """
    parameters = omero.sys.ParametersI()
    parameters.addString("name", name)
    parameters.addLong("user", who(ledger.gateway).user_id)
    service = ledger.gateway.c.sf.getQueryService()
    linked: dict[int, set[int]] = {}
    for row in service.projection(query, parameters, call_context(ledger.gateway)):
        object_id, other_id = unwrap(row)
        linked.setdefault(object_id, set()).update(() if other_id is None else (other_id,))
    return linked
