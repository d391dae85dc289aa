"""Fixtures of pytest that give tests the lab."""

from __future__ import annotations

import subprocess
import sys
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.lab import lifecycle
from tests.lab.cluster import Cluster
from tests.lab.description import CHECKOUT, Lab, lab_base

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import PurePosixPath

    from tests.lab.importer.service import Importer


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The running lab. It is brought up if it does not run, and only then taken down at the end.

    Another test run that has begun meanwhile keeps it up.
    """
    base = lab_base()
    with lifecycle.in_use(base):
        ran_before = lifecycle.is_running(base)
        up = _in_own_process("up")
        if up.returncode != 0:
            pytest.fail(f"The lab did not come up:\n{up.stdout}{up.stderr}", pytrace=False)
        yield Lab.load(base)
    if not ran_before:
        _in_own_process("down", "--unless-used").check_returncode()


def _in_own_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the lab; daemons must not be children of a test run."""
    argv = [sys.executable, "-m", "tests.lab", *arguments]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def cluster(lab: Lab) -> Cluster:
    """The cluster as a person sees it who logs in with the system's ``ssh``."""
    return Cluster(lab)


@pytest.fixture
def scratch(cluster: Cluster) -> Iterator[PurePosixPath]:
    """A directory of the cluster that is there for one test, writable by the cluster's user."""
    assert cluster.lab.cluster_home is not None
    directory = cluster.lab.cluster_home / "scratch" / uuid.uuid4().hex
    cluster.run("mkdir", "-p", str(directory))
    yield directory
    cluster.run("rm", "-rf", str(directory))


@pytest.fixture
def database_url(lab: Lab) -> Iterator[str]:
    """The URL of an empty PostgreSQL database that is there for one test."""
    with empty_database(lab) as url:
        yield url


@pytest.fixture(scope="session")
def importer(lab: Lab) -> Iterator[Importer]:
    """The released importer, which runs when a test begins; its orders are in the database of the lab's worker."""
    from tests.lab.deployment import DATABASE, create_database
    from tests.lab.importer.service import Importer

    assert lab.postgres_url is not None
    service = Importer(lab, create_database(lab.postgres_url, DATABASE))
    service.start()
    yield service
    service.close()


@contextmanager
def empty_database(lab: Lab) -> Iterator[str]:
    """Make an empty PostgreSQL database, and remove it at the end.

    Parameters
    ----------
    lab : Lab
        The lab.

    Yields
    ------
    str
        Its URL.
    """
    # Nothing else here needs SQLAlchemy, and every test run imports this module.
    import sqlalchemy

    assert lab.postgres_url is not None
    url = sqlalchemy.make_url(lab.postgres_url).set(database=f"test_{uuid.uuid4().hex}")
    engine = sqlalchemy.create_engine(lab.postgres_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f'CREATE DATABASE "{url.database}" TEMPLATE template0'))
        yield url.render_as_string(hide_password=False)
        with engine.connect() as connection:
            # Whoever still has a connection loses it.
            connection.execute(sqlalchemy.text(f'DROP DATABASE "{url.database}" WITH (FORCE)'))
    finally:
        engine.dispose()
