"""Our orders are orders to the released importer, and what it says of them is understood: asked of its own classes."""

from __future__ import annotations

import json
import subprocess
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from tests.lab.description import CHECKOUT
from tests.lab.importer.service import interpreter
from worker.results.inplace import orders
from worker.results.inplace.book import OrderBook
from worker.results.inplace.judging import Verdict, judge, reason_of
from worker.results.inplace.orders import Order, OrderHistory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Package:
    """The importer's own code, at work on a database."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.names: dict[str, Any] = self("open", url)

    def __call__(self, *command: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def take(self, book: OrderBook, *new: Order) -> dict[str, dict[str, Any]]:
        """Give what the poller makes of orders that come while it runs, by their uuid."""
        self("poll")
        book.place(new)
        return {each["UUID"]: each for each in self("taken")}


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    program = [str(interpreter(CHECKOUT)), str(CHECKOUT / "tests/lab/importer/package.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        yield process


@pytest.fixture
def importer(process: subprocess.Popen[str], tmp_path: Path) -> Package:
    return Package(process, f"sqlite:///{tmp_path / 'importer.sqlite'}")


@pytest.fixture
def book(importer: Package, tmp_path: Path) -> Iterator[OrderBook]:
    """A table that the importer has made."""
    with OrderBook(SecretStr(f"sqlite:///{tmp_path / 'importer.sqlite'}")) as book:
        yield book


def an_order(*names: str) -> Order:
    files = tuple(f"/data/lab-a/.analyzed/run/{name}" for name in names)
    return Order(uuid.uuid4(), "lab-a", "alice", "Dataset", 51, files)


def history(book: OrderBook, order: Order) -> OrderHistory:
    (found,) = book.read([order.uuid])
    return found


def test_stages_and_tables_have_the_importers_names(importer: Package) -> None:
    assert importer.names["stages"] == {
        "NEW_ORDER": orders.PENDING,
        "INGEST_STARTED": orders.STARTED,
        "PREPROCESSING": orders.PREPROCESSING,
        "IMPORTED": orders.COMPLETED,
        "INGEST_FAILED": orders.FAILED,
    }
    tables = [orders.imports, orders.preprocessing]
    statements: list[Any] = [CreateTable(table) for table in tables]
    statements += [CreateIndex(index) for table in tables for index in table.indexes]
    ours = [str(statement.compile(dialect=postgresql.dialect())) for statement in statements]  # type: ignore[no-untyped-call]  # theirs
    assert sorted(ours) == sorted(importer.names["ddl"])


def test_the_poller_takes_our_orders_as_they_are_meant(importer: Package, book: OrderBook) -> None:
    book.check()
    many = an_order("a.tif", "b.tiff", "c.ome.zarr", "c.ome.zarr/labels/cells")
    one = an_order("Zellen µ – 1.tif")
    taken = importer.take(book, many, one)
    assert taken[str(many.uuid)] == {
        "Group": "lab-a",
        "Username": "alice",
        "UUID": str(many.uuid),
        "DestinationID": 51,
        "DestinationType": "Dataset",
        "Files": list(many.files),
        "FileNames": ["a.tif", "...", "cells"],
    }
    assert taken[str(one.uuid)]["Files"] == list(one.files)
    for order in (many, one):
        assert taken[str(order.uuid)]["FileNames"] == orders.file_names(order.files)
        assert [row.stage for row in history(book, order).rows] == [orders.PENDING, orders.STARTED]
        assert judge(history(book, order)) is Verdict.WORKING


def test_the_end_of_an_order_is_understood(importer: Package, book: OrderBook) -> None:
    good, bad = an_order("a.tif"), an_order("b.tif")
    importer.take(book, good, bad)
    importer("complete", str(good.uuid))
    importer("fail", str(bad.uuid), "User 'alice' or group 'lab-a' not recognized.")
    assert judge(history(book, good)) is Verdict.DONE
    assert judge(history(book, bad)) is Verdict.FAILED
    assert reason_of(history(book, bad)) == "User 'alice' or group 'lab-a' not recognized."


def test_a_restart_is_told_from_a_failure(importer: Package, book: OrderBook) -> None:
    begun, new = an_order("a.tif"), an_order("b.tif")
    importer.take(book, begun)
    book.place([new])
    importer("restart")
    assert judge(history(book, begun)) is Verdict.INTERRUPTED
    assert judge(history(book, new)) is Verdict.UNBEGUN
    assert not reason_of(history(book, begun))
