"""Conversions on the cluster: a converter container, once for each input of a run, as one array job.

A converter is called as in BIOMERO: with the path of one file or folder as its only argument, beside which it leaves
what it has made of it, under the same name with another extension. What was converted stays until the whole array has
succeeded; then `remove_inputs` removes it.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from worker.cluster import images, jobscript, variables
from worker.cluster.fence import check_fence
from worker.cluster.flags import merge
from worker.cluster.jobscript import ArrayChoice, Conversion, JobRequest
from worker.cluster.layout import confined
from worker.cluster.scripts import script
from worker.errors import RequestError, SettingsError
from worker.settings.amounts import duration_s, write_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import PurePosixPath
    from uuid import UUID

    from worker.cluster.layout import RunLayout
    from worker.cluster.transport import Transport
    from worker.settings.models import SlurmSettings

TASK_TIME = "00:20:00"
"""Time for one input, unless ``sbatch_time`` says otherwise."""

MOST_TASKS = 1_000
"""Tasks of an array at most; Slurm's default of MaxArraySize allows as many."""

LONGEST_SCRIPT_BYTES = 3_500_000
"""Slurm takes no job script of more than 4 MiB (``max_script_size``)."""

LOG_BYTES = 100_000
"""So much is read from the end of the log of each task."""

BUILT_IN = "zarr_to_tiff"
"""The conversion that needs no ``[CONVERTERS]``: its converter is built on the cluster by ``cluster init``."""

BUILT_IN_VERSION = "latest"

_EXTENSIONS: Mapping[str, tuple[str, ...]] = {"tiff": ("tif", "tiff"), "jpeg": ("jpg", "jpeg"), "jpg": ("jpg", "jpeg")}
"""Extensions of formats that have several."""

_FOLDERS = ("zarr", "n5")
"""Formats that are folders, and not files."""


def pair(source_format: str, target_format: str) -> str:
    """Name a conversion as ``[CONVERTERS]`` does.

    Parameters
    ----------
    source_format, target_format : str
        Such as ``zarr`` and ``tiff``.

    Returns
    -------
    str
        Such as ``zarr_to_tiff``.

    Raises
    ------
    RequestError
        If one of them is not the name of a format.
    """
    for name in (source_format, target_format):
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
            raise RequestError(f"{name!r} is not the name of a format.", remedy="Write it like zarr or tiff.")
    return f"{source_format}_to_{target_format}"


def converter_image(
    settings: SlurmSettings, converters: Mapping[str, str], source_format: str, target_format: str
) -> tuple[PurePosixPath, str]:
    """Locate the container image of a converter on the cluster.

    Parameters
    ----------
    settings : SlurmSettings
        Section ``[SLURM]``.
    converters : Mapping[str, str]
        Section ``[CONVERTERS]``: from ``<source>_to_<target>`` to the image.
    source_format, target_format : str
        Such as ``zarr`` and ``tiff``.

    Returns
    -------
    tuple[PurePosixPath, str]
        ``<slurm_converters_path>/convert_<source>_to_<target>_<version>.sif``, and the version.

    Raises
    ------
    SettingsError
        If no converter is registered for it.
    """
    wanted = pair(source_format, target_format)
    image = converters.get(wanted)
    if image is None and (converters or wanted != BUILT_IN):
        registered = ", ".join(sorted(converters)) or BUILT_IN
        raise SettingsError(
            f"There is no converter from {source_format} to {target_format}; there are: {registered}.",
            remedy=f"Add a line {wanted} = <container image> to [CONVERTERS], and run 'omero-worker cluster init'.",
        )
    # Without a name it is the one that ships with us; see `worker.cluster.building`.
    file = images.converter_file(settings.slurm_converters_path, wanted, image or f"{wanted}:{BUILT_IN_VERSION}")
    return file, BUILT_IN_VERSION if image is None else images.image_tag(image)


def conversion_flags(settings: SlurmSettings, *, inputs_per_task: int = 1) -> dict[str, str | None]:
    """Merge the options of sbatch of a conversion.

    A later one of these wins: 20 minutes for each input of a task, ``sbatch_<flag>``, ``slurm_default_partition``,
    ``slurm_conversion_partition``.

    Parameters
    ----------
    settings : SlurmSettings
        Section ``[SLURM]``.
    inputs_per_task : int
        What one task of the array converts, one after the other.

    Returns
    -------
    dict[str, str or None]
        Options without the leading ``--``.

    Raises
    ------
    SettingsError
        If an option is not one.
    """
    default: dict[str, str | None] = {
        "job-name": "conversion",
        "nodes": "1",
        "ntasks": "1",
        "time": write_duration(duration_s(TASK_TIME) * inputs_per_task),
    }
    partition = settings.slurm_conversion_partition or settings.slurm_default_partition or ""
    return merge([default, settings.sbatch_flags, {"partition": partition}], workflow="conversion")


def find_inputs(transport: Transport, layout: RunLayout, source_format: str) -> tuple[str, ...]:
    """Find what there is to convert in the input folder of a run.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    layout : RunLayout
        The run.
    source_format : str
        ``zarr``: folders ``*.zarr`` (``*.ome.zarr`` too); else files with that extension.

    Returns
    -------
    tuple[str, ...]
        Paths below ``layout.input``, sorted; none if there is nothing.

    Raises
    ------
    RequestError
        If there is no such run on the cluster.
    TransportError
        If the cluster cannot be asked.
    """
    answer = transport.run(script("find_inputs", str(layout.input), *_test(source_format)))
    if answer.exit_status == 66:
        raise RequestError(
            f"There is no folder {layout.input} on the cluster.", remedy="Transfer images to the cluster first."
        )
    found = answer.check().stdout.decode("utf-8", "surrogateescape").split("\0")
    return tuple(sorted(path for path in found if path))


def most_tasks(transport: Transport) -> int:
    """Ask Slurm how many tasks an array may have.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.

    Returns
    -------
    int
        One less than its ``MaxArraySize``, but never more than `MOST_TASKS`; 0 where there are no arrays; `MOST_TASKS`
        if it does not say.

    Raises
    ------
    TransportError
        If the cluster cannot be reached.
    """
    answer = transport.run(["timeout", "30", "scontrol", "show", "config"])
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer.text, re.MULTILINE)
    return min(MOST_TASKS, max(0, int(match[1]) - 1)) if match else MOST_TASKS


def array_job(
    settings: SlurmSettings,
    converters: Mapping[str, str],
    *,
    key: str,
    task_id: UUID,
    layout: RunLayout,
    inputs: Sequence[str],
    source_format: str,
    target_format: str,
    tasks_max: int = MOST_TASKS,
    flags: Mapping[str, str | None] | None = None,
) -> JobRequest:
    """Describe the job that converts some inputs of a run: one array, however many there are.

    Parameters
    ----------
    settings : SlurmSettings
        Section ``[SLURM]``.
    converters : Mapping[str, str]
        Section ``[CONVERTERS]``.
    key : str
        Key of the submission.
    task_id : UUID
        The task.
    layout : RunLayout
        The run.
    inputs : Sequence[str]
        As `find_inputs` gives them.
    source_format, target_format : str
        Such as ``zarr`` and ``tiff``.
    tasks_max : int
        As `most_tasks` gives it. With more inputs than that each task converts several, one after the other.
    flags : Mapping[str, str or None], optional
        Options of sbatch that win over all others, such as more memory for another attempt.

    Returns
    -------
    JobRequest
        The job; its ``array`` is None where Slurm has no arrays.

    Raises
    ------
    RequestError
        If there is nothing to convert, or too much for one job.
    SettingsError
        If there is no such converter, or an option of sbatch is not one.
    """
    if not inputs:
        raise RequestError(
            f"There is nothing to convert: no {source_format} below {layout.input}.",
            remedy="Choose the format in which the images were transferred, or transfer them again.",
        )
    image, version = converter_image(settings, converters, source_format, target_format)
    tasks = max(1, min(len(inputs), tasks_max))
    merged = conversion_flags(settings, inputs_per_task=math.ceil(len(inputs) / tasks))
    # On a node without GPU --nv does nothing but complain, and no converter wants one.
    job = JobRequest(
        key=key,
        task_id=task_id,
        workflow=f"convert_{pair(source_format, target_format)}",
        version=version,
        image=image,
        arguments=(),
        layout=layout,
        flags=merge([merged, flags or {}], workflow="conversion"),
        bind_path=settings.slurm_data_bind_path or "",
        array=ArrayChoice(tasks) if tasks_max >= 1 else None,
        modules=settings.modules,
        environment={
            **variables.job_variables(
                image=image, version=version, script_path=settings.slurm_script_path, nv=False, parameters={}
            ),
            "CONVERSION_PATH": str(image.parent),
            "CONVERTER_IMAGE": image.name,
        },
        env_file=settings.env_file_submission,
        conversion=Conversion(
            inputs=tuple(confined(path) for path in inputs),
            source=source_format,
            target=target_format,
            original_test=_test(source_format),
        ),
    )
    if len(jobscript.render(job).encode("utf-8", "surrogateescape")) > LONGEST_SCRIPT_BYTES:
        raise RequestError(
            f"The names of {len(inputs)} inputs are too much for one job script.",
            remedy="Split the selection into batches.",
        )
    return job


def remove_inputs(transport: Transport, layout: RunLayout, inputs: Sequence[str], *, fence: int) -> None:
    """Remove what was converted, once all of it was; what is gone already is fine.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    layout : RunLayout
        The run.
    inputs : Sequence[str]
        As `find_inputs` gave them; nothing else is touched.
    fence : int
        Our number; see `worker.cluster.slurm.submit`.

    Raises
    ------
    Fenced
        If somebody has come with a greater number; nothing was removed.
    CommandFailed
        If something cannot be removed.
    """
    listing = "".join(f"{confined(path)}\0" for path in inputs).encode("utf-8", "surrogateescape")
    command = script("remove_inputs", str(layout.input), str(layout.fence), f"{fence:d}")
    completed = transport.run(command, stdin=[listing], timeout_s=600)
    check_fence(completed)
    completed.check()


def read_logs(transport: Transport, layout: RunLayout, job_id: int) -> bytes:
    """Read the logs of a conversion: of all tasks of its array, or of the one job where Slurm has no arrays.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    layout : RunLayout
        The run.
    job_id : int
        The job.

    Returns
    -------
    bytes
        The end of each log, under a line with its name, in the order of the tasks; nothing if there are none (yet).

    Raises
    ------
    TransportError
        If the cluster cannot be asked.
    """
    answer = transport.run(script("read_logs", str(layout.root), f"{job_id:d}", str(LOG_BYTES)))
    return b"" if answer.exit_status == 66 else answer.check().stdout


def _test(source_format: str) -> tuple[str, ...]:
    """Write a test of find(1) for what is of a format."""
    name = source_format.lower()
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise RequestError(f"{source_format!r} is not the name of a format.", remedy="Write it like zarr or tiff.")
    if name in _FOLDERS:
        return ("-type", "d", "-iname", f"*.{name}")
    names = [word for extension in _EXTENSIONS.get(name, (name,)) for word in ("-o", "-iname", f"*.{extension}")]
    return ("-type", "f", "(", *names[1:], ")")
