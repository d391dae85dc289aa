from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.omero.model.rows import Quantity
from tests.lab.omero.model.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def test_what_was_written_is_there_when_the_file_is_opened_again(path: Path) -> None:
    store = Store(path)
    with store.transaction():
        image = store.new("Image", name="cells")
        pixels = store.new("Pixels", image=image, sizeX=3, physicalSizeX=Quantity("Length", 0.5, "MICROMETER"))
        store.new("MapAnnotation", mapValue=[("key", "value")])
        store.set_extra(pixels, note={"a": 1})
    reopened = Store(path)
    (found,) = reopened.all("Pixels")
    assert found["image"]["name"] == "cells"
    assert found["physicalSizeX"] == Quantity("Length", 0.5, "MICROMETER")
    assert found.extra == {"note": {"a": 1}}
    assert reopened.all("Annotation")[0]["mapValue"] == [("key", "value")]
    assert reopened.collection(found["image"], "pixels") == [found]


def test_a_failed_transaction_leaves_everything_as_it_was(path: Path) -> None:
    store = Store(path)
    with store.transaction():
        dataset, image = store.new("Dataset", name="before"), store.new("Image")
        link = store.new("DatasetImageLink", parent=dataset, child=image)

    def change_everything_and_fail() -> None:
        with store.transaction():
            store.set(dataset, name="after")
            store.new("Dataset", name="new")
            store.delete(link)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_everything_and_fail()
    for seen in (store, Store(path)):
        (known,) = seen.all("Dataset")
        assert known["name"] == "before"
        assert [item["child"].id for item in seen.collection(known, "imageLinks")] == [image.id]


def test_an_inner_transaction_is_undone_with_the_outer_one(path: Path) -> None:
    store = Store(path)

    def fail_after_the_inner_one() -> None:
        with store.transaction():
            with store.transaction():
                store.new("Dataset", name="inner")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_the_inner_one()
    assert store.all("Dataset") == Store(path).all("Dataset") == []


def test_ids_are_not_given_out_twice(path: Path) -> None:
    store = Store(path)
    with store.transaction():
        last = store.new("Image")
    with store.transaction():
        store.delete(last)
    reopened = Store(path)
    with reopened.transaction():
        assert reopened.new("Image").id == last.id + 1


def test_changes_outside_of_a_transaction_are_refused(path: Path) -> None:
    store = Store(path)
    with pytest.raises(RuntimeError, match="outside of a transaction"):
        store.new("Image")


def test_references_to_a_deleted_row_are_emptied(path: Path) -> None:
    store = Store(path)
    with store.transaction():
        fileset = store.new("Fileset")
        image = store.new("Image", fileset=fileset)
    with store.transaction():
        store.delete(fileset)
    assert image["fileset"] is None
    assert Store(path).all("Image")[0]["fileset"] is None
