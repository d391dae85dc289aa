"""CSV and TSV files as OMERO.tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import ResultsError
from worker.results.tables import table_name, tables_enabled, write_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.results.attempt import Attempt
    from worker.results.outputs import Output, Outputs
    from worker.results.surroundings import Place


def bring_tables(attempt: Attempt, outputs: Outputs, places: Sequence[Place]) -> list[Output]:
    """Write a table for each file.

    Parameters
    ----------
    attempt : Attempt
        The import.
    outputs : Outputs
        What the analysis wrote.
    places : Sequence of Place
        What the tables are attached to.

    Returns
    -------
    list of Output
        What has to be attached as a file instead.
    """
    if not outputs.tables:
        return []
    if not places:
        attempt.problem("The tables are not in OMERO: you may attach them nowhere.")
        return []
    if not tables_enabled(attempt.ledger.gateway):
        attempt.note("OMERO has no tables service: CSV files are attached as they are.")
        return list(outputs.tables)
    leftover = []
    for output in outputs.tables:
        source = attempt.made_from.get(output.path)
        name = table_name(output.path, attempt.provenance.job_id, attempt.provenance.run_id)
        key = attempt.key(source, f"table:{output.path}", output.sha256)
        try:
            annotation_id = write_table(
                attempt.ledger, key, output.file, name, sources=attempt.sources, about=source, places=places
            )
        except ResultsError as error:
            attempt.note(f"{error} It is attached as a file.")
            leftover.append(output)
        else:
            attempt.report("FileAnnotation", annotation_id, name)
        attempt.step()
    return leftover
