"""Databases for the tests of the history: SQLite and a real PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.postgres import PostgresServer, postgres_server, postgres_url
from worker.history.database import Database
from worker.history.reader import RunReader
from worker.history.tracker import WorkflowTracker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["PostgresServer", "postgres_server", "postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database is, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'history.sqlite'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database."""
    with Database(database_url) as made:
        made.migrate()
        yield made


@pytest.fixture
def tracker(database: Database) -> WorkflowTracker:
    """A tracker on the database."""
    return WorkflowTracker(database)


@pytest.fixture
def reader(database: Database) -> RunReader:
    """A reader on the database."""
    return RunReader(database)
