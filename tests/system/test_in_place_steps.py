"""The step that imports in place, driven by the real driver and killed at any of its effects.

Real are the record, the storage, the importer's table, OMERO and everything of ours; the cluster is this machine, and
what the importer does with orders the test does itself, at once.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
import tifffile
from pydantic import SecretStr

from tests.clusters import OneCluster, settings_with
from tests.lab.omero.images import import_image, make_dataset
from tests.system.in_place import PIXELS
from tests.system.in_place_stage import JOB, NAMES, Death, Gateway, Killed, MortalTracker, Stage, whole
from tests.system.results_bench import children, keys_of, maps_on
from worker.cluster.local import LocalTransport
from worker.engine import interventions
from worker.engine.accept import accept
from worker.engine.context import Resources
from worker.engine.lease import Leases
from worker.engine.places import layout_of
from worker.engine.request import parse_request
from worker.engine.watcher import Watcher
from worker.history.database import Database
from worker.pixels.session import who
from worker.results.inplace import archive
from worker.results.inplace.book import OrderBook
from worker.results.inplace.orders import COMPLETED, FAILED, imports, preprocessing
from worker.settings.importer import ImporterSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab


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
                leases=Leases(database, "engine"),
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


def state(stage: Stage, fresh: BlitzGateway) -> dict[str, Any]:
    """Everything that is there of a run: orders, archive, images and what is on them."""
    run, task = stage.resources.tracker.run(stage.run_id), stage.task
    folder = stage.plan.layout.folder
    orders = stage.orders()
    found = children(fresh, "Dataset", int(orders[0].destination_id))
    return {
        "run": (run.status, task.task_name, task.state, task.status),
        "orders": [len(json.loads(order.files)) for order in orders],
        "archives": [path.name == folder.name for path in folder.parent.iterdir()],
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()),
        "images": sorted(image.getName() for image in found),
        "annotations": sorted(
            (ns, len(maps)) for image in found for ns, maps in maps_on(fresh, "Image", image.getId()).items()
        ),
        "keys": keys_of(fresh, stage.run_id),
        "objects": sorted(each["kind"] for each in run.steps["import/0"].data["objects"]),
    }


def test_results_stay_on_the_storage_and_become_images(staged: Any, fresh: BlitzGateway) -> None:
    stage = staged()

    stage.drive()

    found = state(stage, fresh)
    assert found["run"] == ("COMPLETED", "SLURM_Import_Results.py", "COMPLETED", "IMPORTED"), stage.said
    assert found["orders"] == [3]
    assert found["archives"] == [True]
    assert found["files"] == sorted(
        [*(f"{JOB}_out/data/out/{name}" for name in (*NAMES, "notes.txt", "metadata.csv")), f"{JOB}_out/metadata.csv"]
    )
    assert found["images"] == sorted(NAMES)
    assert stage.plan.layout.folder.parts[-3:-1] == (".analyzed", str(stage.run_id))


@pytest.mark.parametrize(
    "most", [3, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])], ids=["few", "every"]
)
def test_killed_at_an_effect_and_driven_anew_everything_is_there_once(
    staged: Any, fresh: BlitzGateway, most: int
) -> None:
    clean = staged()
    clean.drive()
    expected = state(clean, fresh)
    effects = clean.death.effects
    assert {"record", "archive", "order", "saveAndReturnArray"} <= set(effects)
    chosen = [(number, bool(number % 2)) for number in range(2, len(effects) + 1, max(1, len(effects) // most))]
    # Whatever is chosen, orders and archive are among them.
    chosen += [(effects.index(name) + 1, after) for name in ("order", "archive") for after in (False, True)]
    for number, after in chosen:
        stage = staged(Death(number, after))
        with pytest.raises(Killed):
            stage.drive()
        stage.death.at = None
        stage.drive()
        assert state(stage, fresh) == expected, f"killed {'after' if after else 'before'} {effects[number - 1]}"


def test_each_analysis_of_a_run_has_a_folder_and_orders_of_its_own(staged: Any, fresh: BlitzGateway) -> None:
    stage = staged(workflows=("nuclei", "membranes"))

    stage.drive()

    assert stage.status == "COMPLETED", stage.said
    first, second = stage.orders()
    assert first.destination_id == second.destination_id
    archives = sorted(stage.plan.layout.folder.parent.iterdir())
    assert [sorted(path.name for path in archive.iterdir()) for archive in archives] == [["42_out"], ["43_out"]]
    images = children(fresh, "Dataset", int(first.destination_id))
    assert sorted(image.getName() for image in images) == sorted(NAMES * 2)
    of_first = [image.getId() for image in images if f"job {JOB} " in image.getDescription()]
    jobs = [maps_on(fresh, "Image", image_id)["biomero/workflow/task/nuclei/job"] for image_id in of_first]
    assert [job[0]["Job_ID"] for job in jobs] == [str(JOB)] * 3


def test_one_file_of_three_fails_and_a_retry_orders_only_that(staged: Any, fresh: BlitzGateway) -> None:
    broken = ["cells_outline.tif"]

    def importing(stage: Stage) -> None:
        done = {row.uuid for row in (*stage.orders(COMPLETED), *stage.orders(FAILED))}
        for order in stage.orders():
            if order.uuid in done:
                continue
            stage.do(order, leave_out=tuple(broken))
            stage.say(order, FAILED if broken else COMPLETED, "Failed files: outline" if broken else None)

    stage = staged(importing=importing)
    stage.drive()

    (first,) = stage.orders()
    assert stage.status == "FAILED"
    assert f"Order {first.uuid} to the importer failed: Failed files: outline." in stage.said
    assert f"logs/cli.{first.uuid}_<n>.errs" in stage.said
    assert "cells_outline.tif is not in OMERO" in stage.said
    assert sorted(image.getName() for image in children(fresh, "Dataset", int(first.destination_id))) == [
        "cells_edges.tif",
        "cells_mask.tif",
    ]

    broken.clear()
    interventions.retry(stage.resources.tracker, stage.run_id, by="admin")
    stage.drive()

    second = stage.orders()[-1]
    assert stage.status == "COMPLETED", stage.said
    assert [path.rpartition("/")[2] for path in json.loads(second.files)] == ["cells_outline.tif"]
    assert second.destination_id == first.destination_id
    found = state(stage, fresh)
    assert found["images"] == sorted(NAMES)
    assert found["archives"] == [True]


def test_an_importer_that_says_nothing_is_given_up_and_its_order_is_waited_for_when_retried(
    staged: Any, fresh: BlitzGateway
) -> None:
    awake: list[bool] = []

    def importing(stage: Stage) -> None:
        if awake:
            whole(stage)

    stage = staged(importing=importing, timeout_s=0.01)
    stage.drive()
    assert stage.status == "FAILED"
    assert "was not begun" in stage.said
    assert "is the importer running?" in stage.said

    patient = staged(importing=importing)
    stage.resources = replace(patient.resources, tracker=stage.resources.tracker)
    interventions.retry(stage.resources.tracker, stage.run_id, by="admin")
    awake.append(True)
    stage.drive()

    assert stage.status == "COMPLETED", stage.said
    assert len(stage.orders()) == 1, "the first order may have been at work"
    assert state(stage, fresh)["images"] == sorted(NAMES)


def test_an_importer_that_is_restarted_is_given_the_rest_once(staged: Any, fresh: BlitzGateway) -> None:
    restarts = [1]

    def importing(stage: Stage) -> None:
        ended = {row.uuid for row in (*stage.orders(COMPLETED), *stage.orders(FAILED))}
        for order in stage.orders():
            if order.uuid in ended:
                continue
            if restarts:
                restarts.pop()
                stage.do(order, leave_out=NAMES[1:])
                stage.say(order, FAILED)
            else:
                stage.do(order)
                stage.say(order, COMPLETED)

    stage = staged(importing=importing, timeout_s=0.2)
    stage.drive(most=100)

    assert stage.status == "COMPLETED", stage.said
    assert [len(json.loads(order.files)) for order in stage.orders()] == [3, 2]
    assert state(stage, fresh)["images"] == sorted(NAMES)


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


def test_results_that_are_imported_once_more_are_the_same_images_in_another_dataset(
    staged: Any, fresh: BlitzGateway
) -> None:
    first = staged()
    first.drive()
    second = once_more(first)

    second.drive()

    assert second.status == "COMPLETED", second.said
    assert len(second.orders()) == 1, "there is nothing left to order"
    assert second.plan.folder == first.plan.folder
    objects = second.resources.tracker.run(second.run_id).steps["import/0"].data["objects"]
    (dataset,) = [each["object_id"] for each in objects if each["kind"] == "Dataset"]
    before = children(fresh, "Dataset", int(first.orders()[0].destination_id))
    assert dataset != int(first.orders()[0].destination_id)
    assert [image.getId() for image in children(fresh, "Dataset", dataset)] == [image.getId() for image in before]


def test_results_that_an_earlier_order_may_still_bring_are_waited_for(staged: Any) -> None:
    first = staged(importing=lambda _: None, timeout_s=0.01)
    first.drive()
    assert "was not begun" in first.said
    asleep = [True, True]

    def importing(stage: Stage) -> None:
        assert len(stage.orders()) == 1, "nothing is ordered while the first order may be at work"
        if not asleep:
            whole(stage)
        else:
            asleep.pop()

    patient = staged()
    second = once_more(replace(first, resources=replace(patient.resources, tracker=first.resources.tracker)), importing)
    second.drive()

    assert second.status == "COMPLETED", second.said
    assert len(second.orders()) == 1
