"""The screen that plates of results go into, and what goes elsewhere."""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.lab.person import logged_in
from tests.system.plate_bench import PlateBench, make_screen, plates_of
from tests.system.results_bench import NOTHING, Bench, files_on, maps_on, only
from worker.errors import RequestError
from worker.results.importer import check_permissions
from worker.results.inplace.destinations import find_destinations
from worker.results.model import Batch, ImportReport

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab


def test_nothing_is_made_that_would_stay_empty(plates: PlateBench, bench: Bench) -> None:
    options = replace(NOTHING, new_screen=f"screen {uuid.uuid4()}", new_dataset=f"rest {uuid.uuid4()}")
    plates.write(0, 0, 0)
    assert [each.kind for each in plates.bench.bring(options).objects if each.kind in ("Dataset", "Screen")] == [
        "Screen"
    ]
    report = bench.bring(options)
    assert [each.kind for each in report.objects if each.kind in ("Dataset", "Screen")] == ["Dataset"]
    assert "Nothing goes into a screen: none of the analysed images is in a well of a plate." in report.notes


def test_a_plate_that_is_there_already_is_put_into_another_screen_too(
    plates: PlateBench, alice: BlitzGateway, fresh: BlitzGateway
) -> None:
    plates.write(0, 0, 0)
    first = plates.bench.bring(replace(NOTHING, new_screen=f"screen {uuid.uuid4()}"))
    other = make_screen(alice, "another")
    second = plates.bench.bring(replace(NOTHING, screen_id=other))
    assert only(second, "Plate") == only(first, "Plate")
    assert plates_of(fresh, other) == plates_of(fresh, only(first, "Screen"))


def test_a_screen_alone_is_refused_for_images_that_are_in_no_well(bench: Bench) -> None:
    with pytest.raises(RequestError, match=r"cells.tif.* cannot go into a screen.*Choose a dataset"):
        check_permissions(bench.gateway, bench.sources, replace(NOTHING, new_screen="screen"))
    check_permissions(bench.gateway, bench.sources, replace(NOTHING, new_screen="screen", new_dataset="others"))


def test_the_screen_is_found_by_the_same_rules_as_a_dataset(lab: Lab, plates: PlateBench, alice: BlitzGateway) -> None:
    plates.write(0, 0, 0)
    name = f"screen {uuid.uuid4()}"
    with logged_in(lab, "bob") as bob:
        of_bob = make_screen(bob, name)
    options = replace(NOTHING, new_screen=name)

    def screen_of(report: ImportReport) -> int:
        return only(report, "Screen")

    first = screen_of(plates.bench.bring(options))
    assert first != of_bob
    assert screen_of(plates.bench.again().bring(options)) == first
    second = screen_of(plates.bench.again().bring(replace(options, allow_duplicate_screen=True)))
    assert second != first
    by_id = plates.bench.again().bring(replace(options, screen_id=second))
    assert screen_of(by_id) == second
    several = plates.bench.again().bring(options)
    assert screen_of(several) == first
    assert any("You have 2 screens" in note for note in several.notes)
    with pytest.raises(RequestError, match="no Screen 987654321"):
        plates.bench.bring(replace(options, screen_id=987654321))


def test_the_zip_goes_to_every_place_that_was_chosen_and_by_default_to_the_plate(
    plates: PlateBench, alice: BlitzGateway, fresh: BlitzGateway
) -> None:
    plates.write(0, 0, 0)
    bench = plates.bench
    places = {
        "Project": bench.project_id,
        "Dataset": bench.dataset_id,
        "Plate": plates.plate_id,
        "Screen": make_screen(alice, "for zips"),
    }
    options = replace(NOTHING, zip_to_parent=True)
    chosen = replace(options, zip_places=tuple(f"{kind}:{each}" for kind, each in places.items()))
    bench.bring(options)
    assert "42_out.zip" in files_on(fresh, "Plate", plates.plate_id)
    assert files_on(fresh, "Project", bench.project_id) == {}
    again = replace(bench.again(), provenance=replace(bench.provenance, run_id=str(uuid.uuid4()), job_id=43))
    zips = [each.object_id for each in again.bring(chosen).objects if each.name == "43_out.zip"]
    for kind, object_id in places.items():
        assert [files_on(fresh, kind, object_id)["43_out.zip"].getId()] == zips


def test_batches_of_a_run_share_one_screen_and_one_dataset(plates: PlateBench, fresh: BlitzGateway) -> None:
    name, supervisor = f"shared {uuid.uuid4()}", str(uuid.uuid4())
    options = replace(NOTHING, new_screen=name, new_dataset=name, allow_duplicate_screen=True)
    found = []
    for number in (1, 2):
        batch = Batch(supervisor, "supervisor", number, 2, "Plate", (plates.plate_id,))
        provenance = replace(plates.bench.provenance, run_id=str(uuid.uuid4()), batch=batch)
        member = plates.bench.gateway, plates.bench.sources, options, provenance
        found.append(find_destinations(*member, threading.Lock))
    assert found[0] == found[1]
    for place in found[0].all:
        assert [each.getId() for each in fresh.getObjects(place.kind, attributes={"name": name})] == [place.object_id]
        said = maps_on(fresh, place.kind, place.object_id)["biomero/workflow"]
        assert [each["Workflow_ID"] for each in said] == [supervisor]
    assert len(found[0].all) == 2
