"""What a person has asked for: the requests of their runs, without reading the runs themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from worker.history.codec import plain_fields
from worker.history.tables import worker_run, workflowtracker_events

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from worker.history.database import Database

_TOPIC = "biomero.eventsourcing:WorkflowRun.RequestRecorded"


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A run and what was asked for."""

    run_id: UUID
    name: str
    state: str
    """INITIALIZED, STARTED, COMPLETED or FAILED."""
    created_at: datetime
    request: Mapping[str, Any]
    """The fields of `worker.engine.request.RunRequest`, as JSON values."""


def requests_of(database: Database, user: int, *, limit: int = 200) -> list[RequestRow]:
    """List what a person has asked for, the newest first; runs without a request are left out.

    Parameters
    ----------
    database : Database
        Where the history is kept; migrated.
    user : int
        OMERO id of the person.
    limit : int
        At most so many.

    Returns
    -------
    list of RequestRow
        The requests.
    """
    run, event = worker_run.c, workflowtracker_events.c
    recent = (
        sa.select(run.run_id, run.name, run.state, run.created_at)
        .where(run.user == user, run.has_request)
        .order_by(run.created_at.desc(), run.run_id)
        .limit(limit)
        .subquery()
    )
    query = (
        sa.select(recent, event.state.label("stored"))
        .join(workflowtracker_events, sa.and_(event.originator_id == recent.c.run_id, event.topic == _TOPIC))
        .order_by(recent.c.created_at.desc(), recent.c.run_id)
    )
    with database.reading() as session:
        rows = session.execute(query).all()
    return [
        RequestRow(row.run_id, row.name, row.state, row.created_at, plain_fields(bytes(row.stored))["request"])
        for row in rows
    ]
