"""The record where ``biomero.eventsourcing`` has it; events in the history are named after this module."""

from worker.facade.recording import NoOpWorkflowTracker
from worker.history.domain import Task, WorkflowRun
from worker.history.tracker import WorkflowTracker

__all__ = ["NoOpWorkflowTracker", "Task", "WorkflowRun", "WorkflowTracker"]
