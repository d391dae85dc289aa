"""The followers of the record where ``biomero.views`` has them."""

from worker.history.followers import JobAccounting, JobProgress, WorkflowAnalytics, WorkflowProgress

__all__ = ["JobAccounting", "JobProgress", "WorkflowAnalytics", "WorkflowProgress"]
