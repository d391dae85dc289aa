"""Results in place that are imported more than once: by several runs, or by several importers.

Real are the record, the storage, the importer's table, OMERO and everything of ours, as in `test_in_place_steps`.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid5

import pytest

from tests.system.in_place_stage import JOB, NAMES, Killed, Stage, once_more, whole
from tests.system.results_bench import children, maps_on
from worker.results.inplace.orders import COMPLETED, STARTED

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

pytestmark = pytest.mark.lab


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


@pytest.mark.parametrize("effect", ["archive", "order"])
def test_of_two_imports_of_the_same_results_at_once_one_orders_them(
    staged: Any, fresh: BlitzGateway, effect: str
) -> None:
    maker = staged()
    maker.drive()
    # Somebody has tidied the storage, so that both have everything to do.
    shutil.rmtree(maker.plan.layout.folder)
    # Folders are called by the second: in the same one, the images that are there already would be of the new folder.
    time.sleep(1)
    first, second = once_more(maker), once_more(maker)
    first.death.before = effect
    with pytest.raises(Killed):
        first.drive()
    second.drive()
    assert second.status == "COMPLETED", second.said

    first.drive()

    assert first.status == "COMPLETED", first.said
    assert first.plan.folder == second.plan.folder
    _, order = first.orders()
    assert order.uuid in map(str, second.plan.uuids(second.task.id)), "the other one has found what this one ordered"
    images = [found(each, fresh) for each in (first, second)]
    assert images[0] == images[1]
    assert len(images[0]) == len(NAMES)


def found(stage: Stage, gateway: BlitzGateway) -> list[int]:
    """The images in the dataset of a run that imports earlier results."""
    objects = stage.resources.tracker.run(stage.run_id).steps["import/0"].data["objects"]
    (dataset,) = [each["object_id"] for each in objects if each["kind"] == "Dataset"]
    return [image.getId() for image in children(gateway, "Dataset", dataset)]


def test_an_import_waits_for_its_turn_while_another_is_at_the_same_results(staged: Any) -> None:
    stage = staged()
    leases = stage.resources.leases
    turn = uuid5(stage.run_id, f"import/{JOB}")
    assert leases.take(turn)

    def importing(stage: Stage) -> None:
        if not stage.task.import_plan:
            leases.give_back(turn)
        else:
            whole(stage)

    stage.importing = importing
    stage.drive()

    assert stage.status == "COMPLETED", stage.said


def test_two_importers_on_one_table_are_told_and_one_set_of_images_is_the_result(
    staged: Any, fresh: BlitzGateway
) -> None:
    looks: list[int] = []

    def importing(stage: Stage) -> None:
        looks.append(len(looks))
        (order,) = stage.orders()
        if len(looks) == 1:
            stage.do(order)
            stage.say(order, STARTED)
            stage.say(order, COMPLETED)
        elif len(looks) == 2:
            stage.arrive(json.loads(order.files), order)
            stage.say(order, COMPLETED)

    stage = staged(importing=importing)
    stage.drive()

    assert stage.status == "COMPLETED", stage.said
    (order,) = stage.orders()
    images = sorted(children(fresh, "Dataset", int(order.destination_id)), key=lambda image: image.getId())
    assert len(images) == 6
    ours, copies = images[:3], images[3:]
    assert all("biomero/workflow" in maps_on(fresh, "Image", image.getId()) for image in ours)
    assert [maps_on(fresh, "Image", image.getId()) for image in copies] == [{}, {}, {}]
    (note,) = stage.resources.tracker.run(stage.run_id).steps["import/0"].data["notes"][-1:]
    assert f"images {copies[0].getId()}-{copies[2].getId()}." in note
    assert f"Several importers took order {order.uuid}" in note
