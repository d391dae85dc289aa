"""Where result images go: the dataset, existing or new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.results.annotations import references
from worker.results.datasets import target_dataset

if TYPE_CHECKING:
    from worker.results.attempt import Attempt
    from worker.results.surroundings import Place


@dataclass(frozen=True, slots=True)
class Containers:
    """Where result images go.

    Parameters
    ----------
    dataset : Place or None
        The dataset; None if none was asked for.
    """

    dataset: Place | None = None


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
    if not attempt.options.into_dataset:
        return Containers()
    dataset, notes = target_dataset(
        attempt.ledger, attempt.options, attempt.surroundings, references(attempt.annotation_ids)
    )
    attempt.notes += notes
    attempt.report("Dataset", dataset.object_id, dataset.name)
    return Containers(dataset)
