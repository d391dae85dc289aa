"""Reading what a person filled in: from the inputs of the script to the request of a run, checked at the door.

Whatever is wrong is said before anything is started, in the words of the dialog.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from typing import TYPE_CHECKING, Any

from worker.analyses.parameters import check_values
from worker.dialogs import fields
from worker.dialogs.fields import shown
from worker.dialogs.files import read_files
from worker.dialogs.limits import read_gpu, read_limits
from worker.dialogs.parameters import offered
from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from worker.analyses.catalogue import Catalogue, CatalogueEntry
    from worker.analyses.model import Analysis, Parameter, Value
    from worker.dialogs.fields import Dialog

    class Person(Protocol):
        """Who pressed Run, and in which group; `worker.pixels.session.Identity` is one."""

        @property
        def user_id(self) -> int: ...  # noqa: D102 - named by the attributes of Identity
        @property
        def user_name(self) -> str: ...  # noqa: D102
        @property
        def group_id(self) -> int: ...  # noqa: D102
        @property
        def group_name(self) -> str: ...  # noqa: D102
        @property
        def email(self) -> str | None: ...  # noqa: D102


# Deliberately narrower than RFC 5322: what is left out means something to a shell, a mailer or sbatch.
_EMAIL = re.compile(r"[A-Za-z0-9_.+][A-Za-z0-9_.+%=/~-]{0,63}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+){0,9}")

_WHEN_SET = ("new_screen", "screen_id")
"""Import options that are left out of the request where they are not used."""


def read_request(
    inputs: Mapping[str, Any], catalogue: Catalogue, person: Person, dialog: Dialog = fields.RUN
) -> dict[str, Any]:
    """Make a request of what was filled in.

    Parameters
    ----------
    inputs : Mapping
        The inputs of the script by name, as plain Python values. What the dialog does not know is ignored.
    catalogue : Catalogue
        What can be run.
    person : Person
        Who pressed Run, and in which group.
    dialog : Dialog
        What was filled in.

    Returns
    -------
    dict
        The fields of `worker.engine.request.RunRequest`.

    Raises
    ------
    RequestError
        It cannot be done as asked; the message names the field as the dialog shows it.
    """
    workflows = _read_workflows(inputs, catalogue, dialog)
    names = {workflow["name"] for workflow in workflows}
    request = {
        "data_type": read_choice(inputs, dialog.field(fields.DATA_TYPE.name) or fields.DATA_TYPE),
        "ids": read_ids(inputs),
        "workflows": workflows,
        "use_zarr": _read_zarr(inputs, [entry for entry in catalogue.entries if entry.name in names]),
        "ome_zarr_version": read_choice(inputs, fields.ZARR_VERSION),
        "output": read_output(inputs, dialog),
        "email": _read_email(inputs, person),
        "cleanup": dialog.field(fields.CLEANUP.name) is None or read_switch(inputs, fields.CLEANUP),
        "user_id": person.user_id,
        "user_name": person.user_name,
        "group_id": person.group_id,
        "group_name": person.group_name,
    }
    if dialog.field(fields.BATCH_SIZE.name) is not None:
        request["batch"] = {"size": _read_batch_size(inputs)}
    return request


def read_output(inputs: Mapping[str, Any], dialog: Dialog = fields.RUN) -> dict[str, Any]:
    """Read where the results go.

    Parameters
    ----------
    inputs : Mapping
        The inputs of the script by name.
    dialog : Dialog
        What was filled in.

    Returns
    -------
    dict
        Fields of `worker.results.model.ImportOptions`; None for what says "--NO THANK YOU--".

    Raises
    ------
    RequestError
        Nothing was chosen, or a choice is not one that there is.
    """
    options = {field.option: _read_option(inputs, field) for field in dialog.fixed if field.option}
    if not any(options[option] for option in fields.SELECTS_OUTPUT):
        raise RequestError(
            f"Nothing is chosen under '{fields.SELECT_IMPORT.label}'.",
            remedy="Tick at least one kind of output, or name a dataset.",
        )
    for option in _WHEN_SET:
        if options[option] is None:
            del options[option]
    if options.get("new_screen") and options["allow_duplicate_dataset"]:
        # One field of the dialog means both.
        options["allow_duplicate_screen"] = True
    if not options[fields.CREATE_ROIS.option]:
        options = {name: value for name, value in options.items() if "roi" not in name}
    return options


def cancels_with_script(inputs: Mapping[str, Any]) -> bool:
    """Read whether the run is to be cancelled when its script is.

    Parameters
    ----------
    inputs : Mapping
        The inputs of the script by name.

    Returns
    -------
    bool
        Whether it is; otherwise the run goes on without its script.
    """
    return read_switch(inputs, fields.CANCEL_WITH_SCRIPT)


def _read_workflows(inputs: Mapping[str, Any], catalogue: Catalogue, dialog: Dialog) -> list[dict[str, Any]]:
    """Read which workflows were ticked, in which versions, with which parameters."""
    entries = {entry.name: entry for entry in offered(catalogue, dialog)}
    for name, value in inputs.items():
        if value is True and fields.version_name(name) in inputs and name not in entries:
            raise RequestError(
                f"The workflow '{shown(name)}' is not known any more. {catalogue.note}".strip(),
                remedy="Close the dialog and open it again.",
            )
    ticked = [entry for name, entry in entries.items() if inputs.get(name) is True]
    if not ticked:
        names = ", ".join(f"'{shown(name)}'" for name in entries)
        raise RequestError(
            "No workflow is chosen.",
            remedy=f"Tick at least one of {names}." if names else f"There is none at the moment. {catalogue.note}",
        )
    return [_read_workflow(inputs, entry) for entry in ticked]


def _read_zarr(inputs: Mapping[str, Any], ticked: Sequence[CatalogueEntry]) -> bool:
    """Read whether the analyses are given OME-Zarr: if that is ticked, or if each descriptor asks for it by itself."""
    asking = [entry for entry in ticked if entry.analysis is not None and entry.analysis.requires_zarr]
    return read_switch(inputs, fields.USE_ZARR) or len(asking) == len(ticked)


def _read_workflow(inputs: Mapping[str, Any], entry: CatalogueEntry) -> dict[str, Any]:
    """Read a ticked workflow; what a person need not choose, and has not chosen, is left out."""
    version, parameters = _read_version(inputs, entry), _read_parameters(inputs, entry)
    optional = {
        "files": read_files(inputs, entry),
        "limits": read_limits(inputs, entry),
        "use_gpu": read_gpu(inputs, entry, parameters),
        "descriptor_sha256": entry.sha256,
    }
    chosen = {name: value for name, value in optional.items() if value not in ({}, None, "")}
    return {"name": entry.name, "version": version, "parameters": parameters, **chosen}


def _read_version(inputs: Mapping[str, Any], entry: CatalogueEntry) -> str:
    name = fields.version_name(entry.name)
    version = inputs.get(name)
    if not entry.versions:
        raise RequestError(
            f"No version of '{shown(entry.name)}' is on the cluster.",
            remedy="Ask an admin to put its container image there.",
        )
    if not version:
        raise RequestError(
            f"'{shown(name)}' is empty.", remedy=f"Choose one of {', '.join(entry.versions)}, or untick the workflow."
        )
    if version not in entry.versions:
        raise RequestError(
            f"'{shown(name)}' is {version!r}, which is not on the cluster.",
            remedy=f"Choose one of {', '.join(entry.versions)}.",
        )
    return str(version)


def _read_parameters(inputs: Mapping[str, Any], entry: CatalogueEntry) -> dict[str, Value]:
    """Read the parameters of a ticked workflow."""
    if entry.analysis is None:
        raise RequestError(
            f"The parameters of '{shown(entry.name)}' are not known: {entry.problem or 'its descriptor is missing'}",
            remedy="Ask an admin to mend its descriptor.",
        )
    prefix = fields.parameter_name(entry.name, "")
    known = {parameter.id: parameter for parameter in entry.analysis.parameters}
    files = {fields.file_name(entry.name, parameter.id) for parameter in entry.analysis.files}
    for name in inputs:
        if name.startswith(prefix) and name.removeprefix(prefix) not in known and name not in files:
            raise RequestError(
                f"'{shown(name)}' is not a parameter of '{shown(entry.name)}'.",
                remedy=f"It has: {', '.join(known) or 'none'}.",
            )
    checked: dict[str, Value] = {}
    for parameter in entry.analysis.parameters:
        if parameter.asked:
            checked.update(_read_parameter(inputs, entry.name, entry.analysis, parameter))
    return checked


def _read_parameter(
    inputs: Mapping[str, Any], workflow: str, analysis: Analysis, parameter: Parameter
) -> dict[str, Value]:
    """Check one parameter by itself, so that what is wrong can be said in the words of the dialog."""
    name = fields.parameter_name(workflow, parameter.id)
    value = inputs.get(name)
    if parameter.type == "float" and isinstance(value, float):
        value = as_typed(value)
    try:
        return check_values(dataclasses.replace(analysis, parameters=(parameter,)), {parameter.id: value})
    except RequestError as error:
        raise RequestError(f"'{shown(name)}': {error.message}", remedy=error.remedy) from error


def as_typed(value: float) -> float:
    """Give back the number that was typed, after its way through OMERO.

    An ``RFloat`` has 32 bits: 0.1 comes back as 0.10000000149011612, and would be shown, recorded and given to the
    analysis like that. The shortest decimal that has the same 32 bits is what the person meant.

    Parameters
    ----------
    value : float
        What OMERO gave.

    Returns
    -------
    float
        The shortest decimal with the same 32 bits; `value` itself where it has more than these.
    """
    try:
        bits = struct.pack("<f", value)
    except OverflowError:
        return value
    if struct.unpack("<f", bits)[0] != value:
        return value
    for digits in range(6, 10):
        candidate = float(f"{value:.{digits}g}")
        try:
            if struct.pack("<f", candidate) == bits:
                return candidate
        except OverflowError:
            continue  # rounded up beyond the largest number of 32 bits
    return value


def _read_option(inputs: Mapping[str, Any], field: fields.Field) -> Any:
    """Read a field that says where the results go."""
    if field.kind == "switch":
        return read_switch(inputs, field)
    if field.kind == "object":
        return read_object(inputs, field)
    if field.values:
        return read_choice(inputs, field)
    text = str(inputs.get(field.name) or "").strip()
    if field.default == fields.NO:
        return None if text in ("", fields.NO) else text
    return text


def read_switch(inputs: Mapping[str, Any], field: fields.Field) -> bool:
    """Read a checkbox; one that was not sent is as the dialog shows it at first."""
    value = inputs.get(field.name)
    return bool(field.default if value is None else value)


def read_choice(inputs: Mapping[str, Any], field: fields.Field) -> str:
    """Read a text that is one of several; one that was not sent is as the dialog shows it at first."""
    value = inputs.get(field.name) or field.default
    if value not in field.values:
        raise RequestError(f"'{field.label}' is {value!r}.", remedy=f"It must be one of {', '.join(field.values)}.")
    return str(value)


def read_object(inputs: Mapping[str, Any], field: fields.Field) -> int | None:
    """Read the id of an object; None where there is none, or 0, which OMERO.web sends for a field nobody touched."""
    value = inputs.get(field.name)
    if not value:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RequestError(f"'{field.label}' is {value!r}.", remedy="It must be the id of an object in OMERO.")
    return value


def _read_batch_size(inputs: Mapping[str, Any]) -> int:
    value = inputs.get(fields.BATCH_SIZE.name, fields.BATCH_SIZE.default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RequestError(f"'{fields.BATCH_SIZE.label}' is {value!r}.", remedy="It must be 1 or more.")
    return value


def read_ids(inputs: Mapping[str, Any]) -> list[int]:
    """Read the ids, each once, in their order."""
    label = fields.IDS.label
    ids = list(dict.fromkeys(inputs.get(fields.IDS.name) or ()))
    if not ids:
        raise RequestError(f"'{label}' is empty.", remedy="Select what to analyse in OMERO, and open the dialog again.")
    for value in ids:
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise RequestError(f"'{label}' holds {value!r}.", remedy="Give ids of objects in OMERO, such as 51,52.")
    return ids


def _read_email(inputs: Mapping[str, Any], person: Person) -> str | None:
    """Read where to send mail to; a person without an address simply gets none."""
    address = (person.email or "").strip()
    if not read_switch(inputs, fields.EMAIL) or not address:
        return None
    if not _EMAIL.fullmatch(address):
        raise RequestError(
            f"'{fields.EMAIL.label}' is ticked, but the address of your OMERO account, {address!r}, is none that mail"
            " can be sent to.",
            remedy="Correct it under User settings in OMERO.web, or untick the field.",
        )
    return address
