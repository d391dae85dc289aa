"""Where result images go: the dataset and the screen, existing or new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.results.annotations import references
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


def find_containers(attempt: Attempt) -> Containers:
    """Find or create what result images go into.

    Parameters
    ----------
    attempt : Attempt
        The import.

    Returns
    -------
    Containers
        What was asked for.
    """
    dataset = _found(attempt, target_dataset) if attempt.options.into_dataset else None
    screen = _found(attempt, target_screen) if attempt.options.into_screen else None
    return Containers(dataset, screen)


def _found(attempt: Attempt, target: Callable[..., tuple[Place, tuple[str, ...]]]) -> Place:
    annotations = references(attempt.annotation_ids)
    place, notes = target(attempt.ledger, attempt.options, attempt.surroundings, annotations)
    attempt.notes += notes
    attempt.report(place.kind, place.object_id, place.name)
    return place
