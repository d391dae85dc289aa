"""Descriptors of bilayers: ``config.yaml`` with a ``docker_image``.

The schema: https://bilayers.org/understanding-config/; what its own generator of command lines does with it counts
where the schema is silent. Some configs are written by hand, some by a program that writes every key to every
parameter, so that a key only counts where the type gives it a meaning.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from worker.analyses.fields import Fields, read_switch
from worker.analyses.model import (
    FILE_COUNTS,
    MODES,
    Analysis,
    Citation,
    Folder,
    HiddenArgument,
    Parameter,
    ParameterType,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SCHEMA_VERSION = "bilayers-1.0.0"

_TYPES: Mapping[str, ParameterType] = {
    "integer": "integer",
    "float": "float",
    "number": "float",
    "boolean": "boolean",
    "checkbox": "boolean",
    "dropdown": "string",
    "radio": "string",
    "string": "string",
    "text": "string",
    "textbox": "string",
}
FILE_TYPES = frozenset({"array", "executable", "file", "measurement"})
_ZARR = frozenset({"zarr", "omezarr", "ome.zarr", "ome-zarr"})
_NO_EXTENSIONS = frozenset({"unix", "directory", "any", "none"})
"""What stands where extensions should, and is none."""
_TAG = re.compile(r"[^\s\x00-\x1f]*")
_RESOLVER = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)", re.IGNORECASE)


def read_bilayers(fields: Fields) -> Analysis:
    """Read a descriptor.

    Parameters
    ----------
    fields : Fields
        The descriptor.

    Returns
    -------
    Analysis
        What it describes. It is named after the first tool to be cited, as elsewhere.

    Raises
    ------
    DescriptorError
        A field is missing or wrong.
    """
    inputs = _named(fields, "inputs")
    image = fields.record("docker_image")
    citations = read_citations(fields)
    execution = fields.optional_record("exec_function")
    name = citations[0].name if citations else fields.text("algorithm_folder_name", default=image.image("name"))
    parameters = [*map(_read_input, inputs), *map(_read_output, _named(fields, "outputs"))]
    parameters += map(_read_parameter, _named(fields, "parameters"))
    return Analysis(
        name=name,
        description=citations[0].description if citations and citations[0].description else name,
        image=_read_image(image),
        schema_version=SCHEMA_VERSION,
        parameters=tuple(_on_the_command_line(parameters)),
        style="bilayers",
        command=execution.text("cli_command", default=""),
        hidden_arguments=tuple(map(_read_hidden, _named(execution, "hidden_args"))),
        citations=citations,
        requires_zarr=any(is_zarr_input(record, "subtype") for record in inputs),
        requires_plate=any(is_plate_input(record, "subtype") for record in inputs),
    )


def read_citations(fields: Fields) -> tuple[Citation, ...]:
    """Read what to cite; no citations are fine.

    Parameters
    ----------
    fields : Fields
        The descriptor.

    Returns
    -------
    tuple[Citation, ...]
        The citations that have a name.

    Raises
    ------
    DescriptorError
        A field is wrong.
    """
    value = fields.values.get("citations")
    if isinstance(value, dict):
        # An early version of bilayers lists them by what they belong to.
        group = fields.record("citations")
        records = [record for key in value for record in group.records(key)]
    else:
        records = fields.records("citations", required=False)
    return tuple(
        Citation(
            name=record.plain("name"),
            doi=_RESOLVER.sub("", record.plain("doi")),
            license=record.plain("license"),
            description=record.plain("description"),
        )
        for record in records
        if record.plain("name")
    )


def is_zarr_input(fields: Fields, subtype: str) -> bool:
    """Say whether an input asks for OME-Zarr: by its format, or as a plate, which nothing else can hold.

    Parameters
    ----------
    fields : Fields
        The input.
    subtype : str
        The key of its subtype.

    Returns
    -------
    bool
        Whether it does.
    """
    if fields.text("type").lower() != "image":
        return False
    return bool(_ZARR.intersection(fields.formats("format"))) or is_plate_input(fields, subtype)


def is_plate_input(fields: Fields, subtype: str) -> bool:
    """Say whether an input asks for a plate.

    Parameters
    ----------
    fields : Fields
        The input.
    subtype : str
        The key of its subtype.

    Returns
    -------
    bool
        Whether it does.
    """
    return fields.text("type").lower() == "image" and "plate" in fields.formats(subtype)


def file_formats(fields: Fields) -> tuple[str, ...]:
    """Read the extensions that a file may have.

    Parameters
    ----------
    fields : Fields
        The input.

    Returns
    -------
    tuple[str, ...]
        The extensions; empty if any.
    """
    return tuple(text for text in fields.formats("format") if text not in _NO_EXTENSIONS)


def _named(fields: Fields, key: str) -> list[Fields]:
    """Read a list of objects; some give the objects by their names instead."""
    value = fields.values.get(key)
    if isinstance(value, dict):
        return [
            Fields(fields.document, {"name": name, **item}, f"{fields.path}.{key}.{name}".lstrip("."))
            for name, item in value.items()
            if isinstance(item, dict)
        ]
    return fields.records(key, required=False)


def _read_image(fields: Fields) -> str:
    organisation, tag = fields.plain("org").rstrip("/"), fields.plain("tag")
    name = fields.image("name")
    image = (f"{organisation}/{name}" if organisation else name) + (f":{tag}" if tag else "")
    if any(character.isspace() for character in image) or image.startswith("-"):
        raise fields.error("org", f"{image!r} is not the name of an image")
    return image


def _read_input(fields: Fields) -> Parameter:
    kind = fields.text("type").lower()
    if kind in FILE_TYPES:
        return _parameter(fields, file_attachment=True)
    if kind == "image":
        # What is optional is not there unless somebody brings it, and nobody can bring images but the selected ones.
        return _parameter(fields, folder="" if fields.switch("optional") else "input", ours=True)
    return _read_parameter(fields)


def _read_output(fields: Fields) -> Parameter:
    return _parameter(fields, folder="output", ours=True)


def _read_parameter(fields: Fields) -> Parameter:
    written = fields.text("type").lower()
    if written == "files":
        # The early version: the folder of the images, or files that a person may add.
        optional = fields.switch("optional")
        return _parameter(fields, folder="" if optional else "input", file_attachment=optional, ours=not optional)
    kind = _TYPES.get(written)
    if kind is None:
        allowed = ", ".join(sorted({*_TYPES, *FILE_TYPES, "image"}))
        raise fields.error("type", f"{written!r} is not one of {allowed}")
    if fields.switch("output_dir_set"):
        return _parameter(fields, folder="output", ours=True)
    options = fields.records("options", required=False)
    choices = tuple(option.plain("value") if "value" in option.values else option.plain("label") for option in options)
    labels = tuple(option.plain("label") or choice for option, choice in zip(options, choices, strict=True))
    low, high = fields.limits()
    return _parameter(
        fields,
        kind=kind,
        default=_default(fields, kind, choices, labels),
        choices=choices,
        labels=() if labels == choices else labels,
        limits=(low, high),
        # Only a checkbox can stand alone; generated configs write append_value: false to everything.
        append_value=fields.switch("append_value", default=written == "boolean") if kind == "boolean" else True,
    )


def _default(fields: Fields, kind: ParameterType, choices: tuple[str, ...], labels: tuple[str, ...]) -> Value | None:
    """Read a default: a value, or the label of one; ``None``, as Python writes it, is none."""
    value = fields.value("default", kind)
    if not isinstance(value, str):
        return value
    if value in labels and value not in choices:
        return choices[labels.index(value)]
    return None if value == "None" else value


def _parameter(
    fields: Fields,
    *,
    kind: ParameterType = "string",
    default: Value | None = None,
    choices: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
    limits: tuple[float | None, float | None] = (None, None),
    folder: Folder = "",
    file_attachment: bool = False,
    append_value: bool = True,
    ours: bool = False,
) -> Parameter:
    identity = fields.identity("name")
    name = fields.plain("label") or identity
    return Parameter(
        id=identity,
        name=name,
        type=kind,
        default=default,
        optional=fields.switch("optional"),
        flag=_flag(fields),
        value_key=identity.upper(),
        description=fields.plain("description") or name,
        choices=choices,
        choice_labels=labels,
        set_by_server=ours,
        minimum=limits[0],
        maximum=limits[1],
        file_attachment=file_attachment,
        formats=file_formats(fields),
        file_count=fields.word("file_count", FILE_COUNTS, "single"),
        folder=folder,
        append_value=append_value,
        cli_order=fields.count("cli_order"),
        mode=fields.word("mode", MODES, "beginner"),
    )


def _flag(fields: Fields) -> str:
    """Read the option. An ``=`` at its end stays only where it is needed: after ``--x`` it is ours to write."""
    if "cli_tag" not in fields.values or fields.values["cli_tag"] is None:
        return "None"
    flag = fields.plain("cli_tag")
    if not _TAG.fullmatch(flag):
        raise fields.error("cli_tag", f"{flag!r} holds white space; an option is one word")
    return flag.removesuffix("=") if flag.startswith("--") else flag


def _on_the_command_line(parameters: Sequence[Parameter]) -> Iterator[Parameter]:
    """Leave out what has no place on the command line (``None``), and what is there already.

    An output often shares its option with a parameter, and the option is the parameter's then: a text is the path of
    the folder, which is ours to give; anything else, such as a checkbox, decides whether the output is written at all.
    """
    others = {parameter.id for parameter in parameters if parameter.folder != "output"}
    outputs = {parameter.flag for parameter in parameters if parameter.folder == "output"} - {""}
    shared = {parameter.flag for parameter in parameters if parameter.asked} & outputs
    folders: set[str] = set()
    for parameter in parameters:
        repeated = bool(parameter.folder and parameter.flag) and parameter.flag in folders | shared
        if parameter.flag == "None" or repeated:
            continue
        if parameter.folder:
            folders.add(parameter.flag)
        if parameter.flag in shared and _is_text(parameter):
            yield replace(parameter, folder="output", set_by_server=True)
        elif parameter.folder == "output" and parameter.id in others:
            yield replace(parameter, id=f"{parameter.id}.output")
        else:
            yield parameter


def _is_text(parameter: Parameter) -> bool:
    return parameter.type == "string" and not parameter.choices


def _read_hidden(fields: Fields) -> HiddenArgument:
    value = fields.plain("value")
    alone = read_switch(fields.values.get("value")) is not None and not fields.switch("append_value")
    return HiddenArgument(_flag(fields), value, append_value=not alone, cli_order=fields.count("cli_order"))
