"""Processor-0 as an OMERO client: ``python -m tests.lab.omero.processor DIRECTORY HOST PORT USER PASSWORD-FILE``.

It is omero-py's own, which runs official scripts for everybody when its user is an administrator. When the server was
restarted it logs in again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import Glacier2
import Ice
import omero.clients
import omero.processor

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("omero.standin.processor")

_CHECK_S = 2.0
"""How often it is looked whether the server is still there."""


@contextlib.contextmanager
def registered(directory: Path, host: str, port: int, user: str, password: str) -> Iterator[Any]:
    """Log in and offer to run scripts, until the end of the block.

    Parameters
    ----------
    directory : Path
        Where its configuration is written; the file ``ready`` appears there when it can be asked.
    host, port : str, int
        The server.
    user, password : str
        An administrator.

    Yields
    ------
    omero.client
        The client that it uses.
    """
    configuration = directory / "processor.config"
    configuration.write_text(f"omero.host={host}\nomero.port={port}\n", encoding="utf-8")
    client = omero.client(host, port)
    client.createSession(user, password)
    client.enableKeepAlive(60)
    servant = omero.processor.usermode_processor(
        client,
        serverid="omero.scripts.serve",
        accepts_list=[],
        cfg=str(configuration),
        omero_home=omero.processor.path(os.environ.get("OMERODIR", str(directory))),
    )
    # The user-mode recipe leaves the context without a session, and ProcessI.check(), which asks for it every 60 s,
    # takes that for a lost connection and ends whatever script runs.
    servant.ctx.session = client.sf
    (directory / "ready").touch()
    try:
        yield client
    finally:
        (directory / "ready").unlink(missing_ok=True)
        with contextlib.suppress(Ice.Exception):
            servant.cleanup()
        client.closeSession()


def run(directory: Path, host: str, port: int, user: str, password: str) -> None:
    """Run scripts until SIGTERM; the parameters are those of :func:`registered`."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.is_set():
        try:
            with registered(directory, host, port, user, password) as client:
                while not stopped.wait(_CHECK_S):
                    client.sf.keepAlive(None)
        except (Ice.Exception, Glacier2.CannotCreateSessionException) as error:
            log.warning("the server is gone: %s", error)
            stopped.wait(_CHECK_S)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    place, address, number, account, secret = sys.argv[1:]
    run(Path(place), address, int(number), account, Path(secret).read_text(encoding="ascii").strip())
