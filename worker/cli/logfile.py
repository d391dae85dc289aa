"""The log file of the engine service: the lines that go to standard error, kept for a while."""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import socket
import sys
from typing import TYPE_CHECKING, Any

import structlog

from worker.settings import locations

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_BYTES = 20 * 2**20
"""Size at which a file is put aside, and a new one begun."""

KEPT_FILES = 9
"""Files that are kept beside the present one: ``<name>.log.1`` is the newest of them."""


class LogFile(logging.handlers.RotatingFileHandler):
    """A log file that is put aside when it has grown; where it cannot be written, its process goes on without.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8", errors="replace", delay=True
        )
        self._failed = False

    def keep(self, line: str) -> None:
        """Write a line."""
        self.handle(logging.makeLogRecord({"msg": line}))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; said once, not with every line, if that fails."""
        try:
            if self.shouldRollover(record):
                self.doRollover()
            logging.FileHandler.emit(self, record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Say why the file cannot be written, once."""
        del record
        if not self._failed:
            self._failed = True
            print(
                f"The log file {self.baseFilename} cannot be written: {sys.exc_info()[1]}.", file=sys.stderr, flush=True
            )


def log_path(environ: Mapping[str, str] | None = None) -> Path:
    """Name the log file of this worker.

    Parameters
    ----------
    environ : Mapping[str, str] | None
        The environment; None is that of this process.

    Returns
    -------
    Path
        ``<OMERO_WORKER_NAME, or the host>.log`` in `worker.settings.locations.log_dir`: engines that share a folder
        must not put each other's files aside.
    """
    environ = os.environ if environ is None else environ
    name = environ.get("OMERO_WORKER_NAME", "").strip() or socket.gethostname()
    return locations.log_dir(environ) / f"{re.sub('[^A-Za-z0-9_.-]', '_', name).lstrip('.') or 'worker'}.log"


def log_to_file(path: Path) -> LogFile | None:
    """Keep every line of this process's log in a file too, from now on.

    Parameters
    ----------
    path : Path
        The file; its folder is made if need be.

    Returns
    -------
    LogFile or None
        The file; None if its folder cannot be made, which is said.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        print(f"There is no log file, as {path.parent} cannot be made: {error}.", file=sys.stderr, flush=True)
        return None
    file = LogFile(path)

    def keep(_logger: object, _method: str, line: Any) -> Any:
        file.keep(str(line))
        return line

    # After the renderer: what it gets is the line as it is shown.
    structlog.configure(processors=[*structlog.get_config()["processors"], keep])
    return file
