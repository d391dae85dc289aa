"""What differs in effect between two configurations: typed values and not text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.settings import models, reading
from worker.settings.clusters import KINDS, section_of
from worker.settings.layers import WORKFLOWS
from worker.settings.secrecy import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Difference:
    """One key that is not the same.

    Parameters
    ----------
    section : str
        Its section.
    key : str
        The key.
    before : str | None
        Its value in the first configuration, stars in the place of secrets; None where nothing is set.
    after : str | None
        The same in the second one.
    """

    section: str
    key: str
    before: str | None
    after: str | None


def compare(first: models.Settings, second: models.Settings) -> tuple[Difference, ...]:
    """Compare two configurations.

    Parameters
    ----------
    first : Settings
        One.
    second : Settings
        The other.

    Returns
    -------
    tuple[Difference, ...]
        Every key that has another effect, in the order of the sections.
    """
    before, after = values(first), values(second)
    return tuple(
        Difference(section, key, _shown(key, before.get((section, key))), _shown(key, after.get((section, key))))
        for section, key in dict.fromkeys((*before, *after))
        if before.get((section, key)) != after.get((section, key))
    )


def values(settings: models.Settings) -> dict[tuple[str, str], object]:
    """List all values by the keys that say them in a file.

    Parameters
    ----------
    settings : Settings
        The settings.

    Returns
    -------
    dict[tuple[str, str], object]
        From section and key to the typed value. An option of sbatch without value is an empty text.
    """
    found: dict[tuple[str, str], object] = {}
    for section in models.SECTIONS:
        found |= _of_model(section, "", getattr(settings, section.lower()))
    found |= _of_flags("SLURM", "sbatch_", settings.slurm.sbatch_flags)
    for name, cluster in settings.clusters.items():
        if name != models.DEFAULT_CLUSTER:
            ssh, slurm = (section_of(kind, name) for kind in KINDS)
            found |= _of_model(ssh, "", cluster.ssh) | _of_model(slurm, "", cluster.slurm)
            found |= _of_flags(slurm, "sbatch_", cluster.slurm.sbatch_flags)
    found |= {("CONVERTERS", key): image for key, image in settings.converters.items()}
    for name, workflow in settings.workflows.items():
        found[WORKFLOWS, name] = workflow.image_folder
        found |= _of_model(WORKFLOWS, f"{name}_", workflow)
        found |= _of_flags(WORKFLOWS, f"{name}_job_", workflow.job_flags)
        if workflow.retry is not None:
            found |= _of_model(WORKFLOWS, f"{name}_retry_", workflow.retry)
    return found


def _of_model(section: str, prefix: str, model: BaseModel) -> dict[tuple[str, str], object]:
    fields = models.written_fields(type(model))
    return {(section, f"{prefix}{key}"): getattr(model, name) for key, (name, _) in fields.items()}


def _of_flags(section: str, prefix: str, flags: Mapping[str, str | None]) -> dict[tuple[str, str], object]:
    return {(section, f"{prefix}{flag}"): value or "" for flag, value in flags.items()}


def _shown(key: str, value: object) -> str | None:
    return masked(key, reading.as_text(value))
