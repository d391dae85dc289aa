"""Step ``import``: results and log into OMERO, exactly once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from worker.engine.context import Done, Outcome
from worker.engine.manifest import manifest_of
from worker.engine.origin import job_of, origin_of
from worker.engine.provenance import batch_of, provenance_of
from worker.engine.steps.fetch import is_staged, log_file, stage
from worker.results import importer
from worker.results.model import ImportOptions, ImportReport, SourceFile
from worker.results.outputs import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from worker.engine.context import StepContext
    from worker.engine.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Staged:
    """What is brought into OMERO: the results of a job, on this machine."""

    origin: StepContext
    """The step, seen from where the job was made."""
    job: Mapping[str, Any]
    """How the job has ended."""
    folder: Path
    """Where its output is."""
    manifest: Manifest
    """The files there, and what is missing."""
    log: Path | None
    """The job's log, if there is one."""
    sources: tuple[SourceFile, ...]
    """What was analysed."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files there."""
        return tuple(file.path for file in self.manifest.files)


def bring_in(context: StepContext) -> Outcome:
    """Import the staged results of this branch; of a job that failed, attach the log to what it was run on.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With the ``objects`` in OMERO (kind, object_id, name), ``notes`` for the person, and ``problems``: what was
        asked for and could not be brought in, for which the branch fails.
    """
    staged = staged_results(context)
    context.tracker.start_task(context.own_branch.import_task_id)
    context.report("Bringing the results into OMERO.")
    with context.omero() as gateway:
        context.guard()
        if not staged.job["ok"]:
            return conclude(
                context, _attach_log(gateway, staged), "The job failed; only its log was brought into OMERO."
            )
        options = ImportOptions.from_json(context.request.output)
        return conclude(context, import_staged(context, gateway, staged, options))


def staged_results(context: StepContext) -> Staged:
    """Find the results that the step ``fetch`` has staged; fetch them again if they are not here.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Staged
        The results.
    """
    origin = origin_of(context)
    job = job_of(origin)
    manifest = manifest_of(context)
    # Staged by a process on another machine, or lost with its disk: fetch again, the record says what.
    if not is_staged(context, manifest):
        stage(context, manifest)
    log = log_file(context, job["job_id"])
    sources = tuple(SourceFile(**source) for source in origin.view.step("export").data["sources"])
    return Staged(origin, job, context.staging / "out", manifest, log if log.exists() else None, sources)


def import_staged(
    context: StepContext,
    gateway: BlitzGateway,
    staged: Staged,
    options: ImportOptions,
    in_place: Mapping[str, tuple[int, ...]] | None = None,
) -> ImportReport:
    """Import what is staged.

    Parameters
    ----------
    context : StepContext
        The step's context.
    gateway : BlitzGateway
        The person's session.
    staged : Staged
        The results.
    options : ImportOptions
        Where they go.
    in_place : Mapping, optional
        Ids of the images that the importer has made of them already, by path.

    Returns
    -------
    ImportReport
        What is in OMERO now.
    """
    return importer.import_results(
        gateway,
        staged.folder,
        staged.paths,
        staged.sources,
        options,
        provenance_of(staged.origin),
        staged.log,
        lambda done, total: _progress(context, done, total),
        in_place,
        staged.manifest.missing,
        {file.path: Digest(file.size_bytes, file.sha256) for file in staged.manifest.files},
        turn_of(context),
    )


def conclude(context: StepContext, report: ImportReport, failure: str = "") -> Done:
    """End the task of an import, and record what it has led to.

    Parameters
    ----------
    context : StepContext
        The step's context.
    report : ImportReport
        What is in OMERO now.
    failure : str
        Why there is nothing else; empty if nothing stood in the way of the import itself.

    Returns
    -------
    Done
        The outcome of the step.
    """
    branch, tracker = context.own_branch, context.tracker
    failure = failure or " ".join(report.problems)
    if failure:
        tracker.fail_task(branch.import_task_id, failure)
    else:
        tracker.complete_task(branch.import_task_id, f"{len(report.objects)} objects in OMERO")
    return Done(report.to_json())


def _attach_log(gateway: BlitzGateway, staged: Staged) -> ImportReport:
    if staged.log is None:
        return ImportReport()
    attached = importer.attach_log(gateway, staged.log, staged.sources, provenance_of(staged.origin))
    return ImportReport((attached,))


def turn_of(context: StepContext) -> Callable[[], AbstractContextManager[None]] | None:
    """Let the batches of one run write what they share one at a time.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Callable or None
        Gives a context that waits until it is this batch's turn; None: the results are not those of a batch.
    """
    batch = batch_of(origin_of(context))
    if batch is None:
        return None
    turn = uuid5(UUID(batch.supervisor_id), "dataset")
    return lambda: context.resources.leases.turn(turn, context.guard)


def _progress(context: StepContext, done: int, total: int) -> None:
    context.guard()
    context.report(f"Bringing the results into OMERO: {done} of {total}.")
