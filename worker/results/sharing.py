"""What all batches of a run share: the new dataset and the new screen that their results go into."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.pixels.session import translated
from worker.results.annotations import supervisor_annotation
from worker.results.datasets import target_dataset
from worker.results.ledger import Ledger
from worker.results.screens import target_screen
from worker.results.surroundings import read_surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omero.gateway import BlitzGateway

    from worker.results.model import Batch, ImportOptions, SourceFile


def shares(options: ImportOptions) -> bool:
    """Whether something was chosen that the first batch creates and all others use.

    Parameters
    ----------
    options : ImportOptions
        What the person chose.

    Returns
    -------
    bool
        False if everything exists already, or nothing is imported.
    """
    return (options.into_dataset and options.dataset_id is None) or (options.into_screen and options.screen_id is None)


def with_shared(
    gateway: BlitzGateway, options: ImportOptions, sources: Sequence[SourceFile], batch: Batch
) -> ImportOptions:
    """Find or create what all batches of a run put their results into.

    It is the supervising run's: its keys are in that run's ledger, where the next batch finds them. OMERO has no way to
    let the first of two callers win, so the caller makes sure that there is only one at a time.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    options : ImportOptions
        What the person chose.
    sources : Sequence of SourceFile
        What this batch has analysed.
    batch : Batch
        Which batch it is.

    Returns
    -------
    ImportOptions
        The same, with the ids of dataset and screen.

    Raises
    ------
    OmeroError
        If OMERO does not answer, or refuses.
    """
    with translated("find the dataset or screen of all batches"):
        ledger = Ledger.open(gateway, batch.supervisor_id)
        surroundings = read_surroundings(gateway, sources)
        if options.into_dataset and options.dataset_id is None:
            dataset, _ = target_dataset(ledger, options, surroundings, (supervisor_annotation(batch),))
            options = replace(options, dataset_id=dataset.object_id)
        if options.into_screen and options.screen_id is None:
            screen, _ = target_screen(ledger, options, surroundings, (supervisor_annotation(batch),))
            options = replace(options, screen_id=screen.object_id)
        return options
