"""How far one step of a run is, as the record has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class StepState:
    """How far one step of a run is."""

    state: Literal["intended", "done"] = "intended"
    key: str = ""
    """Idempotency key of the step's outside effect."""
    data: dict[str, Any] = field(default_factory=dict)
    """What the step produced."""
    attempts: int = 0
    """Failed attempts so far."""
    last_error: str = ""
    """Why the last attempt failed, for a person to read."""
    retry_at: str | None = None
    """When the next attempt may be made (ISO 8601, UTC); None after an error: never."""
    losses: int = 0
    """How many processes in a row were lost while they were taking it."""
    headway: int = 0
    """How far it was when the last of them was lost, in a measure of its own; it did get on if that grows."""
