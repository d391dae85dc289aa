"""The commands about the job of a task: what it is, that Slurm has taken it, how it ended and what it has used."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from worker.history.commands import Commands
from worker.history.domain import Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


class JobCommands(Commands):
    """Records what happens to jobs; a part of `worker.history.tracker.WorkflowTracker`."""

    def intend_submission(self, task_id: UUID, key: str, facts: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Record that the job of a task is about to be submitted.

        Parameters
        ----------
        task_id : UUID
            The task.
        key : str
            The key under which Slurm will know the job.
        facts : mapping
            What the job is, as JSON values: a person must be able to tell years later what was run. No secrets.
        """

        def decide(task: Task) -> None:
            if facts:
                task.describe_job(key, facts)
            task.intend_submission(key)

        self._command(Task, task_id, decide)

    def add_job_id(self, task_id: UUID, slurm_job_id: int | str) -> None:
        """Record the id that Slurm gave the job of a task."""
        self._command(Task, task_id, lambda task: task.add_job_id(slurm_job_id))

    def account_job(self, task_id: UUID, job_id: int, usage: Mapping[str, Any]) -> None:
        """Record what a job of a task has used, if that was not known yet or is more exact now.

        Parameters
        ----------
        task_id : UUID
            The task.
        job_id : int
            Its Slurm job.
        usage : mapping
            JSON values: ``elapsed_s``, ``cpu_s``, ``gpu_s``, ``peak_memory_bytes``, ``exit_code``, ``nodes``,
            ``cpus``, ``gpus``, ``partition``, ``started``, ``ended`` (ISO 8601 with time zone); what is not known
            is None or left out.
        """
        self._command(Task, task_id, lambda task: task.account_job(job_id, usage))

    def plan_import(self, task_id: UUID, plan: Mapping[str, Any]) -> None:
        """Record how the results of a task come into OMERO in place, before anything of it is done.

        Parameters
        ----------
        task_id : UUID
            The task that imports them.
        plan : mapping
            JSON values: the folder that they stay in, the attempt, its orders to the importer.
        """
        self._command(Task, task_id, lambda task: task.plan_import(plan))

    def end_job(self, task_id: UUID, job_id: int, facts: Mapping[str, Any]) -> None:
        """Record how and where a job of a task ended, and what it ran.

        Parameters
        ----------
        task_id : UUID
            The task.
        job_id : int
            Its Slurm job.
        facts : mapping
            JSON values: ``state``, ``exit_code``, ``reason``; and what the job has said itself: ``host``, ``start``,
            ``end``, ``image_sha256``, ``image_source``, ``runtime``, ``slurm``, ``cluster``.
        """
        self._command(Task, task_id, lambda task: task.end_job(job_id, facts))
