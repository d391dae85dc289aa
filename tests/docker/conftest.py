"""A private Docker Engine and the worker's image, built once for all tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docker.build import build_all
from tests.docker.engine import engine_base, running_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.docker.engine import Engine


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """A Docker Engine that belongs to this test run."""
    with running_engine(engine_base()) as engine:
        yield engine


@pytest.fixture(scope="session")
def image(docker: Engine) -> str:
    """The worker's image, as the Dockerfile is now."""
    return build_all(docker)
