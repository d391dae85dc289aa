"""The dialog "Tail Biomero Log (Admin Only)": the last lines of the worker's own log, without its secrets.

Only files in the log folder can be read, by name: nothing that a person writes leads anywhere else.
"""

from __future__ import annotations

import os
import re
import stat
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omero.scripts import Long, String

from worker.errors import RequestError
from worker.settings import locations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from omero.gateway import BlitzGateway

    from worker.dialogs.launch import Teller

TITLE = "Tail Biomero Log (Admin Only)"
LOG_PATH, TAIL_LINES = "Log_Path", "Tail_Lines"
DEFAULT_LINES = 5000
MAX_LINES = 100_000
BLOCK_BYTES = 64 * 1024
MAX_BYTES = 32 * 2**20
"""No more than this is read, however long the lines are."""

PURPOSE = "Show the last lines of the log of the worker's engine. For admins of OMERO only."

MASK = "***"
_SECRETS = (
    # Credentials in a URL.
    (re.compile(r"(\w+://[^\s:/@]*:)[^\s@/]+(?=@)"), rf"\1{MASK}"),
    # password=..., "token": "...", Authorization: Bearer ...
    (
        re.compile(
            r"(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|authorization|session[_-]?(?:key|uuid))"
            r"[\"']?\s*[:=]\s*[\"']?(?:bearer |basic )?)[^\s\"',;&]+"
        ),
        rf"\1{MASK}",
    ),
    # Tokens of GitHub and GitLab.
    (re.compile(r"\b(?:gh[opsur]_|github_pat_|glpat-)[A-Za-z0-9_-]{10,}"), MASK),
)
_KEY_BEGINS, _KEY_ENDS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"), re.compile(r"-----END [A-Z ]*PRIVATE KEY")


def parameters(folder: Path | None = None) -> list[Any]:
    """Build the fields of the dialog.

    Parameters
    ----------
    folder : Path, optional
        The log folder; by default that of this worker.

    Returns
    -------
    list of omero.scripts.Type
        The fields.
    """
    names = ", ".join(log_names(folder or locations.log_dir()))
    there = f"There are: {names}." if names else "There is none yet."
    return [
        String(
            LOG_PATH,
            optional=True,
            grouping="01",
            description=f"Name of a log file. Empty: the one that was written to last. {there}",
        ),
        Long(
            TAIL_LINES,
            optional=True,
            grouping="02",
            default=DEFAULT_LINES,
            description=f"Lines to show from its end, {MAX_LINES} at most.",
        ),
    ]


def log_names(folder: Path) -> list[str]:
    """List the log files, the one that was written to last first; this never fails.

    Parameters
    ----------
    folder : Path
        The log folder.

    Returns
    -------
    list of str
        Their names; none if the folder cannot be read. Links and folders are left out.
    """
    try:
        with os.scandir(folder) as entries:
            files = [(entry.stat(follow_symlinks=False).st_mtime, entry.name) for entry in entries if _is_log(entry)]
    except OSError:
        return []
    return [name for _, name in sorted(files, reverse=True)]


def _is_log(entry: os.DirEntry[str]) -> bool:
    return ".log" in entry.name and entry.is_file(follow_symlinks=False)


def tail(teller: Teller, gateway: BlitzGateway) -> None:
    """Show what was asked for, to an admin.

    Parameters
    ----------
    teller : Teller
        Gives the answer.
    gateway : omero.gateway.BlitzGateway
        The script's own connection.

    Raises
    ------
    NotPermitted
        The person is no admin.
    RequestError
        There is no such log file.
    """
    # Only now: a dialog has no use for all that these need.
    from worker.dialogs.answer import require_admin
    from worker.pixels import session

    require_admin(gateway)
    with session.translated("read the inputs of the script"):
        inputs: dict[str, Any] = gateway.c.getInputs(unwrap=True)
        own_key = gateway.c.getSessionId()
    wanted = inputs.get(TAIL_LINES) or DEFAULT_LINES
    if not isinstance(wanted, int) or not 1 <= wanted <= MAX_LINES:
        raise RequestError(f"'Tail Lines' is {wanted!r}.", remedy=f"It must be from 1 to {MAX_LINES}.")
    folder = locations.log_dir()
    name = named(str(inputs.get(LOG_PATH) or "").strip(), folder)
    lines = masked(last_lines(folder, name, wanted), {own_key, *known_secrets()})
    print("\n".join(lines), flush=True)
    teller.say(f"The last {len(lines)} lines of {name} are in the output of this script (under Info).")


def named(text: str, folder: Path) -> str:
    """Find out which file is meant.

    Parameters
    ----------
    text : str
        What was typed: a name, or a path in the log folder; empty for the file that was written to last.
    folder : Path
        The log folder.

    Returns
    -------
    str
        Its name; whether it is there is not looked at.

    Raises
    ------
    RequestError
        It is outside of the folder, or there is no log file at all.
    """
    names = log_names(folder)
    if not text:
        if not names:
            raise RequestError(
                f"There is no log file in {folder}.",
                remedy="The engine service writes one; mount the same OMERO_WORKER_LOG_DIR where scripts run.",
            )
        return names[0]
    path = Path(text)
    if path.name in ("", ".", "..") or "\0" in text or (path.parent not in (Path(), folder)) or ".." in path.parts:
        raise RequestError(
            f"{text!r} is not a log file of the worker.",
            remedy=f"Give the name of a file in {folder}: {', '.join(names) or 'there is none yet'}.",
        )
    return path.name


def last_lines(folder: Path, name: str, count: int) -> list[str]:
    """Read the last lines of a log file.

    Parameters
    ----------
    folder : Path
        The log folder.
    name : str
        Name of a file in it.
    count : int
        How many lines.

    Returns
    -------
    list of str
        The lines, fewer if there are no more, or if they are longer than `MAX_BYTES` together.

    Raises
    ------
    RequestError
        There is no such file, or it is no regular one: a link leads anywhere.
    """
    pieces: deque[bytes] = deque()
    found = read = 0
    with _opened(folder, name) as file:
        position = os.fstat(file).st_size
        while position > 0 and found <= count and read < MAX_BYTES:
            size = min(BLOCK_BYTES, position)
            position -= size
            piece = os.pread(file, size, position)
            pieces.appendleft(piece)
            found += piece.count(b"\n")
            read += len(piece)
    return b"".join(pieces).decode("utf-8", "replace").splitlines()[-count:]


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[int]:
    """Open a regular file of a folder, following no link."""
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Without waiting for whoever might write to a pipe of that name.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise _no_log(folder, name, error.strerror) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise _no_log(folder, name, "It is no regular file")
        yield file
    finally:
        os.close(file)


def _no_log(folder: Path, name: str, why: str | None) -> RequestError:
    names = ", ".join(log_names(folder)) or "none"
    return RequestError(f"{name} cannot be read in {folder}: {why}.", remedy=f"There are: {names}.")


def masked(lines: Iterable[str], secrets: Iterable[str] = ()) -> list[str]:
    """Mask what looks like a secret, and what is known to be one.

    Parameters
    ----------
    lines : iterable of str
        Lines of a log.
    secrets : iterable of str
        Known secrets.

    Returns
    -------
    list of str
        The lines, with ``***`` in the place of secrets; a private key is left out whole.
    """
    known = sorted((secret for secret in secrets if len(secret) >= 4), key=len, reverse=True)
    clean: list[str] = []
    in_key = False
    for original in lines:
        line = original
        if in_key or _KEY_BEGINS.search(line):
            if not in_key:
                clean.append(_KEY_BEGINS.split(line)[0] + MASK)
            in_key = not _KEY_ENDS.search(line)
            continue
        for secret in known:
            line = line.replace(secret, MASK)
        for pattern, mask in _SECRETS:
            line = pattern.sub(mask, line)
        clean.append(line)
    return clean


def known_secrets() -> set[str]:
    """Collect the secrets of this process's environment, to be masked wherever they stand.

    Returns
    -------
    set of str
        The passwords in the URLs of the databases, as they are written and as they are meant.
    """
    from urllib.parse import unquote, urlsplit

    from worker.settings.environment import read_environment

    environment = read_environment()
    found: set[str] = set()
    for url in (environment.sqlalchemy_url, environment.ingest_tracking_db_url):
        password = urlsplit(url.get_secret_value()).password if url is not None else None
        if password:
            found |= {password, unquote(password)}
    if environment.service_password is not None:
        found.add(environment.service_password.get_secret_value())
    return found
