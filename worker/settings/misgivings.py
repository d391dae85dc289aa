"""What can be read but cannot work: workflows without repository, options that sbatch does not know, and the like."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from worker.settings import models, sbatch_options
from worker.settings.clusters import section_of
from worker.settings.layers import WORKFLOWS
from worker.settings.sbatch_options import Doubt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from worker.settings.ini import Entry
    from worker.settings.layers import Layers

_SBATCH = "sbatch_"
_GPU_OPTIONS = frozenset({"gres", "gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket", "partition"})


def misgivings(settings: models.Settings, layers: Layers) -> Iterator[Doubt]:
    """Look over settings that could be loaded.

    Parameters
    ----------
    settings : Settings
        The settings.
    layers : Layers
        The keys from which they were loaded, those included that could not be.

    Yields
    ------
    Doubt
        What is wrong; its message begins with the place.
    """
    for name, cluster in settings.clusters.items():
        section = section_of("SLURM", name)
        entries = layers.sections.get(section, {})
        own = {flag: value for flag, value in cluster.slurm.sbatch_flags.items() if f"{_SBATCH}{flag}" in entries}
        yield from _of_options(entries, _SBATCH, own)
        yield from _of_template(settings, name, layers)
    entries = layers.sections.get(WORKFLOWS, {})
    for name, workflow in settings.workflows.items():
        repo = entries.get(f"{name}_repo")
        if workflow.repo is None and (repo is None or repo.blank):
            yield Doubt(
                f"{place(entries[name])} has no repository, so that nobody can run it.",
                f"Add {name}_repo = <address of its descriptor>.",
                fatal=False,
            )
        yield from _of_options(entries, f"{name}_job_", workflow.job_flags)
        slurm = settings.clusters[workflow.cluster].slurm
        asks = slurm.gpu_gres or slurm.gpu_gpus or slurm.gpu_partition or _GPU_OPTIONS & workflow.job_flags.keys()
        if workflow.use_gpu and not asks:
            yield Doubt(
                f"{place(entries[f'{name}_use_gpu'])}: its jobs do not ask for a GPU, as nothing says how.",
                f"Set gpu_gres or gpu_gpus, and gpu_partition, in [{section_of('SLURM', workflow.cluster)}].",
                fatal=False,
            )


def stray_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Name the variables that look like one of ours, and are none.

    Parameters
    ----------
    environ : Mapping[str, str]
        The environment.

    Yields
    ------
    str
        A warning.
    """
    known = models.variables()
    for name in sorted(environ):
        if name.startswith(("BIOMERO_", "OMERO_WORKER_")) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
            if near:
                yield f"The variable {name} is not known and ignored; did you mean {near[0]}?"


def _of_options(entries: Mapping[str, Entry], prefix: str, flags: Mapping[str, str | None]) -> Iterator[Doubt]:
    for flag, value in flags.items():
        found = sbatch_options.doubt(flag, value)
        # That options are written with "-" has been said already.
        if found is not None and "_" not in flag:
            yield Doubt(f"{place(entries[prefix + flag])}: {found.message}.", found.remedy, found.fatal)
    for group in sbatch_options.contradictions(flags):
        all_of_them = [entries[prefix + flag] for flag in group]
        yield Doubt(
            f"{place(all_of_them[0])}: a job can have only one of {', '.join(f'--{flag}' for flag in group)} "
            f"({', '.join(entry.where for entry in all_of_them[1:])}).",
            "Keep the one that your cluster uses.",
            fatal=True,
        )


def _of_template(settings: models.Settings, cluster: str, layers: Layers) -> Iterator[Doubt]:
    path = settings.clusters[cluster].slurm.job_template
    entry = layers.sections.get(section_of("SLURM", cluster), {}).get("slurm_job_template")
    if path is not None and entry is not None and not path.is_file():
        yield Doubt(f"{place(entry)}: there is no such file on this machine.", "Check the path.", fatal=False)


def place(entry: Entry) -> str:
    """Say where an entry stands, as messages begin.

    Parameters
    ----------
    entry : Entry
        The entry.

    Returns
    -------
    str
        File, line, section and key.
    """
    return f"{entry.where}: [{entry.section}] {entry.spelling}"
