"""Where the results of a branch come from, as its record says: nothing here asks the cluster or OMERO."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from worker.engine.accept import PARENT_NAME
from worker.engine.request import RunRequest
from worker.results.model import Batch, Cited, Provenance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.engine.context import StepContext
    from worker.engine.view import Branch, RunView
    from worker.history.domain import Task, WorkflowRun


def provenance_of(context: StepContext) -> Provenance:
    """Say where the results of a branch come from, for their annotations.

    Parameters
    ----------
    context : StepContext
        A step of the branch, after its job has ended; see `worker.engine.origin.origin_of`.

    Returns
    -------
    Provenance
        The run, its task, and the job. The same for each repetition.
    """
    branch = context.own_branch
    return recorded(context.run, context.view, branch, context.tracker.task(branch.task_id))


def recorded(run: WorkflowRun, view: RunView, branch: Branch, task: Task) -> Provenance:
    """Read from the record of a run where the results of one of its branches come from.

    Parameters
    ----------
    run : WorkflowRun
        The run, of an analysis.
    view : RunView
        Its picture.
    branch : Branch
        The branch.
    task : Task
        Its analysis.

    Returns
    -------
    Provenance
        As far as it is recorded; a run that was made before something was recorded does not know it.
    """
    request = RunRequest.model_validate(run.request)
    choice = request.workflows[branch.index]
    job = view.step(branch.step("watch")).data
    job_id = int(job.get("job_id") or task.job_id or 0)
    facts = facts_of_job(view, branch, task)
    ending: Mapping[str, Any] = task.endings.get(str(job_id), {})
    used: Mapping[str, Any] = task.usage.get(str(job_id), {})
    descriptor: Mapping[str, Any] = facts.get("descriptor", {})
    analysis: Mapping[str, Any] = facts.get("analysis", {})
    exit_code = job.get("exit_code", ending.get("exit_code"))
    return Provenance(
        run_id=str(run.id),
        task_id=str(branch.task_id),
        job_id=job_id,
        workflow=choice.name,
        version=choice.version,
        parameters=dict(facts.get("parameters", choice.parameters)),
        run_name=run.name,
        user_name=request.user_name,
        group_name=request.group_name,
        started=run.created_on.isoformat(),
        # Not of the run: each step that brings results home would change it, and with it what they say.
        modified=task.modified_on.isoformat(),
        task_ids=tuple(str(task_id) for task_id in run.tasks),
        input_data=", ".join(map(str, request.ids)),
        status=str(job.get("state") or task.status),
        result_message=task.result_message or "",
        command=str(facts.get("command", "")),
        environment=dict(facts.get("environment", {})),
        settings_digest=str(facts.get("settings_sha256", "")),
        worker_version=str(facts.get("worker", "")),
        descriptor_sha256=str(descriptor.get("sha256", "")),
        descriptor_source=source_of(descriptor),
        image_sha256=str(ending.get("image_sha256", "")),
        image_source=str(ending.get("image_source", "")),
        cluster=str(ending.get("cluster") or facts.get("cluster", "")),
        slurm_version=str(ending.get("slurm", "")),
        runtime_version=str(ending.get("runtime", "")),
        hosts=tuple(ending.get("hosts") or used.get("nodes") or ()),
        job_started=str(ending.get("start") or used.get("started") or ""),
        job_ended=str(ending.get("end") or used.get("ended") or ""),
        exit_code=exit_code,
        # Whom Slurm writes to is nobody else's business.
        resources={n: str(v or "") for n, v in facts.get("options", {}).items() if not n.startswith("mail-")},
        analysis_name=str(analysis.get("name", "")),
        analysis_description=str(analysis.get("description", "")),
        citations=tuple(Cited(c["name"], c["doi"], c["license"]) for c in analysis.get("citations", ())),
        defaults=tuple(facts.get("defaults", ())),
        descriptor_schema=str(analysis.get("schema", "")),
        descriptor_path=str(descriptor.get("path") or PurePosixPath(str(descriptor.get("source", ""))).name),
        descriptor_text=str(descriptor.get("text", "")),
        batch=_batch(request),
    )


def facts_of_job(view: RunView, branch: Branch, task: Task) -> Mapping[str, Any]:
    """Give what was recorded of the present job of a branch before it was submitted; see `engine.submissions`.

    Parameters
    ----------
    view : RunView
        The run's picture.
    branch : Branch
        The branch.
    task : Task
        Its task.

    Returns
    -------
    mapping of str to object
        The facts; none of a run that was made before they were recorded.
    """
    key = view.step(branch.step("submit")).data.get("key") or task.submission_key
    return task.described.get(str(key), {})


def source_of(descriptor: Mapping[str, Any]) -> str:
    """Say where a descriptor was read from: repository, branch or tag, whole commit and path.

    Parameters
    ----------
    descriptor : mapping of str to object
        ``descriptor`` of the facts of a job.

    Returns
    -------
    str
        One line; empty if nobody knows.
    """
    source, commit = str(descriptor.get("source", "")), str(descriptor.get("commit", ""))
    if commit:
        source = source.replace(f"({commit[:10]})", f"({' '.join(filter(None, (descriptor.get('ref'), commit)))})")
    return source


def batch_of(context: StepContext) -> Batch | None:
    """Say which batch of which run this one is.

    Parameters
    ----------
    context : StepContext
        A step of the run.

    Returns
    -------
    Batch or None
        The batch, if it is one.
    """
    return _batch(context.request)


def _batch(request: RunRequest) -> Batch | None:
    parent = request.parent
    if parent is None:
        return None
    return Batch(str(parent.run_id), PARENT_NAME, parent.index, parent.total, request.data_type, request.ids)
