"""Zips, logs and other files of results, attached to what was analysed."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from tests.lab.omero.images import import_image, make_plate
from tests.lab.person import logged_in
from tests.system.results_bench import NOTHING, Bench, content, files_on, make_bench
from tests.system.test_import_permissions import make_group
from worker.errors import ResultsError
from worker.results.importer import attach_log
from worker.results.model import ImportOptions, SourceFile

if TYPE_CHECKING:
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab


def test_the_zip_of_everything_is_on_the_project(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "deep").mkdir()
    (bench.folder / "deep/notes.txt").write_text("notes")
    (bench.folder / "m.csv").write_text("a\n1\n")
    bench.bring(replace(NOTHING, zip_to_parent=True))
    annotation = files_on(fresh, "Project", bench.project_id)["42_out.zip"]
    assert annotation.getNs() == "openmicroscopy.org/omero/scripts/results/created/SLURM/SLURM_GET_RESULTS"
    with zipfile.ZipFile(io.BytesIO(content(annotation))) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == [
            "deep/notes.txt",
            "m.csv",
            f"metadata_{bench.provenance.run_id}.csv",
            "ro-crate-metadata.json",
        ]
        assert archive.read("deep/notes.txt") == b"notes"


@pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # omero-py's own
def test_a_repetition_makes_the_same_zip(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "größe").mkdir()
    (bench.folder / "größe/细胞.txt").write_text("notes")
    hashes = set()
    for _ in range(2):
        bench.bring(replace(NOTHING, zip_to_parent=True))
        annotation = files_on(fresh, "Project", bench.project_id)["42_out.zip"]
        hashes.add(annotation.getFile().getHash())
        fresh.deleteObjects("Annotation", [annotation.getId()], wait=True)
        (bench.folder / "größe/细胞.txt").touch()
    assert len(hashes) == 1


def test_the_zip_of_an_image_without_dataset_is_on_the_image(alice: BlitzGateway, bench: Bench) -> None:
    image_id = import_image(alice, np.zeros((4, 5), "uint8"), "orphan.tif")
    (bench.folder / "x.txt").write_text("x")
    source = SourceFile("orphan.zarr", "Image", image_id, image_id, "orphan.tif")
    replace(bench, sources=(source,)).bring(replace(NOTHING, zip_to_parent=True))
    assert sorted(files_on(alice, "Image", image_id)) == ["42_out.zip", "omero-42.log"]


def test_the_zip_of_a_plate_is_on_the_plate(alice: BlitzGateway, bench: Bench) -> None:
    plate_id = make_plate(alice, "plate", 1, 2, 1, lambda *_: np.zeros((4, 5), "uint8"))
    wells = alice.getObject("Plate", plate_id).listChildren()
    fields = [well.getImage() for well in wells]
    sources = tuple(
        SourceFile(f"plate.zarr/A/{number}/0", "Plate", plate_id, field.getId(), field.getName())
        for number, field in enumerate(fields, start=1)
    )
    (bench.folder / "x.txt").write_text("x")
    replace(bench, sources=sources).bring(replace(NOTHING, zip_to_parent=True))
    assert "42_out.zip" in files_on(alice, "Plate", plate_id)


def test_the_log_of_the_job_is_always_there(bench: Bench, fresh: BlitzGateway) -> None:
    tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))
    bench.bring(replace(NOTHING, new_dataset="labels"))
    log = files_on(fresh, "Project", bench.project_id)["omero-42.log"]
    assert content(log) == b"Running nuclei Job\n"
    assert log.getFile().getMimetype() == "text/plain"


def test_the_log_of_a_failed_job_is_attached_once(bench: Bench, fresh: BlitzGateway) -> None:
    first, second = (attach_log(bench.gateway, bench.log, bench.sources, bench.provenance) for _ in range(2))
    assert first == second
    assert sorted(files_on(fresh, "Project", bench.project_id)) == ["omero-42.log"]


def test_an_analysis_that_wrote_nothing_is_an_error_with_its_log_in_omero(bench: Bench, fresh: BlitzGateway) -> None:
    with pytest.raises(ResultsError, match="The analysis wrote no results"):
        bench.bring(ImportOptions())
    assert sorted(files_on(fresh, "Project", bench.project_id)) == ["omero-42.log"]


def test_result_images_can_be_attached_to_the_images_they_were_made_from(bench: Bench, fresh: BlitzGateway) -> None:
    for name in ("cells_mask.tif", "nuclei_mask.tif"):
        tifffile.imwrite(bench.folder / name, np.ones((4, 5), "uint8"))
    bench.bring(replace(NOTHING, attach_to_images=True))
    for source, stem in zip(bench.sources, ("cells_mask", "nuclei_mask"), strict=True):
        ((name, annotation),) = files_on(fresh, "Image", source.image_id).items()
        assert name == f"{stem}.{bench.provenance.run_id}.tif"
        assert content(annotation) == (bench.folder / f"{stem}.tif").read_bytes()


def test_other_files_can_be_attached_to_the_dataset(bench: Bench, fresh: BlitzGateway) -> None:
    large = np.random.default_rng(0).bytes(5 * 2**20)
    (bench.folder / "model.bin").write_bytes(large)
    bench.bring(replace(NOTHING, attach_files=True))
    files = files_on(fresh, "Dataset", bench.dataset_id)
    assert sorted(files) == [f"metadata_{bench.provenance.run_id}.csv", "model.bin"]
    assert content(files["model.bin"]) == large


def test_files_of_an_image_are_on_it_and_all_others_on_the_dataset(bench: Bench, fresh: BlitzGateway) -> None:
    contents = {
        "cells_report.html": b"<script>alert(1)</script>",
        "nuclei/notes.txt": b"deep",
        "summary.json": b"{}",
        "empty.log": b"",
        "a" * 200 + "\N{SNOWMAN}" + "b" * 40 + ".txt": b"long",
    }
    for name, data in contents.items():
        (bench.folder / name).parent.mkdir(exist_ok=True)
        (bench.folder / name).write_bytes(data)
    bench.bring(replace(NOTHING, attach_files=True))
    run_id = bench.provenance.run_id
    ((name, report),) = files_on(fresh, "Image", bench.sources[0].image_id).items()
    # A browser that is shown the report by OMERO.web must not run it.
    assert (name, report.getFile().getMimetype()) == (f"cells_report.{run_id}.html", "text/plain")
    ((name, notes),) = files_on(fresh, "Image", bench.sources[1].image_id).items()
    assert (name, content(notes)) == (f"notes.{run_id}.txt", b"deep")
    files = files_on(fresh, "Dataset", bench.dataset_id)
    long_name = next(name for name in contents if len(name) > 200)
    assert set(files) == {f"metadata_{run_id}.csv", "summary.json", "empty.log", long_name}
    assert files["summary.json"].getFile().getMimetype() == "application/json"
    empty = files["empty.log"].getFile()
    assert (empty.getSize(), content(files["empty.log"])) == (0, b"")
    assert empty.getHash() == hashlib.sha1(b"", usedforsecurity=False).hexdigest()


def test_a_name_that_omero_cannot_hold_is_shortened(bench: Bench, fresh: BlitzGateway) -> None:
    # As long as a disk allows; the uuid of the run comes on top.
    (bench.folder / f"cells_{'x' * 245}.txt").write_text("x")
    bench.bring(replace(NOTHING, attach_files=True))
    ((name, annotation),) = files_on(fresh, "Image", bench.sources[0].image_id).items()
    assert (len(name), name[:9], name[-4:]) == (255, "cells_xxx", ".txt")
    assert content(annotation) == b"x"


def test_files_go_where_the_person_chose_in_one_annotation(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "cells_notes.txt").write_text("x")
    places = {"Project": bench.project_id, "Dataset": bench.dataset_id}
    bench.bring(
        replace(NOTHING, attach_files=True, file_places=tuple(f"{kind}:{each}" for kind, each in places.items()))
    )
    on = [files_on(fresh, kind, each)["cells_notes.txt"].getId() for kind, each in places.items()]
    assert on[0] == on[1]
    assert files_on(fresh, "Image", bench.sources[0].image_id) == {}


def test_a_zip_can_go_to_the_dataset_of_the_analysed_images_without_their_project(
    bench: Bench, fresh: BlitzGateway
) -> None:
    (bench.folder / "notes.txt").write_text("x")
    options = replace(NOTHING, zip_to_parent=True)
    # None of them is in a plate, which leaves the other choice.
    bench.bring(replace(options, zip_places=("Dataset:*", "Plate:*")))
    assert "42_out.zip" in files_on(fresh, "Dataset", bench.dataset_id)
    assert "42_out.zip" not in files_on(fresh, "Project", bench.project_id)
    bench.bring(replace(options, zip_places=("Plate:*",)))
    assert "42_out.zip" in files_on(fresh, "Project", bench.project_id)


def test_a_name_with_control_characters_is_a_name_that_can_be_downloaded(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "a\r\nb\x1b.txt").write_text("x")
    bench.bring(replace(NOTHING, attach_files=True))
    assert content(files_on(fresh, "Dataset", bench.dataset_id)["a__b_.txt"]) == b"x"


def test_who_imports_once_more_to_another_place_gets_the_same_files_there_too(
    bench: Bench, fresh: BlitzGateway
) -> None:
    (bench.folder / "m.csv").write_text("a\n1\n")
    (bench.folder / "notes.txt").write_text("x")
    options = replace(NOTHING, zip_to_parent=True, csv_tables=True, attach_files=True)
    first = bench.bring(options)
    places = (f"Dataset:{bench.dataset_id}", f"Project:{bench.project_id}")
    again = replace(options, zip_places=places, table_places=places, file_places=places)
    assert set(bench.bring(again).objects) == set(bench.bring(again).objects) == set(first.objects)
    for kind, each in (("Dataset", bench.dataset_id), ("Project", bench.project_id)):
        found = {name: annotation.getId() for name, annotation in files_on(fresh, kind, each).items()}
        assert {item.name: item.object_id for item in first.objects if "log" not in item.name}.items() <= found.items()


def test_the_log_is_in_omero_even_where_it_may_be_attached_nowhere(lab: Lab, tmp_path: Path) -> None:
    group = make_group(lab, "rwr---")
    with logged_in(lab, "alice", group) as alice:
        bench = make_bench(alice, tmp_path)
    with logged_in(lab, "bob", group) as bob:
        first, second = (attach_log(bob, bench.log, bench.sources, bench.provenance) for _ in range(2))
        assert first == second
    with logged_in(lab, "bob", group) as bob:
        annotation = bob.getObject("FileAnnotation", first.object_id)
        assert content(annotation) == b"Running nuclei Job\n"
        assert annotation.getFile().getName() == "omero-42.log"


def test_a_zarr_result_is_in_the_zip_and_a_note_says_so(bench: Bench, fresh: BlitzGateway) -> None:
    (bench.folder / "l.zarr/0").mkdir(parents=True)
    (bench.folder / "l.zarr/0/0").write_bytes(b"chunk")
    report = bench.bring(replace(NOTHING, zip_to_parent=True, attach_files=True))
    assert report.notes == ("OME-Zarr results cannot be attached singly: l.zarr. They are in the zip.",)
    archive = content(files_on(fresh, "Project", bench.project_id)["42_out.zip"])
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.read("l.zarr/0/0") == b"chunk"
