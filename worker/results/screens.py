"""The screen that derived plates go into: an existing one, or a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import omero.model
from omero.rtypes import rstring

from worker.results.targets import Target, find_or_create, own_by_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.results.ledger import Ledger
    from worker.results.model import ImportOptions
    from worker.results.surroundings import Place, Surroundings

_OWN_SCREENS = """
select s.id, l.child.id from Screen s left outer join s.plateLinks l
where s.name = :name and s.details.owner.id = :user
"""


def target_screen(
    ledger: Ledger, options: ImportOptions, surroundings: Surroundings, annotations: Sequence[Any]
) -> tuple[Place, tuple[str, ...]]:
    """Find or create the screen for plates of results.

    The id beats the name. A screen that this run created is used again. Otherwise a screen with this name that belongs
    to this person, in this group, is used unless duplicates were allowed: one that holds an analysed plate first, then
    any, the oldest of several.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    options : ImportOptions
        What the person chose; it must name a screen.
    surroundings : Surroundings
        Where the analysed images lie.
    annotations : Sequence of omero.model.MapAnnotationI
        Annotations to link to a screen that is created; saved with it if they are not yet.

    Returns
    -------
    screen : Place
        The screen.
    notes : tuple of str
        What a person should know about it.

    Raises
    ------
    RequestError
        If the chosen id is not that of a screen that this person can see.
    """
    name = options.new_screen or ""
    return find_or_create(
        ledger,
        Target("Screen", options.screen_id, name, options.allow_duplicate_screen),
        lambda: _own_screens(ledger, name, surroundings),
        lambda: (_new_screen(name, annotations), ()),
    )


def _own_screens(ledger: Ledger, name: str, surroundings: Surroundings) -> list[int]:
    plates_of = own_by_name(ledger, _OWN_SCREENS, name)
    analysed = {place.object_id for place in surroundings.plates}
    return sorted(each for each, plates in plates_of.items() if plates & analysed) or sorted(plates_of)


def _new_screen(name: str, annotations: Sequence[Any]) -> Any:
    screen = omero.model.ScreenI()
    screen.setName(rstring(name))
    for annotation in annotations:
        screen.linkAnnotation(annotation)
    return screen
