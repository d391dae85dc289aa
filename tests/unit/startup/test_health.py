"""``startup/health.sh``, run by bash as Docker runs it in a container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import sqlalchemy as sa

from tests.records import record
from worker.history import tables

if TYPE_CHECKING:
    from worker.engine.assembly import Record

__all__ = ["record"]

CHECKOUT = Path(__file__).parents[3]


def ask(**environ: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(CHECKOUT / "startup" / "health.sh")],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(CHECKOUT), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_engine_is_well_while_it_beats(record: Record) -> None:
    silent = ask(OMERO_WORKER_ROLE="engine")
    assert (silent.returncode, silent.stderr) == (1, "no engine has beaten lately\n")
    with record.database.session() as session:
        beat = {"holder": "engine", "beat_at": record.database.now(session)}
        session.execute(sa.insert(tables.engine_heartbeat).values(beat))
        session.commit()
    assert ask(OMERO_WORKER_ROLE="engine").returncode == 0


def test_a_node_is_well_while_its_server_runs() -> None:
    server = f"Server-{uuid4()}"
    gone = ask(OMERO_WORKER_SERVER=server)
    assert (gone.returncode, gone.stdout) == (1, f"{server} is not running\n")
    with subprocess.Popen(["sh", "-c", "read _", f"var/master/servers/{server}/config"], stdin=subprocess.PIPE):
        assert ask(OMERO_WORKER_SERVER=server).returncode == 0
