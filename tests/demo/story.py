"""What a run has been through, told from its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.cli.runs import describe_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from worker.engine.assembly import Record


@dataclass(frozen=True, slots=True)
class StepStory:
    """One step of a run: how long it took and what came of it."""

    name: str
    state: str
    seconds: float | None
    """From the first intent to the outcome; None while there is none."""
    data: Mapping[str, Any]
    attempts_failed: int


@dataclass(frozen=True, slots=True)
class RunStory:
    """One run, as its record tells it."""

    run_id: UUID
    status: str
    message: str
    steps: tuple[StepStory, ...]
    tasks: tuple[Mapping[str, Any], ...]
    events: int
    seconds: float

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The Slurm jobs of the run."""
        return [
            {
                "job_id": step.data["job_id"],
                "state": step.data["state"],
                "exit_code": step.data["exit_code"],
                "elapsed_s": step.data["elapsed_s"],
            }
            for step in self.steps
            if step.name.startswith("watch/") and step.state == "done"
        ]

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The objects in OMERO that the run has created."""
        return [item for step in self.steps if step.name.startswith("import/") for item in step.data.get("objects", [])]


def tell(record: Record, run_id: UUID) -> RunStory:
    """Read the story of a run.

    Parameters
    ----------
    record : Record
        The record of runs.
    run_id : UUID
        The run.

    Returns
    -------
    RunStory
        Its story up to now.
    """
    picture: dict[str, Any] = describe_run(record, run_id)
    run = record.tracker.run(run_id)
    events = record.reader.events(run_id)
    begun: dict[str, datetime] = {}
    ended: dict[str, datetime] = {}
    for event in events:
        if event.name == "StepIntended":
            begun.setdefault(event.data["step"], event.at)
        elif event.name == "StepCompleted":
            ended[event.data["step"]] = event.at
    steps = tuple(
        StepStory(
            step["name"],
            step["state"],
            (ended[step["name"]] - begun[step["name"]]).total_seconds() if step["name"] in ended else None,
            run.steps[step["name"]].data,
            step["attempts"],
        )
        for step in picture["steps"]
    )
    first, last = events[0].at, events[-1].at
    return RunStory(
        run_id,
        picture["status"],
        picture["message"],
        steps,
        tuple(picture["tasks"]),
        len(events),
        (last - first).total_seconds(),
    )
