"""What can happen to a run: the aggregate `WorkflowRun` and its events.

The topics ``biomero.eventsourcing:…`` and the field names of all events are stored in databases and must never
change; a test freezes them. The first group of events is the one that existing histories hold, the second is ours.

A command records an event only if it changes something, so that it can be repeated safely: after a crash, or when
the reply of the database was lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from eventsourcing.domain import Aggregate

from worker.errors import HistoryConflict
from worker.history.step import StepState

if TYPE_CHECKING:
    from uuid import UUID

RunStatus = Literal["INITIALIZED", "STARTED", "COMPLETED", "FAILED"]


def _iso(moment: datetime | str | None) -> str | None:
    if moment is None:
        return None
    parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    if parsed.tzinfo is None:
        raise ValueError(f"the time {moment} has no time zone")
    return parsed.astimezone(UTC).isoformat()


def as_read(value: Any) -> Any:
    """Give a JSON value as it will be when it is read back: tuples as lists, keys as strings."""
    if isinstance(value, Mapping):
        return {str(key): as_read(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_read(item) for item in value]
    return value


class WorkflowRun(Aggregate, created_event_name="WorkflowInitiated"):
    """One run: what somebody asked for, its tasks, and how far it is."""

    TOPIC = "biomero.eventsourcing:WorkflowRun"
    INITIAL_VERSION = 0

    class Created(Aggregate.Created):
        """Base of `WorkflowInitiated`; never recorded itself."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.Created"

    class WorkflowInitiated(Created):
        """Somebody started a run."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.WorkflowInitiated"
        name: str
        description: str
        user: int
        group: int

    class TaskAdded(Aggregate.Event):
        """A task was added to the run."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.TaskAdded"
        task_id: UUID

        def apply(self, aggregate: WorkflowRun) -> None:
            """Append the task."""
            aggregate.tasks.append(self.task_id)

    class WorkflowStarted(Aggregate.Event):
        """Work on the run has begun."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.WorkflowStarted"

        def apply(self, aggregate: WorkflowRun) -> None:
            """Mark the run as started."""
            aggregate.status = "STARTED"

    class WorkflowCompleted(Aggregate.Event):
        """The run has ended well."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.WorkflowCompleted"

        def apply(self, aggregate: WorkflowRun) -> None:
            """Mark the run as completed."""
            aggregate.status = "COMPLETED"
            aggregate.error_message = ""

    class WorkflowFailed(Aggregate.Event):
        """The run has ended, but not well."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.WorkflowFailed"
        error_message: str

        def apply(self, aggregate: WorkflowRun) -> None:
            """Mark the run as failed."""
            aggregate.status = "FAILED"
            aggregate.error_message = self.error_message

    # --- our own ---

    class RequestRecorded(Aggregate.Event):
        """What was asked for, in full: the only input of the run."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.RequestRecorded"
        request: dict[str, Any]

        def apply(self, aggregate: WorkflowRun) -> None:
            """Keep the request."""
            aggregate.request = self.request

    class StepIntended(Aggregate.Event):
        """A step is about to have its effect; `key` finds that effect again."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.StepIntended"
        step: str
        key: str

        def apply(self, aggregate: WorkflowRun) -> None:
            """Open the step, or begin it anew under another key."""
            before = aggregate.steps.get(self.step, StepState())
            aggregate.steps[self.step] = StepState(key=self.key, attempts=before.attempts)

    class StepCompleted(Aggregate.Event):
        """A step has had its effect."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.StepCompleted"
        step: str
        data: dict[str, Any]

        def apply(self, aggregate: WorkflowRun) -> None:
            """Close the step."""
            before = aggregate.steps.get(self.step, StepState())
            aggregate.steps[self.step] = replace(
                before, state="done", data=self.data, losses=0, last_error="", retry_at=None
            )

    class AttemptFailed(Aggregate.Event):
        """An attempt at a step failed; it may be repeated at `retry_at`, or never if that is None."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.AttemptFailed"
        step: str
        attempt: int
        error: str
        message: str
        retry_at: str | None

        def apply(self, aggregate: WorkflowRun) -> None:
            """Remember why, and when to try again."""
            before = aggregate.steps.get(self.step, StepState())
            aggregate.steps[self.step] = replace(
                before, attempts=self.attempt, losses=0, last_error=self.message or self.error, retry_at=self.retry_at
            )

    class HolderLost(Aggregate.Event):
        """Whoever was taking a step came neither to its end nor back; so many in a row by now, without getting on."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.HolderLost"
        step: str
        losses: int
        headway: int
        message: str
        retry_at: str

        def apply(self, aggregate: WorkflowRun) -> None:
            """Count it, and remember when to try again."""
            before = aggregate.steps.get(self.step, StepState())
            aggregate.steps[self.step] = replace(
                before, losses=self.losses, headway=self.headway, last_error=self.message, retry_at=self.retry_at
            )

    class RunPaused(Aggregate.Event):
        """The run waits until a person resumes it."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.RunPaused"
        reason: str

        def apply(self, aggregate: WorkflowRun) -> None:
            """Keep the reason."""
            aggregate.paused_reason = self.reason

    class RunResumed(Aggregate.Event):
        """The run goes on; the steps that waited for another attempt get a fresh budget of attempts."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.RunResumed"

        def apply(self, aggregate: WorkflowRun) -> None:
            """Forget the pause and the attempts that led to it."""
            aggregate.paused_reason = None
            for name, step in aggregate.steps.items():
                if step.state == "intended" and step.retry_at is not None:
                    aggregate.steps[name] = replace(step, attempts=0, losses=0, last_error="", retry_at=None)

    class CancelRequested(Aggregate.Event):
        """Somebody wants the run to stop."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.CancelRequested"
        by: str

        def apply(self, aggregate: WorkflowRun) -> None:
            """Remember who."""
            aggregate.cancel_requested_by = self.by

    class StepsReopened(Aggregate.Event):
        """Steps are to be taken anew: after a failure, by hand or because a job is submitted with more memory."""

        TOPIC = "biomero.eventsourcing:WorkflowRun.StepsReopened"
        steps: list[str]
        reason: str
        by: str

        def apply(self, aggregate: WorkflowRun) -> None:
            """Forget the steps; a run that had failed goes on, and is not cancelled any more."""
            for step in self.steps:
                aggregate.steps.pop(step, None)
            if aggregate.status == "FAILED":
                aggregate.status = "STARTED"
                aggregate.error_message = ""
                aggregate.cancel_requested_by = None
                aggregate.paused_reason = None

    def __init__(self, name: str, description: str, user: int, group: int) -> None:
        self.name = name
        self.description = description
        self.user = user
        self.group = group
        self.tasks: list[UUID] = []
        self.status: RunStatus = "INITIALIZED"
        self.error_message = ""
        self.request: dict[str, Any] | None = None
        self.steps: dict[str, StepState] = {}
        self.paused_reason: str | None = None
        self.cancel_requested_by: str | None = None

    @classmethod
    def under(cls, run_id: UUID | None, name: str, description: str, user: int, group: int) -> WorkflowRun:
        """Begin a run that is known by a given uuid; None: by a new one."""
        return cls._create(cls.WorkflowInitiated, id=run_id, name=name, description=description, user=user, group=group)

    @property
    def ended(self) -> bool:
        """Whether the run has completed or failed."""
        return self.status in ("COMPLETED", "FAILED")

    def add_task(self, task_id: UUID) -> None:
        """Add a task to the run, once."""
        if task_id not in self.tasks:
            self.trigger_event(self.TaskAdded, task_id=task_id)

    def start_workflow(self) -> None:
        """Record that work on the run has begun."""
        if self.status == "INITIALIZED":
            self.trigger_event(self.WorkflowStarted)

    def complete_workflow(self) -> None:
        """Record that the run has ended well."""
        if self.status != "COMPLETED":
            self.trigger_event(self.WorkflowCompleted)

    def fail_workflow(self, error_message: str) -> None:
        """Record that the run has failed."""
        if (self.status, self.error_message) != ("FAILED", error_message):
            self.trigger_event(self.WorkflowFailed, error_message=error_message)

    def record_request(self, request: Mapping[str, Any]) -> None:
        """Record what was asked for."""
        recorded = as_read(request)
        if self.request != recorded:
            self.trigger_event(self.RequestRecorded, request=recorded)

    def intend_step(self, step: str, key: str) -> None:
        """Record that a step is about to have its effect.

        Raises
        ------
        HistoryConflict
            If somebody has done the step already.
        """
        before = self._open_step(step)
        if before is None or before.key != key:
            self.trigger_event(self.StepIntended, step=step, key=key)

    def intend_removal(self, step: str, key: str) -> None:
        """Record that the data of the run are about to be removed.

        Raises
        ------
        HistoryConflict
            If the run has not ended, or goes on again.
        """
        if not self.ended:
            raise HistoryConflict(f"Run {self.id} goes on, and needs its data.")
        self.intend_step(step, key)

    def complete_step(self, step: str, data: Mapping[str, Any]) -> None:
        """Record what a step has produced.

        Raises
        ------
        HistoryConflict
            If somebody has done the step already, with another outcome.
        """
        produced = as_read(data)
        before = self.steps.get(step)
        if before is not None and before.state == "done" and before.data == produced:
            return
        self._open_step(step)
        self.trigger_event(self.StepCompleted, step=step, data=produced)

    def fail_attempt(
        self, step: str, *, attempt: int, error: str, message: str, retry_at: datetime | str | None
    ) -> None:
        """Record that an attempt at a step failed.

        Raises
        ------
        HistoryConflict
            If somebody has done the step already.
        """
        before = self._open_step(step)
        when = _iso(retry_at)
        if before is None or (before.attempts, before.last_error, before.retry_at) != (attempt, message or error, when):
            self.trigger_event(
                self.AttemptFailed, step=step, attempt=attempt, error=error, message=message, retry_at=when
            )

    def lose_holder(self, step: str, *, losses: int, headway: int, message: str, retry_at: datetime) -> None:
        """Record that whoever was taking a step is lost.

        Raises
        ------
        HistoryConflict
            If somebody has done the step already.
        """
        before = self._open_step(step)
        if before is None or (before.losses, before.headway) != (losses, headway):
            when = str(_iso(retry_at))
            self.trigger_event(
                self.HolderLost, step=step, losses=losses, headway=headway, message=message, retry_at=when
            )

    def survive_step(self, step: str) -> None:
        """Record that a step, whose holders were lost before, was looked at without harm: it begins anew."""
        before = self.steps.get(step)
        if before is not None and before.state == "intended" and before.losses:
            self.trigger_event(self.StepIntended, step=step, key=before.key)

    def pause(self, reason: str) -> None:
        """Stop the run until a person resumes it."""
        if self.paused_reason != reason:
            self.trigger_event(self.RunPaused, reason=reason)

    def resume(self) -> None:
        """Let a paused run go on."""
        if self.paused_reason is not None:
            self.trigger_event(self.RunResumed)

    def request_cancel(self, by: str) -> None:
        """Ask for the run to be stopped; the first to ask is remembered."""
        if self.cancel_requested_by is None and not self.ended:
            self.trigger_event(self.CancelRequested, by=by)

    def reopen_steps(self, steps: Sequence[str], *, reason: str, by: str) -> None:
        """Let steps be taken anew; a run that has failed goes on.

        Raises
        ------
        HistoryConflict
            If the run has completed.
        """
        if self.status == "COMPLETED":
            raise HistoryConflict(f"Run {self.id} has completed; there is nothing to take anew.")
        if self.status == "FAILED" or any(step in self.steps for step in steps):
            self.trigger_event(self.StepsReopened, steps=list(steps), reason=reason, by=by)

    def _open_step(self, step: str) -> StepState | None:
        state = self.steps.get(step)
        if state is not None and state.state == "done":
            raise HistoryConflict(f"The step {step!r} of run {self.id} is done already.", remedy="Read the run again.")
        return state
