"""Results that are imported again: after a kill, a deletion, by another task, by another run."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import omero.model
import pytest
import tifffile
from omero.rtypes import unwrap

from tests.lab.person import logged_in
from tests.system.interruption import Killed, MortalGateway
from tests.system.results_bench import (
    NOTHING,
    Bench,
    ask,
    children,
    content,
    files_on,
    images_of_run,
    keys_of_run,
    maps_on,
    only,
    results_dataset,
)
from worker.results.ledger import NS_KEY
from worker.results.model import ImportOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab


OPTIONS: Final = ImportOptions(
    zip_to_parent=True, attach_to_images=True, new_dataset="labels", csv_tables=True, attach_files=True
)


FEW: Final = {
    "before the write": ("setPlane", "addData", "saveAndReturnArray"),
    "after the write": ("saveAndReturnObject", "initialize", "write"),
}
"""Kinds of writes that a process dies at: in the midst of pixels, tables, objects, links and files."""


def write_results(bench: Bench) -> None:
    tifffile.imwrite(bench.folder / "cells_mask.tif", np.full((2, 4, 5), 7, "uint16"), metadata={"axes": "ZYX"})
    (bench.folder / "cells_m.csv").write_text("a,b\n1,x\n")
    (bench.folder / "notes.txt").write_text("notes")


def few(writes: Sequence[str], moment: str) -> Sequence[int]:
    """Numbers of three writes: of each kind the one in the middle."""
    numbers = [[number for number, name in enumerate(writes, 1) if name == kind] for kind in FEW[moment]]
    return [each[len(each) // 2] for each in numbers]


def every(writes: Sequence[str], moment: str) -> Sequence[int]:
    return range(1, len(writes) + 1)


def test_twice_gives_the_same_objects_once(bench: Bench, fresh: BlitzGateway) -> None:
    write_results(bench)
    first = bench.bring(OPTIONS)
    before = state(fresh, bench)
    counted = MortalGateway(bench.gateway)
    assert bench.bring(OPTIONS, gateway=counted) == first
    assert counted.writes == []
    assert state(fresh, bench) == before


@pytest.mark.parametrize("reply_lost", [False, True])
def test_killed_with_several_images_on_their_way_gives_each_of_them_once(
    bench: Bench, fresh: BlitzGateway, reply_lost: bool
) -> None:
    options = replace(NOTHING, new_dataset="labels")
    for number in range(5):
        tifffile.imwrite(bench.folder / f"cells_{number}.tif", np.full((4, 5), number, "uint8"))
    for dies_at in (8, 9, 4):
        with pytest.raises(Killed):
            bench.bring(options, gateway=MortalGateway(bench.gateway, dies_at, reply_lost=reply_lost))
    first = bench.bring(options)
    names = [f"cells_{number}.tif" for number in range(5)]
    assert images_of_run(fresh, bench) == names
    images = children(fresh, "Dataset", results_dataset(fresh, bench))
    assert sorted(each.getName() for each in images) == names
    for each in images:
        assert each.getName() == names[int(each.getPrimaryPixels().getPlane(0, 0, 0)[0, 0])]
    assert bench.bring(options) == first


def test_progress_goes_from_nothing_to_all(bench: Bench) -> None:
    write_results(bench)
    seen: list[tuple[int, int]] = []
    bench.bring(OPTIONS, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 5)
    assert seen[-1] == (5, 5)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    "chosen", [few, pytest.param(every, marks=[pytest.mark.slow, pytest.mark.timeout(600)])], ids=["few", "every"]
)
@pytest.mark.parametrize("moment", FEW)
def test_killed_at_a_write_and_repeated_gives_the_same_objects_once(
    bench: Bench, lab: Lab, fresh: BlitzGateway, moment: str, chosen: Callable[[Sequence[str], str], Sequence[int]]
) -> None:
    write_results(bench)
    clean = MortalGateway(bench.gateway)
    options = replace(OPTIONS, allow_duplicate_dataset=True)
    bench.bring(options, gateway=clean)
    expected = state(fresh, bench)
    assert len(clean.writes) > 20
    for number in chosen(clean.writes, moment):
        again = bench.again()
        with logged_in(lab, "alice") as mortal, pytest.raises(Killed):
            again.bring(options, gateway=MortalGateway(mortal, number, reply_lost=moment == "after the write"))
        again.bring(options)
        assert state(fresh, again) == expected, f"killed {moment} {number}, {clean.writes[number - 1]}"


@pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # omero-py's own
def test_an_image_that_was_deleted_is_imported_again(bench: Bench, fresh: BlitzGateway) -> None:
    write_results(bench)
    options = replace(NOTHING, new_dataset="labels")
    first = only(bench.bring(options), "Image")
    bench.gateway.deleteObjects("Image", [first], wait=True)
    second = only(bench.bring(options), "Image")
    assert second != first
    assert [each.getId() for each in children(fresh, "Dataset", results_dataset(fresh, bench))] == [second]


@pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # omero-py's own
def test_a_zip_that_is_made_again_has_the_same_bytes(bench: Bench, fresh: BlitzGateway) -> None:
    write_results(bench)
    options = replace(NOTHING, zip_to_parent=True)
    zips = []
    for _ in range(2):
        bench.bring(options)
        annotation = files_on(fresh, "Project", bench.project_id)["42_out.zip"]
        zips.append(content(annotation))
        bench.gateway.deleteObjects("Annotation", [annotation.getId()], wait=True)
    assert zips[0] == zips[1]
    with zipfile.ZipFile(io.BytesIO(zips[0])) as archive:
        assert json.loads(archive.read("ro-crate-metadata.json"))["@graph"]


def test_two_tasks_of_a_run_with_the_same_results_have_their_own_objects_in_one_dataset(
    bench: Bench, fresh: BlitzGateway
) -> None:
    write_results(bench)
    options = replace(OPTIONS, allow_duplicate_dataset=True)
    other = replace(bench, provenance=replace(bench.provenance, task_id=str(uuid.uuid4()), job_id=43))
    first, second = bench.bring(options), other.bring(options)
    assert only(first, "Dataset") == only(second, "Dataset")
    assert [each.getName() for each in children(fresh, "Dataset", results_dataset(fresh, bench))] == [
        "cells_mask.tif"
    ] * 2
    assert [each.kind for each in set(first.objects) & set(second.objects)] == ["Dataset"]
    assert {"42_out.zip", "43_out.zip"} <= set(files_on(fresh, "Project", bench.project_id))


def test_another_run_with_the_same_results_has_its_own_objects(bench: Bench) -> None:
    write_results(bench)
    options = replace(NOTHING, new_dataset="labels")
    assert only(bench.bring(options), "Image") != only(bench.again().bring(options), "Image")


def state(gateway: BlitzGateway, bench: Bench) -> dict[str, Any]:
    """Everything in OMERO that came of a run, with its uuid taken out."""
    run_id = bench.provenance.run_id
    labelled = (
        "select l.parent.id from DatasetAnnotationLink l, MapAnnotation a join a.mapValue run"
        " where l.child.id = a.id and a.ns = :ns and run.name = 'Run' and run.value = :run"
    )
    datasets = sorted(row[0] for row in ask(gateway, labelled, ns=NS_KEY, run=run_id))
    images = []
    for dataset_id in datasets:
        for image in children(gateway, "Dataset", dataset_id):
            pixels = image.getPrimaryPixels()
            planes = [int(pixels.getPlane(z, 0, 0).min()) for z in range(image.getSizeZ())]
            maps = {ns: len(found) for ns, found in maps_on(gateway, "Image", image.getId()).items()}
            images.append((image.getName(), planes, sorted(maps.items())))
    places = [("Project", bench.project_id), ("Dataset", bench.dataset_id), *(("Dataset", each) for each in datasets)]
    places += [("Image", source.image_id) for source in bench.sources]
    files = "select f.name, f.size from OriginalFile f where f.path like :path or f.name like :name"
    return {
        "datasets": len(datasets),
        "images": sorted(images),
        "images anywhere": images_of_run(gateway, bench),
        "keys": keys_of_run(gateway, bench),
        "files": sorted(
            # The zip holds the uuid, which does not compress to the same size each time.
            (name.replace(run_id, "<run>"), size if not name.endswith(".zip") else None)
            for name, size in ask(gateway, files, path=f"biomero/{run_id}/%", name=f"%{run_id}%")
        ),
        "attached": [
            (kind, sorted((name.replace(run_id, "<run>"), ns) for name, ns in attached(gateway, kind, each, run_id)))
            for kind, each in places
        ],
    }


def attached(gateway: BlitzGateway, kind: str, object_id: int, run_id: str) -> list[tuple[str, str]]:
    """Name and namespace of each file on an object that belongs to a run."""
    return [
        (each.getFile().getName(), each.getNs())
        for each in gateway.getObject(kind, object_id).listAnnotations()
        if isinstance(each._obj, omero.model.FileAnnotation)
        and any(
            run_id in str(unwrap(value)) for value in (each.getFile()._obj.getPath(), each.getFile()._obj.getName())
        )
    ]
