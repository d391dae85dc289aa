"""Drives one run: takes its lease, takes its next steps, records what came of them.

Everything is recorded before it happens (intent) and after it has happened (outcome), so that a driver may be killed
between any two lines of this module: the next one goes on from the record.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from worker.cluster import folders
from worker.engine import losses, staging, steps
from worker.engine.context import Done, Guard, NotYet, Pause, Resources, StepContext
from worker.engine.places import cluster_of, layout_of
from worker.engine.plan import End, Finished, Step, Wait, next_branch_step, plan
from worker.engine.removal import AFTER_ALL
from worker.engine.request import RunRequest
from worker.engine.retry import describe
from worker.engine.view import Progress, view_of
from worker.errors import (
    AccessRefused,
    CircuitOpen,
    HistoryConflict,
    HistoryUnavailable,
    LeaseLost,
    RunCancelled,
    ScriptSessionEnded,
    SettingsError,
    WorkerError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.engine.view import RunView
    from worker.history.domain import WorkflowRun

log = structlog.get_logger(__name__)


LANES = {"export": "export", "files": "export", "fetch": "fetch", "import": "import", "settle": "import"}
"""Kinds of steps that take long and use something there is little of; each has a lane of its own in the service."""

OTHERS_TURN_S = 1.0
"""When to look again at a run that another process was just driving."""

SPREAD_S = 2.0
"""Runs that wait for the same resource try again one after the other, within so many seconds."""


ALONE = "alone"
"""The lane of steps in whose midst process after process was lost: one of them is taken at a time."""


def lane_of(step: Step, view: RunView) -> str:
    """The lane in which a step of a run is taken; ``control`` for all that take no time."""
    lane = LANES.get(step.kind)
    if lane is None:
        return "control"
    return ALONE if losses.is_suspect(view.step(step.name)) else lane


@dataclass(frozen=True, slots=True)
class Later:
    """When a run is to be looked at again."""

    at: datetime | None = None
    """None: when the watcher has news, or somebody changes the run."""
    finished: bool = False
    lane: str | None = None
    """The lane in which the run has something to do now; None: it has not."""
    user: int = 0
    """Whose run it is: lanes serve people in turn."""
    wakes: UUID | None = None
    """The parent of a run that has come to an end or a pause: there is news for it."""


def drive(
    resources: Resources,
    run_id: UUID,
    *,
    report: Callable[[str], None] = lambda _: None,
    go_on: Callable[[], bool] = lambda: True,
    lane: str | None = None,
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
    lane : str, optional
        Only take steps of this lane; by default all.

    Returns
    -------
    Later
        When to look at the run again, or in which lane it has something to do.

    Raises
    ------
    HistoryUnavailable
        If the record cannot be read or written; nothing is lost, try again later.
    """
    not_yet: dict[str, datetime | None] = {}
    # Most looks at a run find nothing to do: they cost one reading of its record, and no lease.
    found = _look(resources, run_id, lane, not_yet)
    if isinstance(found, Later):
        return found
    lease = resources.leases.take(run_id, found.name if isinstance(found, Step) else None)
    if lease is None:
        return Later(datetime.now(UTC) + timedelta(seconds=OTHERS_TURN_S))
    structlog.contextvars.bind_contextvars(run=str(run_id))
    driver = _Driver(resources, run_id, report, lane, not_yet)
    try:
        if lease.lost_in is not None:
            driver.count_loss(lease.lost_in)
        while go_on():
            later = driver.advance()
            if later is not None:
                return later
        return Later()
    except (LeaseLost, HistoryConflict) as error:
        # Another process has gone on with the run: leave it alone, without a word in the record.
        log.warning("run_left_to_another", problem=str(error))
        _sweep(resources, run_id)
        return Later(datetime.now(UTC) + timedelta(seconds=OTHERS_TURN_S))
    finally:
        structlog.contextvars.unbind_contextvars("run", "task")
        _give_back(resources, run_id)


def _look(
    resources: Resources, run_id: UUID, lane: str | None, not_yet: dict[str, datetime | None]
) -> Later | Step | End:
    """Look whether a run has something to do now, in this lane, and what.

    Jobs of the run are handed to the watcher; as long as it has no news of them, there is nothing to do about them.
    """
    run = resources.tracker.run(run_id)
    if run.request is None:
        return Later(finished=True)
    view = view_of(run)
    _hand_over(resources, run, view, not_yet)
    match plan(view, datetime.now(UTC), not_yet):
        case Finished():
            return Later(finished=True)
        case Wait(until=until):
            return Later(until)
        case Step() as step if lane is not None and lane_of(step, view) != lane:
            return Later(lane=lane_of(step, view), user=run.user)
        case decision:
            return decision


def _hand_over(resources: Resources, run: WorkflowRun, view: RunView, not_yet: dict[str, datetime | None]) -> None:
    """Hand the jobs of a run to the watcher of its cluster, and take those from it that it need not watch."""
    try:
        watcher = resources.clusters.get(cluster_of(run)).watcher
    except SettingsError:
        return  # the step that needs the cluster says so
    for branch in view.branches:
        if view.status in ("COMPLETED", "FAILED"):
            watcher.remove(branch.task_id)
            resources.run_of_task.pop(branch.task_id, None)
            continue
        resources.run_of_task[branch.task_id] = run.id
        step = next_branch_step(view, branch)
        if step is None or step.kind != "watch":
            watcher.remove(branch.task_id)
            continue
        submitted = view.step(branch.step("submit")).data
        job_id = int(submitted["job_id"])
        exit_file = layout_of(run, resources.settings).exit_file(job_id)
        watcher.add(branch.task_id, job_id, exit_file, submitted.get("key"))
        if watcher.report(branch.task_id) is None:
            not_yet[step.name] = None


def _sweep(resources: Resources, run_id: UUID) -> None:
    """Remove what this process has left of a run that another one has ended and tidied away in the meantime."""
    try:
        run = resources.tracker.run(run_id)
        view = view_of(run)
        removed = any(view.step(name).progress is Progress.DONE for name in AFTER_ALL)
        if not (run.ended and view.cleanup and removed and view.course.owns_folder):
            return
        staging.remove(staging.folder_of(resources.state_dir, run_id))
        folders.remove_run(resources.clusters.get(cluster_of(run)).transport, layout_of(run, resources.settings))
    except WorkerError as error:
        log.warning("not_swept", run=str(run_id), problem=str(error))


def _parent_of(run: WorkflowRun) -> UUID | None:
    """The run of which this one is a batch, if it is one."""
    parent = (run.request or {}).get("parent")
    return UUID(str(parent["run_id"])) if parent else None


def _give_back(resources: Resources, run_id: UUID) -> None:
    """Give the lease back; where the database does not answer, it runs out by itself."""
    try:
        resources.leases.give_back(run_id)
    except HistoryUnavailable as error:
        log.warning("lease_not_given_back", run=str(run_id), problem=str(error))


class _Driver:
    """Takes the steps of one run under its lease.

    Parameters
    ----------
    resources : Resources
        What steps share.
    run_id : UUID
        The run, whose lease is ours.
    report : callable
        Is told, in words, what is being done.
    lane : str or None
        Only take steps of this lane.
    not_yet : dict of str to datetime or None
        Steps that have just said "not yet", with the time at which to look again.
    """

    def __init__(
        self,
        resources: Resources,
        run_id: UUID,
        report: Callable[[str], None],
        lane: str | None,
        not_yet: dict[str, datetime | None],
    ) -> None:
        self._resources = resources
        self._run_id = run_id
        self._report = report
        self._lane = lane
        self._not_yet = not_yet
        # From here on the record takes nothing from us once the run is another's.
        self._tracker = resources.tracker.fenced(resources.leases.fence(run_id))

    def count_loss(self, name: str) -> None:
        """Record that the driver before was lost in the midst of a step; once too often, and the run is paused."""
        run = self._tracker.run(self._run_id)
        step = view_of(run).step(name)
        if run.ended or step.progress is not Progress.INTENDED:
            return
        headway = losses.headway_of(name, self._run_id, self._resources.state_dir)
        loss = losses.count(name, step, headway, datetime.now(UTC), self._resources.leases.duration_s)
        log.warning("holder_lost", step=name, losses=loss.losses, retry_at=str(loss.retry_at), pause=loss.too_many)
        self._tracker.lose_holder(
            self._run_id,
            name,
            losses=loss.losses,
            headway=headway,
            message=loss.message,
            retry_at=loss.retry_at,
        )
        self._report(loss.message)
        if loss.too_many:
            self._tracker.pause_run(self._run_id, loss.message)

    def advance(self) -> Later | None:
        """Do the next thing; None means that there may be more to do at once."""
        run = self._tracker.run(self._run_id)
        view = view_of(run)
        match plan(view, datetime.now(UTC), self._not_yet):
            case Finished():
                return Later(finished=True)
            case Wait(until=until):
                # If it is paused, then since just now: nobody takes the lease of one that was before.
                return Later(until, wakes=_parent_of(run) if view.paused is not None else None)
            case End(ok=ok, message=message):
                if ok:
                    self._tracker.complete_workflow(self._run_id)
                else:
                    self._tracker.fail_workflow(self._run_id, message)
                log.info("run_ended", ok=ok, message=message)
                return Later(finished=True, wakes=_parent_of(run))
            case Step() as step:
                if self._lane is not None and lane_of(step, view) != self._lane:
                    return Later(lane=lane_of(step, view), user=run.user)
                if run.status == "INITIALIZED":
                    self._tracker.start_workflow(self._run_id)
                    run = self._tracker.run(self._run_id)
                guard = Guard(self._resources.leases, self._tracker, self._run_id)
                request = RunRequest.model_validate(run.request)
                return self._take(
                    StepContext(
                        self._resources,
                        self._resources.settings,
                        self._tracker,
                        guard,
                        self._run_id,
                        run,
                        view,
                        request,
                        step.branch,
                        self._report,
                        step.name,
                    ),
                    step,
                )
        return None

    def _take(self, context: StepContext, step: Step) -> Later | None:
        """Take one step and record its outcome."""
        self._resources.leases.doing(self._run_id, step.name)
        if context.view.step(step.name).progress is Progress.OPEN:
            self._tracker.intend_step(self._run_id, step.name, f"{self._run_id}/{step.name}")
        try:
            outcome = steps.STEPS[step.kind](context)
        except (LeaseLost, HistoryConflict, HistoryUnavailable):
            raise
        except CircuitOpen as error:
            # Nothing was tried: no attempt is counted, however long this lasts.
            self._report(str(error))
            spread = random.random()  # noqa: S311 - spreads load, keeps no secret
            self._not_yet[step.name] = error.retry_at + timedelta(seconds=spread * SPREAD_S)
            return None
        except RunCancelled as error:
            log.info("step_cancelled", step=step.name, reason=str(error))
            return None  # the plan knows what follows
        except WorkerError as error:
            return self._record_failure(context, step, error)
        except Exception as error:
            log.exception("step_broke", step=step.name)
            return self._record_failure(context, step, error)
        match outcome:
            case Done(data=data):
                self._tracker.complete_step(self._run_id, step.name, data)
                log.info("step_done", step=step.name, peak_mib=losses.peak_mib())
                return None
            case NotYet(look_again_at=at):
                if context.view.step(step.name).losses:
                    self._tracker.survive_step(self._run_id, step.name)
                self._not_yet[step.name] = at
                return None
            case Pause(reason=reason):
                self._tracker.pause_run(self._run_id, reason)
                log.warning("run_paused", step=step.name, reason=reason)
                return Later(wakes=_parent_of(context.run))

    def _record_failure(self, context: StepContext, step: Step, error: Exception) -> Later | None:
        """Record that an attempt failed, and what follows.

        A transient error is tried again, until the budget is used up: then the run is paused. So is one that an admin
        has to mend, and one that is a defect of ours. Every other error ends the step, and with it the analysis.
        """
        attempt = context.view.step(step.name).attempts + 1
        message = describe(error)
        now = datetime.now(UTC)
        retry_at: datetime | None = now
        pause = True
        if isinstance(error, WorkerError):
            if error.transient:
                most = context.settings.worker.max_attempts
                retry_at = self._resources.budget.retry_at(attempt, now, max_attempts=most)
                pause = retry_at is None
            elif not isinstance(error, AccessRefused | ScriptSessionEnded | SettingsError):
                retry_at, pause = None, False
        log.warning(
            "step_failed", step=step.name, attempt=attempt, problem=message, retry_at=str(retry_at), pause=pause
        )
        ended = retry_at is None and not pause
        if ended:
            steps.close_tasks(context, step, message)
        self._tracker.fail_attempt(
            self._run_id,
            step.name,
            attempt=attempt,
            error=type(error).__name__,
            message=message,
            # After a pause and its resumption, the step may be tried at once; one that has ended is never tried again.
            retry_at=None if ended else (retry_at or now).isoformat(),
        )
        context.report(message)
        if pause:
            self._tracker.pause_run(
                self._run_id,
                f"{message} (step '{step.name}', attempt {attempt}). The run goes on once this is mended and resumed.",
            )
            return Later(wakes=_parent_of(context.run))
        return None
