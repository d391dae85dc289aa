"""An engine service that is killed again and again, and what each of its lives was like."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.description import CHECKOUT

if TYPE_CHECKING:
    from tests.system.deployment import Deployment

START_TIMEOUT_S = 60.0
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Life:
    """One process of the engine service, from its start to its end."""

    started_at: datetime
    started: float
    """Monotonic time of its start."""
    ready_s: float = 0.0
    """From the start of the process until the service said that it had started."""
    lasted_s: float = 0.0
    peak_rss_kib: int = 0
    cpu_s: float = 0.0
    ended: str = ""
    """``killed`` by us, ``stopped`` by us, or the exit status of one that ended by itself."""


class Engine:
    """The engine service of a deployment: ``omero-worker serve``.

    Parameters
    ----------
    deployment : Deployment
        The deployment.
    log_directory : Path
        Where each life's log goes.
    """

    def __init__(self, deployment: Deployment, log_directory: Path) -> None:
        self._deployment = deployment
        self._log_directory = log_directory
        self._process: subprocess.Popen[bytes] | None = None
        self.lives: list[Life] = []

    @property
    def life(self) -> Life:
        """The present life, or the last one."""
        return self.lives[-1]

    def start(self) -> Life:
        """Start the service, and wait until it says that it has started."""
        path = self._log_directory / f"engine-{len(self.lives):03}.log"
        with path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.cli", "serve"],
                cwd=CHECKOUT,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **self._deployment.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.lives.append(Life(datetime.now(UTC), time.monotonic()))
        deadline = time.monotonic() + START_TIMEOUT_S
        while b"service_started" not in path.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the engine did not start: {path.read_text(encoding='utf-8')}")
            time.sleep(0.02)
        self.life.ready_s = time.monotonic() - self.life.started
        return self.life

    def look(self) -> bool:
        """Take down what the process has used so far; False if it has ended by itself."""
        assert self._process is not None
        status = self._process.poll()
        if status is not None:
            if not self.life.ended:
                self._end(f"ended with status {status}")
            return False
        proc = Path("/proc") / str(self._process.pid)
        try:
            peak = re.search(r"^VmHWM:\s*(\d+) kB", (proc / "status").read_text(encoding="ascii"), re.MULTILINE)
            fields = (proc / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return self.look()  # it has ended just now
        if peak:
            self.life.peak_rss_kib = int(peak[1])
        self.life.cpu_s = (int(fields[11]) + int(fields[12])) / CLOCK_TICKS
        return True

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is given back, nothing is closed."""
        assert self._process is not None
        if self.look():
            self._process.kill()
            self._process.wait()
            self._end("killed")

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self._process is not None and self.look():
            self._process.terminate()
            self._process.wait(timeout=60)
            self._end("stopped")

    def _end(self, how: str) -> None:
        self.life.ended = how
        self.life.lasted_s = time.monotonic() - self.life.started
