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
    from worker.results.outputs import Outputs
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


def find_containers(attempt: Attempt, outputs: Outputs | None = None) -> Containers:
    """Find or create what result images go into, and nothing that would stay empty.

    Parameters
    ----------
    attempt : Attempt
        The import.
    outputs : Outputs, optional
        What the analysis wrote, if it is known what it was made from.

    Returns
    -------
    Containers
        What was asked for, and is needed: no screen if no analysed image is in a well, and beside a screen no new
        dataset if every result is of a well.
    """
    options, wells = attempt.options, attempt.surroundings.wells
    into_screen = options.into_screen and bool(wells)
    if options.into_screen and not into_screen:
        attempt.note("Nothing goes into a screen: none of the analysed images is in a well of a plate.")
    placed = into_screen and outputs is not None and _all_in_wells(attempt, outputs)
    into_dataset = options.into_dataset and not (placed and options.dataset_id is None)
    dataset = _found(attempt, target_dataset) if into_dataset else None
    screen = _found(attempt, target_screen) if into_screen else None
    return Containers(dataset, screen)


def _all_in_wells(attempt: Attempt, outputs: Outputs) -> bool:
    sources = [attempt.made_from.get(output.path) for output in outputs.pictures]
    return all(source is not None and source.image_id in attempt.surroundings.wells for source in sources)


def _found(attempt: Attempt, target: Callable[..., tuple[Place, tuple[str, ...]]]) -> Place:
    annotations = references(attempt.annotation_ids)
    place, notes = target(attempt.ledger, attempt.options, attempt.surroundings, annotations)
    attempt.notes += notes
    attempt.report(place.kind, place.object_id, place.name)
    return place
