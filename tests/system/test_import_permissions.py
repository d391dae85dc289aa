"""What a person may not do is refused before anything is written."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import omero.model
import pytest
import tifffile
from omero.rtypes import rstring

from tests.lab.omero.images import import_image, make_plate
from tests.lab.person import logged_in
from tests.system.deployment import Deployment
from tests.system.direct import DirectScript
from tests.system.results_bench import NOTHING, Bench, ask, children, files_on, keys_of_run, make_bench, only
from worker.errors import NotPermitted, RequestError
from worker.results.importer import check_permissions
from worker.results.ledger import NS_KEY
from worker.results.model import ImportOptions, SourceFile
from worker.results.surroundings import read_places

if TYPE_CHECKING:
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab


def make_group(lab: Lab, permissions: str) -> str:
    """A new group of alice and bob."""
    with logged_in(lab, "root") as root:
        admin = root.c.sf.getAdminService()
        group = omero.model.ExperimenterGroupI()
        name = f"{permissions} {uuid.uuid4()}"
        group.setName(rstring(name))
        group._details = group.getDetails() or omero.model.DetailsI()
        group.getDetails().setPermissions(omero.model.PermissionsI(permissions))
        group_id = admin.createGroup(group)
        for user in ("alice", "bob"):
            member = admin.lookupExperimenter(user)
            admin.addGroups(member, [omero.model.ExperimenterGroupI(group_id, False)])
    return name


@pytest.fixture
def readers(lab: Lab) -> str:
    """A group whose members see each other's data and may do nothing to them."""
    return make_group(lab, "rwr---")


def chosen(bench: Bench, screen_id: int, plate_id: int) -> dict[str, dict[str, Any]]:
    """Everything that needs alice's leave where the data are hers."""
    place = f"Project:{bench.project_id}"
    return {
        "zip to the parent": {"zip_to_parent": True},
        "zip to a place": {"zip_to_parent": True, "zip_places": [place]},
        "zip to a plate": {"zip_to_parent": True, "zip_places": [f"Plate:{plate_id}"]},
        "zip to a screen": {"zip_to_parent": True, "zip_places": [f"Screen:{screen_id}"]},
        "tables": {"csv_tables": True},
        "tables to a place": {"csv_tables": True, "new_dataset": "mine", "table_places": [place]},
        "files": {"attach_files": True},
        "files to a place": {"attach_files": True, "file_places": [f"Dataset:{bench.dataset_id}"]},
        "images as files": {"attach_to_images": True},
        "ROIs": {"create_rois": True},
        "images into a dataset": {"dataset_id": bench.dataset_id},
        "plates into a screen": {"screen_id": screen_id, "new_dataset": "mine"},
    }


IMPORTS: Final = {"images into a dataset", "plates into a screen"}
"""What needs leave to put something into a container, and not just to annotate."""


@pytest.mark.parametrize(
    ("permissions", "refused"),
    [("rwr---", None), ("rwra--", IMPORTS), ("rwrw--", set())],
    ids=["read-only", "read-annotate", "read-write"],
)
def test_what_the_group_does_not_allow_is_refused_at_the_door_with_a_clear_message(
    lab: Lab, tmp_path: Path, permissions: str, refused: set[str] | None
) -> None:
    group = make_group(lab, permissions)
    with logged_in(lab, "alice", group) as alice, logged_in(lab, "bob", group) as bob:
        bench = make_bench(alice, tmp_path)
        plate_id = make_plate(alice, "plate", 1, 1, 1, lambda *_: np.ones((4, 5), "uint8"))
        screen = omero.model.ScreenI()
        screen.setName(rstring("screen"))
        screen_id = alice.getUpdateService().saveAndReturnObject(screen, alice.SERVICE_OPTS).getId().val
        choices = chosen(bench, screen_id, plate_id)
        for what, choice in choices.items():
            options = ImportOptions.from_json(NOTHING.to_json() | choice)
            check_permissions(alice, bench.sources, options)
            if refused is None or what in refused:
                with pytest.raises(NotPermitted, match=r"You may not .*(cells|screen|analysed|project|plate)") as said:
                    check_permissions(bob, bench.sources, options)
                assert said.value.remedy, what
            else:
                check_permissions(bob, bench.sources, options)


def test_in_a_private_group_nobody_analyses_what_others_own(lab: Lab, tmp_path: Path) -> None:
    group = make_group(lab, "rw----")
    with logged_in(lab, "alice", group) as alice, logged_in(lab, "bob", group) as bob:
        bench = make_bench(alice, tmp_path)
        check_permissions(alice, bench.sources, replace(NOTHING, new_dataset="mine", create_rois=True))
        with pytest.raises(RequestError, match="None of the analysed images can be seen"):
            check_permissions(bob, bench.sources, replace(NOTHING, new_dataset="mine"))
        for place in (f"Project:{bench.project_id}", f"Dataset:{bench.dataset_id}"):
            with pytest.raises(RequestError, match=r"There is no (Project|Dataset) \d+ that you can see"):
                read_places(bob, [place])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zip_to_parent": True, "zip_places": ["Project 12"]}, "'Project 12' is nothing to attach"),
        ({"zip_to_parent": True, "zip_places": ["Experimenter:1"]}, "'Experimenter:1' is nothing to attach"),
        ({"attach_files": True, "file_places": ["Plate:987654321"]}, "no Plate 987654321"),
        ({"screen_id": 987654321, "new_dataset": "x"}, "no Screen 987654321"),
        ({"new_dataset": "  "}, "name of the new dataset is blank"),
        ({"new_screen": "s" * 256, "new_dataset": "x"}, "name of the new screen has 256 characters"),
    ],
)
def test_what_does_not_exist_or_cannot_be_is_refused_at_the_door(
    bench: Bench, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        check_permissions(bench.gateway, bench.sources, ImportOptions.from_json(NOTHING.to_json() | options))


def test_a_run_that_may_not_write_its_results_submits_no_job(
    lab: Lab, readers: str, tmp_path: Path, database_url: str
) -> None:
    deployment = Deployment.create(lab, tmp_path, database_url)
    with logged_in(lab, "alice", readers) as alice:
        image_id = import_image(alice, np.ones((4, 5), "uint8"), "cells.tif")
    inputs: dict[str, object] = {
        "Data_Type": "Image",
        "IDs": [image_id],
        "Select how to import your results (one or more)": True,
        "1) Zip attachment to parent": True,
        "nuclei": True,
        "nuclei_Version": lab.nuclei_version,
    }
    (tmp_path / "script").mkdir()
    script = DirectScript(lab, "bob", inputs, deployment.environ, tmp_path / "script", group=readers)
    ended = script.wait()
    assert ended.exit_status != 0
    assert "You may not attach results" in ended.message
    with deployment.record() as record:
        (row,) = record.reader.list_runs()
        run = record.tracker.run(row.run_id)
        assert row.status == "FAILED"
        assert [job for task_id in run.tasks for job in record.tracker.task(task_id).job_ids] == []


@pytest.mark.parametrize("option", ["zip_to_parent", "attach_to_images", "attach_files", "csv_tables"])
def test_in_a_read_only_group_nothing_is_attached_to_the_data_of_others(
    lab: Lab, readers: str, tmp_path: Path, option: str
) -> None:
    with logged_in(lab, "alice", readers) as alice, logged_in(lab, "bob", readers) as bob:
        bench = make_bench(alice, tmp_path)
        tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))
        options = ImportOptions.from_json(NOTHING.to_json() | {option: True})
        with pytest.raises(NotPermitted, match="You may not attach results"):
            check_permissions(bob, bench.sources, options)
        # Whoever loses the right while the job runs finds its log all the same, on nobody's data.
        with pytest.raises(NotPermitted, match=r"The log of the job is in OMERO: file annotation \d+\."):
            bench.bring(options, gateway=bob)
        assert keys_of_run(bob, bench) == [("log:42", "complete")]
        assert files_on(alice, "Project", bench.project_id) == {}


def test_in_a_read_only_group_results_go_to_a_dataset_of_ones_own(lab: Lab, readers: str, tmp_path: Path) -> None:
    with logged_in(lab, "alice", readers) as alice, logged_in(lab, "bob", readers) as bob:
        bench = make_bench(alice, tmp_path)
        tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))
        options = replace(NOTHING, new_dataset=f"of bob {uuid.uuid4()}", csv_tables=True)
        check_permissions(bob, bench.sources, options)
        report = bench.bring(options, gateway=bob)
        dataset = bob.getObject("Dataset", only(report, "Dataset"))
        assert dataset.getOwner().getName() == "bob"
        assert dataset.getParent() is None
        assert [each.getName() for each in children(bob, "Dataset", dataset.getId())] == ["cells_mask.tif"]
        assert "omero-42.log" in files_on(bob, "Dataset", dataset.getId())
        assert "is not open to you" in report.notes[0]


def test_in_a_read_only_group_results_of_wells_go_to_a_plate_and_a_screen_of_ones_own(
    lab: Lab, readers: str, tmp_path: Path
) -> None:
    with logged_in(lab, "alice", readers) as alice, logged_in(lab, "bob", readers) as bob:
        plate_id = make_plate(alice, "plate", 1, 1, 1, lambda *_: np.ones((4, 5), "uint8"))
        hql = "select ws.image.id from WellSample ws where ws.well.plate.id = :id"
        (image_id,) = ask(alice, hql, id=plate_id)[0]
        bench = replace(
            make_bench(alice, tmp_path), sources=(SourceFile("p.zarr/A/1/0", "Plate", plate_id, image_id, "field"),)
        )
        tifffile.imwrite(bench.folder / "p_A01_s001_mask.tif", np.full((4, 5), 7, "uint8"))
        options = replace(NOTHING, new_screen=f"of bob {uuid.uuid4()}")
        check_permissions(bob, bench.sources, options)
        report = bench.bring(options, gateway=bob)
        plate = bob.getObject("Plate", only(report, "Plate"))
        assert (plate.getName(), plate.getOwner().getName()) == ("plate_mask", "bob")
        assert "omero-42.log" in files_on(bob, "Screen", only(report, "Screen"))
        (derived_id,) = ask(bob, hql, id=plate.getId())[0]
        assert bob.getObject("Image", derived_id).getPrimaryPixels().getPlane(0, 0, 0).min() == 7


def test_images_that_cannot_be_seen_are_refused(lab: Lab, bench: Bench) -> None:
    with logged_in(lab, "bob", "lab-b") as bob, pytest.raises(RequestError, match="None of the analysed images"):
        check_permissions(bob, bench.sources, ImportOptions())


def test_nothing_chosen_is_refused(bench: Bench) -> None:
    with pytest.raises(RequestError, match="Nothing was chosen"):
        check_permissions(bench.gateway, bench.sources, NOTHING)


def test_a_wrong_pattern_is_refused(bench: Bench) -> None:
    with pytest.raises(RequestError, match="unknown variable"):
        check_permissions(bench.gateway, bench.sources, replace(NOTHING, new_dataset="x", rename="{nope}"))


def test_the_key_of_somebody_else_is_not_believed(lab: Lab, bench: Bench, fresh: BlitzGateway) -> None:
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
