"""Hand-written job scripts of a site, from the git repository that is cloned to the cluster (``slurm_script_repo``)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from worker.cluster.flags import directives_in
from worker.cluster.layout import confined
from worker.cluster.scripts import script
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.cluster.transport import Transport

MOST_BYTES = 1_000_000
"""A longer job script is none."""


@dataclass(frozen=True, slots=True)
class SiteScript:
    """A job script of the site, as it was read.

    Parameters
    ----------
    path : PurePosixPath
        Where it is on the cluster.
    text : str
        What it says.
    """

    path: PurePosixPath
    text: str

    @property
    def interpreter(self) -> tuple[str, ...]:
        """The program that runs it, with its options, as its first line says."""
        first = self.text.partition("\n")[0].removeprefix("#!").strip()
        return tuple(first.split(maxsplit=1)) if not first.startswith("/usr/bin/env ") else tuple(shlex.split(first))

    @property
    def flags(self) -> Mapping[str, str | None]:
        """The options of sbatch that stand in it."""
        return directives_in(self.text)


def read_site_script(transport: Transport, script_path: str, name: str, *, workflow: str) -> SiteScript:
    """Read a job script of the site from the cluster.

    It is copied into the folder of the run: whoever updates the repository does not change it under a job that
    runs it.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    script_path : str
        ``slurm_script_path`` of the settings.
    name : str
        ``<workflow>_job`` of the settings: a path below that folder.
    workflow : str
        The workflow.

    Returns
    -------
    SiteScript
        The script.

    Raises
    ------
    SettingsError
        If it is not there, or is no script.
    TransportError
        If the cluster cannot be asked.
    """
    try:
        path = PurePosixPath(script_path.removeprefix("~/")) / confined(name)
    except ValueError as error:
        raise SettingsError(
            f"{workflow}_job = {name} is not a path below slurm_script_path.", remedy="Correct it in slurm-config.ini."
        ) from error
    answer = transport.run(script("read_script", str(path), str(MOST_BYTES + 1)))
    if answer.exit_status == 66:
        raise SettingsError(
            f"The job script of {workflow} is not on the cluster: {path}.",
            remedy="Run 'omero-worker cluster init', which fetches slurm_script_repo; if it is not there afterwards, "
            f"correct {workflow}_job in slurm-config.ini.",
        )
    text = answer.check().stdout.decode("utf-8", "surrogateescape")
    if len(answer.stdout) > MOST_BYTES:
        raise SettingsError(f"The job script of {workflow} has more than {MOST_BYTES} bytes: {path}.")
    if "\0" in text or not text.startswith("#!"):
        raise SettingsError(
            f"The job script of {workflow} does not begin with '#!' and a program: {path}.",
            remedy="Write '#!/bin/bash' into its first line, and run 'omero-worker cluster init'.",
        )
    if "\r\n" in text:
        raise SettingsError(
            f"The job script of {workflow} has the line ends of Windows, which no shell takes: {path}.",
            remedy="Convert it (dos2unix), commit it, and run 'omero-worker cluster init'.",
        )
    return SiteScript(path, text)
