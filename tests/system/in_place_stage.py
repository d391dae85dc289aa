"""A run whose results are imported in place; all but the cluster and the importer is real, and it may die."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from tests.system.in_place import Storage
from tests.system.interruption import WRITES, MortalGateway
from worker.engine.driver import drive
from worker.engine.importplan import ImportPlan
from worker.history.commands import Commands
from worker.history.tracker import WorkflowTracker
from worker.results.inplace.layout import ArchiveLayout
from worker.results.inplace.orders import COMPLETED, PENDING, STARTED, imports

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from omero.gateway import BlitzGateway

    from worker.engine.context import Resources
    from worker.history.domain import Task


JOB = 42

NAMES = ("cells_mask.tif", "cells_outline.tif", "cells_edges.tif")


class Killed(BaseException):
    """The process ends here; no handler of errors sees it."""


@dataclass
class Death:
    """Kills at the n-th effect, before it or after it."""

    at: int | None = None
    after: bool = False
    effects: list[str] = field(default_factory=list)

    def around(self, name: str, effect: Callable[[], Any]) -> Any:
        """Have an effect, or die of it."""
        self.effects.append(name)
        dies = len(self.effects) == self.at
        if dies and not self.after:
            raise Killed
        done = effect()
        if dies:
            raise Killed
        return done


class MortalTracker(WorkflowTracker):
    """A tracker whose process may be killed at any of its transactions."""

    death = Death()

    def _transact(self, decide: Any) -> Any:
        return self.death.around("record", lambda: Commands._transact(self, decide))


class Gateway(MortalGateway):
    """A gateway whose process may be killed at any of its writes."""

    def __init__(self, gateway: BlitzGateway, death: Death) -> None:
        super().__init__(gateway)
        self._death = death

    def call(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if name not in WRITES:
            return super().call(name, function, arguments, named)
        return self._death.around(name, lambda: super(Gateway, self).call(name, function, arguments, named))


@dataclass
class Stage:
    """A run whose job has ended, and everything that is needed to bring its results home."""

    resources: Resources
    run_id: UUID
    alice: BlitzGateway
    base_dir: Path
    engine: sa.Engine
    death: Death
    importing: Callable[[Stage], None]
    origin: UUID | None = None
    """The run that had the job, if that is another one."""

    def drive(self, *, most: int = 12) -> None:
        """Drive the run to its end, or to its death; whenever it rests, the importer works."""
        for _ in range(most):
            later = drive(self.resources, self.run_id)
            if later.finished:
                return
            assert later.at is not None
            assert later.at < datetime.now(UTC).replace(year=9999)
            self.importing(self)
        raise AssertionError("the run does not come to an end")

    def orders(self, stage: str = PENDING) -> list[Any]:
        """Rows of a stage about results of this run, oldest first."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(imports).where(imports.c.stage == stage).order_by(imports.c.id))
            return [row for row in rows if f"/{self.origin or self.run_id}/" in row.files]

    def say(self, order: Any, stage: str, description: str | None = None) -> None:
        """Say something about an order."""
        values = {**order._asdict(), "stage": stage, "description": description, "timestamp": sa.func.now()}
        del values["id"]
        with self.engine.begin() as connection:
            connection.execute(sa.insert(imports).values(**values))

    def do(self, order: Any, *, leave_out: tuple[str, ...] = ()) -> None:
        """Make images of the files of an order."""
        self.say(order, STARTED)
        self.arrive([file for file in json.loads(order.files) if not file.endswith(leave_out)], order)

    def arrive(self, files: list[str], order: Any) -> None:
        """Make images of files."""
        for file in files:
            folder, _, path = file.partition("_out/data/out/")
            storage = Storage(self.alice, ArchiveLayout(Path(folder).parent, int(Path(folder).name)))
            storage.of_file(path, path, dataset=int(order.destination_id))

    @property
    def plan(self) -> ImportPlan:
        return ImportPlan.from_json(self.task.import_plan)

    @property
    def task(self) -> Task:
        """The task that imports; of a run that imports earlier results, the only one."""
        tasks = self.resources.tracker.run(self.run_id).tasks
        return self.resources.tracker.task(tasks[2] if len(tasks) > 1 else tasks[0])

    @property
    def status(self) -> str:
        return self.resources.tracker.run(self.run_id).status

    @property
    def said(self) -> str:
        """How the run has ended, in words."""
        return self.resources.tracker.run(self.run_id).error_message


def whole(stage: Stage) -> None:
    """An importer that does what it is told."""
    done = {row.uuid for row in stage.orders(COMPLETED)}
    for order in stage.orders():
        if order.uuid not in done:
            stage.do(order)
            stage.say(order, COMPLETED)
