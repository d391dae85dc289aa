"""Removing the ROIs that are on an image already, once for each run and image.

Before anything is removed, a record says what will be, and is kept: a repetition removes what is left of exactly that,
and nothing that was drawn in the meantime, by a person or by this run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import omero.model
import omero.sys
from omero.rtypes import rstring, unwrap

from worker.pixels.session import call_context
from worker.results.deletion import delete
from worker.results.rois import rois_of_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.results.ledger import Key, Ledger

NS_CLEARED: Final = "biomero/worker/rois-cleared"
"""Namespace of the map annotations that say which ROIs a run has removed."""

_DELETED_AT_ONCE: Final = 500

_ON_IMAGE = "select r from Roi r where r.image.id = :id order by r.id"
_STILL_THERE = "select r.id from Roi r where r.id in (:ids)"


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a run has removed from an image.

    Parameters
    ----------
    removed : int
        How many ROIs.
    kept : int
        How many that this person may not delete.
    """

    removed: int
    kept: int


def clear(ledger: Ledger, key: Key, image_id: int, name_filter: str, own_role: str) -> Cleared:
    """Remove ROIs from an image, unless the run has done so already.

    Parameters
    ----------
    ledger : Ledger
        The run's ledger.
    key : Key
        Key of this clearing.
    image_id : int
        The image.
    name_filter : str
        Remove only those whose name holds this text; empty: all.
    own_role : str
        What the roles of keys of those ROIs begin with that the run itself draws now; they stay.

    Returns
    -------
    Cleared
        What was removed, by whichever attempt.

    Raises
    ------
    OmeroRefused
        If OMERO does not delete them.
    """
    entry = ledger.find(key)
    if entry is None:
        ids, kept = _removable(ledger, image_id, name_filter, own_role)
        _, entry = ledger.create(_record(image_id, ids, kept), key, complete=not ids)
    else:
        ids, kept = _recorded(ledger, entry.object_id)
    if not entry.complete:
        for start in range(0, len(ids), _DELETED_AT_ONCE):
            if still := _still_there(ledger, ids[start : start + _DELETED_AT_ONCE]):
                delete(ledger.gateway, "Roi", still)
        ledger.finish(key, [])
    return Cleared(len(ids), kept)


def _removable(ledger: Ledger, image_id: int, name_filter: str, own_role: str) -> tuple[list[int], int]:
    own = {roi_id for roi_id, _ in rois_of_run(ledger, image_id, own_role)}
    parameters = omero.sys.ParametersI()
    parameters.addId(image_id)
    service = ledger.gateway.c.sf.getQueryService()
    found = [
        (each.getId().val, each.getDetails().getPermissions().canDelete())
        for each in service.findAllByQuery(_ON_IMAGE, parameters, call_context(ledger.gateway))
        if name_filter in (unwrap(each.getName()) or "")
    ]
    removable = [roi_id for roi_id, deletable in found if deletable and roi_id not in own]
    return removable, sum(not deletable for _, deletable in found)


def _record(image_id: int, ids: Sequence[int], kept: int) -> Any:
    record = omero.model.MapAnnotationI()
    record.setNs(rstring(NS_CLEARED))
    pairs = (("Image", image_id), ("Removed ROIs", ",".join(str(each) for each in ids)), ("Kept ROIs", kept))
    record.setMapValue([omero.model.NamedValue(name, str(value)) for name, value in pairs])
    return record


def _recorded(ledger: Ledger, record_id: int) -> tuple[list[int], int]:
    service = ledger.gateway.c.sf.getQueryService()
    record = service.get("MapAnnotation", record_id, call_context(ledger.gateway))
    said = {pair.name: pair.value for pair in record.getMapValue()}
    return [int(each) for each in said["Removed ROIs"].split(",") if each], int(said["Kept ROIs"])


def _still_there(ledger: Ledger, ids: Sequence[int]) -> list[int]:
    parameters = omero.sys.ParametersI()
    parameters.addIds(list(ids))
    rows = ledger.gateway.c.sf.getQueryService().projection(_STILL_THERE, parameters, call_context(ledger.gateway))
    return [row[0] for row in unwrap(rows)]
