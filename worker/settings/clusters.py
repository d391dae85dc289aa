"""Sections ``[SSH:name]`` and ``[SLURM:name]``: clusters besides that of ``[SSH]`` and ``[SLURM]``.

Such a section is one more layer on top of ``[SSH]`` or ``[SLURM]``: what it does not name is as it is there, and a
blank value takes back what is set there. Only ``host`` is not handed on: it is the name of the cluster.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from worker.errors import SettingsError
from worker.settings.models import DEFAULT_CLUSTER
from worker.settings.reading import CLUSTER_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KINDS = ("SSH", "SLURM")
_NEARLY = re.compile(r"(?P<kind>[A-Za-z]+)[\s:._/-]+(?P<name>\S+)")


def section_of(kind: str, cluster: str) -> str:
    """Name the section that says something about a cluster.

    Parameters
    ----------
    kind : str
        ``SSH`` or ``SLURM``.
    cluster : str
        The name of the cluster.

    Returns
    -------
    str
        Such as ``SLURM`` or ``SLURM:gpu``.
    """
    return kind if cluster == DEFAULT_CLUSTER else f"{kind}:{cluster}"


def is_of_a_cluster(section: str) -> bool:
    """Say whether a section belongs to a named cluster.

    Parameters
    ----------
    section : str
        Its name.

    Returns
    -------
    bool
        Whether it reads ``SSH:...`` or ``SLURM:...``.
    """
    kind, colon, _ = section.partition(":")
    return bool(colon) and kind in KINDS


def meant(section: str) -> tuple[str, str] | None:
    """Take apart what looks like the section of a named cluster, however it is spelt.

    Parameters
    ----------
    section : str
        Such as ``SLRUM:gpu`` or ``slurm gpu``.

    Returns
    -------
    tuple[str, str] | None
        What stands for ``SSH`` or ``SLURM``, and the name; None if it does not look like that.
    """
    match = _NEARLY.fullmatch(section)
    return None if match is None else (match["kind"], match["name"])


def cluster_names(headers: Mapping[str, str]) -> tuple[str, ...]:
    """List the clusters that have a section of their own.

    Parameters
    ----------
    headers : Mapping[str, str]
        Every section, and where it begins.

    Returns
    -------
    tuple[str, ...]
        Their names, sorted; not ``default``.

    Raises
    ------
    SettingsError
        A name is none, or is the reserved one.
    """
    return tuple(sorted(set(_names(headers))))


def _names(headers: Mapping[str, str]) -> Iterable[str]:
    for section, where in headers.items():
        if not is_of_a_cluster(section):
            continue
        kind, _, name = section.partition(":")
        if name == DEFAULT_CLUSTER:
            raise SettingsError(
                f"{where}: section [{section}]: {DEFAULT_CLUSTER!r} is the name of the cluster of [SSH] and [SLURM].",
                remedy=f"Write [{kind}], or choose another name.",
            )
        if not CLUSTER_NAME.fullmatch(name):
            raise SettingsError(
                f"{where}: section [{section}]: {name!r} cannot be the name of a cluster.",
                remedy="It must be a word of lower-case letters, digits, - and _ that starts with a letter.",
            )
        yield name
