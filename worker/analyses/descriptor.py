"""Reading the descriptor of an analysis, in whatever schema it is written.

Another schema takes a module of its own with a function that makes an `Analysis` of `Fields`, and a line in `SCHEMAS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.analyses.biaflows import read_biaflows
from worker.analyses.bilayers import read_bilayers
from worker.analyses.biomero_schema import read_biomero_schema
from worker.analyses.document import load_document
from worker.analyses.fields import Fields
from worker.errors import DescriptorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.analyses.model import Analysis


@dataclass(frozen=True, slots=True)
class Schema:
    """A way of writing descriptors.

    Parameters
    ----------
    name : str
        What persons call it.
    recognise : callable
        Says whether a descriptor is written in it.
    read : callable
        Reads the descriptor.
    """

    name: str
    recognise: Callable[[Fields], bool]
    read: Callable[[Fields], Analysis]


def _version(fields: Fields) -> str:
    return str(fields.values.get("schema-version", "")).lower()


SCHEMAS = (
    Schema("BIAFLOWS (descriptor.json)", lambda fields: _version(fields).startswith("cytomine"), read_biaflows),
    Schema("biomero-schema", lambda fields: _version(fields).startswith(("biomero", "1.")), read_biomero_schema),
    Schema("bilayers (config.yaml)", lambda fields: "docker_image" in fields.values, read_bilayers),
    # Descriptors without a version, or with that of a schema that nobody reads, look like those of BIAFLOWS.
    Schema("BIAFLOWS", lambda fields: {"container-image", "inputs"} <= fields.values.keys(), read_biaflows),
)
"""The schemas, in the order in which they are recognised."""


def parse_descriptor(data: str | bytes, *, source: str) -> Analysis:
    """Read a descriptor.

    Parameters
    ----------
    data : str | bytes
        Its content, JSON or YAML; bytes are UTF-8, with or without byte order mark.
    source : str
        Where it comes from, for messages.

    Returns
    -------
    Analysis
        What it describes.

    Raises
    ------
    DescriptorError
        It cannot be read; the message names the source, the line, the field and the reason.
    """
    document = load_document(data, source=source)
    fields = Fields(document, document.values)
    analysis = _schema_of(fields).read(fields)
    seen: set[str] = set()
    for parameter in analysis.parameters:
        if parameter.id in seen:
            raise fields.error("inputs", f"the id {parameter.id!r} is there twice")
        seen.add(parameter.id)
    return analysis


def _schema_of(fields: Fields) -> Schema:
    if not {"cwlVersion", "openapi"}.isdisjoint(fields.values) or "openapi" in str(fields.values.get("$schema", "")):
        found = "a CWL or OpenAPI document, and no descriptor of an analysis"
    else:
        for schema in SCHEMAS:
            if schema.recognise(fields):
                return schema
        found = "no descriptor: it has neither a schema-version nor container-image and inputs nor docker_image"
    raise DescriptorError(
        f"{fields.document.source} is {found}.",
        remedy="Give a descriptor.json of BIAFLOWS or biomero-schema, or a config.yaml of bilayers.",
    )
