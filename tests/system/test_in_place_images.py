"""Images that an importer has made: which file each is of, and how it becomes one of ours."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
import tifffile

from tests.lab import ngff
from tests.lab.omero.images import import_image, make_dataset
from tests.lab.person import logged_in
from tests.system.in_place import PIXELS, Storage
from tests.system.interruption import Killed, MortalGateway
from tests.system.results_bench import NOTHING, Bench, ask, children, images_of_run, keys_of_run, maps_on
from worker.results.inplace.arrivals import Arrivals, find_arrivals
from worker.results.inplace.doubles import Doubles, describe_doubles
from worker.results.inplace.layout import ArchiveLayout
from worker.results.ledger import NS_KEY

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab

OPTIONS: Final = replace(NOTHING, new_dataset="labels", allow_duplicate_dataset=True)


@pytest.fixture
def storage(alice: BlitzGateway) -> Storage:
    run = uuid.uuid4()
    return Storage(alice, ArchiveLayout(Path(f"/data/lab_a/.analyzed/{run}/20260301_120000"), 42))


def test_all_series_of_a_file_are_its_images_in_their_order(storage: Storage) -> None:
    three = storage.of_file("a.tif", "a [1]", "a [2]", "a [3]")
    one = storage.of_file("sub/a.tif", "a")
    storage.of_file("a.tif.tif", "not ordered")

    found = storage.find("a.tif", "sub/a.tif", "b.tif")

    assert found.images == {"a.tif": tuple(three), "sub/a.tif": tuple(one)}
    assert found.missing(["a.tif", "b.tif"]) == ("b.tif",)
    assert found.unfinished == frozenset()
    assert found.newest_ms > 1_700_000_000_000


def test_the_storage_may_have_another_name_for_the_importer_but_not_another_run(storage: Storage) -> None:
    ids = storage.of_file("a.tif", "a", prefix="/mnt/share")
    other = replace(storage.layout, folder=storage.layout.folder.with_name("20260301x120000"))

    assert storage.find("a.tif").images == {"a.tif": tuple(ids)}
    assert find_arrivals(storage.gateway, other, ["a.tif"]) == Arrivals()


def test_what_others_have_imported_is_not_ours(storage: Storage, lab: Lab) -> None:
    with logged_in(lab, "bob") as bob:
        replace(storage, gateway=bob).of_file("a.tif", "a")

    assert storage.find("a.tif").images == {}


def test_a_file_without_an_image_may_still_become_one(storage: Storage) -> None:
    storage.of_file("a.tif")

    assert storage.find("a.tif").unfinished == {"a.tif"}


def test_ome_zarr_is_known_by_the_path_of_its_registration(storage: Storage) -> None:
    image = storage.of_zarr("x.ome.zarr", "x")
    label = storage.of_zarr("x.ome.zarr/labels/nuclei", "nuclei")
    series = [storage.of_zarr(f"s.zarr/{number}", f"s{number}") for number in (10, 9, 1)]
    field = storage.of_zarr("p.zarr/A/1/0/", "field")

    found = storage.find("x.ome.zarr", "x.ome.zarr/labels/nuclei", "s.zarr", "p.zarr")

    assert found.images == {
        "x.ome.zarr": (image,),
        "x.ome.zarr/labels/nuclei": (label,),
        "s.zarr": tuple(reversed(series)),
        "p.zarr": (field,),
    }


def test_of_what_was_imported_more_than_once_the_first_is_the_result_and_the_others_are_spare(storage: Storage) -> None:
    one, two, label = (
        storage.of_file("a.tif", "a [1]", "a [2]"),
        storage.of_file("a.tif", "a [1]", "a [2]"),
        storage.of_zarr("x.zarr/labels/nuclei", "nuclei"),
    )
    again = storage.of_zarr("x.zarr/labels/nuclei", "nuclei")

    found = storage.find("a.tif", "x.zarr/labels/nuclei")

    assert found.images == {"a.tif": tuple(one), "x.zarr/labels/nuclei": (label,)}
    assert found.spare == {"a.tif": tuple(two), "x.zarr/labels/nuclei": (again,)}
    told = describe_doubles(storage.gateway, found, {})
    assert "images of a.tif, x.zarr/labels/nuclei more than once" in told.copies
    assert f"images {two[0]}-{two[1]}, {again}." in told.copies


def test_ome_zarr_that_was_registered_in_part_is_not_there_until_it_is_whole(storage: Storage) -> None:
    parts = {"p.zarr": frozenset({"p.zarr/A/1/0", "p.zarr/A/2/0"}), "s.zarr": frozenset({"s.zarr/0", "s.zarr/1"})}
    half, begun = storage.of_plate("p.zarr", "A/1/0")
    series = storage.of_zarr("s.zarr/0", "s [0]")

    found = storage.find("p.zarr", "s.zarr", parts=parts)

    assert found.images == {}
    assert found.missing(["p.zarr", "s.zarr"]) == ("p.zarr", "s.zarr")
    assert describe_doubles(storage.gateway, found, parts) == Doubles(
        fragments=(
            f"p.zarr is in OMERO in part only: plate {half}, with 1 of its 2 images.",
            f"s.zarr is in OMERO in part only: image {series}, with 1 of its 2 images.",
        )
    )

    _, whole = storage.of_plate("p.zarr", "A/1/0", "A/2/0")
    rest = [storage.of_zarr(f"s.zarr/{number}", f"s [{number}]") for number in (0, 1)]
    found = storage.find("p.zarr", "s.zarr", parts=parts)

    assert found.images == {"p.zarr": tuple(whole), "s.zarr": (series, rest[1])}
    assert found.spare == {"p.zarr": tuple(begun), "s.zarr": (rest[0],)}
    told = describe_doubles(storage.gateway, found, parts)
    assert f"plate {half} and image {rest[0]}." in told.copies
    assert told.fragments == ()


def write_results(bench: Bench) -> None:
    for name in ("cells_mask.tif", "nuclei_mask.tif"):
        tifffile.imwrite(bench.folder / name, np.ones((4, 5), "uint8"))


def test_images_of_an_importer_become_ours_and_no_others(bench: Bench, storage: Storage, fresh: BlitzGateway) -> None:
    write_results(bench)
    elsewhere = make_dataset(bench.gateway, "where the importer put them")
    cells = storage.of_file("cells_mask.tif", "one", "two", dataset=elsewhere)
    stranger = import_image(bench.gateway, PIXELS, "not ours", elsewhere)
    options = replace(NOTHING, dataset_id=elsewhere, rename="{original_file}_IMPORTED.{ext}")

    report = bench.bring(options, in_place={"cells_mask.tif": tuple(cells)})

    found = {image.getId(): image.getName() for image in children(fresh, "Dataset", elsewhere)}
    first, second = cells
    (third,) = set(found) - {*cells, stranger}
    assert found == {
        first: "cells_IMPORTED.tif",
        second: "cells_IMPORTED_2.tif",
        stranger: "not ours",
        third: "nuclei_IMPORTED.tif",
    }, "what the importer was not given comes through the API"
    assert {each.object_id for each in report.objects if each.kind == "Image"} == {first, second, third}
    assert f"source: cells.tif (id: {bench.sources[0].image_id})" in fresh.getObject("Image", second).getDescription()
    for image_id in (first, second, third):
        assert {NS_KEY, "biomero/workflow"} <= set(maps_on(fresh, "Image", image_id))
    assert maps_on(fresh, "Image", stranger) == {}


def test_an_image_that_the_importer_did_not_come_to_link_is_linked(
    bench: Bench, storage: Storage, fresh: BlitzGateway
) -> None:
    write_results(bench)
    ids = storage.of_file("cells_mask.tif", "an orphan")

    report = bench.bring(OPTIONS, in_place={"cells_mask.tif": tuple(ids)})

    (dataset,) = [each.object_id for each in report.objects if each.kind == "Dataset"]
    assert ids[0] in [image.getId() for image in children(fresh, "Dataset", dataset)]


def test_what_did_not_arrive_is_a_problem_and_the_rest_is_brought_in(bench: Bench, storage: Storage) -> None:
    write_results(bench)
    ids = storage.of_file("cells_mask.tif", "one")

    report = bench.try_to_bring(OPTIONS, in_place={"cells_mask.tif": tuple(ids), "nuclei_mask.tif": ()})

    assert report.problems == ("nuclei_mask.tif is not in OMERO: the importer has made no image of it.",)
    assert [each.object_id for each in report.objects if each.kind == "Image"] == ids


def test_label_images_are_named_after_what_they_are_in(bench: Bench, storage: Storage, fresh: BlitzGateway) -> None:
    labels = np.ones((4, 5), "uint8")
    ngff.write_image(bench.folder / "cells.ome.zarr", labels[None, None], "czyx", labels={"nuclei": labels})
    label = storage.of_zarr("cells.ome.zarr/labels/nuclei", "nuclei")

    bench.bring(OPTIONS, in_place={"cells.ome.zarr/labels/nuclei": (label,)})

    assert fresh.getObject("Image", label).getName() == "cells.ome.zarr [nuclei]"
    assert images_of_run(fresh, bench) == ["cells.ome.zarr [nuclei]"], "the image around it was not wanted"


def test_killed_at_every_write_and_repeated_the_same_images_are_ours_once(
    bench: Bench, storage: Storage, lab: Lab, fresh: BlitzGateway
) -> None:
    write_results(bench)
    number = 0
    while True:
        number += 1
        again = bench.again()
        at = replace(storage, layout=replace(storage.layout, folder=storage.layout.folder.with_name(f"{number}")))
        in_place = {
            "cells_mask.tif": tuple(at.of_file("cells_mask.tif", "one", "two")),
            "nuclei_mask.tif": tuple(at.of_file("nuclei_mask.tif", "three")),
        }
        with logged_in(lab, "alice") as gateway:
            mortal = MortalGateway(gateway, number, reply_lost=bool(number % 2))
            try:
                again.bring(OPTIONS, gateway=mortal, in_place=in_place)
                died = False
            except Killed:
                died = True
        report = again.bring(OPTIONS, in_place=in_place)

        ids = [image_id for each in in_place.values() for image_id in each]
        (dataset,) = [each.object_id for each in report.objects if each.kind == "Dataset"]
        assert [image.getId() for image in children(fresh, "Dataset", dataset)] == sorted(ids), number
        assert images_of_run(fresh, again) == ["cells_mask.tif", "cells_mask_2.tif", "nuclei_mask.tif"], number
        roles = [role for role, _ in keys_of_run(fresh, again)]
        assert len(roles) == len(set(roles)), number
        for image_id in ids:
            assert all(len(each) == 1 for each in maps_on(fresh, "Image", image_id).values()), number
        if not died:
            break
    assert number > 8, "there are at least as many writes as objects"


def test_keys_of_images_are_written_with_them(bench: Bench, storage: Storage, fresh: BlitzGateway) -> None:
    write_results(bench)
    ids = storage.of_file("cells_mask.tif", "one")
    bench.bring(OPTIONS, in_place={"cells_mask.tif": tuple(ids)})

    hql = "select count(l) from ImageAnnotationLink l where l.parent.id = :id and l.child.ns = :ns"
    assert ask(fresh, hql, id=ids[0], ns=NS_KEY) == [[1]]
