"""A stand-in for OMERO that the tests of this directory share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.omero.private import UPSTREAM_WARNINGS, PrivateOmero

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            for warning in UPSTREAM_WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def omero_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateOmero]:
    server = PrivateOmero(tmp_path_factory.mktemp("omero"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateOmero]:
    """A server that a test may stop and kill; it is not started yet."""
    server = PrivateOmero(tmp_path_factory.mktemp("own"))
    yield server
    server.kill()
