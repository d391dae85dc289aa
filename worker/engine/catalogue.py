"""Refreshing the catalogue: what can be run, in which versions, with which parameters.

Dialogs read the catalogue from a file and never ask the cluster or the web themselves. One unreachable repository, or
an unreachable cluster, never takes anything out of it: what was known before stays, with a note.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from worker.analyses import catalogue as catalogues
from worker.analyses import sources
from worker.analyses.catalogue import Catalogue, CatalogueEntry, Choices
from worker.cluster import images
from worker.errors import CircuitOpen, DescriptorError, TransportError

if TYPE_CHECKING:
    from pathlib import Path

    from worker.analyses.model import Analysis
    from worker.cluster.transport import Transport
    from worker.settings.models import Settings, WorkflowSettings

log = structlog.get_logger(__name__)


def refresh_catalogue(settings: Settings, transport: Transport, *, state_dir: Path) -> Catalogue:
    """Look at every workflow of slurm-config.ini and write the catalogue.

    Parameters
    ----------
    settings : Settings
        Names the workflows, their repositories and image folders.
    transport : Transport
        The way to the cluster.
    state_dir : Path
        Where the catalogue and the cache of repositories are kept.

    Returns
    -------
    Catalogue
        What was written.
    """
    path = catalogues.catalogue_path(state_dir)
    before = {entry.name: entry for entry in catalogues.load(path).entries}
    now = datetime.now(UTC)
    note = ""
    versions: dict[str, tuple[str, ...]] = {}
    folders = {name: workflow.image_folder for name, workflow in settings.workflows.items()}
    try:
        versions = images.list_versions(transport, settings.slurm.slurm_images_path, folders)
    except (TransportError, CircuitOpen) as error:
        note = (
            f"The cluster did not answer at {now:%Y-%m-%d %H:%M} UTC; versions are those seen before. {error.message}"
        )
        log.warning("versions_unknown", problem=str(error))
        versions = {name: before[name].versions for name in folders if name in before}
    entries = []
    for name, workflow in settings.workflows.items():
        analysis = before[name].analysis if name in before else None
        problem = ""
        if workflow.repo is None:
            analysis, problem = None, f"slurm-config.ini names no repository for it ({name}_repo)."
        else:
            try:
                analysis = sources.read_analysis(workflow.repo, cache_dir=state_dir / "descriptors")
            except DescriptorError as error:
                problem = str(error)
                log.warning("descriptor_unreadable", workflow=name, problem=problem)
        choices = choices_of(settings, workflow, analysis)
        entries.append(CatalogueEntry(name, tuple(versions.get(name, ())), analysis, problem, choices))
    catalogue = Catalogue(tuple(entries), now.isoformat(timespec="seconds"), note)
    catalogues.save(path, catalogue)
    return catalogue


def choices_of(settings: Settings, workflow: WorkflowSettings, analysis: Analysis | None) -> Choices:
    """Say what a person may choose for the jobs of a workflow.

    Parameters
    ----------
    settings : Settings
        Name the workflow's cluster.
    workflow : WorkflowSettings
        The workflow.
    analysis : Analysis or None
        What its descriptor says, if that is known.

    Returns
    -------
    Choices
        What its dialog offers. A GPU can be chosen where ``inject_gpu_flag`` says so; at first, that is as it is
        configured, else as the descriptor says.
    """
    gpu = None
    if settings.cluster(workflow.cluster).slurm.inject_gpu_flag:
        gpu = workflow.use_gpu if workflow.use_gpu is not None else analysis is not None and analysis.resources.gpu
    return Choices(workflow.user_time_max_s, workflow.user_memory_max_mib, workflow.user_partitions, gpu)
