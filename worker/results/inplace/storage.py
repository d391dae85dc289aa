"""The storage that importer, OMERO server and worker share: whether we may write there, and how others can read it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from worker.errors import SettingsError, StorageUnavailable
from worker.results.inplace.layout import ARCHIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_MODE: Final = 0o644
FOLDER_MODE: Final = 0o755
"""Importer and OMERO server run as other users than we do. We alone may change what is there."""


def check_writable(base_dir: Path, group_folder: Path, group_name: str) -> None:
    """Check that archives can be written for a group, and leave nothing behind.

    Parameters
    ----------
    base_dir : Path
        Where the storage is mounted.
    group_folder : Path
        Folder of the group below it; it need not be there yet.
    group_name : str
        Name of the group, for the message.

    Raises
    ------
    SettingsError
        If we may not write there, or the storage is not mounted.
    StorageUnavailable
        If the storage does not work.
    """
    check_mounted(base_dir)
    archive = group_folder / ARCHIVE
    ways = (archive, *(each for each in archive.parents if each != base_dir and each.is_relative_to(base_dir)))
    with storage(group_folder, group_name):
        # In the innermost folder that is there: whoever may make one in it may make all others in that. They are not
        # made here and removed again, since others of the group may be about to write into them.
        there = next((each for each in ways if os.path.lexists(each)), base_dir)
        if there == archive:
            check_inside(archive, group_folder)
        probe = there / f".probe-{uuid4().hex[:8]}"
        # No look at modes tells what a file server allows.
        probe.mkdir(FOLDER_MODE)
        try:
            (probe / "file").touch()
            (probe / "file").unlink()
        finally:
            probe.rmdir()


def check_inside(folder: Path, group_folder: Path) -> None:
    """Check that a folder of ours is where it seems to be: members of a group may put links into theirs.

    Parameters
    ----------
    folder : Path
        The folder, which is there.
    group_folder : Path
        The folder of the group.

    Raises
    ------
    SettingsError
        If a link leads out of the group's folder.
    """
    if not folder.resolve().is_relative_to(group_folder.resolve()):
        raise SettingsError(
            f"The folder {folder} is a link that leads out of the folder of its group ({group_folder}).",
            remedy="Remove the link; results of a group stay in its own folder.",
        )


def check_mounted(base_dir: Path) -> None:
    """Check that the storage is there: made by us, it would be a folder of this container, and seen by nobody else.

    Parameters
    ----------
    base_dir : Path
        Where the storage is mounted.

    Raises
    ------
    SettingsError
        If it is not.
    """
    with storage(base_dir):
        mounted = base_dir.is_dir()
    if not mounted:
        raise SettingsError(
            f"The storage for results is not mounted: there is no folder {base_dir}.",
            remedy="Mount it here at the path at which importer and OMERO server have it (base_dir in settings.yml).",
        )


@contextmanager
def storage(path: Path, group_name: str = "") -> Iterator[None]:
    """Say whose storage it is when the operating system refuses something in the block.

    Parameters
    ----------
    path : Path
        The folder that is used.
    group_name : str
        Whose it is, for the message.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    SettingsError
        If we may not do it.
    StorageUnavailable
        If the storage cannot do it now.
    """
    whose = f" of group {group_name!r}" if group_name else ""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise SettingsError(
                f"The worker may not write to the storage{whose} ({path}): {error.strerror}.",
                remedy=f"Give user id {os.geteuid()} write permission on the folder of the group, or on the folder in "
                "which it is to be made.",
            ) from error
        raise StorageUnavailable(path, error) from error


def make_folders(folder: Path) -> None:
    """Make folders that others can read, whatever our umask is; those that are there stay as they are.

    Parameters
    ----------
    folder : Path
        The innermost.
    """
    for each in (*reversed(folder.parents), folder):
        if each.is_dir():
            continue
        with suppress(FileExistsError):
            each.mkdir()
            open_to_others(each, FOLDER_MODE)


def open_to_others(path: Path | int, mode: int) -> None:
    """Set the mode of what we have made, keeping the bit that hands its group down.

    Parameters
    ----------
    path : Path or int
        The folder, or a file that is open.
    mode : int
        The mode.
    """
    try:
        os.chmod(path, mode | os.stat(path).st_mode & stat.S_ISGID)  # noqa: PTH101, PTH116  # a handle has no Path
    except OSError as error:
        # A file server may have modes of its own, and not let anybody set them.
        if error.errno not in (errno.EPERM, errno.ENOTSUP):
            raise


def flush_folders(root: Path) -> None:
    """Flush what folders say of their members to the disk.

    Parameters
    ----------
    root : Path
        The outermost.
    """
    for folder, _, _ in os.walk(root, topdown=False):
        flush_folder(Path(folder))


def flush_folder(folder: Path) -> None:
    """Flush what one folder says of its members to the disk.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file servers know no flushing of folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
