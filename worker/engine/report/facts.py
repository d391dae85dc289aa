"""Gathering what a report of a run says, from the record: nothing is asked of the cluster or of OMERO.

So a report is the same tomorrow, and of a run whose data are long gone; what was deleted in OMERO since is still in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from worker.engine.accept import release
from worker.engine.children import children_of
from worker.engine.provenance import facts_of_job, recorded
from worker.engine.report.gaps import gaps_of
from worker.engine.report.model import AnalysisFacts, JobTry, RunFacts, StepFacts
from worker.engine.request import RunRequest
from worker.engine.view import Progress, notes_of, produced, view_of
from worker.results.actions import CrateFile
from worker.results.model import CreatedObject, SourceFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from worker.engine.view import Branch, RunView
    from worker.history.domain import Task, WorkflowRun
    from worker.history.reader import EventRow, RunReader
    from worker.history.tracker import WorkflowTracker


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
