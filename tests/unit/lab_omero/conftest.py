"""A stand-in for OMERO that the tests of this directory share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.omero.private import PrivateOmero

if TYPE_CHECKING:
    from collections.abc import Iterator


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
