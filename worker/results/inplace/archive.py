"""Writing the archive of a job's results, which OMERO reads for good.

A folder is written under a temporary name beside its place, every file flushed to the disk and compared with the
manifest of what the job wrote, and then renamed: it is there as a whole or not at all. What is there is never changed
and never removed by us, as images in OMERO live from it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from worker.errors import ResultsError, SettingsError, StorageUnavailable, TransferDamaged
from worker.results.inplace.layout import ARCHIVE, ArchiveLayout
from worker.results.inplace.storage import (
    FILE_MODE,
    check_inside,
    check_mounted,
    flush_folder,
    flush_folders,
    make_folders,
    open_to_others,
    storage,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from worker.results.inplace.layout import ArchivedFile

SPARE_BYTES: Final = 64 * 2**20
"""Space that must be left over on the storage."""

AT_ONCE: Final = 256
"""So many files are written before they are flushed, and compared."""

FLUSHING: Final = 8
"""So many are flushed at the same time: disks and file servers do that in hardly more time than for one."""

PIECE_BYTES: Final = 4 * 2**20

_NOTHING: Final[Mapping[str, bytes]] = MappingProxyType({})


def write_archive(
    layout: ArchiveLayout,
    base_dir: Path,
    source: Path,
    files: Sequence[ArchivedFile],
    *,
    metadata: bytes,
    about: Mapping[str, bytes] = _NOTHING,
    log_file: Path | None = None,
    zip_chunks: Callable[[], Iterable[bytes]] | None = None,
    beside: Iterable[str] = (),
    guard: Callable[[], None] = lambda: None,
) -> None:
    """Write the folder of one job, unless it is there already.

    Parameters
    ----------
    layout : ArchiveLayout
        Where.
    base_dir : Path
        Where the storage is mounted.
    source : Path
        Where the results are on this machine; they are copied, and stay there.
    files : Sequence of ArchivedFile
        The results, as the cluster has listed them.
    metadata : bytes
        Content of ``metadata.csv``.
    about : Mapping
        Further files that describe the results, and lie beside that one, by name.
    log_file : Path, optional
        The job's log.
    zip_chunks : callable, optional
        Gives the zip, where one is wanted.
    beside : iterable of str
        Folders of results (below the output folder) that get a copy of ``metadata.csv`` as well: the importer looks
        for it beside the files that it imports. One that the job has written itself is left as it is.
    guard : callable
        Called before each file; raises to stop.

    Raises
    ------
    SettingsError
        If we may not write there.
    StorageUnavailable
        If the storage is full, or does not work.
    TransferDamaged
        If a file is not what the cluster has listed.
    """
    if is_archived(layout):
        return
    parent = layout.folder.parent
    part = parent / f".{layout.folder.name}.{uuid4().hex[:8]}.part"
    check_mounted(base_dir)
    if not layout.folder.is_relative_to(base_dir):
        raise SettingsError(f"The folder {layout.folder} lies outside base_dir ({base_dir}), which was another before.")
    with storage(parent):
        make_folders(parent)
        check_inside(parent, parent.parents[1])
        _sweep(parent, layout.folder.name)
        _demand_space(parent, files, zipped=zip_chunks is not None)
    written = ArchiveLayout(part, layout.job_id)
    try:
        with storage(parent):
            for path in (written.results, part):
                make_folders(path)
            for start in range(0, len(files), AT_ONCE):
                portion = [(file, _inside(written.results, file.path)) for file in files[start : start + AT_ONCE]]
                for file, place in portion:
                    guard()
                    make_folders(place.parent)
                    _write(place, _pieces(source / file.path), flush=False)
                _verify_all(portion, guard)
            for name, content in {**about, written.metadata.name: metadata}.items():
                _write(_inside(written.contents, name), (content,))
            for folder in sorted(set(beside)):
                place = _inside(written.results, str(PurePosixPath(folder) / "metadata.csv"))
                if not place.exists():
                    _write(place, (metadata,))
            if log_file is not None and log_file.is_file():
                _write(written.log, _pieces(log_file))
            if zip_chunks is not None:
                guard()
                _write(written.zip_file, zip_chunks())
            guard()
            flush_folders(part)
            _rename(written, layout)
    except StorageUnavailable:
        # Whoever was held up for longer than its lease finds its part swept, and the archive written.
        if not is_archived(layout):
            raise
    finally:
        # Ours alone: it bears a name that nobody else uses.
        shutil.rmtree(part, ignore_errors=True)


def is_archived(layout: ArchiveLayout) -> bool:
    """Say whether the results of a job are in their archive.

    Parameters
    ----------
    layout : ArchiveLayout
        The archive.

    Returns
    -------
    bool
        True if they are: it was written as a whole.

    Raises
    ------
    SettingsError
        If we may not look.
    StorageUnavailable
        If the storage does not work.
    """
    with storage(layout.folder):
        return layout.contents.is_dir()


def find_archive(group_folder: Path, run_id: object, job_id: int, files: Sequence[ArchivedFile]) -> Path | None:
    """Look for an archive that holds these very results already, from an earlier import of them.

    Parameters
    ----------
    group_folder : Path
        Folder of the group.
    run_id : object
        UUID of the run that had the job.
    job_id : int
        The job.
    files : Sequence of ArchivedFile
        Its results, as the cluster has listed them.

    Returns
    -------
    Path or None
        The newest such folder; every file in it was read and compared.

    Raises
    ------
    StorageUnavailable
        If the storage does not work.
    """
    parent = group_folder / ARCHIVE / str(run_id)
    with storage(parent):
        folders = sorted(parent.glob("[0-9]*"), reverse=True) if parent.is_dir() else []
        return next((each for each in folders if _holds(ArchiveLayout(each, job_id).results, files)), None)


def _holds(results: Path, files: Sequence[ArchivedFile]) -> bool:
    """Whether a folder holds just these results."""
    places = [_inside(results, file.path) for file in files]
    if not results.is_dir() or not all(place.is_file() and not place.is_symlink() for place in places):
        return False
    return all(_digest(place) == (file.size_bytes, file.sha256) for place, file in zip(places, files, strict=True))


def _inside(root: Path, path: str) -> Path:
    """Join a path that was told by somebody else; it cannot lead out of the root."""
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or "\0" in path:
        raise ResultsError(f"The result {path!r} lies outside the folder of the results and is not touched.")
    return root / relative


def _verify_all(portion: Sequence[tuple[ArchivedFile, Path]], guard: Callable[[], None]) -> None:
    with ThreadPoolExecutor(FLUSHING) as pool:
        checks = [pool.submit(_verify, file, place) for file, place in portion]
        try:
            for check in checks:
                guard()
                check.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _verify(file: ArchivedFile, place: Path) -> None:
    """Flush a file to the disk, and compare what is there with what the cluster has listed."""
    size_bytes, sha256 = _digest(place, flush=True)
    if (size_bytes, sha256) != (file.size_bytes, file.sha256):
        raise TransferDamaged(
            f"The result {file.path!r} is not in the archive as the job has written it: {size_bytes} bytes instead of "
            f"{file.size_bytes}, or another checksum."
        )


def _digest(file: Path, *, flush: bool = False) -> tuple[int, str]:
    """Read a file from the disk, not from the memory that we have just filled: its size and sha256."""
    digest = hashlib.sha256()
    size_bytes = 0
    with file.open("rb") as stream:
        if flush:
            os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
            size_bytes += len(piece)
    return size_bytes, digest.hexdigest()


def _write(target: Path, pieces: Iterable[bytes], *, flush: bool = True) -> None:
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(handle, "wb") as stream:
        for piece in pieces:
            stream.write(piece)
        stream.flush()
        open_to_others(stream.fileno(), FILE_MODE)
        if flush:
            os.fsync(stream.fileno())


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(PIECE_BYTES):
            yield piece


def _rename(part: ArchiveLayout, whole: ArchiveLayout) -> None:
    try:
        part.folder.rename(whole.folder)
    except OSError as error:
        # A process that was held up and came to life again has been quicker; it has written the same.
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY) or not whole.contents.is_dir():
            raise
    flush_folder(whole.folder.parent)


def _sweep(parent: Path, name: str) -> None:
    """Remove what an attempt of ours has left that was killed."""
    for left in parent.glob(f".{name}.*.part"):
        shutil.rmtree(left, ignore_errors=True)


def _demand_space(parent: Path, files: Sequence[ArchivedFile], *, zipped: bool) -> None:
    wanted = sum(file.size_bytes for file in files) * (2 if zipped else 1) + SPARE_BYTES
    free = shutil.disk_usage(parent).free
    if free < wanted:
        raise OSError(
            errno.ENOSPC, f"{wanted / 2**20:.0f} MiB are needed, and {free / 2**20:.0f} MiB are free", str(parent)
        )
