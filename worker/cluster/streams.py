"""Files from the cluster, fetched so that the local folder becomes what was listed there: no less, no more, no other.

Small files come as one tar stream, large ones one by one from where an earlier attempt stopped. Each is verified before
it gets its name; until then it lies in a folder beside the destination, so that no name of a result is taken for one of
ours. For the other direction see `worker.cluster.uploads`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tarfile
import unicodedata
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from worker.cluster.entries import names
from worker.cluster.layout import confined, shown
from worker.cluster.listing import RemoteFile, changed_meanwhile, in_folder, naming, told
from worker.cluster.pipes import Limited
from worker.cluster.room import check_room, parts_of
from worker.cluster.scripts import script
from worker.errors import LocalDiskError, TransferDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from worker.cluster.transport import Transport

LARGE_BYTES = 64 * 1024 * 1024
"""From this size on, a file that was cut off continues where it stopped."""

COPY_BYTES = 1024 * 1024
"""What is held of a file while it is written."""

HEADERS_BYTES = 64 * 1024
"""What may come in a tar stream before each file: its path twice, other fields, and what tarfile reads ahead."""

_ZEROS = bytes(COPY_BYTES)


class Follow(Protocol):
    """Is told how far a download is, at least twice a second; it may raise something to stop."""

    def __call__(self, files: int, size_bytes: int, /) -> None:
        """Take notice.

        Parameters
        ----------
        files : int
            How many files are here, and verified.
        size_bytes : int
            How much of all files is here.
        """


def nobody(_files: int, _size_bytes: int, /) -> None:
    """Follow nothing."""


def download_tree(
    transport: Transport,
    root: PurePosixPath,
    files: Sequence[RemoteFile],
    destination: Path,
    *,
    within: PurePosixPath | None = None,
    follow: Follow = nobody,
) -> None:
    """Make a local folder hold just the given files, and verify each.

    What is there already, with the right content, is not fetched again, so that a broken download continues; what is
    there besides is removed.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    root : PurePosixPath
        The folder on the cluster.
    files : Sequence[RemoteFile]
        The files, as `worker.cluster.listing.list_tree` gave them.
    destination : Path
        The local folder, which belongs to this download alone, as does one of that name with ``.parts`` after it;
        nothing is written anywhere else, whatever the far side says.
    within : PurePosixPath, optional
        A folder above `root`, out of which no link may lead.
    follow : Follow
        Is told how far it is.

    Raises
    ------
    TransferDamaged
        If a file is missing, or is not what was listed.
    ResultsError
        If a link leads out of `within`.
    CommandFailed
        If the folder is not there, or a file cannot be read.
    LocalDiskError
        If the files cannot be written here, or there is no room for them.
    """
    wanted: dict[str, RemoteFile] = {}
    for file in files:
        try:
            wanted[confined(file.path)] = file
        except ValueError as error:
            raise TransferDamaged(f"The list of files in {root} names one outside: {shown(file.path)}.") from error
    if len(wanted) < len(files):
        raise TransferDamaged(f"The list of files in {root} names a file twice.")
    try:
        _Download(transport, root, within, wanted, destination, follow).run()
    except OSError as error:
        raise LocalDiskError(destination, error) from error


@dataclass(slots=True)
class _Download:
    """One attempt at fetching some files."""

    transport: Transport
    root: PurePosixPath
    within: PurePosixPath | None
    wanted: Mapping[str, RemoteFile]
    destination: Path
    follow: Follow
    files: int = 0
    """How many are here."""
    size_bytes: int = 0
    """How much is here, of these and of the one that is arriving."""

    @property
    def parts(self) -> Path:
        """Where files are until they are verified."""
        return parts_of(self.destination)

    def run(self) -> None:
        """Fetch what is missing."""
        for folder in (self.destination, self.parts):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._tell_apart()
        self._keep_only()
        missing: dict[str, RemoteFile] = {}
        for name, file in self.wanted.items():
            if self._is_there(name, file):
                self._arrived(file)
            else:
                missing[name] = file
        small = {name: file for name, file in missing.items() if file.size_bytes < LARGE_BYTES}
        large = {name: file for name, file in missing.items() if file.size_bytes >= LARGE_BYTES}
        kept = {self._part(file).name for file in large.values()}
        for part in self.parts.iterdir():
            if part.name not in kept:
                part.unlink()
        self._check_room(small, large)
        for folder in {(self.destination / name).parent for name in missing}:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if small:
            self._fetch_small(small)
        for name, file in large.items():
            self._fetch_large(name, file)
        shutil.rmtree(self.parts)

    def _tell(self, arriving_bytes: int = 0) -> None:
        self.follow(self.files, self.size_bytes + arriving_bytes)

    def _arrived(self, file: RemoteFile) -> None:
        self.files += 1
        self.size_bytes += file.size_bytes
        self._tell()

    def _part(self, file: RemoteFile) -> Path:
        # Named after its content: what was fetched of a file that has changed since is not gone on with.
        return self.parts / file.sha256

    def _tell_apart(self) -> None:
        """Refuse names that this disk takes for one: in upper and lower case, or of the same letters in Unicode."""
        seen: dict[str, str] = {}
        for name in self.wanted:
            folded = unicodedata.normalize("NFC", name).casefold()
            other = seen.setdefault(folded, name)
            if other != name and not _are_two(self.destination.parent, other, name):
                why = f"it does not tell {shown(other)} from {shown(name)}"
                raise LocalDiskError(
                    self.destination,
                    OSError(errno.EEXIST, why),
                    remedy="Keep the state folder of the worker on a disk that does, as those of Linux do.",
                )

    def _keep_only(self) -> None:
        """Remove whatever is not one of the files."""
        folders = {str(parent) for name in self.wanted for parent in PurePosixPath(name).parents}
        for place, below, here in os.walk(self.destination, topdown=False):
            self._tell()
            for found in (Path(place, entry) for entry in (*here, *below)):
                path = str(found.relative_to(self.destination))
                if found.is_symlink() or not (path in self.wanted or found.is_dir()):
                    found.unlink()
                elif found.is_dir() and path not in folders:
                    found.rmdir()

    def _is_there(self, name: str, file: RemoteFile) -> bool:
        path = self.destination / name
        try:
            if path.stat().st_size != file.size_bytes or not path.is_file():
                return False
        except (FileNotFoundError, NotADirectoryError):
            return False
        return self._digest(path).hexdigest() == file.sha256

    def _digest(self, path: Path) -> hashlib._Hash:
        """Compute the checksum of a local file, and tell how far it is."""
        digest, read_bytes = hashlib.sha256(), 0
        with path.open("rb") as source:
            while piece := source.read(COPY_BYTES):
                digest.update(piece)
                read_bytes += len(piece)
                self._tell(read_bytes)
        return digest

    def _check_room(self, small: Mapping[str, RemoteFile], large: Mapping[str, RemoteFile]) -> None:
        """Make sure that everything fits, before the first byte comes."""
        parts = {part.name: part.stat().st_blocks * 512 for part in self.parts.iterdir()}
        missing = [*small.values(), *large.values()]
        needed = sum(file.size_bytes for file in missing) - sum(parts.values())
        check_room(self.destination, needed, len(missing))

    def _pieces(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Look with each piece whether to go on, those included that are empty."""
        for piece in pieces:
            self._tell()
            yield piece

    def _fetch_small(self, missing: dict[str, RemoteFile]) -> None:
        """Fetch files as one stream; each that has arrived is taken off the list."""
        command = script("pack", *in_folder(self.root, self.within))
        with told(self.root), self.transport.stream(command, stdin=[names(missing)]) as pieces:
            stream = Limited(self._pieces(pieces), HEADERS_BYTES)
            try:
                # An error here beats what the far side's tar says at the end of the stream.
                with _Passing.open(fileobj=stream, mode="r|", errorlevel=2) as archive:
                    while member := archive.next():
                        archive.members.clear()
                        stream.expect(member.size)
                        self._take(archive, member, missing)
                        stream.expect(0)
                while stream.read(tarfile.RECORDSIZE):  # to the end, where a failure of the far side is told
                    pass
            except tarfile.TarError as error:
                raise TransferDamaged(f"The stream of files from {self.root} is damaged: {error}.") from error
        if missing:
            raise TransferDamaged(
                f"{len(missing)} files of {self.root} did not arrive: {naming(missing)}.",
                remedy="The download is repeated.",
            )

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo, missing: dict[str, RemoteFile]) -> None:
        """Write a member of the stream, if it is one of the files that were asked for and nothing else."""
        name = str(PurePosixPath(member.name))
        file = missing.get(name)
        source = archive.extractfile(member) if member.isreg() else None
        if file is None or source is None:
            raise TransferDamaged(f"The cluster sent {shown(member.name)}, which was not asked for.")
        if member.size != file.size_bytes:
            raise changed_meanwhile(self.root, [file.path])
        part = self._part(file)
        with closing(source), part.open("wb") as sink:
            digest, size_bytes = hashlib.sha256(), 0
            while piece := source.read(COPY_BYTES):
                digest.update(piece)
                sink.write(piece)
                size_bytes += len(piece)
        self._finish(name, file, digest.hexdigest())
        del missing[name]

    def _fetch_large(self, name: str, file: RemoteFile) -> None:
        """Fetch a file from where it was cut off."""
        part = self._part(file)
        digest, arrived = hashlib.sha256(), 0
        if part.exists():
            digest, arrived = self._digest(part), part.stat().st_size
        path = PurePosixPath(name)
        folder = in_folder(self.root / path.parent, self.within or self.root)
        command = script("send_rest", *folder, path.name, str(arrived + 1))
        if arrived < file.size_bytes:
            with told(self.root), self.transport.stream(command) as pieces, part.open("ab", buffering=0) as sink:
                for piece in pieces:
                    digest.update(piece)
                    arrived += len(piece)
                    if arrived > file.size_bytes:
                        break
                    _write(sink.fileno(), piece)
                    self._tell(arrived)
        if arrived != file.size_bytes:
            # What is there may be the beginning of what was listed all the same.
            raise changed_meanwhile(self.root, [file.path])
        self._finish(name, file, digest.hexdigest())

    def _finish(self, name: str, file: RemoteFile, sha256: str) -> None:
        """Give a file its name, if it is what was listed."""
        part = self._part(file)
        if sha256 != file.sha256:
            part.unlink()
            raise changed_meanwhile(self.root, [file.path])
        part.replace(self.destination / name)
        self._arrived(file)


class _Passing(tarfile.TarFile):
    """A tar stream that is read once."""

    members: list[tarfile.TarInfo]
    """What was read; it is emptied on the way."""


def _write(file: int, piece: bytes) -> None:
    """Append to a file; where there is nothing but zeros it is left sparse, as it may be on the cluster."""
    if piece.startswith(b"\0") and piece == _ZEROS[: len(piece)]:
        os.ftruncate(file, os.fstat(file).st_size + len(piece))
        return
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(file, rest) :]


def _are_two(folder: Path, one: str, other: str) -> bool:
    """Try whether a disk tells two paths apart."""
    pairs = zip(PurePosixPath(one).parts, PurePosixPath(other).parts, strict=False)
    first, second = next(pair for pair in pairs if pair[0] != pair[1])
    with TemporaryDirectory(dir=folder) as probe:
        Path(probe, first).touch()
        return not Path(probe, second).exists()
