"""What a cluster is to have, by the settings: folders, images, and jobs that its Slurm takes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from worker.analyses import sources
from worker.analyses.tokens import Tokens
from worker.cluster import flags, images
from worker.cluster.pulling import PullOptions
from worker.cluster.pulls import Pull
from worker.cluster.report import Item
from worker.errors import DescriptorError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path, PurePosixPath

    from worker.analyses.model import Analysis
    from worker.analyses.sources import SourcedAnalysis
    from worker.settings.models import ClusterSettings, Settings, WorkflowSettings

READERS = 4
"""Repositories that are asked at the same time."""


def folders_of(cluster: ClusterSettings) -> dict[str, str]:
    """Name the folders that a cluster needs.

    Parameters
    ----------
    cluster : ClusterSettings
        The cluster.

    Returns
    -------
    dict[str, str]
        From what a folder is for to its path. A repository of job scripts makes its own.
    """
    slurm = cluster.slurm
    folders = {
        "data folder": slurm.slurm_data_path,
        "image folder": slurm.slurm_images_path,
        "converter folder": slurm.slurm_converters_path,
    }
    if not slurm.slurm_script_repo:
        folders["script folder"] = slurm.slurm_script_path
    if slurm.apptainer_tmpdir:
        folders["temporary folder of pulls"] = slurm.apptainer_tmpdir
    if slurm.apptainer_cachedir:
        folders["cache of pulls"] = slurm.apptainer_cachedir
    return folders


def pull_options(cluster: ClusterSettings) -> PullOptions:
    """Say how images are pulled to a cluster.

    Parameters
    ----------
    cluster : ClusterSettings
        The cluster.

    Returns
    -------
    PullOptions
        In a job of its own for each if ``slurm_image_pull_via_sbatch`` says so.
    """
    slurm = cluster.slurm
    return PullOptions(
        sbatch=_pull_arguments(cluster) if slurm.slurm_image_pull_via_sbatch else None,
        tmpdir=(slurm.apptainer_tmpdir or "").removeprefix("~/"),
        cachedir=(slurm.apptainer_cachedir or "").removeprefix("~/"),
        modules=slurm.modules,
    )


def _pull_arguments(cluster: ClusterSettings) -> tuple[str, ...]:
    slurm = cluster.slurm
    own = {"cpus-per-task": str(slurm.image_pull_cpus), "mem": slurm.image_pull_mem, "job-name": "omero-image-pull"}
    return _arguments(flags.merge([slurm.sbatch_flags, {"partition": slurm.slurm_default_partition or ""}, own]))


def _arguments(options: Mapping[str, str | None]) -> tuple[str, ...]:
    return tuple(f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items())


@dataclass(frozen=True, slots=True)
class Wanted:
    """The images that a cluster is to have.

    Parameters
    ----------
    pulls : tuple of Pull
        The images, each file once.
    problems : tuple of Item
        Workflows of which nobody can say which image they need.
    of_workflows : Mapping[str, Pull]
        By workflow.
    analyses : Mapping[str, Analysis]
        What descriptors say, by workflow.
    """

    pulls: tuple[Pull, ...]
    problems: tuple[Item, ...] = ()
    of_workflows: Mapping[str, Pull] = field(default_factory=dict)
    analyses: Mapping[str, Analysis] = field(default_factory=dict)


def find_images(
    settings: Settings, cluster: ClusterSettings, *, state_dir: Path, workflow: str | None = None
) -> Wanted:
    """Find out which images a cluster is to have: those of converters, and one for each of its workflows.

    The version of a workflow is the tag of the image in its descriptor, else the branch or tag of its repository.

    Parameters
    ----------
    settings : Settings
        Name workflows and converters.
    cluster : ClusterSettings
        The cluster.
    state_dir : Path
        Where copies of repositories are kept.
    workflow : str, optional
        Only the image of this workflow.

    Returns
    -------
    Wanted
        The images, and what kept us from knowing them all.
    """
    pulls: dict[PurePosixPath, Pull] = {}
    problems: list[Item] = []
    of_workflows: dict[str, Pull] = {}
    analyses: dict[str, Analysis] = {}

    def want(pull: Pull) -> Pull:
        """Take an image for several only once."""
        known = pulls.get(pull.file)
        pulls[pull.file] = pull if known is None else Pull(f"{known.name}, {pull.name}", known.address, known.file)
        return pull

    if workflow is None:
        for conversion, image in settings.converters.items():
            try:
                want(_converter(cluster, conversion, image))
            except SettingsError as error:
                problems.append(Item(f"converter {conversion}", "failed", error.message, error.remedy))
    chosen = {
        name: each
        for name, each in settings.workflows.items()
        if each.cluster == cluster.name and workflow in (None, name)
    }
    for name, found in _fetch(settings, chosen, state_dir).items():
        try:
            if isinstance(found, DescriptorError | SettingsError):
                raise found
            analyses[name] = found.analysis
            of_workflows[name] = want(_image(cluster, chosen[name], found))
            if found.note:
                problems.append(Item(name, "warning", found.note))
        except (DescriptorError, SettingsError) as error:
            detail = f"nobody can say which image it needs: {error.message}"
            problems.append(Item(name, "failed", detail, error.remedy))
    return Wanted(tuple(pulls.values()), tuple(problems), of_workflows, analyses)


def _converter(cluster: ClusterSettings, conversion: str, image: str) -> Pull:
    slurm = cluster.slurm
    return Pull(
        f"converter {conversion}",
        images.pull_address(slurm.image_source, image, images.image_tag(image)),
        images.converter_file(slurm.slurm_converters_path, conversion, image),
    )


def _image(cluster: ClusterSettings, workflow: WorkflowSettings, found: SourcedAnalysis) -> Pull:
    slurm, image = cluster.slurm, found.analysis.image
    return Pull(
        f"{workflow.name} {found.version}",
        images.pull_address(slurm.image_source, image, found.version),
        images.image_file(slurm.slurm_images_path, workflow.image_folder, image, found.version),
    )


def _fetch(
    settings: Settings, workflows: Mapping[str, WorkflowSettings], state_dir: Path
) -> dict[str, SourcedAnalysis | DescriptorError | SettingsError]:
    """Read the descriptors of workflows."""
    found: dict[str, SourcedAnalysis | DescriptorError | SettingsError] = {}
    for name, workflow in workflows.items():
        if not workflow.repo:
            found[name] = SettingsError(
                f"slurm-config.ini names no repository for it ({name}_repo).",
                remedy=f"Add {name}_repo, or pull its image by hand.",
            )
    read = partial(
        sources.fetch_group,
        cache_dir=state_dir / "descriptors",
        timeout_s=settings.analyses.timeout_s,
        tokens=Tokens.of(settings.analyses),
        ask_now=True,
    )
    groups = sources.by_origin({name: workflow.repo for name, workflow in workflows.items() if workflow.repo})
    with ThreadPoolExecutor(READERS) as executor:
        for group in executor.map(read, groups):
            found |= group
    return {name: found[name] for name in workflows}


def submissions_of(
    settings: Settings,
    cluster: ClusterSettings,
    analyses: Mapping[str, Analysis],
    scripts: Mapping[str, Mapping[str, str | None]],
) -> tuple[dict[str, tuple[str, ...]], list[Item]]:
    """Say what sbatch would get for each kind of job of a cluster.

    Parameters
    ----------
    settings : Settings
        Name the workflows.
    cluster : ClusterSettings
        The cluster.
    analyses : Mapping[str, Analysis]
        What the descriptors of its workflows say, as far as that is known.
    scripts : Mapping[str, Mapping[str, str or None]]
        Options in job scripts of the site, by workflow.

    Returns
    -------
    tuple of dict and list of Item
        From what a job is for to the arguments; and jobs whose settings make no arguments.
    """
    submissions: dict[str, tuple[str, ...]] = {}
    refused: list[Item] = []
    own = {name: each for name, each in settings.workflows.items() if each.cluster == cluster.name}
    for name, workflow in own.items():
        try:
            submissions[name] = _arguments(_options(cluster, workflow, analyses.get(name), scripts.get(name, {})))
        except SettingsError as error:
            refused.append(Item(f"jobs of {name}", "failed", error.message, error.remedy))
    for partition in dict.fromkeys(part for each in own.values() for part in each.user_partitions):
        submissions[f"people who choose {partition}"] = (f"--partition={partition}",)
    if conversions := cluster.slurm.slurm_conversion_partition:
        submissions["conversions"] = (f"--partition={conversions}",)
    if cluster.slurm.slurm_image_pull_via_sbatch:
        submissions["image pulls"] = _pull_arguments(cluster)
    return submissions, refused


def _options(
    cluster: ClusterSettings,
    workflow: WorkflowSettings,
    analysis: Analysis | None,
    script: Mapping[str, str | None],
) -> Mapping[str, str | None]:
    if analysis is None:
        return flags.sbatch_flags(cluster.slurm, workflow, script=script)
    needs = analysis.resources
    resources = flags.resource_flags(cores=needs.cores, memory_mib=needs.memory_mib)
    return flags.sbatch_flags(cluster.slurm, workflow, described_gpu=needs.gpu, resources=resources, script=script)
