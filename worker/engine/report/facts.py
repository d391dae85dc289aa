"""Everything that a report of a run says, gathered from the record: nothing is asked of the cluster or of OMERO.

So a report is the same tomorrow, and of a run whose data are long gone; what was deleted in OMERO since is still in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from worker.engine.accept import release
from worker.engine.children import children_of
from worker.engine.provenance import facts_of_job, recorded
from worker.engine.report.gaps import gaps_of
from worker.engine.request import RunRequest
from worker.engine.view import Progress, notes_of, produced, view_of
from worker.results.actions import CrateFile
from worker.results.model import CreatedObject, Provenance, SourceFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from worker.engine.view import Branch, RunView
    from worker.history.domain import Task, WorkflowRun
    from worker.history.reader import EventRow, RunReader
    from worker.history.tracker import WorkflowTracker


@dataclass(frozen=True, slots=True)
class JobTry:
    """One job of an analysis, whatever became of it.

    Parameters
    ----------
    number : int
        Which of them, from 1.
    key : str
        The key that it has in Slurm.
    job_id : int or None
        Slurm's number; None if it never had one.
    state : str
        What became of it; empty while nobody knows.
    exit_code : int or None
        Its exit code.
    reason : str
        Why it ended so, or why another one took its place.
    hosts : tuple of str
        Where it ran.
    started, ended : str
        When, ISO 8601.
    image_sha256 : str
        The image that it ran.
    usage : Mapping
        What it has used, as accounting says.
    """

    number: int
    key: str
    job_id: int | None
    state: str = ""
    exit_code: int | None = None
    reason: str = ""
    hosts: tuple[str, ...] = ()
    started: str = ""
    ended: str = ""
    image_sha256: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnalysisFacts:
    """One analysis of a run.

    Parameters
    ----------
    provenance : Provenance
        What was run, where, with what.
    ok : bool or None
        Whether its job ended well; None while it has not ended.
    message : str
        Why not.
    run_by : str
        What ran the image: ``container`` (we), ``site script``, ``site template``; empty if nobody knows.
    image_file, image_reference : str
        The image on the cluster, and what the settings pull it from.
    script_sha256 : str
        Digest of the job script.
    arguments : tuple of str
        Arguments of the container.
    jobs : tuple of JobTry
        All of its jobs, the present one last.
    outputs : tuple of CrateFile
        What it wrote.
    output_count : int
        How many files that are, also where they are not listed one by one.
    output_bytes : int
        Their size.
    manifest_sha256 : str
        Digest of the list of these files, where that is not in the record itself.
    objects : tuple of CreatedObject
        What is of it in OMERO.
    imported : bool
        Whether the import has ended.
    """

    provenance: Provenance
    ok: bool | None
    message: str = ""
    run_by: str = ""
    image_file: str = ""
    image_reference: str = ""
    script_sha256: str = ""
    arguments: tuple[str, ...] = ()
    jobs: tuple[JobTry, ...] = ()
    outputs: tuple[CrateFile, ...] = ()
    output_count: int = 0
    output_bytes: int = 0
    manifest_sha256: str = ""
    objects: tuple[CreatedObject, ...] = ()
    imported: bool = False


@dataclass(frozen=True, slots=True)
class StepFacts:
    """One step of a run.

    Parameters
    ----------
    name : str
        The step.
    state : str
        ``done``, ``failed``, ``intended`` (begun) or ``open``.
    attempts : int
        Attempts that have failed.
    began, ended : str
        When, ISO 8601; empty if it has not.
    message : str
        Why it failed, or waits.
    """

    name: str
    state: str
    attempts: int = 0
    began: str = ""
    ended: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything that a report of a run says.

    Parameters
    ----------
    run_id, kind, name, description : str
        Which run; ``analysis``, ``transfer``, ``file-transfer``, ``conversion``, ``results``, or ``unknown`` for one of
        another tool.
    status : str
        ``completed``, ``failed``, ``cancelled``, ``paused`` or ``running``.
    message : str
        Why.
    user_id, group_id : int
        Whose it is.
    user_name, group_name : str
        Their names; empty if they were not recorded.
    created, changed : str
        When it was asked for, and when it last changed: ISO 8601.
    ended : str
        When it ended; empty if it has not.
    accepted_by, reported_by : str
        Version of the worker that took it on, and of that which makes the report.
    cluster, folder : str
        Where it ran.
    data_type : str
        What was selected.
    ids : tuple of int
        Their ids.
    sources : tuple of SourceFile
        The images, and the files that they became on the cluster.
    taken : Mapping
        Which planes a file was made from, where that is not all of them.
    analyses : tuple of AnalysisFacts
        What was run on them.
    steps : tuple of StepFacts
        How it went.
    objects : tuple of CreatedObject
        What it has brought into OMERO.
    notes : tuple of str
        What the person was told.
    gaps : tuple of str
        What nobody knows.
    jobs : tuple of JobTry
        Of a conversion, its jobs.
    finished_run : str
        Of a run that imports the results of an earlier one: that run.
    finished_job : int
        Its job.
    parent : str
        The run whose batch it is; empty if it is none.
    batch_index, batch_total : int
        Which one.
    batches : tuple of RunFacts
        The runs that its batches have become.
    batch_count : int
        How many batches there are to be.
    """

    run_id: str
    kind: str
    name: str
    description: str
    status: str
    message: str
    user_id: int
    group_id: int
    created: str
    changed: str
    ended: str = ""
    user_name: str = ""
    group_name: str = ""
    accepted_by: str = ""
    reported_by: str = ""
    cluster: str = ""
    folder: str = ""
    data_type: str = ""
    ids: tuple[int, ...] = ()
    sources: tuple[SourceFile, ...] = ()
    taken: Mapping[str, Any] = field(default_factory=dict)
    analyses: tuple[AnalysisFacts, ...] = ()
    steps: tuple[StepFacts, ...] = ()
    objects: tuple[CreatedObject, ...] = ()
    notes: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    jobs: tuple[JobTry, ...] = ()
    finished_run: str = ""
    finished_job: int = 0
    parent: str = ""
    batch_index: int = 0
    batch_total: int = 0
    batches: tuple[RunFacts, ...] = ()
    batch_count: int = 0


def gather(tracker: WorkflowTracker, reader: RunReader, run_id: UUID, *, user: int | None = None) -> RunFacts:
    """Gather what a report says.

    Parameters
    ----------
    tracker : WorkflowTracker
        The record.
    reader : RunReader
        The same, for events.
    run_id : UUID
        The run.
    user : int, optional
        OMERO id of the person who asks; None sees all runs.

    Returns
    -------
    RunFacts
        The facts.

    Raises
    ------
    RunNotFound
        If there is no such run, or it is somebody else's.
    """
    events = reader.events(run_id, user=user)
    run = tracker.run(run_id)
    view = view_of(run)
    children = tuple(gather(tracker, reader, child.id) for child in children_of(tracker, run).values())
    request = RunRequest.model_validate(run.request) if run.request is not None else None
    analyses: tuple[AnalysisFacts, ...] = ()
    if request is not None and request.kind == "analysis":
        analyses = tuple(_analysis(run, view, branch, tracker.task(branch.task_id)) for branch in view.branches)
    parent = request.parent if request is not None else None
    finished = request.finished if request is not None else None
    converts = request is not None and request.conversion is not None
    split = view.step("split").data
    objects = {
        (item.kind, item.object_id): item
        for item in (
            *(CreatedObject.from_json(item) for item in produced(view)),
            *(item for child in children for item in child.objects),
        )
    }
    made = RunFacts(
        run_id=str(run_id),
        kind=request.kind if request is not None else "unknown",
        name=run.name,
        description=run.description.partition("\n")[0],
        status=_status(run, view),
        message=run.error_message or run.paused_reason or "",
        user_id=run.user,
        group_id=run.group,
        user_name=request.user_name if request is not None else "",
        group_name=request.group_name if request is not None else "",
        created=_iso(run.created_on),
        changed=max((_iso(event.at) for event in events), default=_iso(run.modified_on)),
        ended=next((_iso(event.at) for event in reversed(events) if event.name in _ENDS), "") if run.ended else "",
        accepted_by=run.description.partition("\n")[2],
        reported_by=release(),
        cluster=request.cluster if request is not None else "",
        folder=(request.folder or f"biomero_{run_id}") if request is not None else "",
        data_type=request.data_type if request is not None and request.ids else "",
        ids=request.ids if request is not None else (),
        sources=tuple(SourceFile(**source) for source in view.step("export").data.get("sources", ())),
        taken=view.step("export").data.get("taken", {}),
        analyses=analyses,
        steps=_steps(view, events),
        objects=tuple(objects.values()),
        notes=tuple(dict.fromkeys((*notes_of(view), *(note for child in children for note in child.notes)))),
        jobs=_jobs(tracker.task(run.tasks[0])) if converts and run.tasks else (),
        finished_run=str(finished.run_id) if finished is not None else "",
        finished_job=finished.job_id if finished is not None else 0,
        parent=str(parent.run_id) if parent is not None else "",
        batch_index=parent.index if parent is not None else 0,
        batch_total=parent.total if parent is not None else 0,
        batches=children,
        batch_count=len(split.get("batches", ())),
    )
    return replace(made, gaps=gaps_of(made))


_ENDS = ("WorkflowCompleted", "WorkflowFailed")


def _status(run: WorkflowRun, view: RunView) -> str:
    if run.status == "COMPLETED":
        return "completed"
    if run.status == "FAILED":
        return "cancelled" if run.cancel_requested_by is not None else "failed"
    return "paused" if view.paused is not None else "running"


def _analysis(run: WorkflowRun, view: RunView, branch: Branch, task: Task) -> AnalysisFacts:
    facts = facts_of_job(view, branch, task)
    watched = view.step(branch.step("watch"))
    fetched, imported = view.step(branch.step("fetch")), view.step(branch.step("import"))
    manifest: Mapping[str, Any] = fetched.data.get("manifest", {})
    files = [CrateFile(file["path"], file["size_bytes"], file["sha256"]) for file in fetched.data.get("files", ())]
    image: Mapping[str, Any] = facts.get("image", {})
    return AnalysisFacts(
        provenance=recorded(run, view, branch, task),
        ok=bool(watched.data.get("ok")) if watched.progress is Progress.DONE else None,
        message=str(watched.data.get("message", "")),
        run_by=str(facts.get("run_by", "")),
        image_file=str(image.get("file", "")),
        image_reference=str(image.get("reference", "")),
        script_sha256=str(facts.get("script_sha256", "")),
        arguments=tuple(facts.get("arguments", ())),
        jobs=_jobs(task),
        outputs=tuple(files),
        output_count=int(manifest.get("files", len(files))),
        output_bytes=int(manifest.get("size_bytes", sum(file.size_bytes or 0 for file in files))),
        manifest_sha256=str(manifest.get("sha256", "")),
        objects=tuple(CreatedObject.from_json(item) for item in imported.data.get("objects", ())),
        imported=imported.progress is Progress.DONE,
    )


def _jobs(task: Task) -> tuple[JobTry, ...]:
    """Every job of a task: those that came to nothing, and the present one."""
    entries = [
        (entry["key"], entry["job_id"], f"{entry['cause']}: {entry['reason']}") for entry in task.earlier_attempts
    ]
    if task.submission_key is not None:
        entries.append((task.submission_key, task.job_id, ""))
    return tuple(
        _job(task, number, str(key), job_id, why) for number, (key, job_id, why) in enumerate(entries, 1) if key
    )


def _job(task: Task, number: int, key: str, job_id: int | None, why: str) -> JobTry:
    ending: Mapping[str, Any] = task.endings.get(str(job_id), {})
    used: Mapping[str, Any] = task.usage.get(str(job_id), {})
    state = str(ending.get("state", "")) or (task.status if not why and job_id is not None else "")
    return JobTry(
        number=number,
        key=key,
        job_id=job_id,
        state=state,
        exit_code=ending.get("exit_code", used.get("exit_code")),
        reason=why or str(ending.get("reason", "")),
        hosts=tuple(ending.get("hosts") or used.get("nodes") or ()),
        started=str(ending.get("start") or used.get("started") or ""),
        ended=str(ending.get("end") or used.get("ended") or ""),
        image_sha256=str(ending.get("image_sha256", "")),
        usage=used,
    )


def _steps(view: RunView, events: Sequence[EventRow]) -> tuple[StepFacts, ...]:
    began: dict[str, str] = {}
    ended: dict[str, str] = {}
    for event in events:
        step = str(event.data.get("step", ""))
        if event.name == "StepIntended":
            began.setdefault(step, _iso(event.at))
        elif event.name == "StepCompleted":
            ended[step] = _iso(event.at)
        elif event.name == "StepsReopened":
            for reopened in event.data.get("steps", ()):
                began.pop(reopened, None)
                ended.pop(reopened, None)
    return tuple(
        StepFacts(
            name,
            step.progress.value,
            step.attempts,
            began.get(name, ""),
            ended.get(name, ""),
            step.message if step.progress is not Progress.DONE else "",
        )
        for name, step in sorted(view.steps.items(), key=lambda item: (ended.get(item[0]) or "~", _place(item[0])))
    )


def _place(name: str) -> tuple[str, int]:
    kind, _, number = name.partition("/")
    return kind, int(number or 0)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
