"""What every command on the history goes through: one transaction on the log, after which the views follow.

`worker.history.tracker` says which commands there are.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

import structlog

from worker.history.domain import Task, WorkflowRun
from worker.history.event_log import Changes, EventLog, load
from worker.history.followers import check_leader
from worker.history.projection import Projection
from worker.history.tables import LEADER

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self
    from uuid import UUID

    from eventsourcing.application import LocalNotificationLog, Repository
    from eventsourcing.domain import Aggregate
    from sqlalchemy.orm import Session

    from worker.history.database import Database

log = structlog.get_logger(__name__)

A = TypeVar("A", WorkflowRun, Task)
R = TypeVar("R")


class Commands:
    """Changes runs and tasks in transactions, and reads them.

    Parameters
    ----------
    database : Database
        Where the history is kept; migrated.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._log = EventLog(database)
        self.projection = Projection(database)

    def fenced(self, check: Callable[[Session], None]) -> Self:
        """Make a tracker each of whose transactions is checked.

        Parameters
        ----------
        check : callable
            Is called in each transaction, when it has become the only writer of the log and before it reads anything.
            If it raises, nothing is recorded, and its exception is the command's. It may be called more than once
            for a command, and must have no effects outside the session that it is given.

        Returns
        -------
        Self
            The same tracker, with the check; this one stays as it is. The checks of a tracker that is fenced again
            are all made, the oldest first.
        """
        fenced = copy.copy(self)
        fenced._log = self._log.fenced(check)  # noqa: SLF001 - our own copy
        return fenced

    @property
    def repository(self) -> Repository[UUID]:
        """All runs and tasks by uuid: ``repository.get(uuid)``."""
        return self._log.repository

    @property
    def notification_log(self) -> LocalNotificationLog:
        """All events in the order in which they happened: ``notification_log.select(start=1, limit=10)``."""
        return self._log.notification_log

    def run(self, run_id: UUID) -> WorkflowRun:
        """Read a run.

        Parameters
        ----------
        run_id : UUID
            The run.

        Returns
        -------
        WorkflowRun
            Its present state.
        """
        return load(self.repository, WorkflowRun, run_id)

    def task(self, task_id: UUID) -> Task:
        """Read a task.

        Parameters
        ----------
        task_id : UUID
            The task.

        Returns
        -------
        Task
            Its present state.
        """
        return load(self.repository, Task, task_id)

    def save(self, *aggregates: Aggregate) -> None:
        """Record what has happened to runs and tasks since they were read from the repository.

        Parameters
        ----------
        *aggregates : Aggregate
            The runs and tasks.

        Raises
        ------
        HistoryConflict
            If somebody else has written to one of them in between; nothing is recorded then.
        """
        self._follow(appended=self._log.save(*aggregates))

    def pull_and_process(self, leader_name: str = LEADER, start: int | None = None, stop: int | None = None) -> None:
        """Bring the views up to date.

        Parameters
        ----------
        leader_name : str
            Name of this application.
        start : int, optional
            First position to look at, inclusive. Events that were followed already are not followed again, and none
            is left out, wherever this lies; `Projection.rebuild` computes the views anew.
        stop : int, optional
            Not used: the views are always brought fully up to date.
        """
        del start, stop
        check_leader(leader_name)
        self.projection.pull()

    def _transact(self, decide: Callable[[Changes], R]) -> R:
        result, appended = self._log.transact(decide)
        self._follow(appended=appended)
        return result

    def _command(self, kind: type[A], aggregate_id: UUID, command: Callable[[A], None]) -> None:
        def decide(changes: Changes) -> None:
            aggregate = changes.load(kind, aggregate_id)
            command(aggregate)
            changes.add(aggregate)

        self._transact(decide)

    def _follow(self, *, appended: bool) -> None:
        if not appended:
            return
        try:
            self.projection.keep_up()
        except Exception:
            # The command is recorded. To report it as failed would make the caller repeat it.
            log.exception("views_not_updated")
