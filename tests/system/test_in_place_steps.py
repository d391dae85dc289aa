"""The step that imports in place, driven by the real driver and killed at any of its effects.

Real are the record, the storage, the importer's table, OMERO and everything of ours; the cluster is this machine, and
what the importer does with orders the test does itself, at once.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.in_place_stage import JOB, NAMES, Death, Killed, Stage, whole
from tests.system.results_bench import children, keys_of, maps_on
from worker.engine import interventions
from worker.results.inplace import division
from worker.results.inplace.orders import COMPLETED, FAILED

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway


pytestmark = pytest.mark.lab


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
        [
            *(f"{JOB}_out/data/out/{name}" for name in (*NAMES, "notes.txt", "metadata.csv")),
            *(f"{JOB}_out/{name}" for name in ("metadata.csv", "ro-crate-metadata.json")),
        ]
    )
    crate = stage.plan.layout.contents
    entities = json.loads((crate / "ro-crate-metadata.json").read_bytes())["@graph"]
    files = {each["@id"]: each for each in entities if each["@type"] == "File"}
    assert set(files) == {*(f"data/out/{name}" for name in (*NAMES, "notes.txt")), "metadata.csv"}
    for name, entity in files.items():
        assert entity["sha256"] == hashlib.sha256((crate / name).read_bytes()).hexdigest(), name
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


def test_many_results_make_several_orders_of_which_only_what_failed_is_ordered_again(
    staged: Any, fresh: BlitzGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(division, "AT_ONCE", 1)
    broken = ["cells_outline.tif"]

    def importing(stage: Stage) -> None:
        done = {row.uuid for row in (*stage.orders(COMPLETED), *stage.orders(FAILED))}
        for order in stage.orders():
            if order.uuid not in done:
                stage.do(order, leave_out=tuple(broken))
                fails = any(name in order.files for name in broken)
                stage.say(order, FAILED if fails else COMPLETED, "Failed files: outline" if fails else None)

    stage = staged(importing=importing)
    stage.drive()

    orders = stage.orders()
    assert stage.status == "FAILED"
    assert [json.loads(order.files)[0].rpartition("/")[2] for order in orders] == sorted(NAMES)
    assert f": Order {orders[2].uuid} to the importer failed: Failed files: outline." in stage.said
    assert str(orders[0].uuid) not in stage.said

    broken.clear()
    interventions.retry(stage.resources.tracker, stage.run_id, by="admin")
    stage.drive()

    assert stage.status == "COMPLETED", stage.said
    assert [order.files for order in stage.orders()[3:]] == [orders[2].files]
    assert state(stage, fresh)["images"] == sorted(NAMES)


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


def test_an_order_that_was_planned_and_is_not_needed_any_more_is_not_waited_for(staged: Any) -> None:
    def importing(stage: Stage) -> None:
        for order in stage.orders():
            if not stage.orders(FAILED):
                stage.do(order, leave_out=NAMES[:1])
                stage.say(order, FAILED, "Failed files: mask")

    stage = staged(importing=importing)
    stage.death.before = "order"
    with pytest.raises(Killed):
        stage.drive()
    # As if label images had been missing as well when the orders were planned, and had arrived since.
    plan = replace(stage.plan, orders=("images", "labels"))
    stage.resources.tracker.plan_import(stage.task.id, plan.to_json())

    stage.drive()

    assert stage.status == "FAILED"
    assert f"{NAMES[0]} is not in OMERO" in stage.said
    assert len(stage.orders()) == 1
