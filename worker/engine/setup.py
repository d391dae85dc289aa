"""Setting a cluster up, and looking whether it is: folders, job scripts, converters, the images of all workflows.

Both give a report of one line for each thing. Setting up is done as often as one likes: what is as it should be is left
alone, and said to be so.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from worker.cluster import images, jobtemplate, sitescript
from worker.cluster.building import build_converter, inspect_converter
from worker.cluster.inspection import Questions, inspect_cluster
from worker.cluster.preparation import clone_scripts, make_folders
from worker.cluster.pulling import pull_images
from worker.cluster.pulls import Pull, as_it_is, look
from worker.cluster.report import Item, SetupReport
from worker.engine.catalogue import refresh_catalogue
from worker.engine.provisions import Wanted, find_images, folders_of, pull_options, submissions_of
from worker.errors import CommandFailed, RequestError, SettingsError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from worker.cluster.transport import Transport
    from worker.settings.models import ClusterSettings, Settings

__all__ = ["Item", "SetupReport", "initialise", "inspect", "set_up"]


def set_up(
    settings: Settings,
    clusters: Sequence[ClusterSettings],
    *,
    state_dir: Path,
    transports: Callable[[str], Transport],
    report: Callable[[str], None],
    workflow: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> dict[str, SetupReport]:
    """Set clusters up, one after the other, and let the dialogs know what can be run now.

    Parameters
    ----------
    settings : Settings
        Everything that an admin has set.
    clusters : Sequence[ClusterSettings]
        The clusters.
    state_dir : Path
        Where the catalogue and copies of repositories are kept.
    transports : callable
        Gives the way to the cluster of a name.
    report : callable
        Told what goes on.
    workflow : str, optional
        Only the image of this workflow; by default everything.
    force : bool
        Whether to pull images that are there anew.
    dry_run : bool
        Whether to change nothing, and say what would be done.

    Returns
    -------
    dict[str, SetupReport]
        By the names of clusters, in their order.

    Raises
    ------
    RequestError
        If there is no such workflow.
    SettingsError
        If the catalogue cannot be written.
    """
    only = settings.workflow(workflow).name if workflow is not None else None
    if only is not None and (home := settings.workflow(only).cluster) not in {cluster.name for cluster in clusters}:
        raise RequestError(
            f"Workflow {only} runs on cluster {home}, not here.", remedy=f"Name cluster {home}, or none."
        )
    reports: dict[str, SetupReport] = {}
    for cluster in clusters:
        reports[cluster.name] = initialise(
            settings,
            cluster,
            transports(cluster.name),
            state_dir=state_dir,
            report=report,
            workflow=only,
            force=force,
            dry_run=dry_run,
        )
    if not dry_run:
        report("Telling the dialogs what can be run.")
        refresh_catalogue(settings, transports, state_dir=state_dir)
    return reports


def initialise(
    settings: Settings,
    cluster: ClusterSettings,
    transport: Transport,
    *,
    state_dir: Path,
    report: Callable[[str], None] = lambda _: None,
    workflow: str | None = None,
    force: bool = False,
    dry_run: bool = False,
) -> SetupReport:
    """Set a cluster up; what is as it should be is left as it is.

    Parameters
    ----------
    settings : Settings
        Name workflows and converters.
    cluster : ClusterSettings
        The cluster.
    transport : Transport
        The way to it.
    state_dir : Path
        Where copies of repositories are kept.
    report : callable
        Told what goes on.
    workflow : str, optional
        Only the image of this workflow; by default everything.
    force : bool
        Whether to pull images that are there anew.
    dry_run : bool
        Whether to change nothing, and say what would be done.

    Returns
    -------
    SetupReport
        What was done, and what could not be. A cluster that cannot be reached is a line of it.
    """
    items: list[Item] = []
    try:
        if workflow is None:
            report(f"{cluster.name}: folders and job scripts")
            items += make_folders(transport, folders_of(cluster), dry_run=dry_run)
            if repository := cluster.slurm.slurm_script_repo:
                items.append(clone_scripts(transport, repository, cluster.slurm.slurm_script_path, dry_run=dry_run))
            if not dry_run:
                items += read_scripts(transport, settings, cluster)[1]
        wanted = find_images(settings, cluster, state_dir=state_dir, workflow=workflow)
        items += wanted.problems
        options = pull_options(cluster)
        items += pull_images(transport, wanted.pulls, options, force=force, dry_run=dry_run, report=report)
        if workflow is None and not settings.converters:
            items.append(
                build_converter(transport, cluster.slurm, options, force=force, dry_run=dry_run, report=report)
            )
    except WorkerError as error:
        items.append(_unreachable(cluster, error))
    return SetupReport(tuple(items))


def inspect(
    settings: Settings,
    cluster: ClusterSettings,
    transport: Transport,
    *,
    state_dir: Path,
    report: Callable[[str], None] = lambda _: None,
) -> SetupReport:
    """Look whether a cluster is set up, and change nothing.

    Parameters
    ----------
    settings : Settings
        Name workflows and converters.
    cluster : ClusterSettings
        The cluster.
    transport : Transport
        The way to it.
    state_dir : Path
        Where copies of repositories are kept.
    report : callable
        Told what goes on.

    Returns
    -------
    SetupReport
        A line for each thing, with a remedy for what is not as it should be.
    """
    items: list[Item] = []
    try:
        report(f"{cluster.name}: login, Slurm and folders")
        wanted = find_images(settings, cluster, state_dir=state_dir)
        scripts, told = read_scripts(transport, settings, cluster)
        submissions, refused = submissions_of(settings, cluster, wanted.analyses, scripts)
        questions = Questions(cluster.ssh.host, folders_of(cluster), submissions, cluster.slurm.modules)
        items += inspect_cluster(transport, questions)
        items += refused
        if repository := cluster.slurm.slurm_script_repo:
            items.append(clone_scripts(transport, repository, cluster.slurm.slurm_script_path, dry_run=True))
        items += told
        report(f"{cluster.name}: images")
        items += wanted.problems
        items += _images(transport, settings, cluster, wanted)
        if not settings.converters:
            items.append(inspect_converter(transport, cluster.slurm))
    except WorkerError as error:
        items.append(_unreachable(cluster, error))
    return SetupReport(tuple(items))


def _unreachable(cluster: ClusterSettings, error: WorkerError) -> Item:
    return Item("ssh", "failed", f"{cluster.ssh.host}: {error.message}", error.remedy)


def read_scripts(
    transport: Transport, settings: Settings, cluster: ClusterSettings
) -> tuple[dict[str, Mapping[str, str | None]], list[Item]]:
    """Read the job scripts, or the template, that a site has written itself.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    settings : Settings
        Name the workflows.
    cluster : ClusterSettings
        The cluster.

    Returns
    -------
    tuple of dict and list of Item
        The options of sbatch in them, by workflow; and a line for each.
    """
    slurm = cluster.slurm
    own = {name: each for name, each in settings.workflows.items() if each.cluster == cluster.name}
    options: dict[str, Mapping[str, str | None]] = {}
    items: list[Item] = []
    if slurm.job_template is not None:
        try:
            text = jobtemplate.read_template(slurm.job_template)
            options = dict.fromkeys(own, jobtemplate.template_flags(text))
            items.append(Item("job template", "ok", str(slurm.job_template)))
        except SettingsError as error:
            items.append(Item("job template", "failed", error.message, error.remedy))
    for name, workflow in own.items():
        if slurm.slurm_script_repo is None or workflow.job is None:
            continue
        try:
            read = sitescript.read_site_script(transport, slurm.slurm_script_path, workflow.job, workflow=name)
            options[name] = read.flags
            items.append(Item(f"job script of {name}", "ok", workflow.job))
        except SettingsError as error:
            items.append(Item(f"job script of {name}", "failed", error.message, error.remedy))
    return options, items


def _images(transport: Transport, settings: Settings, cluster: ClusterSettings, wanted: Wanted) -> Iterator[Item]:
    """Which images are there, and what is wrong with those that are not."""
    folders = {name: each.image_folder for name, each in settings.workflows.items() if each.cluster == cluster.name}
    try:
        files = images.list_images(transport, cluster.slurm.slurm_images_path, folders)
    except CommandFailed:
        # There is no folder of images, as another line says.
        files = dict.fromkeys(folders, ())
    states = look(transport, [pull.file for pull in wanted.pulls])
    of_workflows = {pull.file for pull in wanted.of_workflows.values()}
    for pull in wanted.pulls:
        if pull.file not in of_workflows:
            yield as_it_is(pull, states[pull.file], "")
    for name in folders:
        analysis = wanted.analyses.get(name)
        found = images.versions_of(files[name], analysis.image if analysis is not None else "")
        known = f"versions {', '.join(found)}" if found else ""
        if name in wanted.of_workflows:
            own = wanted.of_workflows[name]
            yield as_it_is(Pull(name, own.address, own.file), states[own.file], known)
        elif known:
            yield Item(name, "ok", known)
        else:
            where = PurePosixPath(cluster.slurm.slurm_images_path) / folders[name]
            yield Item(name, "failed", f"no image in {where}", "Run `omero-worker cluster init`.")
