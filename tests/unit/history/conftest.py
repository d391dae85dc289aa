"""Databases for the tests of the history: SQLite and a real PostgreSQL."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from worker.history.database import Database
from worker.history.reader import RunReader
from worker.history.tracker import WorkflowTracker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.postgres import PostgresServer

TEMPLATE = "history_template"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database is, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'history.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables, to be copied."""
    path = tmp_path_factory.mktemp("template") / "history.sqlite"
    with Database(None, sqlite_path=path) as database:
        database.migrate()
    return path


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    """Name of a PostgreSQL database with all tables, to be copied."""
    postgres_server.execute(f"CREATE DATABASE {TEMPLATE}")
    with Database(postgres_server.url(TEMPLATE)) as database:
        database.migrate()
    return TEMPLATE


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty database of each kind in turn."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "history.sqlite")
        with Database(f"sqlite:///{path}") as made:
            yield made
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"test_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {request.getfixturevalue('migrated_template')}")
    with Database(server.url(name)) as made:
        yield made
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def tracker(database: Database) -> WorkflowTracker:
    """A tracker on the database."""
    return WorkflowTracker(database)


@pytest.fixture
def reader(database: Database) -> RunReader:
    """A reader on the database."""
    return RunReader(database)
