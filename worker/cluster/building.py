"""Building the converter that ships with us on the cluster, where ``[CONVERTERS]`` names none to pull.

Only conversions on the cluster need it, so that a site that cannot build images is told, and no more.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING

from worker.cluster import conversion
from worker.cluster.files import put_file
from worker.cluster.pulling import pull_images
from worker.cluster.pulls import Pull, look
from worker.cluster.report import Item

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import PurePosixPath

    from worker.cluster.pulling import PullOptions
    from worker.cluster.transport import Transport
    from worker.settings.models import SlurmSettings

DEFINITION = f"{conversion.BUILT_IN}.def"
"""Name of the definition; what ends so is built and not pulled."""

REMEDY = (
    "Only conversions on the cluster need it. Name an image that can be pulled in [CONVERTERS] "
    f"({conversion.BUILT_IN} = org/name:tag), or build this one where that is allowed."
)


def definition(image_source: str = "docker://") -> dict[str, bytes]:
    """Give what the converter's image is built from, with ``apptainer build``.

    Parameters
    ----------
    image_source : str
        ``slurm_image_source`` of the settings; its base comes from that mirror.

    Returns
    -------
    dict[str, bytes]
        Files by name, to be put into one folder: the definition, and what it copies.
    """
    folder = resources.files("worker.cluster.converters")
    program = f"{conversion.BUILT_IN}.py"
    text = folder.joinpath(DEFINITION).read_text(encoding="utf-8")
    kind, _, mirror = image_source.partition("://")
    if kind == "docker" and mirror:
        text = text.replace("From: ", f"From: {mirror.rstrip('/')}/library/", 1)
    return {DEFINITION: text.encode(), program: folder.joinpath(program).read_bytes()}


def build_converter(
    transport: Transport,
    settings: SlurmSettings,
    options: PullOptions,
    *,
    files: Mapping[str, bytes] | None = None,
    force: bool = False,
    dry_run: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Item:
    """See to it that the converter is on the cluster, and wait until it is, or cannot be.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    settings : SlurmSettings
        Section ``[SLURM]``.
    options : PullOptions
        As for images that are pulled.
    files : Mapping[str, bytes], optional
        Another definition with what it copies, by name.
    force : bool
        Whether to build what is there anew.
    dry_run : bool
        Whether to change nothing, and say what would be done.
    report : callable
        Told what goes on.

    Returns
    -------
    Item
        ``ok``, ``changed``, or a ``warning`` if it cannot be built.

    Raises
    ------
    TransportError
        If the cluster does not answer.
    """
    pull = _pull(settings)
    if not dry_run and (force or look(transport, [pull.file])[pull.file].image != "whole"):
        for name, content in (files or definition(settings.image_source)).items():
            put_file(transport, pull.file.with_name(name), content)
    (item,) = pull_images(transport, [pull], options, force=force, dry_run=dry_run, report=report)
    return _softened(item)


def inspect_converter(transport: Transport, settings: SlurmSettings) -> Item:
    """Look whether the converter is on the cluster.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    settings : SlurmSettings
        Section ``[SLURM]``.

    Returns
    -------
    Item
        ``ok``, or a ``warning``.

    Raises
    ------
    TransportError
        If the cluster does not answer.
    """
    pull = _pull(settings)
    state = look(transport, [pull.file])[pull.file]
    if state.image == "whole":
        return Item(pull.name, "ok", str(pull.file))
    return Item(pull.name, "warning", f"{pull.file} has not been built", f"Run 'omero-worker cluster init'. {REMEDY}")


def _pull(settings: SlurmSettings) -> Pull:
    file: PurePosixPath = conversion.converter_image(settings, {}, *conversion.BUILT_IN.split("_to_"))[0]
    return Pull(f"converter {conversion.BUILT_IN}", DEFINITION, file)


def _softened(item: Item) -> Item:
    if item.state != "failed":
        return item
    detail = item.detail.replace(f"pulled from {DEFINITION}", "built")
    return replace(item, state="warning", detail=detail, remedy=f"{REMEDY} {item.remedy}".strip())
