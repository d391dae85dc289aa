"""Results in OMERO, asked back through another client than the one that wrote them."""

from __future__ import annotations

import io
import math
import uuid
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import omero.model
import omero.sys
import pytest
import tifffile
from omero.rtypes import rstring, unwrap, wrap
from PIL import Image

from tests.lab.omero.images import import_image, make_dataset, make_plate, make_project
from tests.lab.person import logged_in
from tests.system.interruption import Killed, MortalGateway
from worker.errors import NotPermitted, RequestError, ResultsError
from worker.results.importer import attach_log, check_permissions, import_results
from worker.results.ledger import NS_KEY
from worker.results.model import ImportOptions, ImportReport, Provenance, SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab

NOTHING = ImportOptions(zip_to_parent=False, csv_tables=False)
PIXEL_SIZE_UM = (0.25, 0.5, 1.5)


@dataclass(frozen=True, slots=True)
class Bench:
    """A project with a dataset of two analysed images, and a folder for results."""

    gateway: BlitzGateway
    project_id: int
    dataset_id: int
    sources: tuple[SourceFile, ...]
    folder: Path
    log: Path
    provenance: Provenance

    def bring(self, options: ImportOptions, *, gateway: Any = None, progress: Any = None) -> ImportReport:
        """Import whatever lies in the folder."""
        files = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()]
        return import_results(
            gateway or self.gateway, self.folder, files, self.sources, options, self.provenance, self.log, progress
        )

    def again(self) -> Bench:
        """The same images, analysed by another run."""
        return replace(self, provenance=replace(self.provenance, run_id=str(uuid.uuid4())))


@pytest.fixture
def alice(lab: Lab) -> Iterator[BlitzGateway]:
    with logged_in(lab, "alice") as gateway:
        yield gateway


@pytest.fixture
def fresh(lab: Lab) -> Iterator[BlitzGateway]:
    """Another client of alice's, which has seen nothing of what was written."""
    with logged_in(lab, "alice") as gateway:
        yield gateway


@pytest.fixture
def bench(alice: BlitzGateway, tmp_path: Path) -> Bench:
    return make_bench(alice, tmp_path)


def make_bench(gateway: BlitzGateway, tmp_path: Path) -> Bench:
    project_id = make_project(gateway, f"project {uuid.uuid4()}")
    dataset_id = make_dataset(gateway, "analysed", project_id=project_id)
    pixels = np.zeros((2, 3, 3, 4, 5), "uint8")
    sources = []
    for name in ("cells.tif", "nuclei.tif"):
        image_id = import_image(gateway, pixels, name, dataset_id, pixel_size_um=PIXEL_SIZE_UM)
        sources.append(SourceFile(f"{name}.zarr", "Image", image_id, image_id, name))
    folder, log = tmp_path / "out", tmp_path / "job.log"
    folder.mkdir()
    log.write_text("Running nuclei Job\n")
    provenance = Provenance(
        str(uuid.uuid4()), str(uuid.uuid4()), 42, "nuclei", "v1", {"diameter": 30}, started="2026-01-02T03:04:05Z"
    )
    return Bench(gateway, project_id, dataset_id, tuple(sources), folder, log, provenance)


def constant_planes(dtype: str = "uint16") -> NDArray[Any]:
    """Planes, shape (T=2, C=3, Z=3, 4, 5), whose every pixel says which plane it is in: 100 z + 10 c + t."""
    t, c, z = np.ogrid[:2, :3, :3]
    return np.broadcast_to((100 * z + 10 * c + t).astype(dtype)[..., None, None], (2, 3, 3, 4, 5)).copy()


def results_dataset(gateway: BlitzGateway, bench: Bench, name: str = "labels") -> Any:
    """The dataset of results in the bench's project, asked for anew."""
    project = gateway.getObject("Project", bench.project_id)
    (dataset,) = [child for child in project.listChildren() if child.getName() == name]
    return dataset


def only(report: ImportReport, kind: str) -> int:
    (object_id,) = [each.object_id for each in report.objects if each.kind == kind]
    return object_id


def files_on(gateway: BlitzGateway, kind: str, object_id: int) -> dict[str, Any]:
    """File annotations of an object by file name."""
    annotations = gateway.getObject(kind, object_id).listAnnotations()
    return {each.getFile().getName(): each for each in annotations if isinstance(each._obj, omero.model.FileAnnotation)}


def content(annotation: Any) -> bytes:
    return b"".join(annotation.getFileInChunks())


def maps_on(gateway: BlitzGateway, kind: str, object_id: int) -> dict[str, list[dict[str, str]]]:
    """Key-value pairs of an object by namespace."""
    maps: dict[str, list[dict[str, str]]] = {}
    for each in gateway.getObject(kind, object_id).listAnnotations():
        if isinstance(each._obj, omero.model.MapAnnotation):
            maps.setdefault(each.getNs(), []).append(dict(each.getValue()))
    return maps


class TestImages:
    @pytest.mark.parametrize("byteorder", ["<", ">"])
    @pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
    def test_every_plane_arrives_at_its_place_with_its_values_and_type(
        self, bench: Bench, fresh: BlitzGateway, dtype: str, byteorder: Any
    ) -> None:
        # 211 is the largest value of the fixture: too large for int8.
        planes = (constant_planes("int16") % 128).astype(dtype)
        tifffile.imwrite(bench.folder / "cells_mask.ome.tif", planes, metadata={"axes": "TCZYX"}, byteorder=byteorder)
        report = bench.bring(replace(NOTHING, new_dataset="labels"))
        image = fresh.getObject("Image", only(report, "Image"))
        expected_type = {"float32": "float", "float64": "double"}.get(dtype, dtype)
        assert image.getPixelsType() == expected_type
        assert (image.getSizeT(), image.getSizeC(), image.getSizeZ()) == (2, 3, 3)
        pixels = image.getPrimaryPixels()
        for t, c, z in np.ndindex(2, 3, 3):
            assert np.array_equal(pixels.getPlane(z, c, t), planes[t, c, z])

    def test_labels_beyond_16_bits_keep_their_numbers(self, bench: Bench, fresh: BlitzGateway) -> None:
        labels = np.array([[0, 1, 70_000], [2**31, 2**32 - 1, 3]], "int64")
        tifffile.imwrite(bench.folder / "cells_mask.tif", labels, metadata={"axes": "YX"})
        image = fresh.getObject("Image", only(bench.bring(replace(NOTHING, new_dataset="labels")), "Image"))
        assert image.getPixelsType() == "uint32"
        assert np.array_equal(image.getPrimaryPixels().getPlane(0, 0, 0), labels)

    def test_png_becomes_an_image(self, bench: Bench, fresh: BlitzGateway) -> None:
        pixels = np.arange(60, dtype="uint8").reshape(4, 5, 3)
        Image.fromarray(pixels).save(bench.folder / "cells_overlay.png")
        image = fresh.getObject("Image", only(bench.bring(replace(NOTHING, new_dataset="labels")), "Image"))
        assert [np.array_equal(image.getPrimaryPixels().getPlane(0, c, 0), pixels[..., c]) for c in range(3)] == [
            True
        ] * 3

    def test_the_size_of_pixels_comes_from_the_analysed_image(self, bench: Bench, fresh: BlitzGateway) -> None:
        tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((2, 4, 5), "uint8"), metadata={"axes": "ZYX"})
        image = fresh.getObject("Image", only(bench.bring(replace(NOTHING, new_dataset="labels")), "Image"))
        assert (image.getPixelSizeX(), image.getPixelSizeY()) == PIXEL_SIZE_UM[:2]
        # Three planes were analysed and two came back: their distance is not that of the original.
        assert image.getPixelSizeZ() is None

    def test_an_image_of_another_size_does_not_claim_the_size_of_pixels(
        self, bench: Bench, fresh: BlitzGateway
    ) -> None:
        tifffile.imwrite(bench.folder / "cells_small.tif", np.ones((2, 2), "uint8"))
        image = fresh.getObject("Image", only(bench.bring(replace(NOTHING, new_dataset="labels")), "Image"))
        assert image.getPixelSizeX() is None

    def test_the_range_of_each_channel_is_known(self, bench: Bench, fresh: BlitzGateway) -> None:
        pixels = np.array([[[1, 2]], [[30, 40]]], "float32")
        pixels[0, 0, 0] = np.nan
        tifffile.imwrite(bench.folder / "cells_p.ome.tif", pixels, metadata={"axes": "CYX"})
        report = bench.bring(replace(NOTHING, new_dataset="labels"))
        # Not image.getChannels(): it opens a rendering engine, which looks at the pixels again.
        hql = "select s.globalMin, s.globalMax from Channel c join c.statsInfo s where c.pixels.image.id = :id"
        assert ask(fresh, hql, id=only(report, "Image")) == [[2, 2], [30, 40]]

    def test_names_follow_the_pattern_and_descriptions_tell_the_source(self, bench: Bench, fresh: BlitzGateway) -> None:
        for name in ("cells_mask.tif", "cells_outline.tif", "summary.tif"):
            tifffile.imwrite(bench.folder / name, np.ones((4, 5), "uint8"))
        report = bench.bring(replace(NOTHING, new_dataset="labels", rename="{original_file}_labels.{ext}"))
        images = {each.getName(): each for each in results_dataset(fresh, bench).listChildren()}
        assert sorted(images) == ["cells_labels.tif", "cells_labels_2.tif", "summary_labels.tif"]
        source = bench.sources[0]
        said = images["cells_labels.tif"].getDescription()
        assert said == (
            f"Result from job 42 (Workflow {bench.provenance.run_id}) | analysis nuclei v1"
            f" | source: cells.tif (id: {source.image_id})"
        )
        assert "source" not in images["summary_labels.tif"].getDescription()
        assert report.notes == ("summary.tif is not linked to an image: its name begins with the name of none.",)

    def test_every_image_says_where_it_comes_from(self, bench: Bench, fresh: BlitzGateway) -> None:
        tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))
        report = bench.bring(replace(NOTHING, new_dataset="labels"))
        for kind in ("Image", "Dataset"):
            maps = maps_on(fresh, kind, only(report, kind))
            assert sorted(maps) == [
                NS_KEY,
                "biomero/workflow",
                "biomero/workflow/task/nuclei",
                "biomero/workflow/task/nuclei/job",
            ]
            assert maps["biomero/workflow"][0]["Workflow_ID"] == bench.provenance.run_id
            assert maps["biomero/workflow/task/nuclei"][0]["Param_diameter"] == "30"
            assert maps["biomero/workflow/task/nuclei/job"][0]["Job_ID"] == "42"

    def test_a_damaged_image_leaves_nothing_behind_and_does_not_stop_the_others(
        self, bench: Bench, fresh: BlitzGateway
    ) -> None:
        broken = bench.folder / "cells_mask.tif"
        ones = np.ones((3, 40, 50), "uint8")
        tifffile.imwrite(broken, ones, photometric="minisblack", compression="zlib", metadata={"axes": "ZYX"})
        with tifffile.TiffFile(broken) as tiff:
            page: Any = tiff.pages[2]
            offset = page.dataoffsets[0]
        with broken.open("r+b") as stream:
            stream.seek(offset)
            stream.write(b"\xff" * 8)
        tifffile.imwrite(bench.folder / "nuclei_mask.tif", np.ones((4, 5), "uint8"))
        with pytest.raises(ResultsError, match=r"Not everything .* cells_mask.tif cannot be read"):
            bench.bring(replace(NOTHING, new_dataset="labels"))
        assert [each.getName() for each in results_dataset(fresh, bench).listChildren()] == ["nuclei_mask.tif"]
        assert images_of_run(fresh, bench) == ["nuclei_mask.tif"]


class TestDatasets:
    @pytest.fixture(autouse=True)
    def result(self, bench: Bench) -> None:
        tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))

    def test_a_dataset_of_the_same_name_in_the_project_is_used_again(self, bench: Bench) -> None:
        options = replace(NOTHING, new_dataset="labels")
        assert only(bench.bring(options), "Dataset") == only(bench.again().bring(options), "Dataset")

    def test_a_dataset_of_the_same_name_in_another_project_is_left_alone(
        self, alice: BlitzGateway, bench: Bench
    ) -> None:
        elsewhere = make_dataset(alice, "labels", project_id=make_project(alice, "another project"))
        assert only(bench.bring(replace(NOTHING, new_dataset="labels")), "Dataset") != elsewhere

    def test_duplicates_are_made_if_they_are_allowed(self, bench: Bench) -> None:
        options = replace(NOTHING, new_dataset="labels", allow_duplicate_dataset=True)
        assert only(bench.bring(options), "Dataset") != only(bench.again().bring(options), "Dataset")

    def test_the_dataset_of_somebody_else_is_not_used(self, lab: Lab, bench: Bench) -> None:
        name = f"labels {uuid.uuid4()}"
        with logged_in(lab, "bob") as bob:
            of_bob = make_dataset(bob, name)
        assert only(bench.bring(replace(NOTHING, new_dataset=name)), "Dataset") != of_bob

    def test_an_id_beats_a_name(self, bench: Bench) -> None:
        options = replace(NOTHING, new_dataset="labels", dataset_id=bench.dataset_id)
        assert only(bench.bring(options), "Dataset") == bench.dataset_id

    def test_an_id_that_does_not_exist_is_refused_before_anything_is_written(
        self, bench: Bench, fresh: BlitzGateway
    ) -> None:
        with pytest.raises(RequestError, match="no Dataset 987654321"):
            bench.bring(replace(NOTHING, dataset_id=987654321))
        assert keys_of_run(fresh, bench) == []

    def test_without_a_project_the_dataset_stands_alone(self, alice: BlitzGateway, bench: Bench) -> None:
        image_id = import_image(alice, np.zeros((4, 5), "uint8"), "orphan.tif")
        source = SourceFile("orphan.zarr", "Image", image_id, image_id, "orphan.tif")
        report = replace(bench, sources=(source,)).bring(replace(NOTHING, new_dataset=f"alone {uuid.uuid4()}"))
        assert alice.getObject("Dataset", only(report, "Dataset")).getParent() is None


class TestFiles:
    def test_the_zip_of_everything_is_on_the_project(self, bench: Bench, fresh: BlitzGateway) -> None:
        (bench.folder / "deep").mkdir()
        (bench.folder / "deep/notes.txt").write_text("notes")
        (bench.folder / "m.csv").write_text("a\n1\n")
        bench.bring(replace(NOTHING, zip_to_parent=True))
        annotation = files_on(fresh, "Project", bench.project_id)["42_out.zip"]
        assert annotation.getNs() == "openmicroscopy.org/omero/scripts/results/created/SLURM/SLURM_GET_RESULTS"
        with zipfile.ZipFile(io.BytesIO(content(annotation))) as archive:
            assert archive.testzip() is None
            assert sorted(archive.namelist()) == ["deep/notes.txt", "m.csv", f"metadata_{bench.provenance.run_id}.csv"]
            assert archive.read("deep/notes.txt") == b"notes"

    def test_the_zip_of_an_image_without_dataset_is_on_the_image(self, alice: BlitzGateway, bench: Bench) -> None:
        image_id = import_image(alice, np.zeros((4, 5), "uint8"), "orphan.tif")
        (bench.folder / "x.txt").write_text("x")
        source = SourceFile("orphan.zarr", "Image", image_id, image_id, "orphan.tif")
        replace(bench, sources=(source,)).bring(replace(NOTHING, zip_to_parent=True))
        assert sorted(files_on(alice, "Image", image_id)) == ["42_out.zip", "omero-42.log"]

    def test_the_zip_of_a_plate_is_on_the_plate(self, alice: BlitzGateway, bench: Bench) -> None:
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

    def test_the_log_of_the_job_is_always_there(self, bench: Bench, fresh: BlitzGateway) -> None:
        tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))
        bench.bring(replace(NOTHING, new_dataset="labels"))
        log = files_on(fresh, "Project", bench.project_id)["omero-42.log"]
        assert content(log) == b"Running nuclei Job\n"
        assert log.getFile().getMimetype() == "text/plain"

    def test_the_log_of_a_failed_job_is_attached_once(self, bench: Bench, fresh: BlitzGateway) -> None:
        first, second = (attach_log(bench.gateway, bench.log, bench.sources, bench.provenance) for _ in range(2))
        assert first == second
        assert sorted(files_on(fresh, "Project", bench.project_id)) == ["omero-42.log"]

    def test_an_analysis_that_wrote_nothing_is_an_error_with_its_log_in_omero(
        self, bench: Bench, fresh: BlitzGateway
    ) -> None:
        with pytest.raises(ResultsError, match="The analysis wrote no results"):
            bench.bring(ImportOptions())
        assert sorted(files_on(fresh, "Project", bench.project_id)) == ["omero-42.log"]

    def test_result_images_can_be_attached_to_the_images_they_were_made_from(
        self, bench: Bench, fresh: BlitzGateway
    ) -> None:
        for name in ("cells_mask.tif", "nuclei_mask.tif"):
            tifffile.imwrite(bench.folder / name, np.ones((4, 5), "uint8"))
        bench.bring(replace(NOTHING, attach_to_images=True))
        for source, stem in zip(bench.sources, ("cells_mask", "nuclei_mask"), strict=True):
            ((name, annotation),) = files_on(fresh, "Image", source.image_id).items()
            assert name == f"{stem}.{bench.provenance.run_id}.tif"
            assert content(annotation) == (bench.folder / f"{stem}.tif").read_bytes()

    def test_other_files_can_be_attached_to_the_dataset(self, bench: Bench, fresh: BlitzGateway) -> None:
        large = np.random.default_rng(0).bytes(5 * 2**20)
        (bench.folder / "model.bin").write_bytes(large)
        bench.bring(replace(NOTHING, attach_files=True))
        files = files_on(fresh, "Dataset", bench.dataset_id)
        assert sorted(files) == [f"metadata_{bench.provenance.run_id}.csv", "model.bin"]
        assert content(files["model.bin"]) == large

    def test_a_zarr_result_is_in_the_zip_and_a_note_says_so(self, bench: Bench, fresh: BlitzGateway) -> None:
        (bench.folder / "l.zarr/0").mkdir(parents=True)
        (bench.folder / "l.zarr/0/0").write_bytes(b"chunk")
        report = bench.bring(replace(NOTHING, zip_to_parent=True))
        assert report.notes == (
            "OME-Zarr results cannot be imported as images or attached singly: l.zarr. They are in the zip.",
        )


class TestTables:
    CSV = "Image,Area (µm²),n,ok,label\ncells_1.tif,1.5,2,true,a\nnuclei.tif,,-3,false,ü\n"

    def test_a_csv_becomes_a_table_with_types_and_images(self, bench: Bench, fresh: BlitzGateway) -> None:
        (bench.folder / "m.csv").write_text(self.CSV, encoding="utf-8")
        bench.bring(replace(NOTHING, csv_tables=True))
        annotation = files_on(fresh, "Dataset", bench.dataset_id)[f"m_42_{bench.provenance.run_id}.csv"]
        assert annotation.getNs() == "openmicroscopy.org/omero/bulk_annotations"
        columns = read_table(fresh, annotation)
        assert {column.name: type(column).__name__ for column in columns} == {
            "Image_Name": "StringColumn",
            "Area_um2": "DoubleColumn",
            "n": "LongColumn",
            "ok": "BoolColumn",
            "label": "StringColumn",
            "Image": "ImageColumn",
        }
        values = {column.name: list(column.values) for column in columns}
        assert values["Image"] == [source.image_id for source in bench.sources]
        assert values["n"] == [2, -3]
        assert values["ok"] == [True, False]
        assert values["label"] == ["a", "ü"]
        assert values["Area_um2"][0] == 1.5
        assert math.isnan(values["Area_um2"][1])

    def test_many_rows_arrive_in_their_order(self, bench: Bench, fresh: BlitzGateway) -> None:
        (bench.folder / "m.csv").write_text("v\n" + "".join(f"{row}\n" for row in range(25_001)))
        bench.bring(replace(NOTHING, csv_tables=True))
        annotation = files_on(fresh, "Dataset", bench.dataset_id)[f"m_42_{bench.provenance.run_id}.csv"]
        (column,) = read_table(fresh, annotation)
        assert list(column.values) == list(range(25_001))

    def test_a_table_about_one_image_says_so_in_every_row(self, bench: Bench, fresh: BlitzGateway) -> None:
        (bench.folder / "cells_measurements.csv").write_text("v\n1\n2\n")
        bench.bring(replace(NOTHING, csv_tables=True))
        (annotation,) = [
            each for name, each in files_on(fresh, "Dataset", bench.dataset_id).items() if name.startswith("cells_")
        ]
        assert list(read_table(fresh, annotation)[-1].values) == [bench.sources[0].image_id] * 2

    def test_a_csv_that_is_no_table_is_attached_as_it_is(self, bench: Bench, fresh: BlitzGateway) -> None:
        (bench.folder / "m.csv").write_text("a,b\n1,2,3\n")
        report = bench.bring(replace(NOTHING, csv_tables=True))
        assert content(files_on(fresh, "Dataset", bench.dataset_id)["m.csv"]) == b"a,b\n1,2,3\n"
        assert report.notes == ("m.csv is no table: row 1 has 3 cells, its header has 2. It is attached as a file.",)

    def test_where_omero_has_no_tables_a_csv_is_attached_as_it_is(self, bench: Bench, fresh: BlitzGateway) -> None:
        (bench.folder / "m.csv").write_text("a\n1\n")
        report = bench.bring(replace(NOTHING, csv_tables=True), gateway=WithoutTables(bench.gateway))
        assert content(files_on(fresh, "Dataset", bench.dataset_id)["m.csv"]) == b"a\n1\n"
        assert report.notes == ("OMERO has no tables service: CSV files are attached as they are.",)


class TestPermissions:
    @pytest.fixture
    def readers(self, lab: Lab) -> str:
        """A group whose members see each other's data and may do nothing to them."""
        with logged_in(lab, "root") as root:
            admin = root.c.sf.getAdminService()
            group = omero.model.ExperimenterGroupI()
            name = f"readers-{uuid.uuid4()}"
            group.setName(rstring(name))
            group._details = group.getDetails() or omero.model.DetailsI()
            group.getDetails().setPermissions(omero.model.PermissionsI("rwr---"))
            group_id = admin.createGroup(group)
            for user in ("alice", "bob"):
                member = admin.lookupExperimenter(user)
                admin.addGroups(member, [omero.model.ExperimenterGroupI(group_id, False)])
        return name

    @pytest.mark.parametrize("option", ["zip_to_parent", "attach_to_images", "attach_files", "csv_tables"])
    def test_in_a_read_only_group_nothing_is_attached_to_the_data_of_others(
        self, lab: Lab, readers: str, tmp_path: Path, option: str
    ) -> None:
        with logged_in(lab, "alice", readers) as alice, logged_in(lab, "bob", readers) as bob:
            bench = make_bench(alice, tmp_path)
            tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))
            options = ImportOptions.from_json(NOTHING.to_json() | {option: True})
            with pytest.raises(NotPermitted, match="You may not attach results"):
                check_permissions(bob, bench.sources, options)
            with pytest.raises(NotPermitted):
                bench.bring(options, gateway=bob)
            assert keys_of_run(bob, bench) == []

    def test_in_a_read_only_group_results_go_to_a_dataset_of_ones_own(
        self, lab: Lab, readers: str, tmp_path: Path
    ) -> None:
        with logged_in(lab, "alice", readers) as alice, logged_in(lab, "bob", readers) as bob:
            bench = make_bench(alice, tmp_path)
            tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))
            options = replace(NOTHING, new_dataset=f"of bob {uuid.uuid4()}", csv_tables=True)
            check_permissions(bob, bench.sources, options)
            report = bench.bring(options, gateway=bob)
            dataset = bob.getObject("Dataset", only(report, "Dataset"))
            assert dataset.getOwner().getName() == "bob"
            assert dataset.getParent() is None
            assert [each.getName() for each in dataset.listChildren()] == ["cells_mask.tif"]
            assert "omero-42.log" in files_on(bob, "Dataset", dataset.getId())
            assert "is not open to you" in report.notes[0]

    def test_images_that_cannot_be_seen_are_refused(self, lab: Lab, bench: Bench) -> None:
        with logged_in(lab, "bob", "lab-b") as bob, pytest.raises(RequestError, match="None of the analysed images"):
            check_permissions(bob, bench.sources, ImportOptions())

    def test_nothing_chosen_is_refused(self, bench: Bench) -> None:
        with pytest.raises(RequestError, match="Nothing was chosen"):
            check_permissions(bench.gateway, bench.sources, NOTHING)

    def test_a_wrong_pattern_is_refused(self, bench: Bench) -> None:
        with pytest.raises(RequestError, match="unknown variable"):
            check_permissions(bench.gateway, bench.sources, replace(NOTHING, new_dataset="x", rename="{nope}"))

    def test_the_key_of_somebody_else_is_not_believed(self, lab: Lab, bench: Bench, fresh: BlitzGateway) -> None:
        tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))
        with logged_in(lab, "bob") as bob:
            trap = omero.model.DatasetI()
            trap.setName(rstring("trap"))
            key = omero.model.MapAnnotationI()
            key.setNs(rstring(NS_KEY))
            pairs = {
                "Run": bench.provenance.run_id,
                "Task": "-",
                "Source": "-",
                "Role": "dataset:labels",
                "SHA-256": "",
            }
            key.setMapValue([omero.model.NamedValue(*pair) for pair in (pairs | {"State": "complete"}).items()])
            trap.linkAnnotation(key)
            trap_id = bob.getUpdateService().saveAndReturnObject(trap, bob.SERVICE_OPTS).getId().val
        assert only(bench.bring(replace(NOTHING, new_dataset="labels")), "Dataset") != trap_id


class TestRepetition:
    OPTIONS = ImportOptions(
        zip_to_parent=True, attach_to_images=True, new_dataset="labels", csv_tables=True, attach_files=True
    )

    @staticmethod
    def write_results(bench: Bench) -> None:
        tifffile.imwrite(bench.folder / "cells_mask.tif", np.full((2, 4, 5), 7, "uint16"), metadata={"axes": "ZYX"})
        (bench.folder / "cells_m.csv").write_text("a,b\n1,x\n")
        (bench.folder / "notes.txt").write_text("notes")

    def test_twice_gives_the_same_objects_once(self, bench: Bench, fresh: BlitzGateway) -> None:
        self.write_results(bench)
        first = bench.bring(self.OPTIONS)
        before = state(fresh, bench)
        counted = MortalGateway(bench.gateway)
        assert bench.bring(self.OPTIONS, gateway=counted) == first
        assert counted.writes == 0
        assert state(fresh, bench) == before

    def test_progress_goes_from_nothing_to_all(self, bench: Bench) -> None:
        self.write_results(bench)
        seen: list[tuple[int, int]] = []
        bench.bring(self.OPTIONS, progress=lambda done, total: seen.append((done, total)))
        assert seen[0] == (0, 5)
        assert seen[-1] == (5, 5)
        assert seen == sorted(seen)

    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("reply_lost", [False, True], ids=["before the write", "after the write"])
    def test_killed_at_any_write_and_repeated_gives_the_same_objects_once(
        self, bench: Bench, lab: Lab, fresh: BlitzGateway, reply_lost: bool
    ) -> None:
        self.write_results(bench)
        clean = MortalGateway(bench.gateway)
        bench.bring(replace(self.OPTIONS, allow_duplicate_dataset=True), gateway=clean)
        expected = state(fresh, bench)
        assert clean.writes > 20
        for number in range(1, clean.writes + 1):
            again = bench.again()
            options = replace(self.OPTIONS, allow_duplicate_dataset=True)
            with logged_in(lab, "alice") as mortal, pytest.raises(Killed):
                again.bring(options, gateway=MortalGateway(mortal, number, reply_lost=reply_lost))
            again.bring(options)
            assert state(fresh, again) == expected, f"killed at write {number}"

    @pytest.mark.filterwarnings("ignore:isSet:DeprecationWarning")  # omero-py's own
    def test_an_image_that_was_deleted_is_imported_again(self, bench: Bench, fresh: BlitzGateway) -> None:
        self.write_results(bench)
        options = replace(NOTHING, new_dataset="labels")
        first = only(bench.bring(options), "Image")
        bench.gateway.deleteObjects("Image", [first], wait=True)
        second = only(bench.bring(options), "Image")
        assert second != first
        assert [each.getId() for each in results_dataset(fresh, bench).listChildren()] == [second]

    def test_two_tasks_of_a_run_with_the_same_results_have_their_own_objects_in_one_dataset(
        self, bench: Bench, fresh: BlitzGateway
    ) -> None:
        self.write_results(bench)
        options = replace(self.OPTIONS, allow_duplicate_dataset=True)
        other = replace(bench, provenance=replace(bench.provenance, task_id=str(uuid.uuid4()), job_id=43))
        first, second = bench.bring(options), other.bring(options)
        assert only(first, "Dataset") == only(second, "Dataset")
        assert [each.getName() for each in results_dataset(fresh, bench).listChildren()] == ["cells_mask.tif"] * 2
        assert [each.kind for each in set(first.objects) & set(second.objects)] == ["Dataset"]
        assert {"42_out.zip", "43_out.zip"} <= set(files_on(fresh, "Project", bench.project_id))

    def test_another_run_with_the_same_results_has_its_own_objects(self, bench: Bench) -> None:
        self.write_results(bench)
        options = replace(NOTHING, new_dataset="labels")
        assert only(bench.bring(options), "Image") != only(bench.again().bring(options), "Image")


class WithoutTables:
    """A gateway to an OMERO whose tables service is switched off."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __getattr__(self, name: str) -> Any:
        if name == "areTablesEnabled":
            return lambda *_: False
        value = getattr(self._thing, name)
        if name in {"c", "sf"}:
            return WithoutTables(value)
        return (lambda: WithoutTables(value())) if name == "sharedResources" else value


def read_table(gateway: BlitzGateway, annotation: Any) -> list[Any]:
    """All columns of a table with all their values."""
    table = gateway.c.sf.sharedResources().openTable(omero.model.OriginalFileI(annotation.getFile().getId(), False))
    try:
        count = table.getNumberOfRows()
        data = table.read(list(range(len(table.getHeaders()))), 0, count)
        return list(data.columns)
    finally:
        table.close()


def ask(gateway: BlitzGateway, hql: str, **values: str | int) -> list[list[Any]]:
    parameters = omero.sys.ParametersI()
    for name, value in values.items():
        parameters.add(name, wrap(value))
    rows = gateway.getQueryService().projection(hql, parameters, gateway.SERVICE_OPTS)
    return [unwrap(row) for row in rows]


def images_of_run(gateway: BlitzGateway, bench: Bench) -> list[str]:
    """Names of all images that say that they come from this run, in a dataset or not."""
    hql = "select i.name from Image i where i.description like :said"
    return sorted(row[0] for row in ask(gateway, hql, said=f"%{bench.provenance.run_id}%"))


def keys_of_run(gateway: BlitzGateway, bench: Bench) -> list[tuple[str, ...]]:
    """Role and state of every idempotency key of the run."""
    hql = (
        "select a.id, nv.name, nv.value from MapAnnotation a join a.mapValue run join a.mapValue nv"
        " where a.ns = :ns and run.name = 'Run' and run.value = :run"
    )
    pairs: dict[int, dict[str, str]] = {}
    for key_id, name, value in ask(gateway, hql, ns=NS_KEY, run=bench.provenance.run_id):
        pairs.setdefault(key_id, {})[name] = value
    return sorted((said["Role"], said["State"]) for said in pairs.values())


def state(gateway: BlitzGateway, bench: Bench) -> dict[str, Any]:
    """Everything in OMERO that came of a run, with its uuid taken out."""
    run_id = bench.provenance.run_id
    labelled = (
        "select l.parent.id from DatasetAnnotationLink l, MapAnnotation a join a.mapValue run"
        " where l.child.id = a.id and a.ns = :ns and run.name = 'Run' and run.value = :run"
    )
    datasets = [row[0] for row in ask(gateway, labelled, ns=NS_KEY, run=run_id)]
    images = {}
    for dataset_id in datasets:
        for image in gateway.getObject("Dataset", dataset_id).listChildren():
            pixels = image.getPrimaryPixels()
            planes = [int(pixels.getPlane(z, 0, 0).min()) for z in range(image.getSizeZ())]
            maps = {ns: len(found) for ns, found in maps_on(gateway, "Image", image.getId()).items()}
            images[image.getName()] = (planes, sorted(maps.items()))
    places = [("Project", bench.project_id), ("Dataset", bench.dataset_id), *(("Dataset", each) for each in datasets)]
    places += [("Image", source.image_id) for source in bench.sources]
    files = "select f.name, f.size from OriginalFile f where f.path like :path or f.name like :name"
    return {
        "datasets": len(datasets),
        "images": images,
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
