"""The dataset and the screen that an order names: they must be there before it is placed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.pixels.session import translated
from worker.results.annotations import write_provenance
from worker.results.attempt import Attempt
from worker.results.ledger import Ledger
from worker.results.parts.containers import find_containers
from worker.results.sharing import shared_by
from worker.results.surroundings import read_surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omero.gateway import BlitzGateway

    from worker.results.model import ImportOptions, Provenance, SourceFile
    from worker.results.parts.containers import Containers
    from worker.results.sharing import Turn


def find_destinations(
    gateway: BlitzGateway,
    sources: Sequence[SourceFile],
    options: ImportOptions,
    provenance: Provenance,
    turn: Turn | None = None,
) -> Containers:
    """Find or create what images are going to be imported into; the import itself finds the same afterwards.

    Parameters
    ----------
    gateway : BlitzGateway
        The person's session.
    sources : Sequence of SourceFile
        What was analysed.
    options : ImportOptions
        What the person chose.
    provenance : Provenance
        Where the results come from.
    turn : Callable, optional
        Lets batches take turns, as in :func:`worker.results.importer.import_results`.

    Returns
    -------
    Containers
        Dataset and screen, as far as they were asked for.

    Raises
    ------
    OmeroError
        If OMERO does not answer, or refuses.
    """
    with translated("find where result images go"):
        ledger = Ledger.open(gateway, provenance.run_id)
        shared = shared_by(provenance.batch, turn)
        attempt = Attempt(ledger, read_surroundings(gateway, sources), sources, options, provenance, shared=shared)
        attempt.annotation_ids = write_provenance(ledger, provenance)
        return find_containers(attempt)
