"""Step ``import``: results and log into OMERO, exactly once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from worker.engine.context import Done, NotYet, Outcome
from worker.engine.origin import job_of, origin_of
from worker.engine.provenance import batch_of, provenance_of
from worker.engine.steps.fetch import log_file, stage
from worker.results import importer
from worker.results.datasets import shared_dataset
from worker.results.model import CreatedObject, ImportOptions, SourceFile

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
    origin = origin_of(context)
    job = job_of(origin)
    fetched = context.view.step(branch.step("fetch")).data
    paths = [file["path"] for file in fetched["files"]]
    # Staged by a process on another machine, or lost with its disk: fetch again, the record says what.
    if any(not (context.staging / "out" / path).exists() for path in paths) or not context.staging.exists():
        stage(context)
    log = log_file(context, job["job_id"])
    sources = [SourceFile(**source) for source in origin.view.step("export").data["sources"]]
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
                provenance_of(origin),
                log if log.exists() else None,
                lambda done, total: _progress(context, done, total),
            )
            objects, notes = list(report.objects), report.notes
        else:
            attached = importer.attach_log(gateway, log, sources, provenance_of(origin)) if log.exists() else None
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
    batch = batch_of(origin_of(context))
    if batch is None or options.dataset_id is not None or not options.new_dataset:
        return options
    leases, turn = context.resources.leases, uuid5(UUID(batch.supervisor_id), "dataset")
    if leases.take(turn) is None:
        return None
    try:
        return replace(options, dataset_id=shared_dataset(gateway, options, sources, batch))
    finally:
        leases.give_back(turn)


def _progress(context: StepContext, done: int, total: int) -> None:
    context.guard()
    context.report(f"Bringing the results into OMERO: {done} of {total}.")
