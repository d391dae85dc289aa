"""Descriptors of biomero-schema: ``descriptor.json`` with a schema-version of ``biomero-0.1`` or ``1.0.0``.

Its inputs are written as those of BIAFLOWS are, with images, files and arrays besides. The schema:
https://github.com/NL-BioImaging/biomero-schema
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from worker.analyses import biaflows, bilayers, template
from worker.analyses.model import Analysis, Parameter, Resources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.analyses.fields import Fields

_SCALARS: Mapping[str, str] = {"image": "string", **dict.fromkeys(bilayers.FILE_TYPES, "string")}


def read_biomero_schema(fields: Fields) -> Analysis:
    """Read a descriptor.

    Parameters
    ----------
    fields : Fields
        The descriptor.

    Returns
    -------
    Analysis
        What it describes. Its command line counts if it can be filled in, which is to say if it names what the
        descriptor describes and both folders; else the container is called as those of BIAFLOWS are.

    Raises
    ------
    DescriptorError
        A field is missing or wrong.
    """
    inputs = [record for record in fields.records("inputs") if not biaflows.for_cytomine(record)]
    configuration = fields.optional_record("configuration")
    name = fields.text("name")
    analysis = Analysis(
        name=name,
        description=fields.text("description", default=name),
        image=fields.record("container-image").image("image"),
        schema_version=fields.plain("schema-version"),
        parameters=(
            *map(_read_input, inputs),
            *(_read_output(record) for record in fields.records("outputs", required=False)),
        ),
        command=fields.text("command-line", default=""),
        input_folder=_read_folder(configuration, "input_folder"),
        output_folder=_read_folder(configuration, "output_folder"),
        resources=_read_resources(configuration.optional_record("resources")),
        citations=bilayers.read_citations(fields),
        requires_zarr=any(bilayers.is_zarr_input(record, "sub-type") for record in inputs),
        requires_plate=any(bilayers.is_plate_input(record, "sub-type") for record in inputs),
    )
    return replace(analysis, style="biomero") if template.can_be_filled(analysis) else analysis


def _read_input(fields: Fields) -> Parameter:
    kind = fields.text("type").lower()
    if kind not in _SCALARS and not fields.switch("file-attachment"):
        return biaflows.read_input(fields)
    as_text = replace(fields, values={**fields.values, "type": "string", "default-value": None})
    parameter = replace(biaflows.read_input(as_text), formats=bilayers.file_formats(fields))
    if kind == "image":
        return replace(parameter, set_by_server=True, folder="" if parameter.optional else "input")
    # A file is given by a person, even where the schema calls it the server's to set.
    return replace(parameter, file_attachment=True, set_by_server=False)


def _read_output(fields: Fields) -> Parameter:
    """Read an output: whatever it is said to be, what the container is told is where to write it."""
    identity = fields.identity("id")
    flag = biaflows.read_flag(fields, identity) if fields.text("command-line-flag", default="") else ""
    name = fields.text("name", default=identity)
    return Parameter(
        id=identity,
        name=biaflows.substitute(name, identity),
        type="string",
        default=None,
        optional=True,
        flag=flag,
        value_key=biaflows.substitute(fields.text("value-key", default="[@ID]"), identity),
        description=fields.text("description", default=name),
        set_by_server=True,
        folder="output",
    )


def _read_folder(fields: Fields, key: str) -> str:
    """Read where a folder is in the container."""
    key = key if key in fields.values else key.replace("_", "-")
    folder = fields.text(key, default="")
    if folder and (not folder.startswith("/") or not folder.isprintable() or ".." in folder.split("/")):
        raise fields.error(key, f"{folder!r} is not the full path of a folder")
    return folder.rstrip("/")


def _read_resources(fields: Fields) -> Resources:
    """Read what the analysis needs; what it gives as a fraction is rounded up, and nothing (0) says nothing."""
    cores, memory_mib = fields.number("cores-min"), fields.number("ram-min")
    return Resources(
        gpu=fields.switch("gpu") or bool(fields.values.get("cuda-requirements")),
        cores=math.ceil(cores) if cores and cores > 0 else None,
        memory_mib=math.ceil(memory_mib) if memory_mib and memory_mib > 0 else None,
    )
