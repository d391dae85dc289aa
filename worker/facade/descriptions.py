"""Descriptors and their parameters, in the shapes that the web plugin and notebooks read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.analyses.model import Analysis, Parameter

NUMBER_WORDS: Mapping[str, str] = {"integer": "Number", "float": "Number", "boolean": "Boolean", "string": "String"}
"""The words of the oldest schema; whether a number is whole, its default tells."""


def describe(analysis: Analysis, *, words: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Write an analysis as a descriptor.

    Parameters
    ----------
    analysis : Analysis
        The analysis, whatever schema described it.
    words : mapping of str to str, optional
        How types are called; by default ``integer``, ``float``, ``boolean`` and ``string``.

    Returns
    -------
    dict
        With the keys of the BIAFLOWS schema.
    """
    return {
        "name": analysis.name,
        "description": analysis.description,
        "schema-version": analysis.schema_version,
        "container-image": {"image": analysis.image, "type": "singularity"},
        "command-line": analysis.command,
        "inputs": [_input(parameter, words or {}) for parameter in analysis.parameters],
        "citations": [
            {"name": one.name, "doi": one.doi, "license": one.license, "description": one.description}
            for one in analysis.citations
        ],
        "requires-zarr": analysis.requires_zarr,
        "requires-plate": analysis.requires_plate,
    }


def _input(parameter: Parameter, words: Mapping[str, str]) -> dict[str, Any]:
    default = parameter.default
    if parameter.type == "float" and default is not None:
        default = float(default)
    return {
        "id": parameter.id,
        "name": parameter.name,
        "type": words.get(parameter.type, parameter.type),
        "description": parameter.description,
        "default-value": default,
        "optional": parameter.optional,
        "set-by-server": parameter.set_by_server or parameter.hidden,
        "command-line-flag": parameter.flag,
        "value-key": parameter.value_key or f"[{parameter.id.upper()}]",
        "value-choices": list(parameter.choices) or None,
        "value-choices-labels": list(parameter.choice_labels) or None,
        "file-attachment": parameter.file_attachment,
        "format": list(parameter.formats) or None,
        "file-count": parameter.file_count,
        "mode": parameter.mode,
    }


def parameters(analysis: Analysis, *, files: bool = False) -> dict[str, dict[str, Any]]:
    """List the parameters of an analysis that a person may set.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    files : bool
        Whether those whose values are files of OMERO are listed, and no others.

    Returns
    -------
    dict
        By id: ``name``, ``default``, ``type``, ``optional``, ``cmd_flag``, ``description``, ``file_attachment``,
        ``format``.
    """
    chosen = analysis.files if files else tuple(one for one in analysis.parameters if one.asked)
    return {
        parameter.id: {
            "name": parameter.id,
            "default": parameter.default,
            "type": parameter.type,
            "optional": parameter.optional,
            "cmd_flag": parameter.flag,
            "description": parameter.description,
            "file_attachment": parameter.file_attachment,
            "format": list(parameter.formats),
        }
        for parameter in chosen
    }


def omero_type(kind: str, default: object, /, *arguments: Any, **about: Any) -> Any:
    """Make the field of a script for a parameter.

    Parameters
    ----------
    kind : str
        ``integer``, ``float``, ``boolean``, ``string``, or ``Number``, whose default tells which.
    default : object
        The default of the parameter.
    *arguments : object
        Handed on; the first is the name of the field.
    **about : object
        Handed on, such as ``description`` and ``default``.

    Returns
    -------
    omero.scripts.Type
        An ``Int``, ``Float``, ``Bool`` or ``String``. Never a ``Long`` or ``Double``, for which OMERO refuses what the
        web plugin sends.

    Raises
    ------
    ValueError
        There is no such type.
    """
    from omero.scripts import Bool, Float, Int, String

    if kind == "Number":
        kind = "float" if isinstance(default, float) else "integer"
    kinds = {"integer": Int, "float": Float, "boolean": Bool, "string": String}
    if kind.lower() not in kinds:
        raise ValueError(f"There is no type {kind!r} of parameters; there are {', '.join(kinds)}.")
    return kinds[kind.lower()](*arguments, **about)
