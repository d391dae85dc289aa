"""Reading the history: lists of runs, one run, everything that happened to it, and the runs that are due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from worker.errors import RunNotFound
from worker.history.codec import plain_fields
from worker.history.tables import (
    RUN_IS_OPEN,
    biomero_workflow_progress_view,
    worker_run,
    worker_run_task,
    workflowtracker_events,
)
from worker.history.usage import By, UsageRow, sums

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from worker.history.database import Database

TOPICS = "biomero.eventsourcing:"
"""What the kinds of all events begin with."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run at a glance."""

    run_id: UUID
    user: int
    group: int
    name: str
    main_task_name: str | None
    """Name of its first analysis; None while it has none."""
    state: str
    """INITIALIZED, STARTED, COMPLETED or FAILED."""
    status: str
    """Status word of the progress view, such as TRANSFERRING, JOB_RUNNING or DONE."""
    progress: str
    """Such as ``67.2%``."""
    step: str | None
    """Step that was last begun, ended or failed."""
    message: str
    """Why it failed, is paused or waits; empty if there is nothing to say."""
    created_at: datetime
    updated_at: datetime
    next_attempt_at: datetime | None
    """When the engine looks at it again; None: at once."""
    paused: bool
    cancel_requested_by: str | None
    has_request: bool
    """Whether the engine may drive it; False for runs of other tools."""
    user_name: str | None = None
    """None if it was not recorded."""
    group_name: str | None = None
    """None if it was not recorded."""
    parent_id: UUID | None = None
    """The run whose batch it is."""
    batch_index: int | None = None
    """Which of the batches, from 1."""
    batch_total: int | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """One thing that happened to a run or to one of its tasks."""

    position: int
    """Place in the whole log."""
    run_id: UUID
    task_id: UUID | None
    """The task; None if it happened to the run itself."""
    task_name: str | None
    name: str
    """Such as ``StepIntended``."""
    at: datetime
    data: dict[str, Any]
    """Fields of the event as JSON values."""


# Where that view is not kept, a run says no more than whether it has ended.
STATUS_WITHOUT_VIEW = sa.case(
    (worker_run.c.state == "COMPLETED", "DONE"), (worker_run.c.state == "FAILED", "FAILED"), else_=""
)

ROWS = sa.select(
    *(column for column in worker_run.c if column.name != "task_count"),
    sa.func.coalesce(biomero_workflow_progress_view.c.status, STATUS_WITHOUT_VIEW).label("status"),
    sa.func.coalesce(biomero_workflow_progress_view.c.progress, "").label("progress"),
).outerjoin(biomero_workflow_progress_view, biomero_workflow_progress_view.c.workflow_id == worker_run.c.run_id)


class RunReader:
    """Reads runs and their events.

    Where a method takes `user`, it sees only that person's runs; None sees all (admins, the engine).

    Parameters
    ----------
    database : Database
        Where the history is kept; migrated.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_runs(self, *, user: int | None = None, limit: int = 50) -> list[RunRow]:
        """List runs, newest first.

        Parameters
        ----------
        user : int, optional
            OMERO id of the person whose runs to list.
        limit : int
            At most so many.

        Returns
        -------
        list of RunRow
            The runs.
        """
        query = ROWS.order_by(worker_run.c.created_at.desc(), worker_run.c.run_id).limit(limit)
        if user is not None:
            query = query.where(worker_run.c.user == user)
        with self._database.reading() as session:
            return [RunRow(**row) for row in session.execute(query).mappings()]

    def run(self, run_id: UUID, *, user: int | None = None) -> RunRow:
        """Read one run.

        Parameters
        ----------
        run_id : UUID
            The run.
        user : int, optional
            OMERO id of the person who asks.

        Returns
        -------
        RunRow
            The run.

        Raises
        ------
        RunNotFound
            If there is no such run, or it is somebody else's.
        """
        query = ROWS.where(worker_run.c.run_id == run_id)
        if user is not None:
            query = query.where(worker_run.c.user == user)
        with self._database.reading() as session:
            row = session.execute(query).mappings().one_or_none()
        if row is None:
            raise RunNotFound(f"There is no run {run_id}.", remedy="Check the uuid, and whose run it is.")
        return RunRow(**row)

    def events(self, run_id: UUID, *, user: int | None = None) -> list[EventRow]:
        """Read everything that happened to a run and its tasks, in the order in which it happened.

        Parameters
        ----------
        run_id : UUID
            The run.
        user : int, optional
            OMERO id of the person who asks.

        Returns
        -------
        list of EventRow
            The events.

        Raises
        ------
        RunNotFound
            If there is no such run, or it is somebody else's.
        """
        self.run(run_id, user=user)
        event, task = workflowtracker_events.c, worker_run_task.c
        with self._database.reading() as session:
            tasks = session.execute(sa.select(task.task_id, task.task_name).where(task.run_id == run_id))
            names = {task_id: task_name for task_id, task_name in tasks}  # noqa: C416 - a result is not a mapping
            query = sa.select(workflowtracker_events).where(event.originator_id.in_([run_id, *names]))
            rows = session.execute(query.order_by(event.id)).all()
        return [_event_row(row, run_id, names.get(row.originator_id)) for row in rows]

    def batches(self, run_id: UUID) -> list[RunRow]:
        """List the runs that are the batches of a run, in their order.

        Parameters
        ----------
        run_id : UUID
            The parent.

        Returns
        -------
        list of RunRow
            Those that have been started.
        """
        query = ROWS.where(worker_run.c.parent_id == run_id).order_by(worker_run.c.batch_index)
        with self._database.reading() as session:
            return [RunRow(**row) for row in session.execute(query).mappings()]

    def unfinished_runs(self) -> list[UUID]:
        """List the runs with a request that have not ended, those included that are paused.

        Returns
        -------
        list of UUID
            The runs.
        """
        query = sa.select(worker_run.c.run_id).where(sa.text(RUN_IS_OPEN), worker_run.c.has_request)
        with self._database.reading() as session:
            return list(session.execute(query).scalars())

    def data_paths(self) -> set[tuple[str, str]]:
        """List where runs were accepted, those that have ended included.

        Returns
        -------
        set of tuple of str
            Cluster (empty if the request names none) and folder of data.
        """
        run, event = worker_run.c, workflowtracker_events.c
        recorded = sa.and_(event.originator_id == run.run_id, event.topic == f"{TOPICS}WorkflowRun.RequestRecorded")
        query = sa.select(event.state).join_from(worker_run, workflowtracker_events, recorded).where(run.has_request)
        found: set[tuple[str, str]] = set()
        with self._database.reading() as session:
            for stored in session.execute(query.execution_options(yield_per=100)).scalars():
                request = plain_fields(bytes(stored))["request"]
                if request.get("data_path"):
                    found.add((str(request.get("cluster") or ""), str(request["data_path"])))
        return found

    def open_runs(self, now: datetime | None = None) -> list[UUID]:
        """List the runs that the engine should look at now, those that have waited longest first.

        These are the runs with a request that have not ended, whose time for another attempt has come, and that are
        not paused; a paused run that is to be cancelled is among them. One statement, on the index of open runs.

        Parameters
        ----------
        now : datetime, optional
            The time, with time zone; by default that of the database.

        Returns
        -------
        list of UUID
            The runs.
        """
        run = worker_run.c
        moment: Any = now if now is not None else self._database.clock
        query = (
            sa.select(run.run_id)
            .where(
                sa.text(RUN_IS_OPEN),
                run.has_request,
                sa.or_(sa.not_(run.paused), run.cancel_requested_by.is_not(None)),
                sa.or_(run.next_attempt_at.is_(None), run.next_attempt_at <= moment),
            )
            .order_by(run.updated_at, run.run_id)
        )
        with self._database.reading() as session:
            return list(session.execute(query).scalars())

    def changed_since(self, position: int | None, *, names: Collection[str] | None = None) -> tuple[int, set[UUID]]:
        """List the runs to which, or to whose tasks, something has happened after a position of the log.

        Parameters
        ----------
        position : int or None
            The position; None: that of the last event, so that no run is listed.
        names : collection of str, optional
            The events that count, such as ``CancelRequested``; by default all.

        Returns
        -------
        tuple of int and set of UUID
            The position from which to go on, and the runs. A task whose run the views do not know yet is listed the
            next time: the position does not pass it.
        """
        event, task = workflowtracker_events.c, worker_run_task.c
        with self._database.reading() as session:
            if position is None:
                last = session.execute(sa.select(sa.func.max(event.id))).scalar_one()
                return last or 0, set()
            query = (
                sa.select(event.id, event.originator_id, event.topic, task.run_id)
                .outerjoin(worker_run_task, task.task_id == event.originator_id)
                .where(event.id > position)
                .order_by(event.id)
            )
            found = session.execute(query).all()
        runs: set[UUID] = set()
        for row in found:
            of_task, _, name = row.topic.removeprefix(TOPICS).partition(".")
            if names is None or name in names:
                run_id = row.run_id if of_task == "Task" else row.originator_id
                if run_id is None:
                    return position, runs
                runs.add(run_id)
            position = row.id
        return position, runs

    def usage(self, *, by: By, since: datetime | None = None) -> list[UsageRow]:
        """Sum up what jobs have used.

        Parameters
        ----------
        by : str
            Whose jobs to sum up: ``user``, ``group`` or ``workflow``.
        since : datetime, optional
            Only jobs that ended then or later (with time zone); by default all.

        Returns
        -------
        list of UsageRow
            One for each of them, those who have used most first.
        """
        with self._database.reading() as session:
            return [UsageRow(**row) for row in session.execute(sums(by, since)).mappings()]


def _event_row(row: Any, run_id: UUID, task_name: str | None) -> EventRow:
    data = plain_fields(bytes(row.state))
    at = datetime.fromisoformat(data.pop("timestamp")).astimezone(UTC)
    data.pop("originator_topic", None)
    return EventRow(
        position=row.id,
        run_id=run_id,
        task_id=None if row.originator_id == run_id else row.originator_id,
        task_name=task_name,
        name=row.topic.rpartition(".")[2],
        at=at,
        data=data,
    )
