"""Drives one run: takes its lease, takes its next steps, records what came of them.

Everything is recorded before it happens (intent) and after it has happened (outcome), so that a driver may be killed
between any two lines of this module: the next one goes on from the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from worker.engine import steps
from worker.engine.context import Done, NotYet, Pause, Resources, StepContext
from worker.engine.plan import End, Finished, Step, Wait, plan
from worker.engine.request import RunRequest
from worker.engine.retry import describe
from worker.engine.view import Progress, view_of
from worker.errors import AccessRefused, HistoryConflict, HistoryUnavailable, LeaseLost, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Later:
    """When a run is to be looked at again."""

    at: datetime | None
    """None: when the watcher has news, or somebody changes the run."""
    finished: bool = False


def drive(
    resources: Resources,
    run_id: UUID,
    *,
    report: Callable[[str], None] = lambda _: None,
    go_on: Callable[[], bool] = lambda: True,
) -> Later:
    """Take the steps of a run until it has to wait or has ended.

    Parameters
    ----------
    resources : Resources
        What steps share in this process. The caller runs the heartbeat of its leases.
    run_id : UUID
        The run.
    report : callable
        Is told, in words, what is being done.
    go_on : callable
        Is asked before each step; when it says no, the run is left to the next driver.

    Returns
    -------
    Later
        When to look at the run again.

    Raises
    ------
    HistoryUnavailable
        If the record cannot be read or written; nothing is lost, try again later.
    """
    if resources.leases.take(run_id) is None:
        return Later(None)
    structlog.contextvars.bind_contextvars(run=str(run_id))
    not_yet: dict[str, datetime | None] = {}
    later: Later | None = None
    try:
        while go_on():
            later = _advance(resources, run_id, report, not_yet)
            if later is not None:
                return later
        return Later(None)
    except (LeaseLost, HistoryConflict) as error:
        # Another process has gone on with the run: leave it alone, without a word in the record.
        log.warning("run_left_to_another", problem=str(error))
        return Later(None)
    finally:
        structlog.contextvars.unbind_contextvars("run", "task")
        _release(resources, run_id, for_good=later is not None and later.finished)


def _release(resources: Resources, run_id: UUID, *, for_good: bool) -> None:
    """Give the lease back; where the database does not answer, it runs out by itself."""
    try:
        if for_good:
            resources.leases.forget(run_id)
        else:
            resources.leases.give_back(run_id)
    except HistoryUnavailable as error:
        log.warning("lease_not_given_back", run=str(run_id), problem=str(error))


def _advance(
    resources: Resources, run_id: UUID, report: Callable[[str], None], not_yet: dict[str, datetime | None]
) -> Later | None:
    """Do the next thing; None means that there may be more to do at once."""
    run = resources.tracker.run(run_id)
    if run.request is None:
        return Later(None, finished=True)
    view = view_of(run)
    match plan(view, datetime.now(UTC), not_yet):
        case Finished():
            return Later(None, finished=True)
        case Wait(until=until):
            return Later(until)
        case End(ok=ok, message=message):
            resources.leases.check(run_id)
            if ok:
                resources.tracker.complete_workflow(run_id)
            else:
                resources.tracker.fail_workflow(run_id, message)
            log.info("run_ended", ok=ok, message=message)
            return Later(None, finished=True)
        case Step() as step:
            if run.status == "INITIALIZED":
                resources.tracker.start_workflow(run_id)
                run = resources.tracker.run(run_id)
            request = RunRequest.model_validate(run.request)
            context = StepContext(resources, run_id, run, view, request, step.branch, report)
            return _take(context, step, not_yet)
    return None


def _take(context: StepContext, step: Step, not_yet: dict[str, datetime | None]) -> Later | None:
    """Take one step and record its outcome."""
    resources, run_id = context.resources, context.run_id
    context.guard()
    state = context.view.step(step.name)
    if state.progress is Progress.OPEN:
        resources.tracker.intend_step(run_id, step.name, f"{run_id}/{step.name}")
    try:
        outcome = steps.STEPS[step.kind](context)
    except (LeaseLost, HistoryConflict, HistoryUnavailable):
        raise
    except WorkerError as error:
        return _record_failure(context, step, error)
    except Exception as error:
        log.exception("step_broke", step=step.name)
        return _record_failure(context, step, error)
    match outcome:
        case Done(data=data):
            resources.tracker.complete_step(run_id, step.name, data)
            log.info("step_done", step=step.name)
            return None
        case NotYet(look_again_at=at):
            not_yet[step.name] = at
            return None
        case Pause(reason=reason):
            resources.tracker.pause_run(run_id, reason)
            log.warning("run_paused", step=step.name, reason=reason)
            return Later(None)


def _record_failure(context: StepContext, step: Step, error: Exception) -> Later | None:
    """Record that an attempt failed, and what follows.

    A transient error is tried again, until the budget is used up: then the run is paused. So is one that an admin has
    to mend, and one that is a defect of ours. Every other error ends the step, and with it the analysis.
    """
    resources, run_id = context.resources, context.run_id
    attempt = context.view.step(step.name).attempts + 1
    message = describe(error)
    now = datetime.now(UTC)
    retry_at: datetime | None = now
    pause = True
    if isinstance(error, WorkerError):
        if error.transient:
            retry_at = resources.budget.retry_at(attempt, now)
            pause = retry_at is None
        elif not isinstance(error, AccessRefused):
            retry_at, pause = None, False
    log.warning("step_failed", step=step.name, attempt=attempt, problem=message, retry_at=str(retry_at), pause=pause)
    ended = retry_at is None and not pause
    if ended:
        steps.close_tasks(context, step, message)
    resources.tracker.fail_attempt(
        run_id,
        step.name,
        attempt=attempt,
        error=type(error).__name__,
        message=message,
        # After a pause and its resumption, the step may be tried at once; one that has ended is never tried again.
        retry_at=None if ended else (retry_at or now).isoformat(),
    )
    context.report(message)
    if pause:
        resources.tracker.pause_run(
            run_id,
            f"{message} (step '{step.name}', attempt {attempt}). The run goes on once this is mended and resumed.",
        )
        return Later(None)
    return None
