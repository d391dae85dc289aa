"""From a request to a job: image, command line and sbatch options of one analysis of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.analyses import catalogue as catalogues
from worker.analyses import parameters, sources
from worker.analyses.tokens import Tokens
from worker.cluster import flags, images, jobscript
from worker.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath

    from worker.analyses.model import Analysis
    from worker.engine.context import StepContext
    from worker.history.domain import Task
    from worker.settings.models import Settings


def job_of(context: StepContext) -> jobscript.JobRequest:
    """Describe the job of a branch.

    Parameters
    ----------
    context : StepContext
        A step of the branch.

    Returns
    -------
    JobRequest
        The job of the task's present attempt, with the key of that attempt.

    Raises
    ------
    RequestError
        If the workflow is not configured any more, or a parameter does not fit its descriptor.
    """
    branch, layout = context.own_branch, context.layout
    settings = context.settings
    choice = context.request.workflows[branch.index]
    workflow = settings.workflow(choice.name)
    analysis = analysis_of(settings, choice.name, context.resources.state_dir)
    values = parameters.check_values(analysis, choice.parameters)
    task = context.tracker.task(branch.task_id)
    output = output_of(context, task)
    return jobscript.JobRequest(
        key=task.next_key,
        task_id=branch.task_id,
        workflow=choice.name,
        version=choice.version,
        image=images.image_file(
            settings.slurm.slurm_images_path, workflow.image_folder, analysis.image, choice.version
        ),
        arguments=tuple(
            parameters.command_line(
                analysis,
                values,
                infolder=str(layout.input),
                outfolder=str(output),
                gtfolder=str(layout.ground_truth),
            )
        ),
        layout=layout,
        flags=flags.merge(
            [flags.sbatch_flags(settings.slurm, workflow, email=context.request.email), task.flags],
            workflow=choice.name,
        ),
        bind_path=settings.slurm.slurm_data_bind_path or "",
        nv=flags.gives_nv(settings.slurm, workflow),
        output=output,
    )


def output_of(context: StepContext, task: Task | None = None) -> PurePosixPath:
    """Where the job of a branch writes, in its present attempt.

    Parameters
    ----------
    context : StepContext
        A step of the branch.
    task : Task, optional
        The analysis, if it has been read already.

    Returns
    -------
    PurePosixPath
        ``data/out``, or a folder of its own in it where a run has several branches; from the second attempt on another
        folder below that, so that what an earlier job left, or still writes, is never taken for a result.
    """
    folder = context.layout.output
    if len(context.view.branches) > 1:
        folder /= str(context.own_branch.index)
    attempt = (task or context.tracker.task(context.own_branch.task_id)).attempt
    return folder if attempt == 1 else folder / f"attempt-{attempt}"


def analysis_of(settings: Settings, name: str, state_dir: Path) -> Analysis:
    """Find out what a workflow is: as the dialog showed it, else from its repository.

    Parameters
    ----------
    settings : Settings
        Names the workflow's repository.
    name : str
        The workflow.
    state_dir : Path
        Where the catalogue and the cache of repositories are kept.

    Returns
    -------
    Analysis
        Its image and parameters.

    Raises
    ------
    SettingsError
        If slurm-config.ini names no repository for it.
    DescriptorError
        If the repository cannot be read.
    """
    entry = catalogues.load(catalogues.catalogue_path(state_dir)).entry(name)
    if entry is not None and entry.analysis is not None:
        return entry.analysis
    workflow = settings.workflow(name)
    if workflow.repo is None:
        raise SettingsError(
            f"slurm-config.ini names no repository for workflow {name}.", remedy=f"Set {name}_repo in [WORKFLOWS]."
        )
    return sources.read_analysis(
        workflow.repo,
        cache_dir=sources.cache_dir(state_dir),
        timeout_s=settings.analyses.timeout_s,
        tokens=Tokens.of(settings.analyses),
    )
