"""The values that go into an import and come out of it."""

from __future__ import annotations

import json

import pytest

from worker.errors import RequestError
from worker.results.model import CreatedObject, ImportedImage, ImportOptions, ImportReport, Provenance, SourceFile

VALUES = [
    SourceFile("cells.tif", "Image", 4, 4, "cells.tif"),
    ImportOptions(new_dataset="Results", dataset_id=12, rename="{file}_x.{ext}"),
    Provenance(
        "run", "task", 7, "cellpose", parameters={"diameter": 30, "net": "cyto", "gpu": True}, task_ids=("a", "b")
    ),
    ImportedImage("a.zarr", 0, 3, "a", SourceFile("a.tif", "Image", 4, 4, "a.tif"), label=True),
    ImportReport((CreatedObject("Image", 3, "cells_mask.tif"),), ("a note",)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_goes_to_json_and_back_unchanged(
    value: SourceFile | ImportOptions | Provenance | ImportReport,
) -> None:
    assert type(value).from_json(json.loads(json.dumps(value.to_json()))) == value


def test_defaults_are_those_of_the_dialog() -> None:
    chosen = {
        name: value
        for name, value in ImportOptions.from_json({}).to_json().items()
        if value not in (None, False, "", [])
    }
    assert chosen == {
        "zip_to_parent": True,
        "csv_tables": True,
        "label_zarrs": True,
        "only_labels": True,
        "roi_shape": "Polygon",
    }


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(RequestError, match=r"no field zip_to_moon\. It has: zip_to_parent, attach_to_images"):
        ImportOptions.from_json({"zip_to_moon": True})


@pytest.mark.parametrize(("name", "value"), [("zip_to_parent", "yes"), ("dataset_id", True), ("new_dataset", 3)])
def test_an_option_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    with pytest.raises(RequestError, match=f"ImportOptions.{name} is"):
        ImportOptions.from_json({name: value})


def test_a_missing_field_is_named() -> None:
    with pytest.raises(RequestError, match="object_id"):
        CreatedObject.from_json({"kind": "Image", "name": "x"})


def test_images_are_imported_if_a_dataset_or_a_screen_is_given_by_name_or_id() -> None:
    assert ImportOptions(new_screen="Plates").into_screen
    assert ImportOptions(screen_id=1).imports_images
    assert not ImportOptions(screen_id=1).into_dataset
    assert ImportOptions(new_dataset="Results").imports_images
    assert ImportOptions(dataset_id=1).imports_images
    assert not ImportOptions().imports_images
    assert not ImportOptions(new_dataset="").imports_images
