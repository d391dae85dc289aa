"""Results in place: from the dialog to images that the released importer has made, also when it does not do well."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.lab import samples
from tests.lab.fixtures import empty_database
from tests.lab.importer.service import COMPLETED, PENDING, STARTED, Importer, environment
from tests.lab.omero.images import import_image, make_plate
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript
from tests.system.results_bench import ask, maps_on

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path
    from uuid import UUID

    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab
    from tests.system.direct import Ended

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

USER = "alice"
SIZE = 64
"""Of the corners of the real micrograph that are analysed, in pixels."""

PATIENCE_S = 12
"""How long no news of an order are taken: longer than the importer's pause between two looks, with room to spare."""

CELLS = [f"cell {index}.tif" for index in range(5)]


@pytest.fixture(scope="module")
def deployment(lab: Lab, importer: Importer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A worker whose results are imported in place, and its engine."""
    with empty_database(lab) as database_url:
        deployment = in_place(lab, importer, tmp_path_factory.mktemp("in_place"), database_url)
        deployment.configure("WORKER", importer_timeout_s=str(PATIENCE_S))
        with deployment.engine():
            yield deployment


def in_place(lab: Lab, importer: Importer, directory: Path, database_url: str) -> Deployment:
    """Set a worker up whose results are imported in place."""
    deployment = Deployment.create(lab, directory, database_url)
    deployment.environ.update(environment(importer))
    return deployment


@pytest.fixture
def fresh(lab: Lab) -> Iterator[BlitzGateway]:
    """A client of the person's, which has seen nothing of what was written."""
    with logged_in(lab, USER) as gateway:
        yield gateway


class Analysis:
    """A run that a person has started from the dialog."""

    def __init__(self, deployment: Deployment, title: str, into: str = "Dataset", **fields: object) -> None:
        self.deployment = deployment
        self.title = f"{title} {time.time_ns()}"
        directory = deployment.directory / self.title
        directory.mkdir()
        inputs: dict[str, object] = {
            "Data_Type": "Image",
            "E-mail": False,
            "Select how to import your results (one or more)": True,
            "1) Zip attachment to parent": False,
            f"3a) Import into NEW {into}": self.title,
            "4) Upload result CSVs as OMERO tables": False,
        }
        for name in {"nuclei", "echo_plain"} & set(fields):
            inputs[f"{name}_Version"] = deployment.lab.nuclei_version
        self.script = DirectScript(deployment.lab, USER, inputs | fields, deployment.environ, directory)

    def run_id(self) -> UUID:
        """The run, which is told by what its results were to be put into."""
        with self.deployment.record() as record:
            for row in record.reader.list_runs():
                if self.title in str((record.tracker.run(row.run_id).request or {}).get("output")):
                    return row.run_id
        raise AssertionError(f"there is no run {self.title}")

    def statuses(self) -> list[str]:
        """Status of each import of the run."""
        with self.deployment.record() as record:
            tasks = [record.tracker.task(task_id) for task_id in record.tracker.run(self.run_id()).tasks]
            return [task.status for task in tasks if task.task_name == "SLURM_Import_Results.py"]

    def wait_for_run(self, *statuses: str, timeout_s: float = 90.0) -> str:
        """Wait until the run has one of some statuses."""
        deadline = time.monotonic() + timeout_s
        run_id = self.run_id()
        with self.deployment.record() as record:
            while (status := record.reader.run(run_id).status) not in statuses:
                assert time.monotonic() < deadline, f"the run is {status}"
                time.sleep(0.2)
        return str(status)

    def images(self, gateway: BlitzGateway) -> dict[str, Any]:
        """The images in the dataset of the results by name; no two may have the same."""
        query = (
            "select i.id, i.name from DatasetImageLink l join l.child i "
            "where l.parent.name = :name and l.parent.details.owner.omeName = :user"
        )
        rows = ask(gateway, query, name=self.title, user=USER)
        assert len({name for _, name in rows}) == len(rows), rows
        return {name: gateway.getObject("Image", image_id) for image_id, name in rows}


def cells(lab: Lab) -> dict[str, int]:
    """Five images to be analysed, each another corner of the micrograph."""
    with logged_in(lab, USER) as gateway:
        return {
            name: import_image(gateway, samples.nuclei_image()[index * 8 : index * 8 + SIZE, :SIZE], name)
            for index, name in enumerate(CELLS)
        }


@contextmanager
def analysed(deployment: Deployment, title: str, **fields: Any) -> Iterator[Analysis]:
    """Press Run, for the length of the block."""
    analysis = Analysis(deployment, title, **fields)
    try:
        yield analysis
    finally:
        analysis.script.close()


@pytest.fixture(scope="module")
def runs(deployment: Deployment, importer: Importer) -> Iterator[Mapping[str, tuple[Analysis, Ended]]]:
    """Runs that a person has started at the same time, as the importer looks for orders every 5 s only."""
    lab = deployment.lab
    with logged_in(lab, USER) as gateway:
        corner = import_image(gateway, samples.nuclei_image()[:SIZE, :SIZE], "corner.tif")
        field = np.arange(2 * 20 * 30, dtype="uint16").reshape(1, 2, 1, 20, 30)
        plate = make_plate(gateway, "plate", 1, 2, 1, lambda _, column, __: field + column)
    dialogs: dict[str, dict[str, Any]] = {
        "several": {"IDs": [corner], "nuclei": True, "nuclei_|_label_suffix": "_found.ome.zarr", "echo_plain": True},
        "damaged": {"IDs": list(cells(lab).values()), "nuclei": True},
        "plate": {
            "Data_Type": "Plate",
            "IDs": [plate],
            "Use_ZARR_Format": True,
            "echo_plain": True,
            "into": "Screen",
        },
    }
    with ExitStack() as stack:
        with importer.trouble(damaged=["cell 3_labels.tif"]):
            started = {
                name: stack.enter_context(analysed(deployment, name, **given)) for name, given in dialogs.items()
            }
            ended = {name: (analysis, analysis.script.wait()) for name, analysis in started.items()}
        yield ended


def test_files_and_labels_in_an_ome_zarr_become_images(
    runs: Mapping[str, tuple[Analysis, Ended]], fresh: BlitzGateway, importer: Importer
) -> None:
    analysis, ended = runs["several"]
    assert ended.exit_status == 0, ended.message
    assert analysis.statuses() == ["IMPORTED", "IMPORTED"]
    images = analysis.images(fresh)
    assert sorted(images) == ["corner_copy.tif", "corner_found.ome.zarr [nuclei]"]
    corner = samples.nuclei_image()[:SIZE, :SIZE]
    for name, image in images.items():
        pixels = image.getPrimaryPixels().getPlane(0, 0, 0)
        if name == "corner_copy.tif":
            np.testing.assert_array_equal(pixels, corner)
            # The importer has found metadata.csv beside the file.
            (said,) = maps_on(fresh, "Image", image.getId())["biomero.import"]
            assert said["csv_Workflow_ID"] == str(analysis.run_id())
        else:
            assert 0 < pixels.max() < 100
        assert_annotated(fresh, image, analysis)
        assert "source: corner.tif" in image.getDescription()
    orders = importer.orders(str(analysis.run_id()))
    assert len(orders) == 2
    assert all(f"/lab-a/.analyzed/{analysis.run_id()}/" in file for files in orders.values() for file in files)


def test_one_damaged_file_of_five_is_named_and_the_others_are_there(
    runs: Mapping[str, tuple[Analysis, Ended]], fresh: BlitzGateway, importer: Importer
) -> None:
    analysis, ended = runs["damaged"]
    assert ended.exit_status != 0
    (order,) = importer.orders(str(analysis.run_id()))
    assert "cell 3_labels.tif" in ended.message
    assert order in ended.message
    assert analysis.statuses() == ["IMPORT_FAILED"]
    first = analysis.images(fresh)
    assert sorted(first) == [f"cell {index}_labels.tif" for index in (0, 1, 2, 4)]
    for image in first.values():
        assert_annotated(fresh, image, analysis)

    # The file is mended, and the import is retried: only that one is ordered.
    analysis.deployment.command("runs", "retry", str(analysis.run_id()))
    assert analysis.wait_for_run("DONE", "FAILED") == "DONE"
    after = analysis.images(fresh)
    assert sorted(after) == [f"cell {index}_labels.tif" for index in range(5)]
    assert {name: image.getId() for name, image in after.items() if name in first} == {
        name: image.getId() for name, image in first.items()
    }
    assert_annotated(fresh, after["cell 3_labels.tif"], analysis)
    (_, files), (_, again) = importer.orders(str(analysis.run_id())).items()
    assert again == [file for file in files if file.endswith("cell 3_labels.tif")]


def test_a_plate_goes_into_the_screen(
    runs: Mapping[str, tuple[Analysis, Ended]], fresh: BlitzGateway, importer: Importer
) -> None:
    analysis, ended = runs["plate"]
    assert ended.exit_status == 0, ended.message
    query = "select l.child.id from ScreenPlateLink l where l.parent.name = :name"
    ((plate_id,),) = ask(fresh, query, name=analysis.title)
    plate = fresh.getObject("Plate", plate_id)
    wells = {(well.row, well.column): well.listChildren() for well in plate.listChildren()}
    assert set(wells) == {(0, 0), (0, 1)}
    for (_, column), fields in wells.items():
        (field,) = fields
        pixels = field.image().getPrimaryPixels()
        for c in range(2):
            expected = np.arange(20 * 30).reshape(20, 30) + c * 600 + column
            np.testing.assert_array_equal(pixels.getPlane(0, c, 0), expected)
    assert maps_on(fresh, "Plate", plate_id)["biomero/workflow"][0]["Workflow_ID"] == str(analysis.run_id())


def test_an_importer_that_is_down_is_waited_for_and_named(
    lab: Lab, fresh: BlitzGateway, importer: Importer, tmp_path: Path, database_url: str
) -> None:
    # No engine: the script itself tells what it waits for.
    deployment = in_place(lab, importer, tmp_path, database_url)
    deployment.configure("WORKER", importer_timeout_s="5")
    with importer.down(), analysed(deployment, "down", IDs=list(cells(lab).values())[:1], nuclei=True) as analysis:
        analysis.script.wait_until("waits for the importer")
        assert analysis.statuses() == ["IMPORTING"]
        ended = analysis.script.wait()
        assert ended.exit_status != 0
        (order,) = importer.orders(str(analysis.run_id()))
        assert order in ended.message
        assert analysis.statuses() == ["IMPORT_FAILED"]
        assert not analysis.images(fresh)

        # A person retries it, and then the importer comes up. It will never look at the order that it finds; another
        # one is placed by nobody's hand.
        deployment.configure("WORKER", importer_timeout_s=str(PATIENCE_S))
        deployment.command("runs", "retry", str(analysis.run_id()))
        with deployment.engine():
            importer.start()
            assert analysis.wait_for_run("DONE", "FAILED") == "DONE"
    assert list(analysis.images(fresh)) == ["cell 0_labels.tif"]
    assert analysis.statuses() == ["IMPORTED"]


def test_a_restart_amidst_an_order_neither_doubles_nor_loses_an_image(
    deployment: Deployment, fresh: BlitzGateway, importer: Importer
) -> None:
    ids = list(cells(deployment.lab).values())
    with importer.trouble(slow_s=1), analysed(deployment, "restart", IDs=ids, nuclei=True) as analysis:
        deadline = time.monotonic() + 90
        while not (images := analysis.images(fresh)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        importer.restart()
        assert len(images) < len(ids)
        ended = analysis.script.wait()
    assert ended.exit_status == 0, ended.message
    images = analysis.images(fresh)
    assert sorted(images) == [f"cell {index}_labels.tif" for index in range(5)]
    for image in images.values():
        # The importer was killed before it annotated the last image that it had made; ours are there nevertheless.
        assert_annotated(fresh, image, analysis, by_importer={0, 1})


def test_of_what_two_importers_have_made_one_set_is_the_result_and_the_other_is_named(
    deployment: Deployment, fresh: BlitzGateway, importer: Importer
) -> None:
    corner = list(cells(deployment.lab).values())[:2]
    base_dir = {"base_dir": str(importer.storage)}
    second = Importer(deployment.lab, importer.database_url, base_dir, name="importer-2")
    second.start()
    try:
        # The first is still at work when the second is done.
        with importer.trouble(slow_s=3), analysed(deployment, "two", IDs=corner, nuclei=True) as analysis:
            ended = analysis.script.wait()
    finally:
        second.close()
    assert ended.exit_status == 0, ended.message
    (order,) = importer.orders(str(analysis.run_id()))
    assert importer.stages(order) == [PENDING, STARTED, STARTED, COMPLETED, COMPLETED]
    query = "select l.child.id from DatasetImageLink l where l.parent.name = :name"
    ids = {image_id for (image_id,) in ask(fresh, query, name=analysis.title)}
    ours = {each for each in ids if "biomero/workflow" in maps_on(fresh, "Image", each)}
    assert (len(ids), len(ours)) == (4, 2)
    first, last = sorted(ids - ours)
    assert re.search(rf"more than once\. Copies, [^:]*: images {first}(-|, ){last}\.", ended.message)
    assert f"Several importers took order {order}" in ended.message


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_importer_that_is_slow_is_not_given_up_while_images_arrive(
    deployment: Deployment, fresh: BlitzGateway, importer: Importer
) -> None:
    ids = list(cells(deployment.lab).values())
    # All of them take longer than the worker is patient; one alone does not, on a busy machine either.
    slow_s = PATIENCE_S
    deployment.configure("WORKER", importer_timeout_s=str(3 * slow_s))
    try:
        with importer.trouble(slow_s=slow_s), analysed(deployment, "slow", IDs=ids, nuclei=True) as analysis:
            ended = analysis.script.wait(300)
    finally:
        deployment.configure("WORKER", importer_timeout_s=str(PATIENCE_S))
    assert ended.exit_status == 0, ended.message
    assert len(analysis.images(fresh)) == len(ids)
    ((_, files),) = importer.orders(str(analysis.run_id())).items()
    assert len(files) == len(ids)


def assert_annotated(
    gateway: BlitzGateway, image: Any, analysis: Analysis, *, by_importer: Collection[int] = (1,)
) -> None:
    """An image tells once which run it comes from, and once what the importer did, or as often as is said."""
    maps = maps_on(gateway, "Image", image.getId())
    assert [each["Workflow_ID"] for each in maps["biomero/workflow"]] == [str(analysis.run_id())]
    assert len(maps.get("biomero.import", [])) in by_importer
