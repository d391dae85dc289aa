"""Git repositories that hold descriptors, each with a bare copy that keeps what was fetched.

One question lists the branches and tags. Only if the commit behind the wanted one is new to us, it is fetched: without
history, and without the contents of other files.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.analyses.address import check_path
from worker.analyses.git import run_git
from worker.errors import DescriptorError, RepositoryUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import IO

    from worker.analyses.address import Address
    from worker.analyses.deadline import Deadline
    from worker.analyses.tokens import Token

NAMES = ("descriptor.json", "descriptor.yaml", "config.yaml")
"""What a descriptor may be called in a folder; the first that is there counts."""

LIMIT_BYTES = 1024 * 1024
"""No descriptor is longer."""

DEFAULT_BRANCHES = frozenset({"master", "main"})
_KEPT = "refs/worker"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")


@dataclass(frozen=True, slots=True)
class Target:
    """What an address means at this moment.

    Parameters
    ----------
    ref : str
        The branch or tag, or the commit; empty for the default branch.
    name : str
        What to ask the repository for.
    commit : str
        The commit.
    path : str
        The path below it; empty for its root.
    """

    ref: str
    name: str
    commit: str
    path: str


def list_refs(url: str, deadline: Deadline, token: Token | None = None) -> dict[str, str]:
    """List every branch and tag of a repository.

    Parameters
    ----------
    url : str
        What git clones from.
    deadline : Deadline
        When the answer must be there.
    token : Token | None
        The token of its host.

    Returns
    -------
    dict[str, str]
        The commit of each name, such as ``refs/heads/main``.

    Raises
    ------
    RepositoryUnreachable
        It cannot be asked.
    """
    refs: dict[str, str] = {}
    answer = run_git(["ls-remote", "--quiet", "--", url], deadline, token=token)
    for line in answer.decode(errors="replace").splitlines():
        commit, _, name = line.partition("\t")
        # A tag with a message is listed twice; the line with ^{} has the commit that it points to.
        refs[name.removesuffix("^{}")] = commit
    return refs


def resolve(address: Address, refs: Mapping[str, str]) -> Target:
    """Find the longest name at the start of the tail that the repository has.

    Parameters
    ----------
    address : Address
        The address.
    refs : Mapping[str, str]
        What `list_refs` gave.

    Returns
    -------
    Target
        What it means.

    Raises
    ------
    DescriptorError
        The repository has no such branch, tag or commit.
    """
    steps = address.tail.split("/") if address.tail else []
    for count in range(len(steps), 0, -1):
        ref = "/".join(steps[:count])
        # Links to raw files spell a branch out: refs/heads/main.
        for name in (f"refs/tags/{ref}", f"refs/heads/{ref}", ref):
            if name in refs and name != "HEAD":
                short = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
                return Target(short, name, refs[name], address.path or "/".join(steps[count:]))
    if steps and _COMMIT.fullmatch(steps[0]):
        return Target(steps[0], steps[0], steps[0], address.path or "/".join(steps[1:]))
    if steps and steps[0] not in DEFAULT_BRANCHES | {"HEAD"}:
        remedy = "Check the address in slurm-config.ini."
        if _SHORT_COMMIT.fullmatch(steps[0]):
            remedy = "A commit must be given with all of its 40 digits."
        raise DescriptorError(f"{address.url} has no branch or tag {address.tail!r}.", remedy=remedy)
    if "HEAD" not in refs:
        raise DescriptorError(f"{address.url} is empty: it has no default branch.")
    return Target("", "HEAD", refs["HEAD"], address.path or "/".join(steps[1:]))


def read_file(
    address: Address, target: Target, folder: Path, deadline: Deadline, token: Token | None = None
) -> tuple[str, str, bytes]:
    """Read the descriptor that a commit holds.

    Parameters
    ----------
    address : Address
        The address.
    target : Target
        What it means.
    folder : Path
        The bare copy, which is made if need be.
    deadline : Deadline
        When it must have been read.
    token : Token | None
        The token of its host.

    Returns
    -------
    tuple[str, str, bytes]
        The commit, which may be newer than the target's; the path of the file; and its content.

    Raises
    ------
    RepositoryUnreachable
        The commit is new to us and cannot be fetched.
    DescriptorError
        There is no such file in it, or it is no file, or too long.
    """
    with _locked(folder.with_suffix(".lock"), deadline):
        copy = _Copy(address, folder, deadline, token)
        try:
            return copy.read(target)
        except RepositoryUnreachable:
            if not folder.exists() or not deadline.left_s:
                raise
        # The copy may be damaged; it holds nothing that the origin does not have.
        shutil.rmtree(folder, ignore_errors=True)
        return copy.read(target)


@dataclass(frozen=True, slots=True)
class _Copy:
    """A bare repository that holds the commits which we have read."""

    address: Address
    folder: Path
    deadline: Deadline
    token: Token | None

    def read(self, target: Target) -> tuple[str, str, bytes]:
        commit = target.commit
        if not self.folder.exists():
            self._make()
        if not self._git("for-each-ref", f"{_KEPT}/{commit}"):
            commit = self._fetch(target.name)
        path, blob = self._find(target, commit)
        size_bytes = int(self._git("cat-file", "-s", blob))
        if size_bytes > LIMIT_BYTES:
            raise DescriptorError(f"{self.address.url}: {path} is {size_bytes} bytes long, too long for a descriptor.")
        return commit, path, self._git("cat-file", "blob", blob)

    def _git(self, *arguments: str) -> bytes:
        return run_git(arguments, self.deadline, folder=self.folder, token=self.token)

    def _make(self) -> None:
        run_git(["init", "--quiet", "--template=", "--bare", str(self.folder)], self.deadline)
        origin = ("remote.origin.url", self.address.url)
        for key, value in (origin, ("remote.origin.promisor", "true"), ("gc.auto", "0")):
            self._git("config", key, value)

    def _fetch(self, name: str) -> str:
        options = ["--quiet", "--depth=1", "--no-tags", "--filter=blob:none", "--no-write-fetch-head"]
        self._git("fetch", *options, "origin", f"+{name}:{_KEPT}/incoming")
        # The branch may have moved since it was listed: what was fetched is what counts.
        commit = self._git("rev-parse", "--verify", f"{_KEPT}/incoming^{{commit}}").decode().strip()
        self._git("update-ref", f"{_KEPT}/{commit}", commit)
        return commit

    def _find(self, target: Target, commit: str) -> tuple[str, str]:
        """Find the descriptor: the path itself if that is a file, else the first of its names in the folder."""
        url, folder = self.address.url, check_path(target.path) if target.path else ""
        names = [f"{folder}/{name}" for name in NAMES] if folder else list(NAMES)
        wanted = [folder, *names] if folder else names
        listing = self._git("ls-tree", "-z", commit, "--", *wanted).decode(errors="replace")
        entries: dict[str, tuple[str, str, str]] = {}
        for line in listing.rstrip("\0").split("\0") if listing else ():
            entry, _, path = line.partition("\t")
            mode, kind, blob = entry.split(" ")
            entries[path] = (mode, kind, blob)
        for path in wanted:
            mode, kind, blob = entries.get(path, ("", "tree", ""))
            if kind == "tree":
                continue
            if kind != "blob" or mode == "120000":
                raise DescriptorError(f"{url}: {path} is a link, and must be a file.")
            return path, blob
        said = f"{url} has no {folder}"
        if not folder.endswith((".json", ".yaml", ".yml")):
            said = f"{url} has no {', '.join(NAMES[:-1])} or {NAMES[-1]} in {folder or 'its root'}"
        raise DescriptorError(
            f"{said} on {target.ref or 'its default branch'}.",
            remedy="Add the path of the descriptor behind the branch or tag in slurm-config.ini.",
        )


@contextlib.contextmanager
def _locked(path: Path, deadline: Deadline) -> Iterator[None]:
    """Keep other processes out of a repository, as several workers may share a cache."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    except OSError as error:
        raise RepositoryUnreachable(f"The cache {path.parent} cannot be written: {error.strerror or error}.") from error
    with stream:
        while not _try_lock(stream):
            if not deadline.left_s:
                raise RepositoryUnreachable(f"Another process has held {path} for {deadline.timeout_s:g} s.")
            time.sleep(0.02)
        yield


def _try_lock(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
