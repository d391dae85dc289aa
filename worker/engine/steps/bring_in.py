"""Step ``import``: results and log into OMERO, exactly once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from worker.engine.accept import PARENT_NAME
from worker.engine.context import Done, NotYet, Outcome
from worker.engine.steps.fetch import log_file, stage
from worker.results import importer
from worker.results.datasets import shared_dataset
from worker.results.model import Batch, CreatedObject, ImportOptions, Provenance, SourceFile

if TYPE_CHECKING:
    from worker.engine.context import StepContext


def bring_in(context: StepContext) -> Outcome:
    """Import the staged results of this branch; of a job that failed, attach the log to what it was run on.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With the ``objects`` in OMERO (kind, object_id, name) and ``notes`` for the person.
    NotYet
        While another batch of the same run looks for the dataset that they share.
    """
    branch, tracker = context.own_branch, context.tracker
    job = context.view.step(branch.step("watch")).data
    fetched = context.view.step(branch.step("fetch")).data
    paths = [file["path"] for file in fetched["files"]]
    # Staged by a process on another machine, or lost with its disk: fetch again, the record says what.
    if any(not (context.staging / "out" / path).exists() for path in paths) or not context.staging.exists():
        stage(context)
    log = log_file(context, job["job_id"])
    sources = [SourceFile(**source) for source in context.view.step("export").data["sources"]]
    tracker.start_task(branch.import_task_id)
    context.report("Bringing the results into OMERO.")
    with context.omero() as gateway:
        context.guard()
        objects: list[CreatedObject]
        notes: tuple[str, ...] = ()
        if job["ok"]:
            options = _options(context, gateway, sources)
            if options is None:
                return NotYet(datetime.now(UTC) + timedelta(seconds=1))
            report = importer.import_results(
                gateway,
                context.staging / "out",
                paths,
                sources,
                options,
                _provenance(context),
                log if log.exists() else None,
                lambda done, total: _progress(context, done, total),
            )
            objects, notes = list(report.objects), report.notes
        else:
            attached = importer.attach_log(gateway, log, sources, _provenance(context)) if log.exists() else None
            objects = [attached] if attached else []
    if job["ok"]:
        tracker.complete_task(branch.import_task_id, f"{len(objects)} objects in OMERO")
    else:
        tracker.fail_task(branch.import_task_id, "The job failed; only its log was brought into OMERO.")
    return Done({"objects": [item.to_json() for item in objects], "notes": list(notes)})


def _options(context: StepContext, gateway: Any, sources: list[SourceFile]) -> ImportOptions | None:
    """Where the results go; None while another batch creates the dataset for all of them.

    The batches of one run take turns by a lease of their own, so that there is one new dataset and not one for each.
    """
    options = ImportOptions.from_json(context.request.output)
    batch = _batch(context)
    if batch is None or options.dataset_id is not None or not options.new_dataset:
        return options
    leases, turn = context.resources.leases, uuid5(UUID(batch.supervisor_id), "dataset")
    if leases.take(turn) is None:
        return None
    try:
        return replace(options, dataset_id=shared_dataset(gateway, options, sources, batch))
    finally:
        leases.give_back(turn)


def _batch(context: StepContext) -> Batch | None:
    """Which batch of which run this one is, if it is one."""
    parent, request = context.request.parent, context.request
    if parent is None:
        return None
    return Batch(str(parent.run_id), PARENT_NAME, parent.index, parent.total, request.data_type, request.ids)


def _progress(context: StepContext, done: int, total: int) -> None:
    context.guard()
    context.report(f"Bringing the results into OMERO: {done} of {total}.")


def _provenance(context: StepContext) -> Provenance:
    """Where the results come from, for their annotations."""
    branch, request = context.own_branch, context.request
    choice = request.workflows[branch.index]
    job = context.view.step(branch.step("watch")).data
    return Provenance(
        run_id=str(context.run_id),
        task_id=str(branch.task_id),
        job_id=job["job_id"],
        workflow=choice.name,
        version=choice.version,
        parameters=dict(choice.parameters),
        run_name=context.run.name,
        run_description=context.run.description,
        user_name=request.user_name,
        group_name=request.group_name,
        started=context.run.created_on.isoformat(),
        modified=context.run.modified_on.isoformat(),
        task_ids=tuple(str(task_id) for task_id in context.run.tasks),
        input_data=", ".join(map(str, request.ids)),
        status=job["state"],
        settings_digest=context.settings.digest(),
        batch=_batch(context),
    )
