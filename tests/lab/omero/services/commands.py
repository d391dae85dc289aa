"""omero.cmd: requests that are submitted, and the handle by which they are followed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import Ice
import omero
import omero.cmd

from tests.lab.omero.deletion import belongings, is_link, obstacle, split_fileset
from tests.lab.omero.model.schema import SCHEMA
from tests.lab.omero.services.base import Service, model_class
from tests.lab.omero.serving.dispatch import log, servant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.lab.omero.blitz import Blitz
    from tests.lab.omero.model.rows import Row
    from tests.lab.omero.security.call import Call
    from tests.lab.omero.security.sessions import Session


class Refused(Exception):
    """A request that is not carried out.

    Parameters
    ----------
    name : str
        Kind of the reason, as clients know it.
    message : str
        The reason.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@servant(omero.cmd.Handle)
class Handle(Service):
    """A request that has been carried out: here, that is over before the handle is there."""

    stateful = True

    def __init__(self, blitz: Blitz, session: Session, request: Any, response: Any) -> None:
        super().__init__(blitz, session)
        self._request = request
        self._response = response

    def getRequest(self, current: Any = None) -> Any:
        return self._request

    def getResponse(self, current: Any = None) -> Any:
        return self._response

    def getStatus(self, current: Any = None) -> Any:
        status = omero.cmd.Status()
        status.flags = [omero.cmd.State.FAILURE] if isinstance(self._response, omero.cmd.ERR) else []
        status.category = status.name = ""
        status.steps = status.currentStep = 1
        status.stepStartTimes, status.stepStopTimes, status.parameters = [0], [0], {}
        return status

    def addCallback(self, callback: Any, current: Any = None) -> None:
        proxy = self.blitz.switchboard.reach(callback).ice_oneway()
        status = self.getStatus(current)

        def finish() -> None:
            try:
                omero.cmd.CmdCallbackPrx.uncheckedCast(proxy).finished(self._response, status)
            except Ice.LocalException as error:
                log.info("a client did not hear of the end of its request: %s", error)

        threading.Thread(target=finish, daemon=True).start()

    def removeCallback(self, callback: Any, current: Any = None) -> None:
        """Do nothing: it has been called already."""

    def cancel(self, current: Any = None) -> bool:
        return False


def carry_out(blitz: Blitz, call: Call, request: Any) -> Any:
    """Carry out a request, all or nothing, and return its response.

    A request that is refused, unknown or broken gets an ERR that says why.
    """
    removed: list[Row] = []
    try:
        with blitz.store.transaction():
            response = _carry_out(blitz, call, request, removed)
    except Refused as error:
        return omero.cmd.GraphException("stand-in", error.name, {"message": str(error)}, str(error))
    except omero.ServerError as error:
        return omero.cmd.ERR("stand-in", type(error).__name__, {"message": error.message})
    for row in removed:
        if row.cls in {"Pixels", "OriginalFile"}:
            blitz.files.remove(row)
    return response


def _carry_out(blitz: Blitz, call: Call, request: Any, removed: list[Row]) -> Any:
    for request_class, action in _ACTIONS.items():
        if isinstance(request, request_class):
            return action(blitz, call, request, removed)
    log.warning("not known here: request %s", type(request).__name__)
    raise Refused("NotImplemented", f"the request {type(request).__name__} is not known to this stand-in for OMERO")


def _do_all(blitz: Blitz, call: Call, request: Any, removed: list[Row]) -> Any:
    return omero.cmd.DoAllRsp([_carry_out(blitz, call, item, removed) for item in request.requests], [])


def _delete(blitz: Blitz, call: Call, request: Any, removed: list[Row]) -> Any:
    targets = _targets(blitz, call, request)
    for row in targets:
        if not call.may_delete(row):
            raise Refused("graph-fail", f"not permitted to delete {row}")
    stays = _keeper(request.childOptions or [])
    found = belongings(blitz.store, targets, keep=lambda row: stays(row) or not call.may_delete(row))
    for row in found:
        if not is_link(row) and not call.may_delete(row) and row.owner is not None and not _goes_along(row):
            raise Refused("graph-fail", f"not permitted to delete {row}, which belongs to {targets[0]}")
    torn = split_fileset(blitz.store, found)
    if torn is not None:
        raise Refused("graph-fail", f"may not delete {torn[0]} while {torn[1]} remains")
    hindrance = obstacle(blitz.store, found)
    if hindrance is not None:
        other, row, field = hindrance
        raise Refused("graph-fail", f"cannot delete {row}: {other}.{field} refers to it")
    if not request.dryRun:
        for row in found:
            blitz.store.delete(row)
        removed.extend(found)
    return omero.cmd.Delete2Response(_by_class(found))


def _goes_along(row: Row) -> bool:
    """Whether an object goes with what it belongs to, whoever owns it: settings and thumbnails of other users."""
    return row.cls in {"RenderingDef", "ChannelBinding", "QuantumDef", "Thumbnail"}


def _keeper(options: Iterable[Any]) -> Callable[[Row], bool]:
    """Return what says whether options of a client keep a child from being deleted."""
    excluded: set[str] = set()
    included: set[str] = set()
    for option in options:
        if option.includeNs or option.excludeNs:
            raise Refused("NotImplemented", "child options with namespaces are not known to this stand-in for OMERO")
        excluded.update(model_class(name) for name in option.excludeType or ())
        included.update(model_class(name) for name in option.includeType or ())

    def stays(row: Row) -> bool:
        if any(SCHEMA.is_a(row.cls, cls) for cls in included):
            return False
        return any(SCHEMA.is_a(row.cls, cls) for cls in excluded)

    return stays


def _change_group(blitz: Blitz, call: Call, request: Any, removed: list[Row]) -> Any:
    store, people = blitz.store, blitz.people
    group = people.group_by_id(request.groupId)
    if group not in people.groups_of(call.user) and not call.may(privilege="Chgrp"):
        raise Refused("graph-fail", f"user {call.user.id} is not a member of group {group.id}")
    targets = _targets(blitz, call, request)
    for row in targets:
        if not call.may_move(row):
            raise Refused("graph-fail", f"not permitted to move {row}")
    stays = _keeper(request.childOptions or [])
    found = belongings(store, targets, keep=lambda row: stays(row) or not call.may_move(row))
    broken = [
        row
        for row in found
        if is_link(row) and any(row[name] is not None and row[name] not in found for name in ("parent", "child"))
    ]
    moved = [row for row in found if row not in broken]
    torn = split_fileset(store, found)
    if torn is not None:
        raise Refused("graph-fail", f"may not move {torn[0]} while {torn[1]} remains")
    for row in moved:
        if row.owner is not None and not is_link(row) and not call.may_move(row) and not _goes_along(row):
            raise Refused("graph-fail", f"not permitted to move {row}, which belongs to {targets[0]}")
    if not request.dryRun:
        for row in broken:
            store.delete(row)
        for row in moved:
            store.set_details(row, group=group)
    response = omero.cmd.Chgrp2Response()
    response.includedObjects, response.deletedObjects = _by_class(moved), _by_class(broken)
    return response


def _legal_targets(blitz: Blitz, call: Call, request: Any, removed: list[Row]) -> Any:
    """Return what can be deleted or moved: anything."""
    return omero.cmd.LegalGraphTargetsResponse([f"ome.model.{name}" for name in sorted(SCHEMA.classes)])


def _original_metadata(blitz: Blitz, call: Call, request: Any, removed: list[Row]) -> Any:
    """Return nothing: nothing is imported from files with metadata here."""
    response = omero.cmd.OriginalMetadataResponse()
    response.globalMetadata, response.seriesMetadata = {}, {}
    return response


def _targets(blitz: Blitz, call: Call, request: Any) -> list[Row]:
    """Return the objects of a request; the context's group does not matter to these requests."""
    found = []
    for name, ids in request.targetObjects.items():
        for object_id in ids:
            row = blitz.store.get(model_class(name), object_id)
            if row is None or not call.in_all_groups().may_see(row):
                raise Refused("graph-fail", f"cannot read {name}:{object_id}")
            found.append(row)
    return found


def _by_class(rows: Iterable[Row]) -> Mapping[str, list[int]]:
    result: dict[str, list[int]] = {}
    for row in rows:
        result.setdefault(f"ome.model.{row.cls}", []).append(row.id)
    return result


_ACTIONS: dict[Any, Callable[[Blitz, Call, Any, list[Row]], Any]] = {
    omero.cmd.DoAll: _do_all,
    omero.cmd.Delete2: _delete,
    omero.cmd.Chgrp2: _change_group,
    omero.cmd.LegalGraphTargets: _legal_targets,
    omero.cmd.OriginalMetadataRequest: _original_metadata,
}
