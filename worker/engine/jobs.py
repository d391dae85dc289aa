"""From a request to a job: image, command line and sbatch options of one analysis of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.analyses import catalogue as catalogues
from worker.analyses import copies, parameters, sources
from worker.analyses.sources import SourcedAnalysis, image_tag, version_of
from worker.analyses.tokens import Tokens
from worker.cluster import flags, images, jobscript, jobtemplate, sitescript, variables
from worker.engine.files import folders_of
from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path, PurePosixPath

    from worker.analyses.model import Analysis
    from worker.cluster.sitescript import SiteScript
    from worker.engine.context import StepContext
    from worker.history.domain import Task
    from worker.settings.models import Settings, WorkflowSettings


def job_of(context: StepContext, analysis: Analysis | None = None) -> jobscript.JobRequest:
    """Describe the job of a branch.

    Parameters
    ----------
    context : StepContext
        A step of the branch.
    analysis : Analysis, optional
        What its descriptor says, if that has been read already.

    Returns
    -------
    JobRequest
        The job of the task's present attempt, with the key of that attempt.

    Raises
    ------
    RequestError
        If the workflow is not configured any more, or a parameter does not fit its descriptor.
    SettingsError
        If the site's job script is not on the cluster, or its job template is broken.
    """
    branch, layout, request = context.own_branch, context.layout, context.request
    settings, slurm = context.settings, context.slurm
    choice = request.workflows[branch.index]
    workflow = settings.workflow(choice.name)
    analysis = analysis or analysis_of(settings, choice.name, context.resources.state_dir)
    values = parameters.check_values(analysis, choice.parameters)
    files = folders_of(request, branch.index, layout)
    task = context.tracker.task(branch.task_id)
    output = output_of(context, task)
    image = images.image_file(slurm.slurm_images_path, workflow.image_folder, analysis.image, choice.version)
    gpu = _gpu_choice(choice.use_gpu, values)
    nv = flags.gives_nv(slurm, workflow, gpu, described=analysis.resources.gpu)
    site_script = _site_script(context, workflow)
    template = None if site_script or slurm.job_template is None else jobtemplate.read_template(slurm.job_template)
    merged = flags.sbatch_flags(
        slurm,
        workflow,
        use_gpu=gpu,
        described_gpu=analysis.resources.gpu,
        email=request.email,
        resources=flags.resource_flags(cores=analysis.resources.cores, memory_mib=analysis.resources.memory_mib),
        script=site_script.flags if site_script else jobtemplate.template_flags(template or ""),
        chosen=flags.chosen_flags(
            time_s=choice.limits.time_s, memory_mib=choice.limits.memory_mib, partition=choice.limits.partition
        ),
    )
    arguments = parameters.command_line(
        analysis,
        values,
        infolder=str(layout.input),
        outfolder=str(output),
        gtfolder=str(layout.ground_truth),
        files=files,
    )
    folders = {name: ",".join(paths) for name, paths in files.items()}
    mounts = ((layout.input, analysis.input_folder), (output, analysis.output_folder))
    return jobscript.JobRequest(
        key=task.next_key,
        task_id=branch.task_id,
        workflow=choice.name,
        version=choice.version,
        image=image,
        arguments=tuple(arguments),
        layout=layout,
        flags=flags.merge([merged, task.flags], workflow=choice.name),
        bind_path=slurm.slurm_data_bind_path or "",
        nv=nv,
        output=output,
        modules=slurm.modules,
        template=template,
        site_script=site_script,
        environment=variables.job_variables(
            image=image,
            version=choice.version,
            script_path=slurm.slurm_script_path,
            nv=nv,
            parameters={**parameters.fixed_values(analysis), **values, **folders},
        ),
        env_file=slurm.env_file_submission,
        mounts=tuple((source, target) for source, target in mounts if target),
    )


def _gpu_choice(chosen: bool | None, values: Mapping[str, object]) -> bool | None:
    """What the person says about a GPU: in the dialog's own field, or in a parameter of that name."""
    if chosen is not None:
        return chosen
    said = (value for name, value in values.items() if name.lower() == "use_gpu" and isinstance(value, bool))
    return next(said, None)


def _site_script(context: StepContext, workflow: WorkflowSettings) -> SiteScript | None:
    """Read the job script of a site that writes its own."""
    slurm = context.slurm
    if slurm.slurm_script_repo is None or workflow.job is None:
        return None
    return sitescript.read_site_script(
        context.transport, slurm.slurm_script_path, workflow.job, workflow=workflow.display_name or workflow.name
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
    """Find out what a workflow is, as `described` does."""
    return described(settings, name, state_dir).analysis


def described(settings: Settings, name: str, state_dir: Path) -> SourcedAnalysis:
    """Find out what a workflow is, and who says so: as the dialog showed it, else from its repository.

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
    SourcedAnalysis
        Its image and parameters, with the descriptor that they are from; without the content of that where it is not
        kept any more.

    Raises
    ------
    SettingsError
        If slurm-config.ini names no repository for it.
    DescriptorError
        If the repository cannot be read.
    """
    cache_dir = sources.cache_dir(state_dir)
    entry = catalogues.load(catalogues.catalogue_path(state_dir)).entry(name)
    if entry is not None and entry.analysis is not None:
        return SourcedAnalysis(
            entry.analysis,
            image_tag(entry.analysis.image) or version_of(entry.ref),
            entry.commit,
            entry.problem,
            entry.source,
            entry.fetched_at,
            entry.ref,
            entry.path,
            entry.sha256,
            copies.load_content(cache_dir, entry.sha256) or b"" if entry.sha256 else b"",
        )
    workflow = settings.workflow(name)
    if workflow.repo is None:
        raise SettingsError(
            f"slurm-config.ini names no repository for workflow {name}.", remedy=f"Set {name}_repo in [WORKFLOWS]."
        )
    return sources.fetch_analysis(
        workflow.repo,
        cache_dir=cache_dir,
        timeout_s=settings.analyses.timeout_s,
        tokens=Tokens.of(settings.analyses),
    )
