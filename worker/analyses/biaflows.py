"""Descriptors of BIAFLOWS and Cytomine: ``descriptor.json`` with a schema-version of ``cytomine-0.1``.

Descriptors in the wild are written by hand, and the schema leaves much open; what is done about each oddity stands
where it is done. The schema: https://doc.uliege.cytomine.org/dev-guide/algorithms/descriptor-reference
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from worker.analyses.fields import read_number
from worker.analyses.model import FILE_COUNTS, MODES, Analysis, Parameter, ParameterType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.analyses.fields import Fields

TYPES: Mapping[str, ParameterType | None] = {
    # Decided by the default: see `_type`.
    "number": None,
    "integer": "integer",
    "float": "float",
    "boolean": "boolean",
    "string": "string",
    "text": "string",
    "date": "string",
    "domain": "string",
    "listdomain": "string",
}
_ALLOWED_TYPES = "Number, String, Boolean, Domain or ListDomain"
_FLAG = re.compile(r"-[^\s=\x00-\x1f]+")


def read_biaflows(fields: Fields) -> Analysis:
    """Read a descriptor.

    Parameters
    ----------
    fields : Fields
        The descriptor.

    Returns
    -------
    Analysis
        What it describes. Inputs named ``cytomine*`` are left out, as they configure another server.

    Raises
    ------
    DescriptorError
        A field is missing or wrong.
    """
    inputs = [record for record in fields.records("inputs") if not for_cytomine(record)]
    name = fields.text("name")
    return Analysis(
        name=name,
        description=fields.text("description", default=name),
        image=fields.record("container-image").image("image"),
        schema_version=fields.text("schema-version", default="cytomine-0.1"),
        parameters=tuple(read_input(record) for record in inputs),
        command=fields.text("command-line", default=""),
    )


def for_cytomine(fields: Fields) -> bool:
    """Tell the inputs that configure a Cytomine server from those of the analysis.

    Parameters
    ----------
    fields : Fields
        An input.

    Returns
    -------
    bool
        Whether it is for Cytomine.
    """
    return str(fields.values.get("id", "")).lower().startswith("cytomine")


def read_input(fields: Fields) -> Parameter:
    """Read one input.

    Parameters
    ----------
    fields : Fields
        The input.

    Returns
    -------
    Parameter
        What it describes.

    Raises
    ------
    DescriptorError
        A field is missing or wrong.
    """
    identity = fields.identity("id")
    kind = _type(fields)
    name = fields.text("name", default=identity)
    low, high = fields.limits()
    choices = fields.texts("value-choices")
    labels = fields.texts("value-choices-labels")
    if labels and len(labels) != len(choices):
        raise fields.error("value-choices-labels", f"must be as many as value-choices, {len(choices)}")
    default = fields.value("default-value", kind)
    ours = fields.switch("set-by-server")
    return Parameter(
        id=identity,
        name=substitute(name, identity),
        type=kind,
        default=default,
        optional=fields.switch("optional"),
        flag=read_flag(fields, identity),
        value_key=substitute(fields.text("value-key", default="@ID"), identity),
        description=fields.text("description", default=name),
        choices=choices,
        choice_labels=labels,
        set_by_server=ours,
        # Nobody is asked for it, and its author has said what it is to be.
        hidden=ours and default is not None,
        minimum=low,
        maximum=high,
        formats=fields.formats("format"),
        file_count=fields.word("file-count", FILE_COUNTS, "single"),
        mode=fields.word("mode", MODES, "beginner"),
        folder="output" if fields.switch("output-dir-set") else "",
    )


def read_flag(fields: Fields, identity: str) -> str:
    """Read the option; without one, or with a blank one, it is ``--<id>``. A value follows after ``=``.

    Parameters
    ----------
    fields : Fields
        The input.
    identity : str
        Its id.

    Returns
    -------
    str
        The option, without the ``=``.

    Raises
    ------
    DescriptorError
        It is none.
    """
    flag = substitute(fields.text("command-line-flag", default="--@id"), identity).removesuffix("=")
    if not _FLAG.fullmatch(flag):
        raise fields.error("command-line-flag", f"{flag!r} is not an option such as --{identity}")
    return flag


def substitute(text: str, identity: str) -> str:
    """Fill in what the schema abbreviates: ``@ID`` is the id in upper case, ``@id`` the id as it is.

    Parameters
    ----------
    text : str
        The text.
    identity : str
        The id.

    Returns
    -------
    str
        The text with the id in it.
    """
    return text.replace("@ID", identity.upper()).replace("@id", identity)


def _type(fields: Fields) -> ParameterType:
    """Read the type; a Number is a float only if its default is written as one (1.0, not 1)."""
    written = fields.text("type")
    if written.lower() not in TYPES:
        raise fields.error("type", f"{written!r} is not one of {_ALLOWED_TYPES}")
    kind = TYPES[written.lower()]
    if kind is not None:
        return kind
    return "float" if isinstance(read_number(fields.values.get("default-value")), float) else "integer"
