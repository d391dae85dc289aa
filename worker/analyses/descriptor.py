"""Reading the descriptor of an analysis: BIAFLOWS (``cytomine-*``) descriptor.json.

Descriptors in the wild are written by hand, and the schema leaves much open; what is done about each oddity stands
where it is done. The schema: https://doc.uliege.cytomine.org/dev-guide/algorithms/descriptor-reference
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, cast

from worker.analyses.model import Analysis, Parameter, ParameterType, Value
from worker.errors import DescriptorError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Never

_TYPES: Mapping[str, ParameterType] = {
    "number": "integer",
    "integer": "integer",
    "float": "float",
    "boolean": "boolean",
    "string": "string",
    "domain": "string",
    "listdomain": "string",
}
_ALLOWED_TYPES = "Number, String, Boolean, Domain or ListDomain"
_FLAG = re.compile(r"-[^\s=\x00-\x1f]+")
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def parse_descriptor(data: str | bytes, *, source: str) -> Analysis:
    """Read a descriptor.

    Parameters
    ----------
    data : str | bytes
        Its content; bytes are UTF-8, with or without byte order mark.
    source : str
        Where it comes from, for messages.

    Returns
    -------
    Analysis
        What it describes. Inputs named ``cytomine*`` are left out, as they configure another server.

    Raises
    ------
    DescriptorError
        It cannot be read; the message names the source, the field and the reason.
    """
    document = _load(data, source)
    _refuse_other_schemas(document, source)
    fields = _Fields(document, source)
    inputs = fields.records("inputs")
    name = fields.text("name")
    parameters = [
        _read_input(_Fields(record, source, f"inputs[{index}]."))
        for index, record in enumerate(inputs)
        if not str(record.get("id", "")).lower().startswith("cytomine")
    ]
    seen: set[str] = set()
    for parameter in parameters:
        if parameter.id in seen:
            raise fields.error("inputs", f"the id {parameter.id!r} is there twice")
        seen.add(parameter.id)
    image = _Fields(fields.record("container-image"), source, "container-image.").text("image")
    if any(character.isspace() for character in image) or image.startswith("-"):
        raise fields.error("container-image.image", f"{image!r} is not the name of an image")
    return Analysis(
        name=name,
        description=fields.text("description", default=name),
        image=image,
        schema_version=fields.text("schema-version", default="cytomine-0.1"),
        parameters=tuple(parameters),
    )


def _load(data: str | bytes, source: str) -> dict[str, object]:
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
        document = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise DescriptorError(
            f"{source}, line {error.lineno}, column {error.colno}: this is not JSON: {error.msg}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DescriptorError(f"{source} cannot be read: {error}.") from error
    if not isinstance(document, dict):
        raise DescriptorError(f"{source} holds no JSON object, and so no descriptor.")
    return document


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no number of JSON")


def _refuse_other_schemas(document: Mapping[str, object], source: str) -> None:
    """Tell BIAFLOWS from the other schemas that such files are written in."""
    version = str(document.get("schema-version", ""))
    if "cwlVersion" in document or "openapi" in document:
        found = "a CWL or OpenAPI document, and no descriptor of an analysis"
    elif version.startswith("biomero"):
        found = f"written in {version}, which is not supported"
    elif version.startswith("cytomine") or {"container-image", "inputs"} <= document.keys():
        return
    elif "docker_image" in document:
        found = "written for bilayers, which is not supported"
    else:
        found = "no descriptor: it has neither a schema-version nor container-image and inputs"
    raise DescriptorError(
        f"{source} is {found}.", remedy="Give a descriptor.json with a schema-version of cytomine-0.1."
    )


class _Fields:
    """The fields of one JSON object, and where it stands, for messages."""

    def __init__(self, record: Mapping[str, object], source: str, path: str = "") -> None:
        self.values = record
        self.source = source
        self.path = path

    def error(self, key: str, reason: str) -> DescriptorError:
        return DescriptorError(f"{self.source}: {self.path}{key}: {reason}.")

    def text(self, key: str, *, default: str | None = None) -> str:
        """Read a text; a default also stands in for null and for a blank text."""
        value = self.values.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if default is not None and (value is None or isinstance(value, str)):
            return default
        raise self.error(key, "is missing" if value is None else f"must be a text, and is {_shown(value)}")

    def switch(self, key: str) -> bool:
        value = self.values.get(key)
        if value is None:
            return False
        switch = _switch(value)
        if switch is None:
            raise self.error(key, f"must be true or false, and is {_shown(value)}")
        return switch

    def record(self, key: str) -> Mapping[str, object]:
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.error(key, "is missing" if value is None else f"must be an object, and is {_shown(value)}")
        return cast("Mapping[str, object]", value)

    def records(self, key: str) -> list[Mapping[str, object]]:
        value = self.values.get(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, "is missing" if value is None else "must be a list of objects")
        return cast("list[Mapping[str, object]]", value)


def _read_input(fields: _Fields) -> Parameter:
    identity = fields.text("id")
    if not identity.isprintable() or any(character.isspace() for character in identity):
        raise fields.error("id", f"{identity!r} holds white space or control characters")
    written = fields.text("type")
    kind = _TYPES.get(written.lower())
    if kind is None:
        raise fields.error("type", f"{written!r} is not one of {_ALLOWED_TYPES}")
    default = fields.values.get("default-value")
    kind, default = _type_default(fields, kind, default)
    name = fields.text("name", default=identity)
    low, high = _limit(fields, "minimum", "min"), _limit(fields, "maximum", "max")
    if low is not None and high is not None and low > high:
        raise fields.error("minimum", f"{low:g} is more than the maximum, {high:g}")
    return Parameter(
        id=identity,
        name=_substitute(name, identity),
        type=kind,
        default=default,
        optional=fields.switch("optional"),
        flag=_flag(fields, identity),
        value_key=_substitute(fields.text("value-key", default="@ID"), identity),
        description=fields.text("description", default=name),
        choices=_choices(fields),
        set_by_server=fields.switch("set-by-server"),
        minimum=low,
        maximum=high,
    )


def _type_default(fields: _Fields, kind: ParameterType, default: object) -> tuple[ParameterType, Value | None]:
    """Bring a default to its type; a Number is a float only if its default is written as one (1.0, not 1)."""
    if default is None:
        return kind, None
    if kind == "string":
        if isinstance(default, (dict, list)):
            raise fields.error("default-value", f"must be a text, and is {_shown(default)}")
        return kind, default if isinstance(default, str) else str(default)
    if isinstance(default, str) and not default.strip():
        return kind, None
    if kind == "boolean":
        switch = _switch(default)
        if switch is None:
            raise fields.error("default-value", f"must be true or false, and is {_shown(default)}")
        return kind, switch
    number = _number(default)
    if number is None:
        raise fields.error("default-value", f"must be a number, and is {_shown(default)}")
    if kind == "float" or isinstance(number, float):
        return "float", float(number)
    return kind, number


def _number(value: object) -> int | float | None:
    """Read a number, also one that is written as a text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def _switch(value: object) -> bool | None:
    """Read true or false, also written as a text or as 1 and 0."""
    word = str(value).strip().lower() if isinstance(value, (bool, int, str)) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def _limit(fields: _Fields, *keys: str) -> float | None:
    for key in keys:
        value = fields.values.get(key)
        if value is not None:
            number = _number(value)
            if number is None:
                raise fields.error(key, f"must be a number, and is {_shown(value)}")
            return number
    return None


def _choices(fields: _Fields) -> tuple[str, ...]:
    values = fields.values.get("value-choices")
    if values is None:
        return ()
    if not isinstance(values, list) or any(isinstance(value, (dict, list)) or value is None for value in values):
        raise fields.error("value-choices", "must be a list of texts or numbers")
    return tuple(str(value) for value in cast("list[object]", values))


def _flag(fields: _Fields, identity: str) -> str:
    """Read the option; without one, or with a blank one, it is ``--<id>``. A value follows after ``=``."""
    flag = _substitute(fields.text("command-line-flag", default="--@id"), identity).removesuffix("=")
    if not _FLAG.fullmatch(flag):
        raise fields.error("command-line-flag", f"{flag!r} is not an option such as --{identity}")
    return flag


def _substitute(text: str, identity: str) -> str:
    """Fill in what the schema abbreviates: ``@ID`` is the id in upper case, ``@id`` the id as it is."""
    return text.replace("@ID", identity.upper()).replace("@id", identity)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
