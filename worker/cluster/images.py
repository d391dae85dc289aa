"""Container images on the cluster: what their files are called, and which versions there are."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from worker.cluster.scripts import script
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.cluster.transport import Transport

_SUFFIXES = (".sif", ".simg")
_ADDRESS = re.compile(r"[a-z]+://[\w.-]+(?::\d+)?(?:/[\w.-]+)*(?::[\w.+-]+)?(?:@\w+:\w+)?", re.ASCII)
"""A scheme, a host with or without a port, a path, a tag, a digest."""


def sif_name(image: str, version: str) -> str:
    """Name the file that holds a version of an image; the one place where that is decided.

    Parameters
    ----------
    image : str
        As a registry calls it: ``org/name``, ``name``, ``ghcr.io/org/name``, with or without ``:tag``,
        ``@sha256:...`` or ``docker://``.
    version : str
        The version.

    Returns
    -------
    str
        ``<name>_<version>.sif``, whatever the tag of `image` is.

    Raises
    ------
    SettingsError
        If there is no name in `image`, or the version could leave the folder.
    """
    name = repository_name(image)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", version):
        raise SettingsError(
            f"{version!r} is not the version of an image.", remedy="Use letters, digits, '.', '-', '_' and '+'."
        )
    return f"{name}_{version}.sif"


def repository_name(image: str) -> str:
    """Name an image without its registry, organisation, tag and digest.

    Parameters
    ----------
    image : str
        As for `sif_name`.

    Returns
    -------
    str
        Its last part: ``w_nuclei`` of ``ghcr.io:5000/org/w_nuclei:v1``.

    Raises
    ------
    SettingsError
        If there is none.
    """
    path = image.strip().partition("://")[2] or image.strip()
    last = path.partition("@")[0].rpartition("/")[2].partition(":")[0]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", last):
        raise SettingsError(
            f"{image!r} is not the name of a container image.", remedy="Write it like org/name or ghcr.io/org/name."
        )
    return last


def image_file(images_path: str, folder: str, image: str, version: str) -> PurePosixPath:
    """Locate the file that holds a version of an image.

    Parameters
    ----------
    images_path : str
        ``slurm_images_path`` of the settings.
    folder : str
        The workflow's folder below it.
    image : str
        The image.
    version : str
        The version.

    Returns
    -------
    PurePosixPath
        Its path on the cluster.
    """
    return PurePosixPath(images_path.removeprefix("~/")) / folder / sif_name(image, version)


def converter_file(converters_path: str, conversion: str, image: str) -> PurePosixPath:
    """Locate the file that holds a converter.

    Parameters
    ----------
    converters_path : str
        ``slurm_converters_path`` of the settings.
    conversion : str
        What it converts, as ``[CONVERTERS]`` calls it: ``zarr_to_tiff``.
    image : str
        The image, as for `sif_name`; its tag is the version, ``latest`` without one.

    Returns
    -------
    PurePosixPath
        Its path on the cluster: ``convert_zarr_to_tiff_1.14.0.sif``, whatever the name of the image is.
    """
    return PurePosixPath(converters_path.removeprefix("~/")) / sif_name(f"convert_{conversion}", image_tag(image))


def image_tag(image: str) -> str:
    """Read the tag of an image.

    Parameters
    ----------
    image : str
        The image, as for `sif_name`.

    Returns
    -------
    str
        Its tag, or ``latest`` if it names none.
    """
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2] or "latest"


def pull_address(source: str, image: str, version: str) -> str:
    """Say what is pulled for a version of an image.

    Parameters
    ----------
    source : str
        What precedes the names of images: ``docker://``, or a mirror such as ``docker://mirror.example.org/``.
    image : str
        The image, as for `sif_name`. One that begins with a scheme of its own (``oras://``) is taken as it is.
    version : str
        The version; its tag, unless `image` has one, or a digest.

    Returns
    -------
    str
        An address for ``apptainer pull``.

    Raises
    ------
    SettingsError
        If it cannot be one.
    """
    image = image.strip()
    name, at, digest = image.partition("@")
    if at:
        # Runtimes refuse a tag and a digest at once; the digest says more.
        tag = name.rpartition("/")[2].partition(":")[2]
        address = f"{name.removesuffix(f':{tag}') if tag else name}@{digest}"
    else:
        address = name if ":" in name.rpartition("/")[2] else f"{name}:{version}"
    address = address if "://" in image else f"{source}{address}"
    if not _ADDRESS.fullmatch(address):
        raise SettingsError(
            f"{address!r} is not the address of a container image.", remedy="Write images like org/name:v1.0."
        )
    return address


def list_images(transport: Transport, images_path: str, workflows: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Find out which image files of all workflows are on the cluster, with one command.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    images_path : str
        ``slurm_images_path`` of the settings.
    workflows : Mapping[str, str]
        From the name of a workflow to its folder below `images_path`.

    Returns
    -------
    dict[str, tuple[str, ...]]
        Names of the files in the folder of each workflow; none for a folder that is not there. See `versions_of`.

    Raises
    ------
    TransportError
        If the cluster cannot be asked.
    """
    folders = sorted(set(workflows.values()))
    answer = transport.run(
        script("list_images", images_path.removeprefix("~/")), stdin=["".join(f"{f}\n" for f in folders).encode()]
    ).check()
    files: dict[str, list[str]] = {folder: [] for folder in folders}
    for line in answer.text.splitlines():
        folder, _, name = line.partition("\t")
        if folder in files:
            files[folder].append(name)
    return {name: tuple(files[folder]) for name, folder in workflows.items()}


def versions_of(files: Iterable[str], image: str = "") -> tuple[str, ...]:
    """Read versions from names of files.

    Parameters
    ----------
    files : Iterable[str]
        Names like ``w_nuclei-viewer_v1.0.sif``; others are passed over.
    image : str
        The image, as a registry calls it, if it is known: then only what `sif_name` calls its versions counts, and
        a version may look like anything. Otherwise it is guessed which part of a name is the version.

    Returns
    -------
    tuple[str, ...]
        The versions, the newest first. Guessed: what follows the last ``_v`` or ``-v`` before a digit; in names
        without, what follows the last ``_``.
    """
    if image:
        prefix = f"{repository_name(image)}_"
        return newest_first(
            [name.removeprefix(prefix).removesuffix(".sif") for name in files if _is_version(name, prefix)]
        )
    found: list[str] = []
    for file in files:
        stem = next((file[: -len(suffix)] for suffix in _SUFFIXES if file.endswith(suffix)), "")
        match = re.fullmatch(r".+[_-](v\d.*|latest)", stem) or re.fullmatch(r".+_([^_]+)", stem)
        if match:
            found.append(match[1])
    return newest_first(found)


def _is_version(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and name.endswith(".sif") and len(name) > len(prefix) + len(".sif")


def newest_first(versions: list[str]) -> tuple[str, ...]:
    """Sort versions as a person would: v1.10 is newer than v1.9, a release newer than its candidates.

    Parameters
    ----------
    versions : list[str]
        Versions, some perhaps more than once.

    Returns
    -------
    tuple[str, ...]
        Each once; numbers first, words such as ``latest`` after them.
    """
    return tuple(sorted(set(versions), key=_age, reverse=True))


def _age(version: str) -> tuple[bool, list[tuple[int, int, str]], str]:
    parts: list[tuple[int, int, str]] = []
    for number, word in re.findall(r"(\d+)|([^\W\d_]+)", version.removeprefix("v").removeprefix("V")):
        # A word after numbers makes a candidate (1.0-rc1), older than the end of the name (1.0) and than a number.
        parts.append((2, int(number), "") if number else (0, 0, word.lower()))
    parts.append((1, 0, ""))
    return bool(re.match(r"[vV]?\d", version)), parts, version
