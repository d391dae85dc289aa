"""The steps of a run, each an idempotent function from its context to an outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.engine.batches import number_of
from worker.engine.files import files_of
from worker.engine.steps.cancel import cancel
from worker.engine.steps.child import cancel_children, child
from worker.engine.steps.convert import prepare, settle
from worker.engine.steps.export import export_pixels
from worker.engine.steps.fetch import fetch
from worker.engine.steps.files import transfer_files
from worker.engine.steps.import_in_place import import_results
from worker.engine.steps.split import split
from worker.engine.steps.submit import submit
from worker.engine.steps.tidy import tidy
from worker.engine.steps.watch import watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.engine.context import Outcome, StepContext
    from worker.engine.plan import Step

STEPS: Mapping[str, Callable[[StepContext], Outcome]] = {
    "export": export_pixels,
    "files": transfer_files,
    "prepare": prepare,
    "submit": submit,
    "watch": watch,
    "fetch": fetch,
    "import": import_results,
    "tidy": tidy,
    "settle": settle,
    "cancel": cancel,
    "split": split,
    "child": child,
    "cancel_children": cancel_children,
}
"""Step functions by kind."""


def close_tasks(context: StepContext, step: Step, message: str) -> None:
    """Mark the task that a step belongs to as failed, for the dashboards.

    Parameters
    ----------
    context : StepContext
        The step's context.
    step : Step
        The step that has failed for good.
    message : str
        Why.
    """
    if step.kind in ("export", "prepare"):
        context.tracker.fail_task(context.run.tasks[0], message)
    elif step.kind == "files":
        for task_id in context.run.tasks[-len(files_of(context.request)) :]:
            context.tracker.fail_task(task_id, message)
    elif step.kind in ("submit", "watch"):
        context.tracker.fail_task(context.own_branch.task_id, message)
    elif step.kind in ("fetch", "import"):
        context.tracker.fail_task(context.own_branch.import_task_id, message)
    elif step.kind == "child":
        # The task of a batch is added by this very step.
        for task_id in context.tracker.run(context.run_id).tasks[number_of(step.name) - 1 :][:1]:
            context.tracker.fail_task(task_id, message)
