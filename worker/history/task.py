"""What can happen to a task of a run: the aggregate `Task` and its events.

See `worker.history.workflow_run` for what must not change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from eventsourcing.domain import Aggregate

from worker.errors import HistoryConflict
from worker.history.workflow_run import as_read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

BY_HAND = "BY_HAND"
"""Cause of another attempt that a person asked for."""

TaskState = Literal["CREATED", "STARTED", "COMPLETED", "FAILED"]


def job_number(value: object) -> int | None:
    """Read a Slurm job id as other tools recorded it.

    Parameters
    ----------
    value : object
        A number or its digits. Existing histories hold -1 where the id could not be read.

    Returns
    -------
    int or None
        The id, or None if there is none.
    """
    text = str(value).strip()
    return int(text) if text.isdigit() and int(text) > 0 else None


@dataclass(frozen=True, slots=True)
class Resubmission:
    """Another job of a task, in the place of one that came to nothing."""

    attempt: int
    """Number of the attempt, one more than that of the job before."""
    cause: str
    """What became of that job: ``OUT_OF_MEMORY``, ``TIMEOUT``, ``LOST``; ``BY_HAND`` if a person wants another."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """Options of sbatch, without ``--``, that override the settings from now on."""


class Task(Aggregate, created_event_name="TaskCreated"):
    """One task of a run: an export, an analysis on the cluster, an import."""

    TOPIC = "biomero.eventsourcing:Task"
    INITIAL_VERSION = 0

    class Created(Aggregate.Created):
        """Base of `TaskCreated`; never recorded itself."""

        TOPIC = "biomero.eventsourcing:Task.Created"

    class TaskCreated(Created):
        """A task was made."""

        TOPIC = "biomero.eventsourcing:Task.TaskCreated"
        workflow_id: UUID
        task_name: str
        task_version: str
        input_data: dict[str, Any]
        params: dict[str, Any]

    class JobIdAdded(Aggregate.Event):
        """Slurm took a job of the task under this id."""

        TOPIC = "biomero.eventsourcing:Task.JobIdAdded"
        job_id: int

        def apply(self, aggregate: Task) -> None:
            """Append the id; a new job has not got anywhere yet."""
            number = job_number(self.job_id)
            if number is not None:
                aggregate.job_ids.append(number)
                aggregate.job_id = number
                aggregate.status = "CREATED"
                aggregate.progress = None

    class StatusUpdated(Aggregate.Event):
        """The task or its job has a new status."""

        TOPIC = "biomero.eventsourcing:Task.StatusUpdated"
        status: str

        def apply(self, aggregate: Task) -> None:
            """Keep the status."""
            aggregate.status = self.status

    class ProgressUpdated(Aggregate.Event):
        """The task or its job got further."""

        TOPIC = "biomero.eventsourcing:Task.ProgressUpdated"
        progress: str | None

        def apply(self, aggregate: Task) -> None:
            """Keep the progress."""
            aggregate.progress = self.progress

    class ResultAdded(Aggregate.Event):
        """A command of the task ended: ``command``, ``env``, ``stdout``, ``stderr``."""

        TOPIC = "biomero.eventsourcing:Task.ResultAdded"
        result: dict[str, Any]

        def apply(self, aggregate: Task) -> None:
            """Append the result."""
            aggregate.results.append(self.result)

    class TaskStarted(Aggregate.Event):
        """Work on the task has begun."""

        TOPIC = "biomero.eventsourcing:Task.TaskStarted"

        def apply(self, aggregate: Task) -> None:
            """Mark the task as started."""
            aggregate.state = "STARTED"

    class TaskCompleted(Aggregate.Event):
        """The task has ended well."""

        TOPIC = "biomero.eventsourcing:Task.TaskCompleted"
        result: str

        def apply(self, aggregate: Task) -> None:
            """Keep the task's last word."""
            aggregate.state = "COMPLETED"
            aggregate.result_message = self.result

    class TaskFailed(Aggregate.Event):
        """The task has ended, but not well."""

        TOPIC = "biomero.eventsourcing:Task.TaskFailed"
        error_message: str

        def apply(self, aggregate: Task) -> None:
            """Keep the reason."""
            aggregate.state = "FAILED"
            aggregate.result_message = self.error_message

    # --- our own ---

    class SubmissionIntended(Aggregate.Event):
        """The task's job is about to be submitted; `key` finds it again in Slurm."""

        TOPIC = "biomero.eventsourcing:Task.SubmissionIntended"
        key: str

        def apply(self, aggregate: Task) -> None:
            """Keep the key."""
            aggregate.submission_key = self.key

    class TaskReopened(Aggregate.Event):
        """The task is done anew, after it had failed."""

        TOPIC = "biomero.eventsourcing:Task.TaskReopened"
        reason: str

        def apply(self, aggregate: Task) -> None:
            """Begin anew."""
            aggregate.begin_anew()

    class ResubmissionPlanned(Aggregate.Event):
        """Another job of the task is going to be submitted, with options of sbatch that override the settings."""

        TOPIC = "biomero.eventsourcing:Task.ResubmissionPlanned"
        attempt: int
        cause: str
        flags: dict[str, str]
        reason: str

        def apply(self, aggregate: Task) -> None:
            """Begin anew under another key; the job before is history."""
            aggregate.begin_anew()
            aggregate.earlier_attempts.append(
                {
                    "key": aggregate.submission_key,
                    "job_id": aggregate.job_id,
                    "cause": self.cause,
                    "reason": self.reason,
                }
            )
            aggregate.attempt = self.attempt
            aggregate.flags = self.flags
            aggregate.submission_key = None
            aggregate.job_id = None

    class JobAccounted(Aggregate.Event):
        """Slurm said what a job of the task has used: `elapsed_s`, `cpu_s`, `peak_memory_bytes` and more."""

        TOPIC = "biomero.eventsourcing:Task.JobAccounted"
        job_id: int
        usage: dict[str, Any]

        def apply(self, aggregate: Task) -> None:
            """Keep what was said last."""
            aggregate.usage[str(self.job_id)] = self.usage

    class JobDescribed(Aggregate.Event):
        """The job that is about to be submitted under `key`: its command, image, descriptor, settings and versions."""

        TOPIC = "biomero.eventsourcing:Task.JobDescribed"
        key: str
        facts: dict[str, Any]

        def apply(self, aggregate: Task) -> None:
            """Keep what it was when it was last submitted."""
            aggregate.described[self.key] = self.facts

    class JobEnded(Aggregate.Event):
        """How and where a job of the task ended, and what it ran: as Slurm and the job itself say."""

        TOPIC = "biomero.eventsourcing:Task.JobEnded"
        job_id: int
        facts: dict[str, Any]

        def apply(self, aggregate: Task) -> None:
            """Keep what was said last."""
            aggregate.endings[str(self.job_id)] = self.facts

    class ImportPlanned(Aggregate.Event):
        """How results come into OMERO in place: the folder that they stay in, and what the importer is told."""

        TOPIC = "biomero.eventsourcing:Task.ImportPlanned"
        plan: dict[str, Any]

        def apply(self, aggregate: Task) -> None:
            """Keep the plan."""
            aggregate.import_plan = self.plan

    def __init__(
        self,
        workflow_id: UUID,
        task_name: str,
        task_version: str,
        input_data: dict[str, Any],
        params: dict[str, Any],
    ) -> None:
        self.workflow_id = workflow_id
        self.task_name = task_name
        self.task_version = task_version
        self.input_data = input_data
        self.params = params
        self.state: TaskState = "CREATED"
        self.job_ids: list[int] = []
        self.job_id: int | None = None
        self.attempt = 1
        self.flags: dict[str, str] = {}
        self.earlier_attempts: list[dict[str, Any]] = []
        self.status = "CREATED"
        self.progress: str | None = None
        self.result_message: str | None = None
        self.results: list[dict[str, Any]] = []
        self.submission_key: str | None = None
        self.usage: dict[str, dict[str, Any]] = {}
        self.described: dict[str, dict[str, Any]] = {}
        self.endings: dict[str, dict[str, Any]] = {}
        self.import_plan: dict[str, Any] = {}

    @property
    def next_key(self) -> str:
        """Key under which the job of the present attempt is submitted: the task's uuid, from the second on numbered."""
        return str(self.id) if self.attempt == 1 else f"{self.id}.{self.attempt}"

    def tries(self, *causes: str) -> list[dict[str, Any]]:
        """List the earlier attempts that ended for one of these causes since a person last asked for another.

        Parameters
        ----------
        *causes : str
            The causes.

        Returns
        -------
        list of dict
            ``key``, ``job_id``, ``cause`` and ``reason`` of each, in their order.
        """
        begin = max((n for n, entry in enumerate(self.earlier_attempts, 1) if entry["cause"] == BY_HAND), default=0)
        return [entry for entry in self.earlier_attempts[begin:] if entry["cause"] in causes]

    def begin_anew(self) -> None:
        """Forget how the task has ended. Only events call this."""
        self.state = "CREATED"
        self.status = "CREATED"
        self.progress = None
        self.result_message = None

    def start_task(self) -> None:
        """Record that work on the task has begun."""
        if self.state == "CREATED":
            self.trigger_event(self.TaskStarted)

    def complete_task(self, result: str) -> None:
        """Record that the task has ended well."""
        if (self.state, self.result_message) != ("COMPLETED", result):
            self.trigger_event(self.TaskCompleted, result=result)

    def fail_task(self, error_message: str) -> None:
        """Record that the task has failed."""
        if (self.state, self.result_message) != ("FAILED", error_message):
            self.trigger_event(self.TaskFailed, error_message=error_message)

    def intend_submission(self, key: str) -> None:
        """Record that the task's job is about to be submitted."""
        if self.submission_key != key:
            self.trigger_event(self.SubmissionIntended, key=key)

    def reopen(self, reason: str) -> None:
        """Let the task be done anew."""
        if self.state != "CREATED":
            self.trigger_event(self.TaskReopened, reason=reason)

    def plan_resubmission(self, plan: Resubmission, reason: str) -> None:
        """Record that another job of the task is going to be submitted.

        Parameters
        ----------
        plan : Resubmission
            Its attempt and its options.
        reason : str
            Why, for a person to read.

        Raises
        ------
        HistoryConflict
            If somebody has planned another one in between.
        """
        if (self.attempt, self.flags) == (plan.attempt, dict(plan.flags)):
            return
        if plan.attempt != self.attempt + 1:
            raise HistoryConflict(
                f"Task {self.id} is at attempt {self.attempt}; the next cannot be {plan.attempt}.",
                remedy="Read the task again.",
            )
        self.trigger_event(
            self.ResubmissionPlanned, attempt=plan.attempt, cause=plan.cause, flags=dict(plan.flags), reason=reason
        )

    def add_job_id(self, job_id: int | str) -> None:
        """Record the id under which Slurm took the task's job.

        Raises
        ------
        ValueError
            If it is not the id of a job.
        """
        number = job_number(job_id)
        if number is None:
            raise ValueError(f"{job_id!r} is not the id of a Slurm job")
        # Slurm gives the number of a job that it has lost to the next one, which may be ours again.
        if number not in self.job_ids or self.job_id is None:
            self.trigger_event(self.JobIdAdded, job_id=number)

    def account_job(self, job_id: int, usage: Mapping[str, Any]) -> None:
        """Record what a job of the task has used, as JSON values; what was said of it before is replaced."""
        used = as_read(usage)
        if self.usage.get(str(job_id)) != used:
            self.trigger_event(self.JobAccounted, job_id=job_id, usage=used)

    def describe_job(self, key: str, facts: Mapping[str, Any]) -> None:
        """Record what the job is that is about to be submitted under a key, as JSON values; never secrets."""
        if self.described.get(key) != (described := as_read(facts)):
            self.trigger_event(self.JobDescribed, key=key, facts=described)

    def end_job(self, job_id: int, facts: Mapping[str, Any]) -> None:
        """Record how and where a job of the task ended, and what it ran, as JSON values."""
        if self.endings.get(str(job_id)) != (ending := as_read(facts)):
            self.trigger_event(self.JobEnded, job_id=job_id, facts=ending)

    def plan_import(self, plan: Mapping[str, Any]) -> None:
        """Record how results come into OMERO in place, as JSON values."""
        planned = as_read(plan)
        if self.import_plan != planned:
            self.trigger_event(self.ImportPlanned, plan=planned)

    def add_result(self, result: Mapping[str, Any]) -> None:
        """Record how a command of the task ended."""
        self.trigger_event(self.ResultAdded, result=dict(result))

    def update_task_status(self, status: str) -> None:
        """Record the status of the task or its job, if it is a new one."""
        if self.status != status:
            self.trigger_event(self.StatusUpdated, status=status)

    def update_task_progress(self, progress: str | None) -> None:
        """Record the progress of the task or its job, if it is a new one."""
        if self.progress != progress:
            self.trigger_event(self.ProgressUpdated, progress=progress)
