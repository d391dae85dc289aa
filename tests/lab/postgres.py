"""PostgreSQL, for the history of runs."""

from __future__ import annotations

import secrets
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.parts import LabContext, PartFailed, run

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT = "postgres"
"""PostgreSQL refuses to run as root."""


class PostgresPart:
    """A PostgreSQL server without durability: quick, and worth nothing after a power cut."""

    name = "postgres"

    def start(self, ctx: LabContext) -> Mapping[str, object]:
        programs = find_programs()
        data = ctx.directory("postgres/data", user=ACCOUNT, mode=0o700)
        sockets = ctx.directory("postgres/sockets", user=ACCOUNT)
        password_file = ctx.base / "postgres/password"
        if not (data / "PG_VERSION").exists():
            write_secret(password_file, secrets.token_urlsafe(16), owner=ACCOUNT)
            run(
                [
                    f"{programs}/initdb",
                    f"--pgdata={data}",
                    "--username=postgres",
                    "--auth=scram-sha-256",
                    f"--pwfile={password_file}",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-sync",
                ],
                user=ACCOUNT,
                cwd=data,
            )
        port = ctx.port("postgres")
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(sockets),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "200",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        # SIGINT is a fast shutdown; SIGTERM would wait for every client to leave.
        ctx.spawn(
            "postgres",
            [f"{programs}/postgres", "-D", str(data), *settings],
            user=ACCOUNT,
            cwd=data,
            stop_signal=signal.SIGINT,
        )
        ctx.wait_for("PostgreSQL", lambda: accepts(programs, port), daemon="postgres")
        password = password_file.read_text(encoding="ascii")
        return {"postgres_url": f"postgresql+psycopg2://postgres:{password}@127.0.0.1:{port}/postgres"}

    def stop(self, ctx: LabContext) -> None:
        ctx.end("postgres", grace_s=5)

    def status(self, ctx: LabContext) -> str:
        return ctx.statuses("postgres")


def find_programs() -> Path:
    """Return the directory of the newest PostgreSQL that Debian has installed."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if not versions:
        raise PartFailed("PostgreSQL is not installed: run 'make install' as root")
    return max(versions, key=lambda path: int(path.parent.name))


def accepts(programs: Path, port: int) -> bool:
    """Whether the server takes connections (it listens a moment before it does)."""
    try:
        run([f"{programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)])
    except PartFailed:
        return False
    return True


def write_secret(path: Path, secret: str, *, owner: str) -> None:
    """Write a secret to a file that only its owner can read."""
    import shutil

    path.touch(mode=0o600)
    path.write_text(secret, encoding="ascii")
    shutil.chown(path, owner)
