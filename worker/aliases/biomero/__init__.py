"""The names of the BIOMERO library under which notebooks and the web plugin know this worker.

Only names: what they stand for is in `worker`. Not to be installed beside the library itself, whose place it takes.
"""

from worker.facade.client import SlurmClient
from worker.facade.recording import NoOpWorkflowTracker
from worker.history.domain import Task, WorkflowRun
from worker.history.followers import JobAccounting, JobProgress, WorkflowAnalytics, WorkflowProgress
from worker.history.tracker import WorkflowTracker

__all__ = [
    "JobAccounting",
    "JobProgress",
    "NoOpWorkflowTracker",
    "SlurmClient",
    "Task",
    "WorkflowAnalytics",
    "WorkflowProgress",
    "WorkflowRun",
    "WorkflowTracker",
]
