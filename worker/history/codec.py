"""How events and snapshots are written: JSON, in the form that existing histories have.

``{"timestamp":{"_type_":"datetime_iso","_data_":"…"},"task_id":{"_type_":"uuid_hex","_data_":"…"},…}``
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.persistence import DatetimeAsISO, DecimalAsStr, JSONTranscoder, Mapper, Transcoding, UUIDAsHex
from eventsourcing.utils import TopicError, register_topic, resolve_topic

from worker.errors import HistoryError
from worker.history.domain import StepState, Task, WorkflowRun

if TYPE_CHECKING:
    from eventsourcing.domain import DomainEventProtocol
    from eventsourcing.persistence import StoredEvent


class StepStateAsDict(Transcoding):
    """The state of a step inside a snapshot."""

    type = StepState
    name = "step_state"

    def encode(self, obj: StepState) -> dict[str, Any]:
        """Turn the state into a dictionary."""
        return asdict(obj)

    def decode(self, data: dict[str, Any]) -> StepState:
        """Turn a dictionary back into the state."""
        return StepState(**data)


def transcoder() -> JSONTranscoder:
    """Make the transcoder of events and snapshots."""
    made = JSONTranscoder()
    for transcoding in (UUIDAsHex(), DecimalAsStr(), DatetimeAsISO(), StepStateAsDict()):
        made.register(transcoding)
    return made


class TolerantMapper(Mapper[UUID]):
    """Reads every event of a run or a task, also those of a newer or another tool.

    Other tools record further events on the same aggregates (provenance of inputs, for example). To us they mean
    nothing, but they count: without them, the versions of the events that follow would have a gap.
    """

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """Turn a stored event into an event of the domain."""
        topic = stored_event.topic
        aggregate = next((known for known in (WorkflowRun, Task) if topic.startswith(f"{known.TOPIC}.")), None)
        if aggregate is None:
            raise HistoryError(
                f"The history holds an event of an unknown kind, {topic!r}, of {stored_event.originator_id}.",
                remedy="Check that SQLALCHEMY_URL names the database of this worker.",
            )
        try:
            resolve_topic(topic)
        except TopicError:
            register_topic(topic, aggregate.Event)
        return super().to_domain_event(stored_event)


def mapper() -> TolerantMapper:
    """Make the mapper between events and their stored form."""
    return TolerantMapper(transcoder())


def _plain(data: dict[str, Any]) -> Any:
    if data.keys() == {"_type_", "_data_"}:
        return str(UUID(data["_data_"])) if data["_type_"] == "uuid_hex" else data["_data_"]
    return data


def plain_fields(state: bytes) -> dict[str, Any]:
    """Read the fields of a stored event as plain JSON values, for showing and exporting.

    Parameters
    ----------
    state : bytes
        The event as it is stored.

    Returns
    -------
    dict
        The fields; ids and times are strings.
    """
    fields: dict[str, Any] = json.loads(state, object_hook=_plain)
    return fields
