"""Files from the cluster, as one tar stream: listed with their checksums, fetched, and verified file by file.

A file appears under its final name only when it is what was listed. The far side needs GNU tar, findutils and
coreutils. For the other direction see `worker.cluster.uploads`.
"""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from worker.cluster.layout import confined
from worker.cluster.pipes import Reader
from worker.cluster.scripts import script
from worker.errors import LocalDiskError, TransferDamaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from worker.cluster.transport import Transport

SLOWEST_HASH_BYTES_PER_S = 10 * 1024 * 1024
"""How slow the file system of a cluster may be: a single file is hashed in silence."""

COPY_BYTES = 1024 * 1024
"""What is held of a file while it is written."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file on the cluster.

    Parameters
    ----------
    path : str
        Its path, relative to the folder that was listed.
    size_bytes : int
        Its size.
    sha256 : str
        Its checksum, in hexadecimal.
    """

    path: str
    size_bytes: int
    sha256: str


def list_tree(transport: Transport, root: PurePosixPath) -> tuple[RemoteFile, ...]:
    """List all files below a folder, with their checksums.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    root : PurePosixPath
        The folder.

    Returns
    -------
    tuple[RemoteFile, ...]
        The regular files, by path. Links are left out: what they point to may be anybody's.

    Raises
    ------
    CommandFailed
        If the folder is not there, or a file cannot be read.
    TransferDamaged
        If files change meanwhile.
    """
    sizes: dict[str, int] = {}
    for entry in _entries(transport, script("list_sizes", str(root)), None, None):
        size, _, path = entry.partition("\t")
        sizes[path] = int(size)
    digests: dict[str, str] = {}
    command = script("list_checksums", str(root))
    # Checksums come in blocks when the far side's buffer is full: its silence is bounded by all bytes, not by one file.
    for entry in _entries(transport, command, [_listing(sizes)], hashing_s(sum(sizes.values()))):
        digest, _, path = entry.partition("  ./")
        digests[path] = digest
    if digests.keys() != sizes.keys():
        raise TransferDamaged(f"The files in {root} change while they are listed.", remedy="It is tried again.")
    return tuple(RemoteFile(path, sizes[path], digests[path]) for path in sorted(sizes))


def download_tree(transport: Transport, root: PurePosixPath, files: Sequence[RemoteFile], destination: Path) -> None:
    """Fetch files as one stream, verify each, and only then give it its name.

    Files that are there already with the right content are not fetched again, so that a broken download continues.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    root : PurePosixPath
        The folder on the cluster.
    files : Sequence[RemoteFile]
        The files, as `list_tree` gave them.
    destination : Path
        The local folder; nothing is written anywhere else, whatever the stream says.

    Raises
    ------
    TransferDamaged
        If a file is missing, or is not what was listed.
    CommandFailed
        If the folder is not there, or a file cannot be read.
    LocalDiskError
        If the files cannot be written here.
    """
    wanted: dict[str, RemoteFile] = {}
    for file in files:
        try:
            wanted[confined(file.path)] = file
        except ValueError as error:
            raise TransferDamaged(f"The list of files in {root} names one outside: {file.path!r}.") from error
    try:
        destination.mkdir(parents=True, exist_ok=True)
        missing = {name: file for name, file in wanted.items() if not _is_there(destination / name, file)}
        if missing:
            _fetch(transport, root, missing, destination)
    except OSError as error:
        raise LocalDiskError(destination, error) from error


def _fetch(transport: Transport, root: PurePosixPath, missing: dict[str, RemoteFile], destination: Path) -> None:
    """Fetch the files that are missing, which are taken off the list one by one."""
    with transport.stream(script("pack", str(root)), stdin=[_listing(missing)]) as pieces:
        try:
            # An error here beats what the far side's tar says at the end of the stream.
            with tarfile.open(fileobj=Reader(pieces), mode="r|", errorlevel=2) as archive:
                for member in archive:
                    _take(archive, member, missing, destination)
            for _ in pieces:  # to the end, where a failure of the far side is told
                pass
        except tarfile.TarError as error:
            raise TransferDamaged(f"The stream of files from {root} is damaged: {error}.") from error
    if missing:
        raise TransferDamaged(
            f"{len(missing)} files of {root} did not arrive, {next(iter(missing))!r} among them.",
            remedy="The download is repeated.",
        )


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, missing: dict[str, RemoteFile], destination: Path) -> None:
    """Write a member of the stream, if it is one of the files that were asked for and nothing else."""
    file = missing.get(str(PurePosixPath(member.name)))
    source = archive.extractfile(member) if member.isreg() else None
    if file is None or source is None or PurePosixPath(member.name).is_absolute():
        raise TransferDamaged(f"The cluster sent {member.name!r}, which was not asked for.")
    target = destination / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(destination.resolve()):
        raise TransferDamaged(f"{target} leads out of {destination}.")
    part = target.with_name(f".{hashlib.sha256(target.name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.part")
    try:
        digest, size_bytes = hashlib.sha256(), 0
        with part.open("wb") as sink:
            while piece := source.read(COPY_BYTES):
                digest.update(piece)
                sink.write(piece)
                size_bytes += len(piece)
        if (size_bytes, digest.hexdigest()) != (file.size_bytes, file.sha256):
            raise TransferDamaged(
                f"{file.path} is not what was listed: {size_bytes} bytes instead of {file.size_bytes}, or another "
                "content.",
                remedy="The download is repeated.",
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    del missing[str(PurePosixPath(member.name))]


def _is_there(path: Path, file: RemoteFile) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest() == file.sha256


def _entries(
    transport: Transport, command: list[str], stdin: Iterable[bytes] | None, timeout_s: float | None
) -> Iterator[str]:
    """Read NUL-terminated entries."""
    rest = b""
    with transport.stream(command, stdin=stdin, timeout_s=timeout_s) as pieces:
        for piece in pieces:
            *entries, rest = (rest + piece).split(b"\0")
            for entry in entries:
                yield entry.decode("utf-8", "surrogateescape")


def _listing(names: Iterable[str]) -> bytes:
    """Write names for a script that reads them with a NUL after each."""
    return "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")


def hashing_s(size_bytes: int) -> float:
    """Say how long the far side may be silent while it hashes.

    Parameters
    ----------
    size_bytes : int
        What it hashes before it says anything.

    Returns
    -------
    float
        Seconds.
    """
    return 120.0 + size_bytes / SLOWEST_HASH_BYTES_PER_S
