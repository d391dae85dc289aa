"""Step ``cancel``: take the run's jobs off the cluster, and then its data, which nobody wants any more."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from worker.cluster import folders, slurm
from worker.engine import staging
from worker.engine.context import Done, NotYet, Outcome
from worker.engine.importplan import ImportPlan
from worker.engine.view import Progress
from worker.engine.watcher import ACCOUNTING_LAG_S
from worker.errors import WorkerError
from worker.results.inplace.book import OrderBook
from worker.results.inplace.orders import name_orders

if TYPE_CHECKING:
    from uuid import UUID

    from worker.engine.context import StepContext

log = structlog.get_logger(__name__)

LOOK_AGAIN_S = 2.0
"""How often to look whether cancelled jobs are gone."""

PATIENCE_S = 120.0
"""How long to wait for them; what Slurm cannot kill in that time is not waited for."""


def cancel(context: StepContext) -> Outcome:
    """Cancel every job of the run, those included whose submission was intended but never confirmed.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With the ``job_ids`` that were cancelled, the remote directory that was ``removed`` (None if it was kept),
        those jobs that were still ``left`` then, and ``notes`` about results in place.
    NotYet
        While jobs are on their way out.
    """
    transport, tracker = context.transport, context.tracker
    context.guard(cancelling=True)
    keys = _jobs(context)
    left, late = _left(context, keys)
    if left:
        context.report(f"Cancelling Slurm job {', '.join(map(str, left))}.")
        slurm.cancel(transport, left)
    for task_id in context.run.tasks:
        task = tracker.task(task_id)
        if task.state in ("CREATED", "STARTED"):
            tracker.update_task_status(task_id, "CANCELLED")
            tracker.fail_task(task_id, f"Cancelled by {context.view.cancelled_by}.")
    if left:
        left, late = _left(context, keys)
    since = context.resources.cancelling_since.setdefault(context.run_id, time.monotonic())
    if late and time.monotonic() - since < ACCOUNTING_LAG_S:
        return NotYet(datetime.now(UTC) + timedelta(seconds=LOOK_AGAIN_S))
    if left and time.monotonic() - since < PATIENCE_S:
        context.report(f"Waiting for Slurm to end job {', '.join(map(str, left))}.")
        return NotYet(datetime.now(UTC) + timedelta(seconds=LOOK_AGAIN_S))
    del context.resources.cancelling_since[context.run_id]
    removed = None if left else _remove(context)
    if left:
        log.warning("jobs_left_by_cancel", jobs=left)
    return Done({"job_ids": list(keys), "removed": removed, "left": left, "notes": _begun_in_place(context)})


def _begun_in_place(context: StepContext) -> list[str]:
    """Say what cannot be called back: results in the storage of the group, and orders that the importer has."""
    notes = []
    for branch in context.view.branches:
        task = context.tracker.task(branch.import_task_id)
        if not task.import_plan or context.view.step(branch.step("import")).progress is Progress.DONE:
            continue
        plan = ImportPlan.from_json(task.import_plan)
        orders = _placed(context, plan.uuids(task.id))
        if orders:
            notes.append(
                f"The importer was asked for the results in {plan.folder} before (order {name_orders(orders)}) and "
                "cannot be stopped: images of them may be in OMERO, or come there, that are linked to nothing."
            )
        elif plan.layout.contents.is_dir() and not plan.shared:
            notes.append(f"Its results stay in {plan.folder}, and nothing was made of them.")
    return notes


def _placed(context: StepContext, uuids: tuple[UUID, ...]) -> list[str]:
    """Those of some orders that the importer has, or may have where its database does not answer."""
    if not uuids:
        return []
    try:
        with OrderBook(context.resources.importer().database_url) as book:
            return [str(history.uuid) for history in book.read(uuids) if history.rows]
    except WorkerError as error:
        log.warning("orders_not_looked_up", problem=str(error))
        return [str(uuid) for uuid in uuids]


def _jobs(context: StepContext) -> dict[int, str]:
    """The jobs of the run in its present attempts, with their keys."""
    keys: dict[int, str] = {}
    for branch in context.view.branches:
        context.watcher.remove(branch.task_id)
        task = context.tracker.task(branch.task_id)
        if task.submission_key is None:
            continue
        if task.job_id is not None:
            keys[task.job_id] = task.submission_key
        else:
            found = slurm.find_by_key(
                context.transport,
                task.submission_key,
                layout=context.layout,
                # A submission that is still on its way is not taken any more.
                fence=context.resources.leases.number(context.run_id),
            )
            keys |= dict.fromkeys(found, task.submission_key)
    return keys


def _left(context: StepContext, keys: dict[int, str]) -> tuple[list[int], bool]:
    """Look for the jobs that Slurm lists as not ended, and record what the others have used.

    Returns
    -------
    tuple of list and bool
        The jobs; all of them where Slurm does not answer. And whether accounting is going to say more about others.
    """
    if not keys:
        return [], False
    files = {job_id: context.layout.exit_file(job_id) for job_id in keys}
    answer = slurm.query(context.transport, list(keys), files, keys=keys)
    late = False
    for task_id in context.run.tasks:
        report = answer.get(context.tracker.task(task_id).job_id or 0)
        if report is None or not report.state.terminal:
            continue
        if report.source != "sacct" and answer.accounting == "answered":
            late = True
        if report.usage is not None:
            # What a cancelled job has used until then was used all the same.
            context.tracker.account_job(task_id, report.job_id, report.usage.to_json())
    if answer.problems:
        return list(keys), False
    left = [job_id for job_id, report in answer.items() if report.source == "squeue" and not report.state.terminal]
    return left, late


def _remove(context: StepContext) -> str | None:
    """Remove the run's directory on the cluster and its staged results, unless the person wants to keep them.

    What was staged of an earlier run's results is removed in any case: that one's directory stays, and has them still.
    """
    course = context.view.course
    kept = course.after and not context.view.cleanup
    if course.owns_folder and kept:
        return None
    staging.remove(staging.folder_of(context.resources.state_dir, context.run_id))
    if not course.owns_folder:
        return None
    if context.view.step(course.before[0]).progress is Progress.OPEN:
        return None  # nothing was ever written there
    context.report("Removing the run's data from the cluster.")
    folders.remove_run(context.transport, context.layout)
    return str(context.layout.root)
