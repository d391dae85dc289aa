"""The dataset that result images go into."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from tests.lab.omero.images import import_image, make_dataset, make_project
from tests.lab.person import logged_in
from tests.system.results_bench import NOTHING, Bench, keys_of_run, only
from worker.errors import RequestError
from worker.results.model import SourceFile

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

    from tests.lab.description import Lab

pytestmark = pytest.mark.lab


@pytest.fixture(autouse=True)
def result(bench: Bench) -> None:
    tifffile.imwrite(bench.folder / "cells_mask.tif", np.ones((4, 5), "uint8"))


def test_a_dataset_of_the_same_name_in_the_project_is_used_again(bench: Bench) -> None:
    options = replace(NOTHING, new_dataset="labels")
    assert only(bench.bring(options), "Dataset") == only(bench.again().bring(options), "Dataset")


def test_a_dataset_of_the_same_name_in_another_project_is_left_alone(alice: BlitzGateway, bench: Bench) -> None:
    elsewhere = make_dataset(alice, "labels", project_id=make_project(alice, "another project"))
    assert only(bench.bring(replace(NOTHING, new_dataset="labels")), "Dataset") != elsewhere


def test_duplicates_are_made_if_they_are_allowed(bench: Bench) -> None:
    options = replace(NOTHING, new_dataset="labels", allow_duplicate_dataset=True)
    assert only(bench.bring(options), "Dataset") != only(bench.again().bring(options), "Dataset")


def test_the_dataset_of_somebody_else_is_not_used(lab: Lab, bench: Bench) -> None:
    name = f"labels {uuid.uuid4()}"
    with logged_in(lab, "bob") as bob:
        of_bob = make_dataset(bob, name)
    assert only(bench.bring(replace(NOTHING, new_dataset=name)), "Dataset") != of_bob


def test_an_id_beats_a_name(bench: Bench) -> None:
    options = replace(NOTHING, new_dataset="labels", dataset_id=bench.dataset_id)
    assert only(bench.bring(options), "Dataset") == bench.dataset_id


def test_an_id_that_does_not_exist_is_refused_before_anything_but_the_log_is_written(
    bench: Bench, fresh: BlitzGateway
) -> None:
    with pytest.raises(RequestError, match="no Dataset 987654321"):
        bench.bring(replace(NOTHING, dataset_id=987654321))
    assert keys_of_run(fresh, bench) == [("log:42", "complete")]


def test_without_a_project_the_dataset_stands_alone(alice: BlitzGateway, bench: Bench) -> None:
    image_id = import_image(alice, np.zeros((4, 5), "uint8"), "orphan.tif")
    source = SourceFile("orphan.zarr", "Image", image_id, image_id, "orphan.tif")
    report = replace(bench, sources=(source,)).bring(replace(NOTHING, new_dataset=f"alone {uuid.uuid4()}"))
    assert alice.getObject("Dataset", only(report, "Dataset")).getParent() is None
