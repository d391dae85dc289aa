"""Tables of an analysis (CSV, TSV, Parquet) as OMERO.tables."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import omero.sys
from omero.rtypes import unwrap

from worker.errors import ResultsError
from worker.pixels.session import call_context
from worker.results.known import Known, Well
from worker.results.naming import fitting
from worker.results.numbering import find_numberings
from worker.results.surroundings import read_places
from worker.results.tables import table_names, tables_enabled, write_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.results.attempt import Attempt
    from worker.results.outputs import Output, Outputs
    from worker.results.surroundings import Place

_WELLS = "select w.plate.id, w.id, w.row, w.column from Well w where w.plate.id in (:ids)"
_WELLS_OF_IMAGES = "select ws.image.id, ws.well.id from WellSample ws where ws.well.plate.id in (:ids)"


def bring_tables(attempt: Attempt, outputs: Outputs, places: Sequence[Place]) -> list[Output]:
    """Write a table for each file that is one.

    Parameters
    ----------
    attempt : Attempt
        The import.
    outputs : Outputs
        What the analysis wrote.
    places : Sequence of Place
        What the tables are attached to; one annotation serves all.

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
        attempt.note("OMERO has no tables service: tables are attached as files.")
        return list(outputs.tables)
    known = known_objects(attempt)
    provenance = attempt.provenance
    numberings = find_numberings(outputs.tables, known) if len(outputs.tables) > 1 else {}
    names = table_names([output.path for output in outputs.tables], provenance.job_id, provenance.run_id)
    leftover = []
    for output in outputs.tables:
        source = attempt.made_from.get(output.path)
        name = fitting(names[output.path])
        key = attempt.key(source, f"table:{output.path}", output.sha256)
        try:
            written = write_table(
                *(attempt.ledger, key, output.file, name),
                known=known,
                about=source,
                places=places,
                numbering=numberings.get(str(PurePosixPath(output.path).parent)),
            )
        except ResultsError as error:
            attempt.note(f"{error} It is attached as a file.")
            leftover.append(output)
        else:
            attempt.notes += written.notes
            attempt.report("FileAnnotation", written.annotation_id, name)
        attempt.step()
    return leftover


def table_places(attempt: Attempt, places: Sequence[Place]) -> tuple[Place, ...]:
    """Say what tables are attached to.

    Parameters
    ----------
    attempt : Attempt
        The import, after its plates.
    places : Sequence of Place
        What results are attached to.

    Returns
    -------
    tuple of Place
        What the person chose; else ``places`` and the plates that were made of the results.
    """
    gateway = attempt.ledger.gateway
    derived = [f"Plate:{each.object_id}" for each in attempt.objects if each.kind == "Plate"]
    chosen = read_places(gateway, attempt.options.table_places)
    return chosen or (*places, *(place for place in read_places(gateway, derived) if place.may_annotate))


def known_objects(attempt: Attempt) -> Known:
    """List what the rows of tables can be about.

    Parameters
    ----------
    attempt : Attempt
        The import.

    Returns
    -------
    Known
        The analysed images, their wells, plates and datasets, and the ROIs of this run.
    """
    around = attempt.surroundings
    plate_ids = [plate.object_id for plate in around.plates]
    analysed = {source.image_id for source in attempt.sources}
    wells: dict[int, set[int]] = {}
    for image_id, well_id in _rows(attempt, _WELLS_OF_IMAGES, plate_ids):
        wells.setdefault(image_id, set()).add(well_id)
    return Known(
        sources=attempt.sources,
        wells=tuple(Well(*row) for row in _rows(attempt, _WELLS, plate_ids)),
        well_of_image={image: min(ids) for image, ids in wells.items() if image in analysed and len(ids) == 1},
        plates={plate.object_id: plate.name for plate in around.plates},
        datasets={dataset.object_id: dataset.name for dataset in around.datasets},
        rois=attempt.rois,
    )


def _rows(attempt: Attempt, hql: str, ids: Sequence[int]) -> Iterator[list[Any]]:
    if not ids:
        return
    gateway = attempt.ledger.gateway
    parameters = omero.sys.ParametersI()
    parameters.addIds(list(ids))
    rows = gateway.c.sf.getQueryService().projection(hql, parameters, call_context(gateway))
    yield from (unwrap(row) for row in rows)
