"""Orders to the importer, in a table of its own."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from worker.errors import ImporterUnavailable, SettingsError
from worker.results.inplace.book import OrderBook
from worker.results.inplace.judging import Verdict, judge
from worker.results.inplace.orders import (
    FAILED,
    PENDING,
    STARTED,
    Order,
    file_names,
    imports,
    order_uuid,
    preprocessing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASK = UUID("0dba9bff-e15f-4a35-bbd5-8d1b2d6b7f3e")
ORDER = Order(order_uuid(TASK, "images", 1), "team-a", "alice", "Dataset", 12, ("/data/a.tif", "/data/ü ł.tif"))


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either kind, without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'orders.sqlite'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    """The importer's way to its database, with its tables."""
    engine = sa.create_engine(url)
    preprocessing.create(engine)
    imports.create(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def book(url: str, engine: sa.Engine) -> Iterator[OrderBook]:
    """Our way to it."""
    with OrderBook(SecretStr(url)) as book:
        yield book


def say(engine: sa.Engine, order: Order, stage: str, description: str | None = None, **more: Any) -> None:
    """Say something about an order, as the importer does."""
    with engine.begin() as connection:
        connection.execute(
            sa.insert(imports).values(
                **{
                    "group_name": order.group_name,
                    "user_name": order.user_name,
                    "destination_id": str(order.destination_id),
                    "destination_type": order.destination_type,
                    "stage": stage,
                    "uuid": str(order.uuid),
                    "timestamp": sa.func.now(),
                    "files": json.dumps(list(order.files)),
                    "description": description,
                    **more,
                }
            )
        )


def rows(engine: sa.Engine) -> list[Any]:
    with engine.connect() as connection:
        return [row._asdict() for row in connection.execute(sa.select(imports).order_by(imports.c.id))]


def test_an_order_is_a_row_as_the_importers_own_clients_write_it(book: OrderBook, engine: sa.Engine) -> None:
    assert book.place([ORDER]) == (ORDER.uuid,)

    (row,) = rows(engine)
    assert row.pop("timestamp") is not None
    assert row.pop("id") == 1
    assert row == {
        "group_name": "team-a",
        "user_name": "alice",
        "destination_id": "12",
        "destination_type": "Dataset",
        "stage": "Import Pending",
        "uuid": str(ORDER.uuid),
        "files": json.dumps(["/data/a.tif", "/data/ü ł.tif"]),
        "file_names": json.dumps(["a.tif", "ü ł.tif"]),
        "description": None,
        "preprocessing_id": None,
    }


def test_an_order_that_was_placed_is_not_placed_again(book: OrderBook, engine: sa.Engine) -> None:
    labels = replace(ORDER, uuid=order_uuid(TASK, "labels", 1))
    book.place([ORDER])

    assert book.place([ORDER, labels]) == (labels.uuid,)
    assert book.place([labels, ORDER]) == ()
    assert len(rows(engine)) == 2


def test_of_many_who_place_the_same_orders_at_once_one_does(url: str, engine: sa.Engine) -> None:
    orders = [replace(ORDER, uuid=order_uuid(TASK, what, 1)) for what in ("images", "labels")]

    def place(_: int) -> int:
        with OrderBook(SecretStr(url)) as book:
            return len(book.place(orders))

    with ThreadPoolExecutor(8) as pool:
        placed = list(pool.map(place, range(16)))

    assert sum(placed) == 2
    assert len(rows(engine)) == 2


def test_orders_are_placed_all_or_none(book: OrderBook, engine: sa.Engine) -> None:
    broken = replace(ORDER, uuid=order_uuid(TASK, "labels", 1), group_name=None)  # type: ignore[arg-type]  # on purpose

    with pytest.raises(SettingsError, match="does not take our orders"):
        book.place([ORDER, broken])
    assert rows(engine) == []


def test_what_was_said_is_read_in_its_order(book: OrderBook, engine: sa.Engine) -> None:
    book.place([ORDER])
    say(engine, ORDER, STARTED)
    say(engine, ORDER, FAILED, "no such file")

    history, unknown = book.read([ORDER.uuid, UUID(int=1)])

    assert [row.stage for row in history.rows] == [PENDING, STARTED, FAILED]
    assert history.rows[-1].description == "no such file"
    assert 0 <= history.silent_s < 60
    assert unknown.rows == ()
    assert judge(history) is Verdict.FAILED
    assert judge(unknown) is Verdict.UNPLACED


def test_a_clock_that_is_ahead_makes_no_silence(book: OrderBook, engine: sa.Engine) -> None:
    book.place([ORDER])
    say(engine, ORDER, FAILED, timestamp=datetime.now(UTC) + timedelta(hours=2))

    (history,) = book.read([ORDER.uuid])

    assert history.silent_s == 0


def test_silence_is_counted_from_what_was_said_last(book: OrderBook, engine: sa.Engine) -> None:
    say(engine, ORDER, PENDING, timestamp=datetime.now(UTC) - timedelta(hours=2))
    say(engine, ORDER, STARTED, timestamp=datetime.now(UTC) - timedelta(hours=1))

    (history,) = book.read([ORDER.uuid])

    assert history.silent_s == pytest.approx(3600, abs=60)


def test_an_order_is_overtaken_when_a_later_one_was_begun(book: OrderBook, engine: sa.Engine) -> None:
    later = replace(ORDER, uuid=UUID(int=5))
    book.place([ORDER])
    book.place([later])
    assert not book.read([ORDER.uuid])[0].overtaken

    say(engine, later, STARTED)

    assert book.read([ORDER.uuid])[0].overtaken
    assert not book.read([later.uuid])[0].overtaken


def test_orders_are_found_by_a_folder(book: OrderBook) -> None:
    inside = replace(ORDER, files=("/data/x/.analyzed/run/20260301_120000/1_out/data/out/a.tif",))
    beside = replace(ORDER, uuid=UUID(int=9), files=("/data/x/.analyzed/run/20260301x120000/1_out/data/out/a.tif",))
    book.place([inside, beside])

    assert book.about(".analyzed/run/20260301_120000") == (inside.uuid,)
    assert book.about(".analyzed/other") == ()


def test_orders_that_nobody_begins_are_counted(book: OrderBook, engine: sa.Engine) -> None:
    assert not book.backlog().forgotten
    now = datetime.now(UTC)
    say(engine, replace(ORDER, uuid=UUID(int=1)), PENDING, timestamp=now - timedelta(days=11))
    say(engine, replace(ORDER, uuid=UUID(int=2)), PENDING, timestamp=now - timedelta(hours=2))
    say(engine, replace(ORDER, uuid=UUID(int=2)), STARTED)
    say(engine, replace(ORDER, uuid=UUID(int=3)), PENDING, timestamp=now - timedelta(seconds=30))
    assert (book.backlog().orders, book.backlog().forgotten) == (1, False)

    say(engine, replace(ORDER, uuid=UUID(int=4)), PENDING, timestamp=now - timedelta(hours=1))

    backlog = book.backlog()
    assert (backlog.orders, backlog.forgotten) == (2, True)
    assert backlog.oldest_s == pytest.approx(3600, abs=60)


def test_orders_that_two_importers_have_begun_are_counted(book: OrderBook, engine: sa.Engine) -> None:
    book.place([ORDER])
    say(engine, ORDER, STARTED)
    assert book.backlog().shared == 0

    say(engine, ORDER, STARTED)
    long_ago = replace(ORDER, uuid=UUID(int=3))
    for _ in range(2):
        say(engine, long_ago, STARTED, timestamp=datetime.now(UTC) - timedelta(days=11))

    assert book.backlog().shared == 1
    (history,) = book.read([ORDER.uuid])
    assert history.importers == 2


def test_looking_whether_orders_can_be_placed_places_none(book: OrderBook, engine: sa.Engine) -> None:
    book.check()

    assert rows(engine) == []


def test_a_database_without_the_importers_table_is_said_to_be_the_wrong_one(url: str) -> None:
    with OrderBook(SecretStr(url)) as book, pytest.raises(SettingsError, match="has no table 'imports'"):
        book.check()


def test_a_table_of_an_older_importer_is_told_by_its_columns(book: OrderBook, engine: sa.Engine) -> None:
    book.check()
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE imports DROP COLUMN description"))

    with pytest.raises(SettingsError, match="no column description"):
        book.check()


def test_a_table_of_a_newer_importer_that_asks_for_more_is_refused_before_it_is_needed(
    book: OrderBook, engine: sa.Engine
) -> None:
    metadata = sa.MetaData()
    preprocessing.to_metadata(metadata)
    newer = imports.to_metadata(metadata)
    newer.append_column(sa.Column("tenant", sa.String, nullable=False))
    imports.drop(engine)
    newer.create(engine)

    with pytest.raises(SettingsError, match=r"does not take our orders \(.*tenant") as caught:
        book.check()
    assert "update the worker" in caught.value.remedy


def test_a_column_that_a_newer_importer_fills_by_itself_does_no_harm(book: OrderBook, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE imports ADD COLUMN tenant VARCHAR DEFAULT 'all' NOT NULL"))

    book.check()
    assert book.place([ORDER]) == (ORDER.uuid,)


def test_a_user_who_may_not_add_to_the_table_is_refused_before_it_is_needed(
    postgres_url: str, request: pytest.FixtureRequest
) -> None:
    engine = sa.create_engine(postgres_url)
    preprocessing.create(engine)
    imports.create(engine)
    name = f"reader_{sa.make_url(postgres_url).database}"
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE ROLE {name} LOGIN PASSWORD 'p@ss/w:rd'"))
        connection.execute(sa.text(f"GRANT SELECT ON imports TO {name}"))
    url = sa.make_url(postgres_url).set(username=name, password="p@ss/w:rd")

    with (
        OrderBook(SecretStr(url.render_as_string(hide_password=False))) as book,
        pytest.raises(SettingsError, match="permission denied for table imports") as caught,
    ):
        book.check()
    assert "w:rd" not in str(caught.value)
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP OWNED BY {name}"))
        connection.execute(sa.text(f"DROP ROLE {name}"))
    engine.dispose()


def test_tables_that_are_not_there_are_no_outage(url: str) -> None:
    with OrderBook(SecretStr(url)) as book, pytest.raises((SettingsError, ImporterUnavailable), match="imports"):
        book.place([ORDER])


def test_a_database_that_is_down_is_waited_for_and_its_password_kept() -> None:
    with (
        OrderBook(SecretStr("postgresql+psycopg2://biomero:topsecret@127.0.0.1:1/biomero")) as book,
        pytest.raises(ImporterUnavailable) as caught,
    ):
        book.check()
    assert caught.value.transient
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["nonsense", "mysql://u:topsecret@h/d", "postgres://u:topsecret@h/d", "postgresql://u:top@topsecret@h/d"],
)
def test_a_url_of_nothing_that_we_know_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="INGEST_TRACKING_DB_URL") as caught:
        OrderBook(SecretStr(url))
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["postgresql://u@127.0.0.1:1/d?password=topsecret", "postgresql+asyncpg://u:top%40secret@127.0.0.1:1/d"]
)
def test_a_password_is_kept_wherever_it_stands_and_the_driver_is_ours(url: str) -> None:
    with OrderBook(SecretStr(url)) as book, pytest.raises(ImporterUnavailable) as caught:
        book.check()
    assert "secret" not in f"{book.name}{caught.value}"


def test_the_uuid_of_an_order_says_what_it_is_for() -> None:
    uuids = {order_uuid(task, what, n) for task in (TASK, UUID(int=1)) for what in ("images", "labels") for n in (1, 2)}

    assert len(uuids) == 8
    assert order_uuid(TASK, "images", 1) == ORDER.uuid


def test_names_of_many_files_are_shortened() -> None:
    assert file_names(["/d/a.tif"]) == ["a.tif"]
    assert file_names(["/d/a.tif", "/d/b.tif"]) == ["a.tif", "b.tif"]
    assert file_names([f"/d/{n}.tif" for n in range(9)]) == ["0.tif", "...", "8.tif"]
