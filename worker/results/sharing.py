"""What all batches of a run share: the new dataset or screen that their results go into, and plates of results there.

It is the supervising run's: its keys are in that run's ledger, where the next batch finds them. OMERO has no way to let
the first of two callers win, so batches take turns: whoever drives them makes sure that there is only one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.results.annotations import supervisor_annotation
from worker.results.ledger import Key, Ledger
from worker.results.plates import derive_plate

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from omero.gateway import BlitzGateway

    from worker.results.attempt import Attempt
    from worker.results.model import Batch
    from worker.results.plates import DerivedPlate, SourcePlate

    Turn = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Shared:
    """What the batches of a run write together.

    Parameters
    ----------
    batch : Batch
        Which of the batches this one is.
    turn : Callable
        Gives a context in which no other batch of the run is.
    """

    batch: Batch
    turn: Turn

    @property
    def has_plates(self) -> bool:
        """Whether batches may have images of the same plate; otherwise a whole plate is in one of them."""
        return self.batch.data_type == "Image"

    def ledger(self, gateway: BlitzGateway) -> Ledger:
        """Read, in this batch's turn, what all of them have written together."""
        return Ledger.open(gateway, self.batch.supervisor_id)


def shared_by(batch: Batch | None, turn: Turn | None) -> Shared | None:
    """Say what an import shares.

    Parameters
    ----------
    batch : Batch or None
        The batch whose results they are, if it is one.
    turn : Callable or None
        Lets batches take turns; without it each writes for itself.

    Returns
    -------
    Shared or None
        What it shares; None: nothing.
    """
    return Shared(batch, turn) if batch is not None and turn is not None else None


def derive_shared(
    attempt: Attempt, shared: Shared, source: SourcePlate, name: str, kind: str, screen_id: int
) -> DerivedPlate:
    """Find or create a plate of results of all batches of a run, in this batch's turn.

    Parameters
    ----------
    attempt : Attempt
        The import of a batch.
    shared : Shared
        What it shares.
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
        shared.ledger(attempt.ledger.gateway),
        # Each batch has tasks of its own; what they have in common is the analysis, which a run has but once.
        Key("-", f"Plate:{plate_id}", f"plate:{workflow}:{kind}", ""),
        source,
        name,
        f"Results of the batches of Workflow {shared.batch.supervisor_id} | analysis {analysis}"
        f" | source: {source.name} (plate {plate_id})",
        screen_id,
        (supervisor_annotation(shared.batch),),
        shared=True,
    )
