"""Reading the dialogs of `worker.dialogs.transfer`, and following the runs that come of them."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from omero.rtypes import rstring

from worker.cluster.layout import RunLayout
from worker.dialogs import transfer
from worker.dialogs.giving import give_address, give_annotation
from worker.dialogs.launch import follow_request
from worker.dialogs.reading import read_choice, read_ids, read_switch
from worker.errors import OmeroError, RequestError, SettingsError
from worker.pixels.choice import PixelChoice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omero.gateway import BlitzGateway

    from worker.dialogs.fields import Field
    from worker.dialogs.launch import Teller
    from worker.engine.assembly import Record
    from worker.engine.attached import RunOutcome
    from worker.pixels.choice import Sections
    from worker.pixels.session import Identity

_TARGET = re.compile(r"\s*(Project|Dataset|Image|Screen|Plate)\s*:\s*(\d{1,18})\s*")


def transfer_images(client: Any) -> int:
    """Do what was filled in: transfer images.

    Parameters
    ----------
    client : omero.client
        The script's client, with its session and its inputs. It stays open.

    Returns
    -------
    int
        Exit status of the script: 0 only if they are on the cluster.
    """
    return follow_request(client, read_image_transfer)


def transfer_file(client: Any) -> int:
    """Do what was filled in: transfer a file; ``Slurm_Path`` says where it is.

    Parameters
    ----------
    client : omero.client
        The script's client, with its session and its inputs. It stays open.

    Returns
    -------
    int
        Exit status of the script: 0 only if it is on the cluster.
    """
    return follow_request(client, read_file_transfer, _give_path)


def convert(client: Any, converters: tuple[str, ...] = ()) -> int:
    """Do what was filled in: convert images on the cluster; ``Conversion_Log`` and ``URL`` give the log.

    Parameters
    ----------
    client : omero.client
        The script's client, with its session and its inputs. It stays open.
    converters : tuple of str
        The registered conversions, as the dialog showed them.

    Returns
    -------
    int
        Exit status of the script: 0 only if all are converted.
    """
    return follow_request(client, partial(read_conversion, converters=converters), _give_log)


def read_image_transfer(inputs: Mapping[str, Any], person: Identity) -> dict[str, Any]:
    """Make a request of the dialog "_SLURM_Image_Transfer".

    Parameters
    ----------
    inputs : Mapping
        The inputs of the script by name.
    person : Identity
        Who pressed Run, and in which group.

    Returns
    -------
    dict
        The fields of `worker.engine.request.RunRequest`.

    Raises
    ------
    RequestError
        It cannot be done as asked; the message names the field as the dialog shows it.
    """
    form = read_choice(inputs, transfer.FORMAT)
    choice = PixelChoice(
        merged=read_switch(inputs, transfer.MERGED),
        individual_channels=read_switch(inputs, transfer.INDIVIDUAL),
        grey=read_switch(inputs, transfer.GREY),
        channel_names=_names(inputs),
        z=_sections(inputs, "Z", form),
        t=_sections(inputs, "T", form),
        zoom_percent=int(read_choice(inputs, transfer.ZOOM).removesuffix("%")),
    )
    return {
        "kind": "transfer",
        "data_type": read_choice(inputs, transfer.IMAGE_DATA_TYPE),
        "ids": read_ids(inputs),
        "folder": _folder(inputs, transfer.FOLDER),
        "pixels": None if choice.whole else choice.to_json(),
        "use_zarr": form == transfer.OME_ZARR,
        "ome_zarr_version": read_choice(inputs, transfer.IMAGE_ZARR_VERSION),
        # The data on the cluster are all that was asked for.
        "cleanup": False,
        **_person(person),
    }


def read_file_transfer(inputs: Mapping[str, Any], person: Identity) -> dict[str, Any]:
    """Make a request of the dialog "_SLURM_File_Transfer".

    Parameters
    ----------
    inputs : Mapping
        The inputs of the script by name.
    person : Identity
        Who pressed Run, and in which group.

    Returns
    -------
    dict
        The fields of `worker.engine.request.RunRequest`.

    Raises
    ------
    RequestError
        It cannot be done as asked; the message names the field as the dialog shows it.
    """
    annotation_id = inputs.get(transfer.ANNOTATION_ID.name)
    if not isinstance(annotation_id, int) or isinstance(annotation_id, bool) or annotation_id < 1:
        raise RequestError(
            f"'{transfer.ANNOTATION_ID.label}' is {annotation_id!r}.", remedy="It must be the id of an attached file."
        )
    slot = str(inputs.get(transfer.SLOT.name) or "").strip() or f"file_{annotation_id}"
    formats = str(inputs.get(transfer.FORMATS.name) or "").split(",")
    return {
        "kind": "file-transfer",
        "folder": _folder(inputs, transfer.FILE_FOLDER),
        "files": [
            {
                "annotation_id": annotation_id,
                "slot": _one_folder(slot, transfer.SLOT),
                "formats": [stripped for form in formats if (stripped := form.strip().lstrip("."))],
            }
        ],
        "cleanup": False,
        **_person(person),
    }


def read_conversion(
    inputs: Mapping[str, Any], person: Identity, *, converters: tuple[str, ...] = ()
) -> dict[str, Any] | str:
    """Make a request of the dialog "SLURM Remote Conversion".

    Parameters
    ----------
    inputs : Mapping
        The inputs of the script by name.
    person : Identity
        Who pressed Run, and in which group.
    converters : tuple of str
        The registered conversions, as the dialog showed them.

    Returns
    -------
    dict or str
        The fields of `worker.engine.request.RunRequest`; or that there is nothing to convert.

    Raises
    ------
    RequestError
        It cannot be done as asked; the message names the field as the dialog shows it.
    """
    folder = _folder(inputs, transfer.INPUT_DATA)
    source, target = (read_choice(inputs, field) for field in transfer.format_fields(converters))
    if source == target:
        return f"No conversion is needed: the images in {folder} are to stay {target}."
    wanted = str(inputs.get(transfer.LOG_TARGET.name) or "")
    match = _TARGET.fullmatch(wanted)
    if wanted.strip() and match is None:
        raise RequestError(
            f"'{transfer.LOG_TARGET.label}' is {wanted!r}.", remedy="Give a kind and an id, such as Dataset:42."
        )
    return {
        "kind": "conversion",
        "folder": folder,
        "conversion": {"source": source, "target": target},
        "output": {"log_target": f"{match[1]}:{match[2]}"} if match else {},
        "cleanup": read_switch(inputs, transfer.CONVERSION_CLEANUP),
        **_person(person),
    }


def _person(person: Identity) -> dict[str, Any]:
    return {
        "user_id": person.user_id,
        "user_name": person.user_name,
        "group_id": person.group_id,
        "group_name": person.group_name,
    }


def _folder(inputs: Mapping[str, Any], field: Field) -> str:
    folder = str(inputs.get(field.name) or "").strip()
    if not folder:
        raise RequestError(f"'{field.label}' is empty.", remedy=field.description)
    return _one_folder(folder, field)


def _one_folder(name: str, field: Field) -> str:
    """Insist on one part of a path that is safe everywhere."""
    try:
        return RunLayout("data", UUID(int=0), name).folder
    except SettingsError as error:
        raise RequestError(f"'{field.label}': {error.message}", remedy=error.remedy) from error


def _names(inputs: Mapping[str, Any]) -> tuple[str, ...]:
    names = inputs.get(transfer.CHANNEL_NAMES.name) or ()
    return tuple(dict.fromkeys(stripped for name in names if (stripped := str(name).strip())))


def _sections(inputs: Mapping[str, Any], axis: str, form: str) -> Sections:
    """Read which sections or time points were chosen."""
    choice_field, index_field, first_field, last_field = transfer.section_fields(axis)
    choice = read_choice(inputs, choice_field)
    index, first, last = (_number(inputs, field) for field in (index_field, first_field, last_field))
    given = [
        field.label
        for field, value in ((index_field, index), (first_field, first), (last_field, last))
        if value is not None
    ]
    if choice in (transfer.ALL.format(axis), transfer.MAX_PROJECTION):
        if given:
            raise RequestError(
                f"'{choice_field.label}' is {choice!r}, but '{given[0]}' is filled in too.",
                remedy=f"Choose '{transfer.OTHER}', or empty the field.",
            )
        return "max" if choice == transfer.MAX_PROJECTION else "all"
    if not given:
        if choice == transfer.OTHER:
            raise RequestError(
                f"'{choice_field.label}' is {choice!r}, but there is nothing below.",
                remedy=f"Fill in '{index_field.label}', or '{first_field.label}' and '{last_field.label}'.",
            )
        # Only files of single planes have ever been of what was last viewed; the others have always been whole.
        return "default" if form == transfer.TIFF else "all"
    if index is not None and len(given) > 1:
        raise RequestError(f"'{given[0]}' and '{given[1]}' are both filled in.", remedy="Give one number, or a range.")
    if index is not None:
        return index, index
    if first is None or last is None or last < first:
        raise RequestError(
            f"'{first_field.label}' is {first or 'empty'}, '{last_field.label}' is {last or 'empty'}.",
            remedy="Give both, and the first not above the last.",
        )
    return first, last


def _number(inputs: Mapping[str, Any], field: Field) -> int | None:
    value = inputs.get(field.name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RequestError(f"'{field.label}' is {value!r}.", remedy="Numbers count from 1.")
    return value


def _give_path(teller: Teller, _gateway: BlitzGateway, outcome: RunOutcome, record: Record) -> None:
    """Say where the file is."""
    step = record.tracker.run(outcome.run_id).steps.get("files")
    if step is not None and (sent := step.data.get("files")):
        teller.give("Slurm_Path", rstring(str(sent[0]["path"])))


def _give_log(teller: Teller, gateway: BlitzGateway, outcome: RunOutcome, _record: Record) -> None:
    """Give the log of a conversion, as a file and as an address."""
    logs = [object_id for kind, object_id, _ in outcome.objects if kind == "FileAnnotation"]
    if not logs:
        return
    try:
        annotation = give_annotation(teller, gateway, "Conversion_Log", logs[0])
        if annotation is not None:
            give_address(teller, gateway, annotation)
    except OmeroError as error:
        # The run is over; only the short cut to its log is missing.
        print(error, flush=True)
