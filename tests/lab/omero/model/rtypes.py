"""RTypes as plain values and as JSON."""

from __future__ import annotations

from typing import Any

import omero
import omero.model
import omero.rtypes

_SIMPLE = {
    "RString": omero.rtypes.rstring,
    "RInt": omero.rtypes.rint,
    "RLong": omero.rtypes.rlong,
    "RFloat": omero.rtypes.rfloat,
    "RDouble": omero.rtypes.rdouble,
    "RBool": omero.rtypes.rbool,
    "RTime": omero.rtypes.rtime,
}
_LISTS = {"RList": omero.rtypes.rlist, "RSet": omero.rtypes.rset, "RArray": omero.rtypes.rarray}


def plain(value: Any) -> Any:
    """Return what an RType holds; objects become their ids."""
    if isinstance(value, (omero.RList, omero.RSet, omero.RArray)):
        return [plain(item) for item in value.val or []]
    if isinstance(value, omero.RMap):
        return {key: plain(item) for key, item in (value.val or {}).items()}
    if isinstance(value, omero.RObject):
        return value.val._id.val if value.val is not None else None
    return getattr(value, "val", None) if isinstance(value, omero.RType) else value


def to_json(value: Any) -> Any:
    """Return an RType as JSON.

    Raises
    ------
    TypeError
        If it is one that cannot be kept: bytes, internal structures, unsaved objects.
    """
    if value is None:
        return None
    name = _ice_name(value)
    if name in _SIMPLE:
        return [name, value.val]
    if name in _LISTS:
        return [name, [to_json(item) for item in value.val or []]]
    if name == "RMap":
        return [name, {key: to_json(item) for key, item in (value.val or {}).items()}]
    if name == "RObject" and value.val is not None and value.val._id is not None:
        return [name, [type(value.val).__name__, value.val._id.val]]
    raise TypeError(f"a {name} cannot be kept")


def from_json(value: Any) -> Any:
    """Return the RType of what :func:`to_json` made; objects are unloaded."""
    if value is None:
        return None
    name, content = value
    if name in _SIMPLE:
        return _SIMPLE[name](content)
    if name in _LISTS:
        return _LISTS[name]([from_json(item) for item in content])
    if name == "RMap":
        return omero.rtypes.rmap({key: from_json(item) for key, item in content.items()})
    cls, object_id = content
    return omero.rtypes.robject(getattr(omero.model, cls)(object_id, False))


def _ice_name(value: Any) -> str:
    return str(value.ice_id()).rsplit("::", 1)[-1]
