"""The followers of the log under the names that other software knows, and the questions it asks of them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from worker.errors import HistoryError
from worker.history import views
from worker.history.projection import Projection
from worker.history.tables import LEADER

if TYPE_CHECKING:
    from uuid import UUID

    from worker.history.database import Database


def check_leader(leader_name: str) -> None:
    """Make sure that a follower is asked to follow this log.

    Parameters
    ----------
    leader_name : str
        Name of the leading application.

    Raises
    ------
    HistoryError
        If it is another.
    """
    if leader_name != LEADER:
        raise HistoryError(f"The views follow {LEADER}, not {leader_name!r}.", remedy=f"Say {LEADER!r}.")


class Tracking:
    """How far a follower has got.

    Parameters
    ----------
    database : Database
        The database.
    table : Table
        The follower's tracking table.
    """

    def __init__(self, database: Database, table: sa.Table) -> None:
        self._database = database
        self._table = table

    def max_tracking_id(self, application_name: str) -> int | None:
        """Read the position of the last event that was followed.

        Parameters
        ----------
        application_name : str
            Name of the leading application.

        Returns
        -------
        int or None
            The position, or None if no event was followed yet.
        """
        table = self._table
        query = sa.select(table.c.notification_id).where(table.c.application_name == application_name)
        with self._database.reading() as session:
            position: int | None = session.execute(query).scalar_one_or_none()
            return position


class Follower:
    """A follower of the log.

    Parameters
    ----------
    database : Database
        The database; migrated.
    """

    _view: views.View

    def __init__(self, database: Database) -> None:
        self._database = database
        self.projection = Projection(database)
        self.recorder = Tracking(database, self._view.tracking)

    @property
    def name(self) -> str:
        """Name of the follower."""
        return self._view.name

    def pull_and_process(self, leader_name: str = LEADER, start: int | None = None, stop: int | None = None) -> None:
        """Bring this view up to date, and with it all others.

        Parameters
        ----------
        leader_name : str
            Name of the leading application.
        start : int, optional
            First position to look at, inclusive. Events that were followed already are not followed again, and none
            is left out, wherever this lies; `Projection.rebuild` computes the views anew.
        stop : int, optional
            Not used: the views are always brought fully up to date.
        """
        del start, stop
        check_leader(leader_name)
        self.projection.pull()

    def _select(self, *columns: Any, **equal: int | str | None) -> list[Any]:
        """Select columns of the view's table where others have the given values; None: any value."""
        query = sa.select(*columns).order_by(*self._view.table.primary_key)
        for name, value in equal.items():
            if value is not None:
                query = query.where(self._view.table.c[name] == value)
        with self._database.reading() as session:
            return list(session.execute(query))


class JobAccounting(Follower):
    """Whose job each Slurm job is."""

    _view = views.VIEWS[0]

    def get_jobs(self, user: int | None = None, group: int | None = None) -> dict[int, list[int]]:
        """List Slurm jobs by user.

        Parameters
        ----------
        user : int, optional
            Only this user's; the user is then always in the answer.
        group : int, optional
            Only this group's.

        Returns
        -------
        dict
            Job ids by user id.
        """
        jobs: dict[int, list[int]] = defaultdict(list)
        if user is not None:
            jobs[user] = []
        for owner, job_id in self._select(views.JOBS.c.user, views.JOBS.c.slurm_job_id, user=user, group=group):
            jobs[owner].append(job_id)
        return dict(jobs)

    def get_task_id(self, job_id: int) -> UUID | None:
        """Find the task of a Slurm job.

        Parameters
        ----------
        job_id : int
            The job.

        Returns
        -------
        UUID or None
            The task, or None if the job is not known.
        """
        rows = self._select(views.JOBS.c.task_id, slurm_job_id=job_id)
        task_id: UUID | None = rows[0].task_id if rows else None
        return task_id


class JobProgress(Follower):
    """Status and progress of each Slurm job."""

    _view = views.VIEWS[1]


class WorkflowProgress(Follower):
    """How far each run is."""

    _view = views.VIEWS[2]


class WorkflowAnalytics(Follower):
    """When each task was at work, and why it failed."""

    _view = views.VIEWS[3]

    def get_task_counts(self, user: int | None = None, group: int | None = None) -> dict[tuple[str, str], int]:
        """Count tasks by name and version.

        Parameters
        ----------
        user : int, optional
            Only this user's.
        group : int, optional
            Only this group's.

        Returns
        -------
        dict
            Numbers by (name, version).
        """
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for task in self._tasks(user, group):
            counts[task.task_name, task.task_version] += 1
        return dict(counts)

    def get_average_task_duration(
        self, user: int | None = None, group: int | None = None
    ) -> dict[tuple[str, str], float]:
        """Average how long the tasks that have ended took.

        Parameters
        ----------
        user : int, optional
            Only this user's.
        group : int, optional
            Only this group's.

        Returns
        -------
        dict
            Seconds by (name, version).
        """
        durations_s: dict[tuple[str, str], list[float]] = defaultdict(list)
        for task in self._tasks(user, group):
            if task.end_time is not None:
                duration_s = (task.end_time - task.start_time).total_seconds()
                durations_s[task.task_name, task.task_version].append(duration_s)
        return {key: sum(values) / len(values) for key, values in durations_s.items()}

    def get_task_failures(self, user: int | None = None, group: int | None = None) -> dict[tuple[str, str], list[str]]:
        """List why tasks failed.

        Parameters
        ----------
        user : int, optional
            Only this user's.
        group : int, optional
            Only this group's.

        Returns
        -------
        dict
            Messages by (name, version), earliest first.
        """
        failures: dict[tuple[str, str], list[str]] = defaultdict(list)
        for task in self._tasks(user, group):
            if task.error_type is not None:
                failures[task.task_name, task.task_version].append(task.error_type)
        return dict(failures)

    def get_task_usage_over_time(
        self, task_name: str, user: int | None = None, group: int | None = None
    ) -> dict[str, int]:
        """Count the tasks of a name by day.

        Parameters
        ----------
        task_name : str
            The name.
        user : int, optional
            Only this user's.
        group : int, optional
            Only this group's.

        Returns
        -------
        dict
            Numbers by day, such as ``2026-03-01`` (UTC).
        """
        usage: dict[str, int] = defaultdict(int)
        for task in self._tasks(user, group, task_name=task_name):
            usage[task.start_time.date().isoformat()] += 1
        return dict(usage)

    def _tasks(self, user: int | None, group: int | None, **equal: str) -> list[Any]:
        rows = self._select(views.TASKS, user_id=user, group_id=group, **equal)
        return sorted(rows, key=lambda row: row.start_time)
