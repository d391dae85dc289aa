"""A run whose results are imported in place; all but the cluster and the importer is real, and it may die."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
import tifffile
from pydantic import SecretStr

from tests.clusters import OneCluster, settings_with
from tests.lab.omero.images import import_image, make_dataset
from tests.system.in_place import PIXELS, Storage
from tests.system.interruption import WRITES, MortalGateway
from worker.cluster.local import LocalTransport
from worker.engine.accept import accept
from worker.engine.context import Resources
from worker.engine.driver import drive
from worker.engine.importplan import ImportPlan
from worker.engine.lease import Leases
from worker.engine.places import layout_of
from worker.engine.request import parse_request
from worker.engine.watcher import Watcher
from worker.history.commands import Commands
from worker.history.database import Database
from worker.history.tracker import WorkflowTracker
from worker.pixels.session import who
from worker.results.inplace import archive
from worker.results.inplace.book import OrderBook
from worker.results.inplace.layout import ArchiveLayout
from worker.results.inplace.orders import COMPLETED, PENDING, STARTED, imports, preprocessing
from worker.settings.importer import ImporterSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab
    from worker.history.domain import Task


JOB = 42

NAMES = ("cells_mask.tif", "cells_outline.tif", "cells_edges.tif")


class Killed(BaseException):
    """The process ends here; no handler of errors sees it."""


@dataclass
class Death:
    """Kills at the n-th effect, before it or after it, or before the next one of a name."""

    at: int | None = None
    after: bool = False
    before: str = ""
    effects: list[str] = field(default_factory=list)

    def around(self, name: str, effect: Callable[[], Any]) -> Any:
        """Have an effect, or die of it."""
        self.effects.append(name)
        if name == self.before:
            self.before = ""
            raise Killed
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


def once_more(stage: Stage, importing: Callable[[Stage], None] = whole) -> Stage:
    """The same results, imported by another run, as *BIOMERO.SLURM_Import_Results* does it."""
    tracker = stage.resources.tracker
    run = tracker.run(stage.run_id)
    assert run.request is not None
    person = {name: run.request[name] for name in ("user_id", "user_name", "group_id", "group_name")}
    request = {
        "kind": "results",
        "finished": {"run_id": str(run.id), "task_id": str(run.tasks[1]), "job_id": JOB},
        "in_place": True,
        "cleanup": False,
        "output": {
            "new_dataset": "elsewhere",
            "allow_duplicate_dataset": True,
            "zip_to_parent": False,
            "csv_tables": False,
        },
        **person,
    }
    run_id = accept(tracker, parse_request(request), stage.resources.settings, importer=stage.resources.importer)
    return replace(stage, run_id=run_id, importing=importing, origin=stage.run_id)


@pytest.fixture
def staged(lab: Lab, alice: BlitzGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes stages; each has a run of its own."""
    base_dir = tmp_path / "data"
    base_dir.mkdir()
    url = f"sqlite:///{tmp_path / 'orders.sqlite'}"
    engine = sa.create_engine(url)
    preprocessing.create(engine)
    imports.create(engine)
    importer = ImporterSettings(tmp_path / "settings.yml", base_dir, SecretStr(url))
    transport = LocalTransport()
    settings = settings_with("nuclei", "membranes")
    slurm = settings.slurm.model_copy(update={"slurm_data_path": str(tmp_path / "cluster")})
    settings = settings.model_copy(update={"slurm": slurm})
    person = who(alice)
    image_id = import_image(alice, PIXELS, "cells.tif", make_dataset(alice, "analysed"))
    place, rename = OrderBook.place, archive._rename
    with Database(None, sqlite_path=tmp_path / "history.sqlite") as database:
        database.migrate()

        def make(
            death: Death | None = None,
            importing: Callable[[Stage], None] = whole,
            timeout_s: float = 3600.0,
            workflows: tuple[str, ...] = ("nuclei",),
        ) -> Stage:
            mortal = death or Death()
            knobs = settings.worker.model_copy(update={"importer_timeout_s": timeout_s})
            configured = settings.model_copy(update={"worker": knobs})
            tracker = MortalTracker(database)
            tracker.death = Death()
            monkeypatch.setattr(OrderBook, "place", lambda *args: mortal.around("order", lambda: place(*args)))
            monkeypatch.setattr(archive, "_rename", lambda *args: mortal.around("archive", lambda: rename(*args)))

            class Lender:
                @contextmanager
                def session(self, *, user_name: str, group_id: int) -> Iterator[Any]:
                    assert (user_name, group_id) == (person.user_name, person.group_id)
                    yield Gateway(alice, mortal)

            resources = Resources(
                configuration=lambda: configured,
                state_dir=tmp_path / "state",
                tracker=tracker,
                # No heartbeat here, and machines may be busy.
                leases=Leases(database, "engine", duration_s=600.0),
                clusters=OneCluster(configured, transport, Watcher(transport)),
                omero=Lender(),
                importer=lambda: importer,
            )
            run_id = accept(
                tracker,
                parse_request(
                    {
                        "data_type": "Image",
                        "ids": [image_id],
                        "workflows": [{"name": name, "version": "v1"} for name in workflows],
                        "output": {
                            "new_dataset": "found",
                            "allow_duplicate_dataset": True,
                            "zip_to_parent": False,
                            "csv_tables": False,
                            "attach_files": True,
                        },
                        "in_place": True,
                        "cleanup": False,
                        "user_id": person.user_id,
                        "user_name": person.user_name,
                        "group_id": person.group_id,
                        "group_name": person.group_name,
                    }
                ),
                configured,
                importer=lambda: importer,
            )
            run = tracker.run(run_id)
            layout = layout_of(run, configured)
            source = {"path": "cells.tif", "object_type": "Image", "object_id": image_id, "image_id": image_id}
            done: dict[str, dict[str, Any]] = {
                "export": {"sources": [{**source, "name": "cells.tif"}]},
            }
            output = tmp_path / "cluster" / layout.root.name / "data" / "out"
            for index in range(len(workflows)):
                job_id = JOB + index
                done[f"submit/{index}"] = {"job_id": job_id}
                done[f"watch/{index}"] = {"job_id": job_id, "ok": True, "state": "COMPLETED", "message": ""}
                folder = output / str(index) if len(workflows) > 1 else output
                folder.mkdir(parents=True)
                for name in NAMES:
                    tifffile.imwrite(folder / name, np.ones((4, 5), "uint8"))
                (folder / "notes.txt").write_text("notes")
            tracker.start_workflow(run_id)
            for step, data in done.items():
                tracker.intend_step(run_id, step, f"{run_id}/{step}")
                tracker.complete_step(run_id, step, data)
            tracker.death = mortal
            return Stage(resources, run_id, alice, base_dir, engine, mortal, importing)

        yield make
    engine.dispose()
