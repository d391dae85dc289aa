"""What all batches of a run share: the new dataset or screen that their results go into, and plates of results there.

It is the supervising run's: its keys are in that run's ledger, where the next batch finds them. OMERO has no way to let
the first of two callers win, so batches take turns: whoever drives them makes sure that there is only one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker.pixels.session import translated
from worker.results.annotations import supervisor_annotation
from worker.results.datasets import target_dataset
from worker.results.ledger import Key, Ledger
from worker.results.plates import derive_plate
from worker.results.screens import target_screen
from worker.results.surroundings import read_surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from omero.gateway import BlitzGateway

    from worker.results.attempt import Attempt
    from worker.results.model import Batch, ImportOptions, SourceFile
    from worker.results.plates import DerivedPlate, SourcePlate

    Turn = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Shared:
    """What the batches of a run, each of them some of the images of a plate, write together.

    Parameters
    ----------
    batch : Batch
        Which of the batches this one is.
    turn : Callable
        Gives a context in which no other batch of the run is.
    """

    batch: Batch
    turn: Turn


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
    """Find or create what all batches of a run put their results into, in this batch's turn.

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


def derive_shared(
    attempt: Attempt, batch: Batch, source: SourcePlate, name: str, kind: str, screen_id: int
) -> DerivedPlate:
    """Find or create a plate of results of all batches of a run, in this batch's turn.

    Parameters
    ----------
    attempt : Attempt
        The import of a batch.
    batch : Batch
        Which one it is.
    source : SourcePlate
        The analysed plate.
    name : str
        What the plate is called.
    kind : str
        What the results in it are of the analysed images.
    screen_id : int
        The screen that it goes into.

    Returns
    -------
    DerivedPlate
        The plate; what it says is true of all batches, and what is true of one is with the images of that one.
    """
    workflow, plate_id = attempt.provenance.workflow, source.plate.getId().val
    analysis = f"{workflow} {attempt.provenance.version}".strip()
    return derive_plate(
        Ledger.open(attempt.ledger.gateway, batch.supervisor_id),
        # Each batch has tasks of its own; what they have in common is the analysis, which a run has but once.
        Key("-", f"Plate:{plate_id}", f"plate:{workflow}:{kind}", ""),
        source,
        name,
        f"Results of the batches of Workflow {batch.supervisor_id} | analysis {analysis}"
        f" | source: {source.name} (plate {plate_id})",
        screen_id,
        (supervisor_annotation(batch),),
        shared=True,
    )
