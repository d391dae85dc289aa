"""The way into the history: commands on runs and tasks, each one transaction, after which the views are up to date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from worker.history.domain import Task, WorkflowRun
from worker.history.job_commands import JobCommands

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from worker.history.domain import Resubmission
    from worker.history.event_log import Changes


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task that a new run is going to have."""

    name: str
    version: str
    input_data: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


class WorkflowTracker(JobCommands):
    """Records what happens to runs and tasks.

    Every command is one transaction, which is kept as a whole or not at all. A command that would change nothing (a
    status that is the present one) records nothing; all but `accept`, `initiate_workflow`, `add_task_to_workflow` and
    `add_result` may therefore be repeated, and `accept` too if it is given the run's uuid. When a command returns, it
    is recorded. The views follow in a transaction of their own: should that fail, the command has succeeded all the
    same, and the views catch up after the next one.

    All commands raise `HistoryUnavailable` if the database does not answer, and `RunNotFound` if there is no such run
    or task.

    Parameters
    ----------
    database : Database
        Where the history is kept; migrated.
    """

    # --- new runs and tasks ---

    def accept(
        self,
        *,
        name: str,
        description: str,
        user: int,
        group: int,
        request: Mapping[str, Any],
        tasks: Sequence[TaskSpec],
        run_id: UUID | None = None,
    ) -> UUID:
        """Take on a run with everything it needs: the run, its request and its tasks in one transaction.

        Parameters
        ----------
        name : str
            Name of the run.
        description : str
            What it is about.
        user : int
            OMERO id of the person.
        group : int
            OMERO id of the group.
        request : mapping
            What was asked for, as JSON values; no secrets.
        tasks : sequence of TaskSpec
            The tasks, in their order.
        run_id : UUID, optional
            What the run shall be known by; a run that is recorded under it already is left as it is, so that the
            command may be repeated. By default a new uuid.

        Returns
        -------
        UUID
            The run.

        Raises
        ------
        RunNotFound
            If `run_id` is the uuid of a task.
        """

        def decide(changes: Changes) -> UUID:
            if run_id is not None and changes.has(WorkflowRun, run_id):
                return run_id
            run = WorkflowRun.under(run_id, name, description, user, group)
            run.record_request(request)
            changes.add(run)
            for spec in tasks:
                task = Task(run.id, spec.name, spec.version, dict(spec.input_data), dict(spec.params))
                changes.add(task)
                run.add_task(task.id)
                changes.add(run)
            return run.id

        return self._transact(decide)

    def initiate_workflow(self, name: str, description: str, user: int, group: int) -> UUID:
        """Record a new run without a request; the engine leaves it alone.

        Parameters
        ----------
        name : str
            Name of the run.
        description : str
            What it is about.
        user : int
            OMERO id of the person.
        group : int
            OMERO id of the group.

        Returns
        -------
        UUID
            The run.
        """

        def decide(changes: Changes) -> UUID:
            run = WorkflowRun(name, description, user, group)
            changes.add(run)
            return run.id

        return self._transact(decide)

    def add_task_to_workflow(
        self,
        workflow_id: UUID,
        task_name: str,
        task_version: str,
        input_data: Mapping[str, Any],
        kwargs: Mapping[str, Any],
    ) -> UUID:
        """Make a task and add it to a run, in one transaction.

        Parameters
        ----------
        workflow_id : UUID
            The run.
        task_name : str
            Name of the task.
        task_version : str
            Its version.
        input_data : mapping
            What it works on.
        kwargs : mapping
            Its parameters; the name of this argument is that of existing callers.

        Returns
        -------
        UUID
            The task.
        """

        def decide(changes: Changes) -> UUID:
            run = changes.load(WorkflowRun, workflow_id)
            task = Task(workflow_id, task_name, task_version, dict(input_data), dict(kwargs))
            changes.add(task)
            run.add_task(task.id)
            changes.add(run)
            return task.id

        return self._transact(decide)

    # --- what happens to a run ---

    def start_workflow(self, workflow_id: UUID) -> None:
        """Record that work on a run has begun."""
        self._command(WorkflowRun, workflow_id, WorkflowRun.start_workflow)

    def complete_workflow(self, workflow_id: UUID) -> None:
        """Record that a run has ended well."""
        self._command(WorkflowRun, workflow_id, WorkflowRun.complete_workflow)

    def fail_workflow(self, workflow_id: UUID, error_message: str) -> None:
        """Record that a run has failed, and why."""
        self._command(WorkflowRun, workflow_id, lambda run: run.fail_workflow(error_message))

    def intend_step(self, run_id: UUID, step: str, key: str) -> None:
        """Record that a step is about to have its effect, which `key` finds again.

        Raises
        ------
        HistoryConflict
            If somebody has done the step already.
        """
        self._command(WorkflowRun, run_id, lambda run: run.intend_step(step, key))

    def intend_removal(self, run_id: UUID, step: str, key: str) -> None:
        """Record that the data of a run that has ended are about to be removed.

        Raises
        ------
        HistoryConflict
            If the run has not ended, or goes on again.
        """
        self._command(WorkflowRun, run_id, lambda run: run.intend_removal(step, key))

    def complete_step(self, run_id: UUID, step: str, data: Mapping[str, Any]) -> None:
        """Record what a step has produced, as JSON values.

        Raises
        ------
        HistoryConflict
            If somebody has done the step already, with another outcome.
        """
        self._command(WorkflowRun, run_id, lambda run: run.complete_step(step, data))

    def fail_attempt(
        self, run_id: UUID, step: str, *, attempt: int, error: str, message: str, retry_at: datetime | str | None
    ) -> None:
        """Record that an attempt at a step failed.

        Parameters
        ----------
        run_id : UUID
            The run.
        step : str
            The step.
        attempt : int
            Number of the attempt, from 1.
        error : str
            Kind of the error.
        message : str
            What happened, for a person to read.
        retry_at : datetime, str or None
            When to try again (with time zone); None: never.

        Raises
        ------
        HistoryConflict
            If somebody has done the step already.
        """
        self._command(
            WorkflowRun,
            run_id,
            lambda run: run.fail_attempt(step, attempt=attempt, error=error, message=message, retry_at=retry_at),
        )

    def lose_holder(
        self, run_id: UUID, step: str, *, losses: int, headway: int, message: str, retry_at: datetime
    ) -> None:
        """Record that whoever was taking a step is lost: it came neither to its end nor back.

        Parameters
        ----------
        run_id : UUID
            The run.
        step : str
            The step.
        losses : int
            How many in a row by now.
        headway : int
            How far the step is, in a measure of its own.
        message : str
            What happened, for a person to read.
        retry_at : datetime
            When to try again (with time zone).

        Raises
        ------
        HistoryConflict
            If somebody has done the step already.
        """
        self._command(
            WorkflowRun,
            run_id,
            lambda run: run.lose_holder(step, losses=losses, headway=headway, message=message, retry_at=retry_at),
        )

    def survive_step(self, run_id: UUID, step: str) -> None:
        """Record that a step, whose holders were lost before, was looked at without harm."""
        self._command(WorkflowRun, run_id, lambda run: run.survive_step(step))

    def reopen_steps(
        self,
        run_id: UUID,
        steps: Sequence[str],
        *,
        reason: str,
        by: str,
        tasks: Sequence[UUID] = (),
        resubmissions: Mapping[UUID, Resubmission] = MappingProxyType({}),
    ) -> None:
        """Let steps of a run be taken anew, with their tasks; a run that had failed goes on.

        Parameters
        ----------
        run_id : UUID
            The run.
        steps : sequence of str
            The steps.
        reason : str
            Why, for a person to read.
        by : str
            Who wants it.
        tasks : sequence of UUID
            Tasks that begin anew.
        resubmissions : mapping of UUID to Resubmission
            Tasks of which another job is going to be submitted.

        Raises
        ------
        HistoryConflict
            If the run has completed, or somebody else has planned another attempt in between.
        """

        def decide(changes: Changes) -> UUID:
            run = changes.load(WorkflowRun, run_id)
            run.reopen_steps(steps, reason=reason, by=by)
            changes.add(run)
            for task_id in tasks:
                task = changes.load(Task, task_id)
                task.reopen(reason)
                changes.add(task)
            for task_id, plan in resubmissions.items():
                task = changes.load(Task, task_id)
                task.plan_resubmission(plan, reason)
                changes.add(task)
            return run_id

        self._transact(decide)

    def pause_run(self, run_id: UUID, reason: str) -> None:
        """Stop a run until a person resumes it."""
        self._command(WorkflowRun, run_id, lambda run: run.pause(reason))

    def resume_run(self, run_id: UUID) -> None:
        """Let a paused run go on, with a fresh budget of attempts."""
        self._command(WorkflowRun, run_id, WorkflowRun.resume)

    def request_cancel(self, run_id: UUID, by: str) -> None:
        """Ask for a run to be stopped."""
        self._command(WorkflowRun, run_id, lambda run: run.request_cancel(by))

    # --- what happens to a task ---

    def start_task(self, task_id: UUID) -> None:
        """Record that work on a task has begun."""
        self._command(Task, task_id, Task.start_task)

    def complete_task(self, task_id: UUID, message: str) -> None:
        """Record that a task has ended well."""
        self._command(Task, task_id, lambda task: task.complete_task(message))

    def fail_task(self, task_id: UUID, error_message: str) -> None:
        """Record that a task has failed, and why."""
        self._command(Task, task_id, lambda task: task.fail_task(error_message))

    def add_result(self, task_id: UUID, result: object) -> None:
        """Record how a command of a task ended.

        Parameters
        ----------
        task_id : UUID
            The task.
        result : object
            Has ``command``, ``env``, ``stdout`` and ``stderr``, as attributes or as keys.
        """
        names = ("command", "env", "stdout", "stderr")
        if isinstance(result, Mapping):
            fields = {name: result.get(name) for name in names}
        else:
            fields = {name: getattr(result, name, None) for name in names}
        self._command(Task, task_id, lambda task: task.add_result(fields))

    def update_task_status(self, task_id: UUID, status: str) -> None:
        """Record the status of a task or its job, if it is a new one."""
        self._command(Task, task_id, lambda task: task.update_task_status(status))

    def update_task_progress(self, task_id: UUID, progress: str | None) -> None:
        """Record the progress of a task or its job, such as ``43%``, if it is a new one."""
        self._command(Task, task_id, lambda task: task.update_task_progress(progress))
