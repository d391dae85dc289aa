"""The domain: runs, their steps, and their tasks."""

from worker.history.step import StepState
from worker.history.task import BY_HAND, Resubmission, Task, TaskState, job_number
from worker.history.workflow_run import RunStatus, WorkflowRun

__all__ = ["BY_HAND", "Resubmission", "RunStatus", "StepState", "Task", "TaskState", "WorkflowRun", "job_number"]
