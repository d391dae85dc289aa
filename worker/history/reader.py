"""Reading the history: lists of runs, one run, everything that happened to it, and the runs that are due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from worker.errors import RunNotFound
from worker.history.codec import plain_fields
from worker.history.domain import WorkflowRun
from worker.history.tables import (
    biomero_workflow_progress_view,
    worker_run,
    worker_run_task,
    workflowtracker_events,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from worker.history.database import Database


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


ROWS = sa.select(
    worker_run,
    sa.func.coalesce(biomero_workflow_progress_view.c.status, "").label("status"),
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

    def open_runs(self, now: datetime | None = None) -> list[UUID]:
        """List the runs that the engine should look at now, those that have waited longest first.

        These are the runs with a request that have not ended, whose time for another attempt has come, and that are
        not paused; a paused run that is to be cancelled is among them.

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
        with self._database.reading() as session:
            moment = now if now is not None else self._database.now(session)
            query = (
                sa.select(run.run_id)
                .where(
                    run.has_request,
                    run.state.in_(("INITIALIZED", "STARTED")),
                    sa.or_(sa.not_(run.paused), run.cancel_requested_by.is_not(None)),
                    sa.or_(run.next_attempt_at.is_(None), run.next_attempt_at <= moment),
                )
                .order_by(run.updated_at, run.run_id)
            )
            return list(session.execute(query).scalars())

    def changed_since(self, position: int | None, *, names: Sequence[str]) -> tuple[int, set[UUID]]:
        """List the runs to which something has happened after a position of the log.

        Parameters
        ----------
        position : int or None
            The position; None: none has happened yet, as far as the caller is concerned.
        names : sequence of str
            The events of runs that count, such as ``CancelRequested``.

        Returns
        -------
        tuple of int and set of UUID
            The position from which to go on, and the runs.
        """
        event = workflowtracker_events.c
        with self._database.reading() as session:
            last: int = session.execute(sa.select(sa.func.coalesce(sa.func.max(event.id), 0))).scalar_one()
            if position is None or last <= position:
                return last, set()
            changed = session.execute(
                sa.select(event.originator_id)
                .distinct()
                .where(
                    event.id > position,
                    event.id <= last,
                    event.topic.in_([f"{WorkflowRun.TOPIC}.{name}" for name in names]),
                )
            )
            return last, set(changed.scalars())


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
