"""Building the dialogs of the workflow scripts from the catalogue of workflows.

OMERO.web, and OMERO.biomero on each look at its status, run a script just to learn its parameters. So this module
imports nothing but ``omero.scripts`` and the standard library, asks nobody, and builds a dialog from whatever the
catalogue holds: a workflow that cannot be shown is left out with a note, and never takes the dialog down with it.
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from omero.rtypes import rlong, rstring
from omero.scripts import Bool, Float, Int, List, Long, String

from worker.analyses import catalogue as catalogues
from worker.dialogs import fields
from worker.dialogs.limits import limit_fields
from worker.settings import locations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.analyses.catalogue import Catalogue, CatalogueEntry
    from worker.analyses.model import Parameter
    from worker.dialogs.fields import Dialog, Field

_INT_LIMIT = 2**31
"""An ``RInt`` has 32 bits."""


def read_catalogue(environ: Mapping[str, str] | None = None) -> Catalogue:
    """Read the catalogue that the engine keeps in the state folder; this never fails.

    Parameters
    ----------
    environ : Mapping[str, str] or None
        The environment; None is that of this process.

    Returns
    -------
    Catalogue
        The catalogue; empty, with a note that says why, if there is none.
    """
    return catalogues.load(catalogues.catalogue_path(locations.state_dir(environ)))


def describe(catalogue: Catalogue, dialog: Dialog = fields.RUN) -> str:
    """Write the text at the top of the dialog: what it is for, and what a person should know before pressing Run.

    Parameters
    ----------
    catalogue : Catalogue
        What can be run.
    dialog : Dialog
        The dialog.

    Returns
    -------
    str
        The text.
    """
    lines = [dialog.purpose]
    if catalogue.note:
        lines.append(f"Please note: {catalogue.note}")
    shown = offered(catalogue, dialog)
    lines.extend(f"{entry.name}: {entry.problem}" for entry in shown if entry.problem)
    empty = [entry.name for entry in shown if not entry.versions]
    if empty:
        lines.append(f"Not on the cluster yet: {', '.join(empty)}.")
    hidden = [entry.name for entry in catalogue.entries if entry not in shown]
    if hidden:
        lines.append(f"Not shown, as another field has the same name: {', '.join(hidden)}.")
    if catalogue.refreshed_at:
        lines.append(f"Workflows and versions as of {catalogue.refreshed_at}.")
    return "\n".join(lines)


def offered(catalogue: Catalogue, dialog: Dialog = fields.RUN) -> tuple[CatalogueEntry, ...]:
    """Say which workflows the dialog offers: those whose fields do not take the place of others.

    Parameters
    ----------
    catalogue : Catalogue
        What can be run.
    dialog : Dialog
        The dialog.

    Returns
    -------
    tuple of CatalogueEntry
        The entries, in their order.
    """
    taken = {field.name for field in dialog.fixed}
    entries: list[CatalogueEntry] = []
    for entry in catalogue.entries:
        own = {entry.name, fields.version_name(entry.name)}
        own.update(_name(entry, parameter) for parameter in _asked(entry))
        own.update(field.name for field in limit_fields(entry))
        if own & taken:
            continue
        taken |= own
        entries.append(entry)
    return tuple(entries)


def workflow_parameters(catalogue: Catalogue, dialog: Dialog = fields.RUN) -> list[Any]:
    """Build the parameters of the dialog.

    Parameters
    ----------
    catalogue : Catalogue
        What can be run.
    dialog : Dialog
        The dialog.

    Returns
    -------
    list of omero.scripts.Type
        The fixed fields, then for each workflow its checkbox, its version and its parameters.
    """
    parameters = [field_parameter(field) for field in dialog.fixed]
    for index, entry in enumerate(offered(catalogue, dialog)):
        parameters.extend(_workflow(entry, fields.workflow_grouping(index), keeps_optional=dialog.keeps_optional))
    return parameters


def field_parameter(field: Field) -> Any:
    """Build the parameter of a fixed field.

    Parameters
    ----------
    field : Field
        The field.

    Returns
    -------
    omero.scripts.Type
        What OMERO asks for.
    """
    about: dict[str, Any] = {
        "optional": not field.required,
        "grouping": field.grouping,
        "description": field.description,
    }
    if field.kind == "objects":
        return List(field.name, **about).ofType(rlong(0))
    if field.kind == "object":
        return Long(field.name, **about)
    if field.kind == "texts":
        if field.values:
            about["values"] = [rstring(value) for value in field.values]
        return List(field.name, **about).ofType(rstring(""))
    if field.least is not None:
        about["min"] = field.least
    if field.default is not None:
        about["default"] = field.default
    if field.values:
        about["values"] = list(field.values)
    return _KINDS[field.kind](field.name, **about)


def _workflow(entry: CatalogueEntry, grouping: str, *, keeps_optional: bool) -> list[Any]:
    """Build the fields of one workflow."""
    parameters = [
        Bool(entry.name, optional=True, grouping=grouping, default=False, description=_purpose(entry)),
        String(
            fields.version_name(entry.name),
            optional=True,
            grouping=f"{grouping}.0",
            description="Version of its container image, the newest first.",
            values=list(entry.versions),
        ),
    ]
    asked, limits = _asked(entry), limit_fields(entry)
    # Padded, so that .10 does not stand before .2; .0 stands before them all.
    width = max(2, len(str(len(asked) + len(limits))))
    for number, parameter in enumerate(asked, start=1):
        build = _file if parameter.file_attachment else partial(_parameter, keeps_optional=keeps_optional)
        parameters.append(build(_name(entry, parameter), f"{grouping}.{number:0{width}d}", parameter))
    for number, limit in enumerate(limits, start=len(asked) + 1):
        parameters.append(field_parameter(replace(limit, grouping=f"{grouping}.{number:0{width}d}")))
    return parameters


def _purpose(entry: CatalogueEntry) -> str:
    """Say what a workflow does, what it needs, and what to cite for it."""
    analysis = entry.analysis
    parts = [(analysis.description.strip() if analysis is not None else "") or f"Run {entry.name}."]
    if analysis is not None:
        needs = {"OME-Zarr": analysis.requires_zarr, "whole plates": analysis.requires_plate}
        reads = " of ".join(name for name, needed in needs.items() if needed)
        if reads:
            parts.append(f"Asks for {reads}.")
        if analysis.resources.gpu:
            parts.append("Needs a GPU.")
        cited = [f"{one.name} ({one.doi})" if one.doi else one.name for one in analysis.citations]
        if cited:
            parts.append(f"Please cite: {'; '.join(cited)}.")
    return " ".join(parts)


def _asked(entry: CatalogueEntry) -> list[Parameter]:
    """The parameters that a person may set, those for everybody before those for the experienced."""
    if entry.analysis is None:
        return []
    asked = [one for one in entry.analysis.parameters if one.asked or (one.file_attachment and not one.hidden)]
    return sorted(asked, key=lambda parameter: parameter.mode == "advanced")


def _name(entry: CatalogueEntry, parameter: Parameter) -> str:
    """Name of the field of a parameter."""
    name = fields.file_name if parameter.file_attachment else fields.parameter_name
    return name(entry.name, parameter.id)


def _file(name: str, grouping: str, parameter: Parameter) -> Any:
    """Build the field of a parameter whose values are files of OMERO.

    Without a default, OMERO would refuse to run the other workflows too; so it is never demanded here, but at the door.
    """
    kinds = f" ({', '.join(f'.{extension}' for extension in parameter.formats)})" if parameter.formats else ""
    several = "Ids of the attachments" if parameter.file_count == "multiple" else "Id of the attachment"
    need = "" if parameter.optional else " Needed."
    hint = f"{_about(parameter)} {several} in OMERO{kinds}.{need}"
    return List(name, optional=True, grouping=grouping, description=hint).ofType(rlong(0))


def _parameter(name: str, grouping: str, parameter: Parameter, *, keeps_optional: bool) -> Any:
    """Build the field of one parameter.

    Numbers are ``Int`` and ``Float``: the Processor refuses the plain numbers that OMERO.biomero sends for ``Long`` and
    ``Double``. Limits are checked when the request is read, with a message that says what is allowed; the Processor's
    own check would show a stack trace.
    """
    about: dict[str, Any] = {"optional": True, "grouping": grouping, "description": _hint(parameter)}
    kind, read = _TYPES[parameter.type]
    default = read(parameter.default)
    if default is not None:
        about["default"] = default
        # Without a default, OMERO would refuse to run the other workflows too.
        about["optional"] = parameter.optional or not keeps_optional
    choices = [read(choice) for choice in parameter.choices]
    if choices and parameter.type != "boolean" and None not in choices:
        # A descriptor may give a default that its own choices leave out; OMERO would refuse the whole dialog.
        about["values"] = choices if default is None or default in choices else [default, *choices]
    return kind(name, **about)


def _hint(parameter: Parameter) -> str:
    """Write the hint of a parameter: what it means, and what is allowed."""
    low, high = parameter.minimum, parameter.maximum
    parts = [_about(parameter)]
    labels = [
        f"{choice} = {label}"
        for choice, label in zip(parameter.choices, parameter.choice_labels, strict=False)
        if label not in ("", choice)
    ]
    if labels:
        parts.append(f"{'; '.join(labels)}.")
    if low is not None and high is not None:
        parts.append(f"From {low:g} to {high:g}.")
    elif low is not None or high is not None:
        parts.append(f"At least {low:g}." if low is not None else f"At most {high:g}.")
    if parameter.default is not None and _TYPES[parameter.type][1](parameter.default) is None:
        parts.append(f"If left empty: {parameter.default}.")
    return " ".join(parts)


def _about(parameter: Parameter) -> str:
    """Say what a parameter means, and whether one had better leave it alone."""
    about = parameter.description or parameter.name
    return f"Advanced: {about}" if parameter.mode == "advanced" else about


def _integer(value: object) -> int | None:
    """Read a whole number that an ``RInt`` can hold."""
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if -_INT_LIMIT <= number < _INT_LIMIT else None


def _number(value: object) -> float | None:
    """Read a number that an ``RFloat`` can hold."""
    try:
        number = float(str(value))
        struct.pack("<f", number)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _switch(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


_KINDS: Mapping[str, Any] = {"switch": Bool, "number": Int, "text": String}

_TYPES: Mapping[str, tuple[Any, Any]] = {
    "integer": (Int, _integer),
    "float": (Float, _number),
    "boolean": (Bool, _switch),
    "string": (String, _text),
}
