"""What every test may ask for."""

from __future__ import annotations

import pytest

from tests.lab.fixtures import cluster, database_url, lab, scratch
from tests.postgres import postgres_server, postgres_url

__all__ = ["cluster", "database_url", "lab", "postgres_server", "postgres_url", "scratch"]


@pytest.hookimpl(tryfirst=True)  # before the marker is looked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run whatever needs the lab, which there is one of, while others run the rest."""
    for item in items:
        if item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.xdist_group("lab"))
