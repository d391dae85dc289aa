"""What is in a folder on the cluster: its files with size and checksum, and what is no file of its own and is left out.

Only what lies in the folder itself counts. What a link points to may be anybody's; devices, pipes and sockets hold
nothing, and are never opened. A hard link is a file like any other: it shows nothing that whoever made it could not
have copied. The far side needs GNU findutils, coreutils and tar; OpenSSL is used where it is there.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from worker.cluster.checksums import checksums
from worker.cluster.entries import entries
from worker.cluster.layout import shown
from worker.cluster.room import check_room, lying_in, unfit, unfit_there
from worker.cluster.scripts import script
from worker.errors import CommandFailed, ResultsError, TransferDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path, PurePosixPath

    from worker.cluster.transport import Transport

NAMED = 5
"""How many files a message names; of the others it tells how many there are."""

KINDS: Mapping[str, tuple[str, bool]] = {
    "l": ("a link", False),
    "p": ("a pipe", False),
    "s": ("a socket", False),
    "b": ("a device", False),
    "c": ("a device", False),
    "U": ("a file that the login of this worker may not read", True),
    "D": ("a folder that the login of this worker may not read", True),
}
"""What is left out, by its type as ``list_files.sh`` gives it: what it is, and whether a result is lost with it."""

MOST_ENTRIES = 1_000_000
"""How many files, folders and whatever else are listed; a list of so many takes about a gigabyte of memory."""

MOST_NAME_BYTES = 160 * 1024**2
"""How long the names in a list may be together."""

_LEADS_OUT, _NO_FOLDER = 65, 66
"""How ``scripts/enter.sh`` ends."""

_AGAIN = "They are listed anew and it is tried again. If they go on changing, look what still writes there."


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
    changed : str
        When it was last changed, in seconds since 1970 by the cluster's clock; empty if that is not known.
    """

    path: str
    size_bytes: int
    sha256: str
    changed: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in a folder on the cluster that is not fetched.

    Parameters
    ----------
    path : str
        Its path, relative to the folder that was listed.
    why : str
        What it is, such as ``a link``.
    lost : bool
        Whether it may hold a result, which is missing then.
    """

    path: str
    why: str
    lost: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a folder.

    Parameters
    ----------
    files : tuple of RemoteFile
        Its files, by path.
    left_out : tuple of LeftOut
        What is not fetched, by path.
    """

    files: tuple[RemoteFile, ...]
    left_out: tuple[LeftOut, ...] = ()


def in_folder(root: PurePosixPath, within: PurePosixPath | None) -> tuple[str, str]:
    """Say to ``scripts/enter.sh`` which folder is meant.

    Parameters
    ----------
    root : PurePosixPath
        The folder.
    within : PurePosixPath or None
        The folder above it that is ours for sure; None: the folder itself.

    Returns
    -------
    tuple of str
        That folder, and the path from there.
    """
    return (str(root), ".") if within is None else (str(within), str(root.relative_to(within)))


def list_tree(
    transport: Transport,
    root: PurePosixPath,
    *,
    within: PurePosixPath | None = None,
    known: Iterable[RemoteFile] = (),
    into: Path | None = None,
    follow: Callable[[int, int], None] = lambda _done, _total: None,
) -> Listing:
    """List all files below a folder, with their checksums.

    What is there is looked at before the checksums are computed and after that: somebody who puts a link in the place
    of a folder meanwhile would have a file from elsewhere taken for a result.

    Parameters
    ----------
    transport : Transport
        The way to the cluster.
    root : PurePosixPath
        The folder.
    within : PurePosixPath, optional
        A folder above it, out of which no link may lead.
    known : iterable of RemoteFile
        Files as they were listed before; of what has not changed since, the checksum is not computed again.
    into : Path, optional
        The local folder, which is there, into which they are to be fetched: what its disk cannot hold is left out, and
        there must be room for the others, before a cluster computes for hours what nobody can fetch.
    follow : callable
        Is told of how many files the checksum is known, and of how many there are; at least twice a second, so that it
        may raise something to stop.

    Returns
    -------
    Listing
        The files.

    Raises
    ------
    ResultsError
        If a link leads out of `within`, or there are more than `MOST_ENTRIES`.
    LocalDiskError
        If there is no room.
    CommandFailed
        If the folder is not there, or cannot be read.
    TransferDamaged
        If files change meanwhile.
    """
    folder = in_folder(root, within)
    with told(root):
        found = dict(_look(transport, root, folder, lambda: follow(0, 0)))
        if not all(entry.changed for entry in found.values()):
            # As it is now that all can be read.
            found = dict(_look(transport, root, folder, lambda: follow(0, 0)))
        files, left_out = _sorted_out(found, into)
        digests = {
            file.path: file.sha256
            for file in known
            if file.changed and files.get(file.path) == _Entry("f", file.size_bytes, file.changed)
        }
        wanted = {path: entry.size_bytes for path, entry in files.items() if path not in digests}
        if wanted:
            if into is not None:
                here_bytes, here = lying_in(into)
                check_room(into, sum(wanted.values()) - here_bytes, len(wanted) - here)
            digests.update(checksums(transport, folder, wanted, lambda: follow(len(digests), len(files))))
            same, others = 0, set()
            for path, now in _look(transport, root, folder, lambda: follow(len(digests), len(files))):
                if found.get(path) == now:
                    same += 1
                else:
                    others.add(path or ".")
            if others or same < len(found):
                raise changed_meanwhile(root, others or {"."})
    if digests.keys() != files.keys():
        raise changed_meanwhile(root, digests.keys() ^ files.keys())
    return Listing(
        tuple(RemoteFile(path, files[path].size_bytes, digests[path], files[path].changed) for path in sorted(files)),
        tuple(sorted(left_out, key=lambda item: item.path)),
    )


class _Entry(NamedTuple):
    """Something below a folder, as ``list_files.sh`` tells of it."""

    kind: str
    size_bytes: int
    changed: str


def _look(
    transport: Transport, root: PurePosixPath, folder: tuple[str, str], follow: Callable[[], None]
) -> Iterator[tuple[str, _Entry]]:
    """See what is there, by path."""
    name_bytes = 0
    for number, listed in enumerate(entries(transport, script("list_files", *folder), follow), start=1):
        kind, size, changed, path = listed.split("\t", 3)
        name_bytes += len(path)
        if number > MOST_ENTRIES or name_bytes > MOST_NAME_BYTES:
            raise ResultsError(
                f"There are more than {MOST_ENTRIES:,} files and folders in {root}, or their names are too long.",
                remedy="Pack them on the cluster into fewer, then retry the run from 'fetch'.",
            )
        yield path, _Entry(kind, int(size), changed)


def _sorted_out(found: Mapping[str, _Entry], into: Path | None) -> tuple[dict[str, _Entry], list[LeftOut]]:
    """Tell the files that can be fetched from what is left out."""
    why_not = unfit(into) if into is not None else unfit_there
    files: dict[str, _Entry] = {}
    left_out: list[LeftOut] = []
    for path, entry in found.items():
        if entry.kind == "d":
            continue
        if entry.kind != "f":
            left_out.append(LeftOut(path or ".", *KINDS.get(entry.kind, ("neither file nor folder", False))))
        elif why := why_not(path):
            left_out.append(LeftOut(path, why, lost=True))
        else:
            files[path] = entry
    return files, left_out


def changed_meanwhile(root: PurePosixPath, paths: Collection[str]) -> TransferDamaged:
    """Say that files were not left as they are.

    Parameters
    ----------
    root : PurePosixPath
        Their folder.
    paths : collection of str
        Which ones.

    Returns
    -------
    TransferDamaged
        The error.
    """
    return TransferDamaged(
        f"The results in {root} change while they are fetched: {naming(paths)}.",
        remedy=_AGAIN,
    )


def naming(paths: Collection[str]) -> str:
    """Name files in a message.

    Parameters
    ----------
    paths : collection of str
        Their paths.

    Returns
    -------
    str
        The first of them by name, and how many there are besides.
    """
    text = ", ".join(shown(path) for path in sorted(paths)[:NAMED])
    return f"{text} and {len(paths) - NAMED} more" if len(paths) > NAMED else text


@contextmanager
def told(root: PurePosixPath) -> Iterator[None]:
    """Say what it means when one of our scripts cannot read a folder as it was listed.

    Parameters
    ----------
    root : PurePosixPath
        The folder.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    ResultsError
        If a link leads to another folder.
    TransferDamaged
        If a file is not there any more.
    CommandFailed
        If the folder is not there, or cannot be read.
    """
    try:
        yield
    except CommandFailed as error:
        if error.exit_status == _LEADS_OUT:
            raise ResultsError(
                f"{root} on the cluster is not a folder of the run: {error.stderr.strip()}.",
                remedy="Nothing is fetched through a link. Put the results into the run's own folder, then retry.",
            ) from error
        if error.exit_status != _NO_FOLDER and re.search("No such file or directory|File removed", error.stderr):
            raise TransferDamaged(
                f"Results in {root} go away while they are fetched: {error.stderr.strip()}.", remedy=_AGAIN
            ) from error
        raise
