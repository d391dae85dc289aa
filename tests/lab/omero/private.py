"""A stand-in of one's own, without the rest of the lab: for tests that only need an OMERO server."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omero.gateway import BlitzGateway

from tests.lab.omero.security.bootstrap import PASSWORDS, SERVICE_USER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HOST = "127.0.0.1"
UPSTREAM_WARNINGS = (
    "ignore:The 'warn' method is deprecated:DeprecationWarning",
    r"ignore:isSet\(\) is deprecated:DeprecationWarning",
)
"""What omero-py's own code is warned of on Python 3.11, as filters of pytest."""

CHECKOUT = Path(__file__).resolve().parents[3]


class PrivateOmero:
    """A stand-in that is started and stopped at will, and keeps its data in between.

    Parameters
    ----------
    base : Path
        Where its data and its log are.
    properties : mapping, optional
        Properties of the server.
    scripts : Path, optional
        Directory of official scripts.
    arguments : sequence of str
        Further arguments of ``python -m tests.lab.omero``.
    """

    def __init__(
        self,
        base: Path,
        properties: Mapping[str, str] | None = None,
        scripts: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.base = base
        self.port, self.insecure_port = free_port(), free_port()
        self._properties = dict(properties or {})
        self._scripts = scripts
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        """Its log."""
        return self.base / "omero.log"

    @property
    def data(self) -> Path:
        """Where its data are."""
        return self.base / "omero"

    def start(self, timeout_s: float = 30.0) -> None:
        """Start it, and wait until it answers."""
        (self.data / "ready").unlink(missing_ok=True)
        arguments = ["--base", str(self.base), "--port", str(self.port), "--insecure", str(self.insecure_port)]
        arguments += self._arguments
        for name, value in self._properties.items():
            arguments += ["--property", f"{name}={value}"]
        if self._scripts is not None:
            arguments += ["--scripts", str(self._scripts)]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.omero", *arguments],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + timeout_s
        while not (self.data / "ready").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the stand-in did not start: {self.log_file.read_text(encoding='utf-8')}")
            time.sleep(0.02)

    def stop(self) -> float:
        """Stop it in an orderly way, and return how many seconds that took."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> float:
        if self._process is None:
            return 0.0
        start = time.monotonic()
        self._process.send_signal(number)
        self._process.wait(timeout=10)
        self._process = None
        return time.monotonic() - start

    def password(self, user: str) -> str:
        """Return the password of one of the lab's people."""
        if user == SERVICE_USER:
            return (self.data / "service-password").read_text(encoding="ascii")
        return PASSWORDS[user]

    @contextlib.contextmanager
    def login(self, user: str, *, group: str | None = None) -> Iterator[Any]:
        """Return a BlitzGateway, for the length of the block.

        Parameters
        ----------
        user : str
            One of the lab's people.
        group : str, optional
            Name of the group to work in.
        """
        gateway = BlitzGateway(user, self.password(user), host=HOST, port=self.port, group=group, secure=True)
        try:
            if not gateway.connect():
                raise RuntimeError(f"{user} cannot log in: {gateway.getLastError()}")
            yield gateway
        finally:
            gateway.close()

    @contextlib.contextmanager
    def join(self, session_uuid: str) -> Iterator[Any]:
        """Return a BlitzGateway on a session that is open, for the length of the block; the session stays open."""
        gateway = BlitzGateway(host=HOST, port=self.port, secure=True)
        try:
            if not gateway.connect(sUuid=session_uuid):
                raise RuntimeError(f"session {session_uuid} cannot be joined: {gateway.getLastError()}")
            gateway.c.sf.detachOnDestroy()
            yield gateway
        finally:
            gateway.close(hard=False)


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
        return port
