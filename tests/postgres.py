"""A private PostgreSQL server for tests that need a real one, and a fresh database for each test.

The server is Debian's, started once a session in a folder of its own on a free port of the loopback interface. It
refuses to run as root: root starts it as the user ``postgres``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BINARIES = Path("/usr/lib/postgresql")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server that only this test session uses."""

    folder: Path
    port: int

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database."""
        return f"postgresql+psycopg2://tester:secret@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        """Run a statement on the maintenance database."""
        engine = sa.create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text(statement))

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=60"
        _run("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-w", "-o", options, "start")

    def stop(self, how: str = "fast") -> None:
        """Stop the server: ``fast`` as an admin would, ``immediate`` as a crash would."""
        _run("pg_ctl", "-D", self.folder / "data", "-m", how, "-w", "stop")


def _binary(name: str) -> Path:
    found = sorted(BINARIES.glob(f"*/bin/{name}"))
    assert found, f"PostgreSQL is not installed: no {name} below {BINARIES}; run apt-get install postgresql"
    return found[-1]


def _run(program: str, *arguments: str | Path) -> None:
    argv: Sequence[str | Path] = [_binary(program), *arguments]
    if os.geteuid() == 0:
        argv = ["runuser", "-u", "postgres", "--", *argv]
    # Not captured through a pipe: the server would inherit it and keep it open.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(argv, stdout=output, stderr=subprocess.STDOUT, cwd="/", timeout=60, check=False)
        output.seek(0)
        assert done.returncode == 0, output.read().decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start a private PostgreSQL server for the whole session."""
    folder = Path(tempfile.mkdtemp(prefix="omero-worker-postgres-", dir="/var/tmp"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = PostgresServer(folder, _free_port())
    try:
        password = folder / "password"
        password.write_text("secret")
        password.chmod(0o644)
        _run("initdb", "-D", folder / "data", "-U", "tester", "-A", "md5", "--no-sync", "--pwfile", password)
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """SQLAlchemy URL of a fresh, empty database."""
    name = f"test_{uuid.uuid4().hex}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")
