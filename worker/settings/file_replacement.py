"""Replacing the content of a file that others read, and perhaps write, at the same time.

The new content is written beside the file, flushed to the disk and renamed over it, so that a reader sees the old or
the new and nothing in between. A file that is mounted by itself, as docker compose mounts ``slurm-config.ini``, cannot
be renamed over; nor one in a folder in which we must not write, or whose owner we cannot give to another file, or that
has several names. Such a file is written in place, the space being claimed first, and flushed to the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_S = 10.0
_PAUSE_S = 0.05
_SETTLED_S = 2.0
"""A file whose time stamp is older than this is not being written."""

_QUIET_S = 0.25
"""... nor, most probably, one that has stayed the same for so long and is not empty, as it is when a writer begins."""

_NOT_HERE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV, errno.ENOTSUP}
"""Why a file may have to be written in place."""


@contextlib.contextmanager
def locked(path: Path, patience_s: float = _PATIENCE_S) -> Iterator[None]:
    """Keep other editors of this kind out; a file that is not there is locked through its folder.

    Parameters
    ----------
    path : Path
        The file.
    patience_s : float
        How long to wait for another editor, in seconds.

    Yields
    ------
    None
        While nobody else edits it.

    Raises
    ------
    SettingsError
        Another process does not come to its end, or the file cannot be opened.
    """
    deadline = time.monotonic() + patience_s
    while True:
        target = path if path.exists() else path.parent
        with _translated(path, "locked"):
            handle = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _lock(handle, path, deadline)
            # Whoever had the lock before us may have renamed another file over the one that we have opened.
            if _is_still(handle, path if path.exists() else path.parent):
                yield
                return
        finally:
            os.close(handle)


def read_settled(path: Path) -> bytes:
    """Read a file that a writer without a lock, such as the web plugin, may be rewriting in place.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bytes
        Its content, once it stays the same; empty where there is no file.

    Raises
    ------
    SettingsError
        It cannot be read, or goes on changing.
    """
    if not path.exists():
        return b""
    with _translated(path, "read"):
        data = path.read_bytes()
        deadline = time.monotonic() + _PATIENCE_S
        while abs(time.time() - path.stat().st_mtime) < _SETTLED_S:
            time.sleep(_QUIET_S)
            again = path.read_bytes()
            if again == data and data.strip():
                break
            data = again
            if time.monotonic() > deadline:
                raise SettingsError(f"{path} keeps changing while it is read.", remedy="Try again when it does not.")
    return data


def replace(path: Path, data: bytes, before: bytes) -> str:
    """Replace the content of a file; its mode, owner and links stay.

    Parameters
    ----------
    path : Path
        The file, which is made if it is not there.
    data : bytes
        The new content.
    before : bytes
        The content that was read; if it is another one by now, nothing is written.

    Returns
    -------
    str
        ``renamed`` or ``in place``: how it was done.

    Raises
    ------
    SettingsError
        Somebody else has changed it in the meantime, or it cannot be written.
    """
    real = Path(os.path.realpath(path))
    with _translated(path, "written"):
        if (real.read_bytes() if real.exists() else b"") != before:
            raise SettingsError(f"{path} was changed by somebody else in the meantime.", remedy="Try again.")
        try:
            if not real.exists() or real.stat().st_nlink == 1:
                _rename_over(real, data)
                return "renamed"
        except OSError as error:
            if error.errno not in _NOT_HERE or not real.exists():
                raise
        _write_in_place(real, data, before)
        return "in place"


def _rename_over(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            _take_after(path, handle)
            stream.write(data)
            stream.flush()
            os.fsync(handle)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _take_after(path: Path, handle: int) -> None:
    """Give a new file the mode, owner and attributes (access lists, labels) of the one that it will replace."""
    if not path.exists():
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(handle, 0o666 & ~mask)
        return
    status, own = path.stat(), os.fstat(handle)
    if (status.st_uid, status.st_gid) != (own.st_uid, own.st_gid):
        os.fchown(handle, status.st_uid, status.st_gid)
    os.fchmod(handle, status.st_mode & 0o7777)
    for name in os.listxattr(path):
        value = os.getxattr(path, name)
        if name not in os.listxattr(handle) or os.getxattr(handle, name) != value:
            os.setxattr(handle, name, value)


def _write_in_place(path: Path, data: bytes, before: bytes) -> None:
    with path.open("r+b", buffering=0) as stream:
        handle = stream.fileno()
        try:
            if len(data) > len(before):
                _claim(handle, len(data))
            _write_all(handle, data)
        except OSError:
            # Best what was there; the error that is told is that of the writing.
            with contextlib.suppress(OSError):
                _write_all(handle, before)
            raise


def _claim(handle: int, size_bytes: int) -> None:
    """Have the space, so that a full disk is told before anything is lost."""
    try:
        os.posix_fallocate(handle, 0, size_bytes)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}:
            raise


def _write_all(handle: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(handle, data[done:], done)
    os.ftruncate(handle, len(data))
    os.fsync(handle)


def _lock(handle: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise SettingsError(f"{path} is being edited by another process.", remedy="Try again later.") from error
            time.sleep(_PAUSE_S)


def _is_still(handle: int, target: Path) -> bool:
    try:
        now = target.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), now)


@contextlib.contextmanager
def _translated(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be {what}: {error.strerror or error}.",
            remedy="Check that its folder is there, that the disk has space, and what this user may do.",
        ) from error
