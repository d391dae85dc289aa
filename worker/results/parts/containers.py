"""Where result images go: the dataset and the screen, existing or new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.results.annotations import references, supervisor_annotation
from worker.results.datasets import target_dataset
from worker.results.screens import target_screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.results.attempt import Attempt
    from worker.results.surroundings import Place


@dataclass(frozen=True, slots=True)
class Containers:
    """Where result images go.

    Parameters
    ----------
    dataset : Place or None
        The dataset; None if none was asked for.
    screen : Place or None
        The screen for results of wells; None if none was asked for.
    """

    dataset: Place | None = None
    screen: Place | None = None

    @property
    def all(self) -> tuple[Place, ...]:
        """Both, as far as they were asked for."""
        return tuple(place for place in (self.dataset, self.screen) if place is not None)


def find_containers(attempt: Attempt, *, all_into_plates: bool = False) -> Containers:
    """Find or create what result images go into, and nothing that would stay empty.

    Parameters
    ----------
    attempt : Attempt
        The import.
    all_into_plates : bool
        Whether every result is going to be in a plate, if a screen was asked for.

    Returns
    -------
    Containers
        What was asked for, and is needed: no screen if no analysed image is in a well, and beside a screen no new
        dataset if everything goes into plates.
    """
    options = attempt.options
    into_screen = options.into_screen and bool(attempt.surroundings.wells)
    if options.into_screen and not into_screen:
        attempt.note("Nothing goes into a screen: none of the analysed images is in a well of a plate.")
    empty = into_screen and all_into_plates and options.dataset_id is None
    dataset = _found(attempt, target_dataset, options.dataset_id) if options.into_dataset and not empty else None
    screen = _found(attempt, target_screen, options.screen_id) if into_screen else None
    return Containers(dataset, screen)


def _found(attempt: Attempt, target: Callable[..., tuple[Place, tuple[str, ...]]], object_id: int | None) -> Place:
    shared, options, surroundings = attempt.shared, attempt.options, attempt.surroundings
    if shared is not None and object_id is None:
        with shared.turn():
            annotations = (supervisor_annotation(shared.batch),)
            place, notes = target(shared.ledger(attempt.ledger.gateway), options, surroundings, annotations)
    else:
        place, notes = target(attempt.ledger, options, surroundings, references(attempt.annotation_ids))
    attempt.notes += notes
    attempt.report(place.kind, place.object_id, place.name)
    return place
