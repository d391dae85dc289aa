"""Processor-0 as an OMERO client: ``python -m tests.lab.omero.processor DIRECTORY HOST PORT USER PASSWORD-FILE``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path

import omero.clients
import omero.processor


def run(directory: Path, host: str, port: int, user: str, password: str) -> None:
    """Serve official scripts until SIGTERM."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "processor.config"
    config.write_text(f"omero.host={host}\nomero.port={port}\n", encoding="utf-8")
    client = omero.client(host, port)
    client.createSession(user, password)
    client.enableKeepAlive(60)
    home = omero.processor.path(os.environ.get("OMERODIR", str(directory)))
    servant = omero.processor.usermode_processor(
        client, serverid="omero.scripts.serve", accepts_list=[], cfg=str(config), omero_home=home
    )
    # The user-mode recipe leaves the context without a session, and ProcessI.check(), which asks for it every 60 s,
    # takes that for a lost connection and ends whatever script runs.
    servant.ctx.session = client.sf
    (directory / "ready").touch()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.wait(1):
        pass
    servant.cleanup()
    client.closeSession()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]).read_text().strip())
