"""Results of wells as plates: wells, fields, acquisitions and planes as they were, and nothing in between."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from tests.lab.person import logged_in
from tests.system.interruption import Killed, MortalGateway
from tests.system.plate_bench import FIELDS, WELLS, PlateBench, fields_of, path_of, planes, plates_of
from tests.system.results_bench import NOTHING, Bench, ask, files_on, images_of_run, keys_of_run, maps_on, only
from tests.unit.results.readers.ngff import write_group, write_image
from worker.errors import ResultsError
from worker.results.ledger import NS_KEY

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab


def test_a_plate_of_results_is_like_the_analysed_one(plates: PlateBench, fresh: BlitzGateway) -> None:
    plates.write_all()
    report = plates.bench.bring(replace(NOTHING, new_screen=f"screen {uuid.uuid4()}"))
    source = fresh.getObject("Plate", plates.plate_id)
    ((name, plate_id),) = plates_of(fresh, only(report, "Screen")).items()
    assert name == f"{source.getName()}_mask"
    derived = fresh.getObject("Plate", plate_id)
    for said in ("getRows", "getColumns", "getRowNamingConvention", "getColumnNamingConvention"):
        assert getattr(derived._obj, said)().val == getattr(source._obj, said)().val
    acquisitions = ask(fresh, "select a.id, a.name from PlateAcquisition a where a.plate.id = :id", id=plate_id)
    assert [name for _, name in acquisitions] == ["Run 1"]
    found = fields_of(fresh, plate_id)
    assert sorted(found) == [(row, column, field) for row, column in WELLS for field in range(FIELDS)]
    for place, image_id in found.items():
        image = fresh.getObject("Image", image_id)
        assert image.getPixelSizeX() == 0.25
        pixels = image.getPrimaryPixels()
        for t, c, z in np.ndindex(2, 3, 3):
            assert np.array_equal(pixels.getPlane(z, c, t), planes(*place)[t, c, z])
    in_run = "select count(*) from WellSample s where s.plateAcquisition.id = :id"
    assert ask(fresh, in_run, id=acquisitions[0][0]) == [[len(found)]]
    # The plate says it for all of its images, of which each names its source.
    about = maps_on(fresh, "Plate", plate_id)
    assert about["biomero/workflow"][0]["Workflow_ID"] == plates.bench.provenance.run_id
    assert about["biomero/workflow/task/nuclei"][0]["Param_diameter"] == "30"
    an_image = next(iter(found.values()))
    assert maps_on(fresh, "Image", an_image).keys() == {NS_KEY}
    assert "| source: field (id: " in fresh.getObject("Image", an_image).getDescription()


def test_a_table_is_on_the_analysed_plate_and_on_the_plate_of_results(plates: PlateBench, fresh: BlitzGateway) -> None:
    plates.write(0, 0, 0)
    (plates.bench.folder / "wells.csv").write_text("well,n\nA1,3\nH06,4\n")
    report = plates.bench.bring(replace(NOTHING, csv_tables=True, new_screen=f"screen {uuid.uuid4()}"))
    (table,) = [each for each in report.objects if each.name.startswith("wells_")]
    derived = plates_of(fresh, only(report, "Screen")).values()
    for plate_id in (plates.plate_id, *derived):
        assert files_on(fresh, "Plate", plate_id)[table.name].getId() == table.object_id


def test_wells_without_results_are_left_out_and_kinds_are_apart(plates: PlateBench, fresh: BlitzGateway) -> None:
    plates.write(0, 0, 0), plates.write(0, 0, 1), plates.write(7, 5, 1)
    plates.write(2, 11, 0, "_outline")
    (plates.bench.folder / "more").mkdir()
    plates.write(2, 11, 0, "").rename(plates.bench.folder / "more" / "plate_C12_s001.ome.tif")
    plates.write(2, 11, 1, "")
    report = plates.bench.bring(replace(NOTHING, new_screen=f"screen {uuid.uuid4()}"))
    source = fresh.getObject("Plate", plates.plate_id).getName()
    found = {name: sorted(fields_of(fresh, each)) for name, each in plates_of(fresh, only(report, "Screen")).items()}
    assert found == {
        f"{source}_mask": [(0, 0, 0), (0, 0, 1), (7, 5, 0)],
        f"{source}_outline": [(2, 11, 0)],
        f"{source}_more": [(2, 11, 0)],
        f"{source}_nuclei": [(2, 11, 0)],
    }
    told = [note for note in report.notes if "has no result of" in note]
    assert len(told) == 4
    assert (
        f"Plate {source}_mask has no result of 3 of the 6 analysed fields: C12, H6 (field 1). OMERO numbers the fields"
        " of a well without gaps, so those behind a missing one have moved up: the description of each image says which"
        " one it was made from."
    ) in told
    assert f"Plate {source}_outline has no result of 5 of the 6 analysed fields: A1, C12 (field 2), H6." in told


def test_a_damaged_field_is_missing_and_told_and_the_others_are_there(plates: PlateBench, fresh: BlitzGateway) -> None:
    plates.write_all()
    broken = plates.bench.folder / "plate_C12_s001_mask.ome.tif"
    broken.write_bytes(b"not a TIFF")
    options = replace(NOTHING, new_screen=f"screen {uuid.uuid4()}")
    with pytest.raises(ResultsError, match=r"plate_C12_s001_mask\.ome\.tif cannot be read"):
        plates.bench.bring(options)
    (screen,) = ask(fresh, "select s.id from Screen s where s.name = :name", name=str(options.new_screen))
    (plate_id,) = plates_of(fresh, screen[0]).values()
    assert len(fields_of(fresh, plate_id)) == len(images_of_run(fresh, plates.bench)) == 5
    # What is repaired joins the others in its well, before the field that moved up for it.
    plates.write(2, 11, 0)
    plates.bench.bring(options)
    found = fields_of(fresh, plate_id)
    assert sorted(found) == [(row, column, field) for row, column in WELLS for field in (0, 1)]
    for place, image_id in found.items():
        plane = fresh.getObject("Image", image_id).getPrimaryPixels().getPlane(0, 0, 0)
        assert np.array_equal(plane, planes(*place)[0, 0, 0])
    assert plates_of(fresh, screen[0]).keys() == {fresh.getObject("Plate", plate_id).getName()}


def test_results_of_no_well_go_to_the_dataset_and_a_note_says_so(plates: PlateBench, fresh: BlitzGateway) -> None:
    plates.write(0, 0, 0)
    tifffile.imwrite(plates.bench.folder / "summary.tif", np.ones((4, 5), "uint8"))
    report = plates.bench.bring(
        replace(NOTHING, new_screen=f"screen {uuid.uuid4()}", new_dataset=f"rest {uuid.uuid4()}")
    )
    assert len(plates_of(fresh, only(report, "Screen"))) == 1
    in_dataset = "select i.name from DatasetImageLink l join l.child i where l.parent.id = :id"
    assert ask(fresh, in_dataset, id=only(report, "Dataset")) == [["summary.tif"]]
    assert any("of no well" in note and "summary.tif" in note for note in report.notes)


def test_an_ome_zarr_that_is_of_no_well_goes_to_the_dataset_and_is_told_of(
    plates: PlateBench, fresh: BlitzGateway
) -> None:
    write_image(plates.bench.folder / "summary.zarr", "", np.ones((4, 5), "uint8"), "yx")
    options = replace(NOTHING, new_screen=f"screen {uuid.uuid4()}")
    (problem,) = plates.bench.try_to_bring(options).problems
    assert problem == "Not in the screen, as they are of no well: summary.zarr. Choose a dataset as well."
    report = plates.bench.bring(replace(options, new_dataset=f"rest {uuid.uuid4()}"))
    in_dataset = "select i.name from DatasetImageLink l join l.child i where l.parent.id = :id"
    assert ask(fresh, in_dataset, id=only(report, "Dataset")) == [["summary.zarr"]]
    assert any(note.startswith("summary.zarr is not linked to an image") for note in report.notes)


def test_a_result_for_each_object_does_not_become_a_plate_for_each(plates: PlateBench, fresh: BlitzGateway) -> None:
    for number in range(21):
        tifffile.imwrite(plates.bench.folder / f"plate_A01_s001_cell_{number}.tif", np.ones((2, 2), "uint8"))
    options = replace(NOTHING, new_screen=f"screen {uuid.uuid4()}", new_dataset=f"rest {uuid.uuid4()}")
    report = plates.bench.bring(options)
    assert plates_of(fresh, only(report, "Screen")) == {}
    assert [each.kind for each in report.objects].count("Image") == 21
    assert any("of more than 20 kinds, but in Dataset" in note for note in report.notes)


def test_without_a_dataset_results_of_no_well_are_attached_as_files(plates: PlateBench, fresh: BlitzGateway) -> None:
    plates.write(0, 0, 0)
    tifffile.imwrite(plates.bench.folder / "summary.tif", np.ones((4, 5), "uint8"))
    report = plates.bench.bring(replace(NOTHING, new_screen=f"screen {uuid.uuid4()}"))
    assert "summary.tif" in files_on(fresh, "Plate", plates.plate_id)
    assert any("attached as files: summary.tif" in note for note in report.notes)


@pytest.mark.parametrize("only_labels", [True, False], ids=["labels", "labels and images"])
def test_an_ome_zarr_that_is_a_plate_becomes_plates_of_its_images_and_of_each_label(
    plates: PlateBench, fresh: BlitzGateway, only_labels: bool
) -> None:
    root = plates.bench.folder / "plate_seg.zarr"
    wells = [{"path": f"{chr(65 + r)}/{c + 1}", "rowIndex": r, "columnIndex": c} for r, c in WELLS]
    rows, columns = [{"name": letter} for letter in "ABCDEFGH"], [{"name": str(n)} for n in range(1, 13)]
    write_group(root, "", "0.4", {"plate": {"wells": wells, "rows": rows, "columns": columns}})
    for row, column in WELLS:
        path = f"{chr(65 + row)}/{column + 1}"
        write_group(root, path, "0.4", {"well": {"images": [{"path": str(field)} for field in range(FIELDS)]}})
        for field in range(FIELDS):
            write_image(root, f"{path}/{field}", planes(row, column, field), "tczyx")
            write_group(root, f"{path}/{field}/labels", "0.4", {"labels": ["nuclei"]})
            label = planes(row, column, field)[0, 0, 0] + 1
            write_image(root, f"{path}/{field}/labels/nuclei", label, "yx", attributes={"image-label": {}})
    # A field that was not analysed has nowhere to go, and is told of.
    write_group(root, "A/1", "0.4", {"well": {"images": [{"path": each} for each in "019"]}})
    write_image(root, "A/1/9", planes(0, 0, 0), "tczyx")
    screen = f"screen {uuid.uuid4()}"
    report = plates.bench.try_to_bring(replace(NOTHING, new_screen=screen, only_labels=only_labels))
    assert report.problems == ("1 images in plate_seg.zarr are of no well and field that was analysed.",)
    assert report.notes == ()
    name = fresh.getObject("Plate", plates.plate_id).getName()
    found = plates_of(fresh, only(report, "Screen"))
    assert found.keys() == {f"{name}_seg_nuclei"} | (set() if only_labels else {f"{name}_seg"})
    for of_kind, plate_id in found.items():
        fields = fields_of(fresh, plate_id)
        assert sorted(fields) == [(row, column, field) for row, column in WELLS for field in range(FIELDS)]
        for place, image_id in fields.items():
            image = fresh.getObject("Image", image_id)
            expected = planes(*place)[0, 0, 0] + of_kind.endswith("nuclei")
            assert np.array_equal(image.getPrimaryPixels().getPlane(0, 0, 0), expected)
            source = next(each for each in plates.bench.sources if each.path.endswith(path_of(*place)))
            assert image.getDescription().endswith(f"(id: {source.image_id})")
    if only_labels:
        counted = MortalGateway(plates.bench.gateway)
        again = plates.bench.try_to_bring(replace(NOTHING, new_screen=screen), gateway=counted)
        assert again.objects == report.objects
        assert counted.writes == []


@pytest.mark.parametrize(
    ("moment", "kinds"),
    [
        ("after the write", ("save",)),
        pytest.param("after the write", ("",), marks=pytest.mark.slow),
        pytest.param("before the write", ("",), marks=pytest.mark.slow),
    ],
    ids=["a few", "every call, after it", "every call, before it"],
)
def test_killed_at_any_call_and_repeated_gives_the_same_plate_once(
    plates: PlateBench, lab: Lab, fresh: BlitzGateway, moment: str, kinds: tuple[str, ...]
) -> None:
    plates.write(0, 0, 0), plates.write(0, 0, 1)
    options = replace(NOTHING, new_screen=f"screen {uuid.uuid4()}", allow_duplicate_screen=True)

    def state(bench: Bench) -> dict[str, Any]:
        ours = "select p.name, p.id from Plate p where p.description like :said"
        found = ask(fresh, ours, said=f"%{bench.provenance.run_id}%")
        return {
            "plates": [(name, sorted(fields_of(fresh, each))) for name, each in found],
            "images": images_of_run(fresh, bench),
            "keys": keys_of_run(fresh, bench),
            "wells": [[len(set(fields_of(fresh, each).values())) for _, each in found]],
        }

    clean = MortalGateway(plates.bench.gateway)
    plates.bench.bring(options, gateway=clean)
    expected = state(plates.bench)
    assert len(expected["images"]) == 2
    numbers = [number for number, name in enumerate(clean.writes, 1) if name.startswith(kinds)]
    assert len(numbers) > 6
    for number in numbers:
        again = plates.bench.again()
        with logged_in(lab, "alice") as mortal, pytest.raises(Killed):
            again.bring(options, gateway=MortalGateway(mortal, number, reply_lost=moment == "after the write"))
        again.bring(options)
        assert state(again) == expected, f"killed {moment} {number}, {clean.writes[number - 1]}"
    counted = MortalGateway(plates.bench.gateway)
    plates.bench.bring(options, gateway=counted)
    assert counted.writes == []


def test_only_pixels_and_wells_cost_calls_and_a_repetition_none_of_them(plates: PlateBench) -> None:
    options = replace(NOTHING, new_screen=f"screen {uuid.uuid4()}", allow_duplicate_screen=True)
    counts = []
    for wells in (WELLS[:1], WELLS):
        for row, column in wells:
            for field in range(FIELDS):
                plates.write(row, column, field)
        bench = plates.bench.again()
        first, second = MortalGateway(bench.gateway), MortalGateway(bench.gateway)
        bench.bring(options, gateway=first)
        bench.bring(options, gateway=second)
        counts.append((first.calls, second.calls.total()))
    (one, again), (three, again_three) = counts
    assert again == again_three < 40
    planes_each, channels = 18, 3
    # Create it, open a store, choose its pixels, ask about tiles, save, close, and a service for the ranges.
    for_field = 7 + planes_each + channels
    # Its keys, and the one transaction that finishes it.
    for_well = 2
    assert (three - one).total() <= 2 * (FIELDS * for_field + for_well)
    assert three["getQueryService"] == one["getQueryService"]
