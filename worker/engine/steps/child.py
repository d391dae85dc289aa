"""Steps ``child/n`` and ``cancel`` of a parent: start the run of a batch, wait for its end, call it off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from worker.engine import batches
from worker.engine.accept import BATCH_TASK, accept, release
from worker.engine.children import children_at_work, results_of
from worker.engine.context import Done, NotYet, Outcome
from worker.engine.request import RunRequest
from worker.engine.view import view_of
from worker.errors import RequestError

if TYPE_CHECKING:
    from uuid import UUID

    from worker.engine.context import StepContext
    from worker.history.domain import WorkflowRun

LOOK_MIN_S = 1.0
LOOK_MAX_S = 15.0
"""Bounds of the time between two looks at a child."""

LOOK_SHARE = 0.05
"""Part of a child's age after which it is looked at again: its end is noticed 5 % late at worst."""


def child(context: StepContext) -> Outcome:
    """Start the run of a batch if it is not started, and look whether it has ended.

    The child's uuid follows from its parent's, so that a batch whose start was never confirmed is not started twice.
    That it was started is recorded with the step, by that uuid as its key. A step that was reopened has no key: its
    child is taken up again under the same uuid, so that what it has brought into OMERO already is not brought twice.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        When the child has ended, well or not: ``run_id``, ``status`` (DONE or FAILED), ``message``.
    NotYet
        While it has not.

    Raises
    ------
    RequestError
        If the batch was started before with other images.
    """
    number = batches.number_of(context.step)
    run_id = batches.child_id(context.run_id, number)
    state = context.run.steps.get(context.step)
    if state is None or state.key != str(run_id):
        task_id = _start(context, number, run_id)
    else:
        task_id = context.run.tasks[number - 1]
    run = context.tracker.run(run_id)
    name = f"Batch {number} of {len(batches.batches_of(context.view))}"
    if not run.ended:
        _tell(context, task_id, name, run)
        return NotYet(_look_again(run))
    _close(context, task_id, run)
    context.report(f"{name} {'is done' if run.status == 'COMPLETED' else f'has failed: {run.error_message}'}")
    return Done(
        {
            "run_id": str(run_id),
            "status": batches.CHILD_DONE if run.status == "COMPLETED" else "FAILED",
            "message": run.error_message,
        }
    )


def cancel_children(context: StepContext) -> Outcome:
    """Cancel every child that was started, and wait until the cluster is rid of them.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        When all have ended: ``done`` (batches whose results are in OMERO) of ``total``, and the ``notes`` of those that
        were cancelled.
    NotYet
        While they have not.
    """
    context.guard(cancelling=True)
    by = context.view.cancelled_by or "somebody"
    done, left = len(batches.done_well(context.view)), []
    notes: list[str] = []
    for number, run in children_at_work(context.tracker, context.run_id, context.view).items():
        if not run.ended:
            if run.cancel_requested_by is None:
                context.tracker.request_cancel(run.id, by)
            left.append(number)
            continue
        done += run.status == "COMPLETED"
        notes += [f"Batch {number}: {note}" for note in view_of(run).step("cancel").data.get("notes", [])]
        for task_id in context.run.tasks[number - 1 :][:1]:
            _close(context, task_id, run)
    if left:
        context.report(f"Cancelling {batches.name_of(left)}.")
        return NotYet(datetime.now(UTC) + timedelta(seconds=LOOK_MIN_S))
    return Done({"done": done, "total": len(batches.batches_of(context.view)), "notes": notes})


def _start(context: StepContext, number: int, run_id: UUID) -> UUID:
    """Start a batch, or take it up again; whatever was done of it before is not done again."""
    request = _request(context, number)
    task_id = _task(context, number)
    context.tracker.start_task(task_id)
    context.guard()
    accept(context.tracker, request, context.settings, run_id=run_id)
    asked = RunRequest.model_validate(context.tracker.run(run_id).request)
    if (asked.data_type, asked.ids) != (request.data_type, request.ids):
        raise RequestError(
            f"Batch {number} was started before, with other images: what was selected has changed since.",
            remedy="Start a new run.",
        )
    context.tracker.intend_step(context.run_id, context.step, str(run_id))
    context.report(f"Batch {number} of {request.parent.total if request.parent else '?'} is started (run {run_id}).")
    return task_id


def _request(context: StepContext, number: int) -> RunRequest:
    """What is asked of a batch."""
    split = context.view.step("split").data
    asked = context.request.model_dump()
    return RunRequest.model_validate(
        asked
        | {
            "data_type": split["data_type"],
            "ids": split["batches"][number - 1],
            # All batches go into one dataset.
            "output": context.request.output | {"allow_duplicate_dataset": False},
            "batch": None,
            "parent": {"run_id": context.run_id, "index": number, "total": len(split["batches"])},
        }
    )


def _task(context: StepContext, number: int) -> UUID:
    """The parent's task for a batch; those up to it are added where they are missing, so that the n-th is batch n's."""
    tasks = list(context.tracker.run(context.run_id).tasks)
    while len(tasks) < number:
        request = _request(context, len(tasks) + 1)
        child_id = batches.child_id(context.run_id, len(tasks) + 1)
        tasks.append(
            context.tracker.add_task_to_workflow(
                context.run_id,
                BATCH_TASK,
                release(),
                {"Data_Type": request.data_type, "IDs": list(request.ids)},
                {
                    "Batch_Index": len(tasks) + 1,
                    "Total_Batches": len(batches.batches_of(context.view)),
                    "Workflow_ID": str(child_id),
                },
            )
        )
    return tasks[number - 1]


def _close(context: StepContext, task_id: UUID, run: WorkflowRun) -> None:
    """Record with the task of a batch how it has ended."""
    if run.status == "COMPLETED":
        context.tracker.complete_task(task_id, f"{len(results_of(run)[0])} objects in OMERO")
    else:
        context.tracker.fail_task(task_id, run.error_message)


def _tell(context: StepContext, task_id: UUID, name: str, run: WorkflowRun) -> None:
    """Record that a child is paused or goes on, where that is new, and say so."""
    status = "RUNNING" if run.paused_reason is None else "PAUSED"
    if context.tracker.task(task_id).status != status:
        context.tracker.update_task_status(task_id, status)
    if run.paused_reason is not None:
        context.report(f"{name} is paused: {run.paused_reason}")


def _look_again(run: WorkflowRun) -> datetime:
    """When to look at a child again: soon after its start, less often the longer it lasts."""
    now = datetime.now(UTC)
    age_s = (now - run.created_on).total_seconds()
    return now + timedelta(seconds=min(max(LOOK_SHARE * age_s, LOOK_MIN_S), LOOK_MAX_S))
