"""What a person may choose for the jobs of a workflow, where the admin allows it: time, memory, partition and GPU.

A field is there only if the admin lets people choose; left empty, the job is as it is configured. Only the standard
library, because the fields are built whenever OMERO.web opens a dialog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.dialogs.fields import Field, shown
from worker.errors import RequestError
from worker.settings.amounts import duration_s, memory_mib, write_duration, write_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.analyses.catalogue import CatalogueEntry

TIME, MEMORY, PARTITION, GPU = "Time", "Memory", "Partition", "Use_GPU"
"""What the names of the fields end with, after the workflow's and ``_``."""

AS_CONFIGURED = "(as configured)"
"""What stands in a list that is left alone: OMERO.web offers no empty line, and would choose the first partition."""

GPU_PARAMETER = "use_gpu"
"""A parameter of this name says by itself whether the job gets a GPU, as descriptors have had it for years."""

_KEYS = {TIME: "user_time_max", MEMORY: "user_memory_max", PARTITION: "user_partitions", GPU: "inject_gpu_flag"}
"""What lets people choose, in slurm-config.ini."""


def limit_fields(entry: CatalogueEntry) -> list[Field]:
    """List the fields with which a person may choose for the jobs of a workflow.

    Parameters
    ----------
    entry : CatalogueEntry
        The workflow.

    Returns
    -------
    list of Field
        Those that its admin allows; their grouping is left open.
    """
    choices, name = entry.choices, entry.name
    found: list[Field] = []
    if choices.time_max_s is not None:
        found.append(
            Field(
                f"{name}_{TIME}",
                "",
                "text",
                "Time that the job is given, such as 00:30:00 or 1-00:00:00; at most "
                f"{write_duration(choices.time_max_s)}. Empty: as the admin has set it.",
            )
        )
    if choices.memory_max_mib is not None:
        found.append(
            Field(
                f"{name}_{MEMORY}",
                "",
                "text",
                f"Memory that the job is given, such as 500M or 8G; at most {write_memory(choices.memory_max_mib)}. "
                "Empty: as the admin has set it.",
            )
        )
    if choices.partitions:
        found.append(
            Field(
                f"{name}_{PARTITION}",
                "",
                "text",
                "Part of the cluster on which the job runs.",
                default=AS_CONFIGURED,
                values=(AS_CONFIGURED, *choices.partitions),
            )
        )
    if choices.gpu is not None and not _has_gpu_parameter(entry):
        found.append(Field(f"{name}_{GPU}", "", "switch", "Whether the job is given a GPU.", default=choices.gpu))
    return found


def read_limits(inputs: Mapping[str, object], entry: CatalogueEntry) -> dict[str, int | str]:
    """Read the limits that a person has chosen, checked against what the admin allows.

    Parameters
    ----------
    inputs : Mapping
        The inputs of the script by name.
    entry : CatalogueEntry
        The workflow.

    Returns
    -------
    dict
        Fields of `worker.engine.request.JobLimits`; what was left empty is left out.

    Raises
    ------
    RequestError
        A limit is not allowed; the message names the field, the value and what is allowed.
    """
    choices = entry.choices
    chosen: dict[str, int | str | None] = {
        "time_s": _amount(inputs, entry, TIME, choices.time_max_s, duration_s, write_duration),
        "memory_mib": _amount(inputs, entry, MEMORY, choices.memory_max_mib, memory_mib, write_memory),
        "partition": _partition(inputs, entry),
    }
    return {name: value for name, value in chosen.items() if value is not None}


def read_gpu(inputs: Mapping[str, object], entry: CatalogueEntry, parameters: Mapping[str, object]) -> bool | None:
    """Read whether the job is to get a GPU.

    Parameters
    ----------
    inputs : Mapping
        The inputs of the script by name.
    entry : CatalogueEntry
        The workflow.
    parameters : Mapping
        The parameters of the analysis, as they were read.

    Returns
    -------
    bool or None
        None if that cannot be chosen: the settings say it.

    Raises
    ------
    RequestError
        It was chosen, but the admin does not let people choose.
    """
    name = f"{entry.name}_{GPU}"
    if entry.choices.gpu is None:
        _refuse_if_given(inputs, entry, GPU)
        return None
    value = parameters.get(GPU_PARAMETER) if _has_gpu_parameter(entry) else inputs.get(name)
    return entry.choices.gpu if value is None else bool(value)


def _amount(
    inputs: Mapping[str, object],
    entry: CatalogueEntry,
    what: str,
    most: int | None,
    read: Callable[[str], int],
    write: Callable[[int], str],
) -> int | None:
    """Read an amount that must not be more than the admin allows."""
    if most is None:
        _refuse_if_given(inputs, entry, what)
        return None
    name = f"{entry.name}_{what}"
    text = str(inputs.get(name) or "").strip()
    if not text:
        return None
    example = "00:30:00" if what == TIME else "8G"
    remedy = f"Give an amount such as {example}, of at most {write(most)}, or leave the field empty."
    try:
        amount = read(text)
    except ValueError as error:
        raise RequestError(f"'{shown(name)}': {error}", remedy=remedy) from error
    if amount > most:
        raise RequestError(f"'{shown(name)}' is {text!r}, and at most {write(most)} is allowed.", remedy=remedy)
    return amount


def _partition(inputs: Mapping[str, object], entry: CatalogueEntry) -> str | None:
    if not entry.choices.partitions:
        _refuse_if_given(inputs, entry, PARTITION)
        return None
    name = f"{entry.name}_{PARTITION}"
    text = str(inputs.get(name) or "").strip()
    if text in ("", AS_CONFIGURED):
        return None
    if text not in entry.choices.partitions:
        raise RequestError(
            f"'{shown(name)}' is {text!r}, which is not allowed.",
            remedy=f"Choose one of {', '.join(entry.choices.partitions)}, or leave the field as it is.",
        )
    return text


def _refuse_if_given(inputs: Mapping[str, object], entry: CatalogueEntry, what: str) -> None:
    """Refuse what the dialog did not offer: to ignore it would run the job otherwise than it was asked for."""
    name = f"{entry.name}_{what}"
    if inputs.get(name) not in (None, "", False, AS_CONFIGURED):
        raise RequestError(
            f"'{shown(name)}' is {inputs[name]!r}, but that cannot be chosen for '{shown(entry.name)}'.",
            remedy=f"Leave it out, or ask an admin to allow it ({_KEYS[what]} in slurm-config.ini).",
        )


def _has_gpu_parameter(entry: CatalogueEntry) -> bool:
    """Whether the analysis asks for a GPU by a parameter of its own."""
    parameters = entry.analysis.parameters if entry.analysis is not None else ()
    return any(
        parameter.id == GPU_PARAMETER and parameter.type == "boolean" and parameter.asked for parameter in parameters
    )
