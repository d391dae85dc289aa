"""What a person may not do is refused before anything is written."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import omero.model
import pytest
import tifffile
from omero.rtypes import rstring

from tests.lab.person import logged_in
from tests.system.results_bench import NOTHING, Bench, children, files_on, keys_of_run, make_bench, only
from worker.errors import NotPermitted, RequestError
from worker.results.importer import check_permissions
from worker.results.ledger import NS_KEY
from worker.results.model import ImportOptions

if TYPE_CHECKING:
    from pathlib import Path

    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab


@pytest.fixture
def readers(lab: Lab) -> str:
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
    lab: Lab, readers: str, tmp_path: Path, option: str
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
