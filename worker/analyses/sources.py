"""Fetching descriptors: from git repositories, with a copy for the days on which those cannot be reached.

There is one mechanism for every host: the ``git`` program. One question lists the branches and tags; only if the commit
behind the wanted one is new to us, it is fetched: without history, and without the contents of other files.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker.analyses.address import Address, check_path, parse_address
from worker.analyses.catalogue import replace_file
from worker.analyses.descriptor import parse_descriptor
from worker.analyses.git import Deadline, run_git
from worker.analyses.record import read_record, read_text
from worker.errors import DescriptorError, RepositoryUnreachable, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from worker.analyses.model import Analysis

DESCRIPTOR = "descriptor.json"
LATEST = "latest"
_KEPT = "refs/worker"
_LIMIT_BYTES = 1024 * 1024
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
_DEFAULT_BRANCHES = {"master", "main"}


@dataclass(frozen=True, slots=True)
class SourcedAnalysis:
    """An analysis, and where it comes from.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    version : str
        Its version: the tag of its image if the descriptor gives one, else the branch or tag of its repository;
        ``latest`` for the default branch and for local folders.
    commit : str
        The commit that it was read from; empty for local folders.
    note : str
        What a person should know, such as that it is a copy from an earlier day; empty if all is well.
    """

    analysis: Analysis
    version: str
    commit: str
    note: str = ""


def read_analysis(repo: str, *, cache_dir: Path, timeout_s: float = 60) -> Analysis:
    """Read the descriptor that a repository, or a local folder, holds.

    Parameters
    ----------
    repo : str
        The address, in any form of `worker.analyses.address`.
    cache_dir : Path
        Where copies are kept.
    timeout_s : float
        The time for all of it, in seconds.

    Returns
    -------
    Analysis
        The analysis.

    Raises
    ------
    DescriptorError
        It cannot be read, and there is no copy from an earlier day.
    """
    return fetch_analysis(repo, cache_dir=cache_dir, timeout_s=timeout_s).analysis


def fetch_analysis(repo: str, *, cache_dir: Path, timeout_s: float = 60) -> SourcedAnalysis:
    """Read a descriptor as `read_analysis` does, and say what it is.

    Parameters
    ----------
    repo : str
        The address, in any form of `worker.analyses.address`.
    cache_dir : Path
        Where copies are kept.
    timeout_s : float
        The time for all of it, in seconds.

    Returns
    -------
    SourcedAnalysis
        The analysis with its version and commit, and a note if it is a copy because the repository cannot be reached.

    Raises
    ------
    DescriptorError
        It cannot be read, and there is no copy from an earlier day.
    """
    address = parse_address(repo)
    if isinstance(address, Path):
        text, source = _read_folder(address)
        analysis = parse_descriptor(text, source=source)
        return SourcedAnalysis(analysis, image_tag(analysis.image) or LATEST, "")
    copy = cache_dir / f"{_digest(address.url, address.tail, address.path)}.json"
    note = ""
    try:
        found = _fetch(address, cache_dir, Deadline.after(timeout_s))
        with contextlib.suppress(SettingsError):
            # Without a copy we know no less today.
            _save_copy(copy, found)
    except RepositoryUnreachable as error:
        kept = _load_copy(copy)
        if kept is None:
            raise
        found = kept
        note = f"{address.url} could not be asked, so this is the copy of an earlier day. {error.message}"
    analysis = parse_descriptor(found.text, source=f"{address.url} ({found.commit[:10]}) {found.path}")
    return SourcedAnalysis(analysis, image_tag(analysis.image) or version_of(found.ref), found.commit, note)


def version_of(ref: str) -> str:
    """Say which version a branch or tag stands for.

    Parameters
    ----------
    ref : str
        Its name; empty for the default branch.

    Returns
    -------
    str
        The name itself, or ``latest`` for the default branches.
    """
    return LATEST if not ref or ref in _DEFAULT_BRANCHES else ref


def image_tag(image: str) -> str:
    """Read the tag from the name of an image.

    Parameters
    ----------
    image : str
        The name, such as ``registry:5000/org/name:v1@sha256:0123``.

    Returns
    -------
    str
        The tag, such as ``v1``; empty if there is none.
    """
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


@dataclass(frozen=True, slots=True)
class _Found:
    """A descriptor as it stands in a repository."""

    ref: str
    commit: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class _Target:
    """What is asked of a repository: a name that it lists, or a commit, and a path below it."""

    ref: str
    name: str
    commit: str
    path: str


def _fetch(address: Address, cache_dir: Path, deadline: Deadline) -> _Found:
    target = _resolve(address, _list_refs(address.url, deadline))
    repository = cache_dir / f"{_digest(address.url)}.git"
    with _locked(repository.with_suffix(".lock"), deadline):
        try:
            return _read(address, target, repository, deadline)
        except RepositoryUnreachable:
            if not repository.exists() or not deadline.left_s:
                raise
        # The copy may be damaged; it holds nothing that the origin does not have.
        shutil.rmtree(repository, ignore_errors=True)
        return _read(address, target, repository, deadline)


def _list_refs(url: str, deadline: Deadline) -> dict[str, str]:
    """List every branch and tag with its commit."""
    refs: dict[str, str] = {}
    for line in run_git(["ls-remote", "--quiet", "--", url], deadline).decode(errors="replace").splitlines():
        commit, _, name = line.partition("\t")
        # A tag with a message is listed twice; the line with ^{} has the commit that it points to.
        refs[name.removesuffix("^{}")] = commit
    return refs


def _resolve(address: Address, refs: dict[str, str]) -> _Target:
    """Find the longest name at the start of the tail that the repository has."""
    steps = address.tail.split("/") if address.tail else []
    for count in range(len(steps), 0, -1):
        ref = "/".join(steps[:count])
        for name in (f"refs/tags/{ref}", f"refs/heads/{ref}"):
            if name in refs:
                return _Target(ref, name, refs[name], address.path or "/".join(steps[count:]))
    if steps and _COMMIT.fullmatch(steps[0]):
        return _Target(steps[0], steps[0], steps[0], address.path or "/".join(steps[1:]))
    if steps and steps[0] not in _DEFAULT_BRANCHES:
        remedy = "Check the address in slurm-config.ini."
        if _SHORT_COMMIT.fullmatch(steps[0]):
            remedy = "A commit must be given with all of its 40 digits."
        raise DescriptorError(f"{address.url} has no branch or tag {address.tail!r}.", remedy=remedy)
    if "HEAD" not in refs:
        raise DescriptorError(f"{address.url} is empty: it has no default branch.")
    return _Target("", "HEAD", refs["HEAD"], address.path or "/".join(steps[1:]))


def _read(address: Address, target: _Target, repository: Path, deadline: Deadline) -> _Found:
    if not repository.exists():
        run_git(["init", "--quiet", "--template=", "--bare", str(repository)], deadline)
        for key, value in (("remote.origin.url", address.url), ("remote.origin.promisor", "true"), ("gc.auto", "0")):
            run_git(["config", key, value], deadline, folder=repository)
    commit = target.commit
    if not run_git(["for-each-ref", f"{_KEPT}/{commit}"], deadline, folder=repository):
        options = ["--quiet", "--depth=1", "--no-tags", "--filter=blob:none", "--no-write-fetch-head"]
        run_git(["fetch", *options, "origin", f"+{target.name}:{_KEPT}/incoming"], deadline, folder=repository)
        # The branch may have moved since it was listed: what was fetched is what counts.
        incoming = run_git(["rev-parse", "--verify", f"{_KEPT}/incoming^{{commit}}"], deadline, folder=repository)
        commit = incoming.decode().strip()
        run_git(["update-ref", f"{_KEPT}/{commit}", commit], deadline, folder=repository)
    path, blob = _find(address, target, commit, repository, deadline)
    size_bytes = int(run_git(["cat-file", "-s", blob], deadline, folder=repository))
    if size_bytes > _LIMIT_BYTES:
        raise DescriptorError(f"{address.url}: {path} is {size_bytes} bytes long, too long for a descriptor.")
    data = run_git(["cat-file", "blob", blob], deadline, folder=repository)
    try:
        return _Found(target.ref, commit, path, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DescriptorError(f"{address.url}: {path} is not written in UTF-8.") from error


def _find(address: Address, target: _Target, commit: str, repository: Path, deadline: Deadline) -> tuple[str, str]:
    """Find the descriptor: the path itself if that is a file, else the file of that name in the folder."""
    candidates = [DESCRIPTOR]
    if target.path:
        candidates = [check_path(target.path), f"{check_path(target.path)}/{DESCRIPTOR}"]
    for path in candidates:
        listing = run_git(["ls-tree", "-z", commit, "--", path], deadline, folder=repository)
        entry = listing.partition(b"\0")[0].partition(b"\t")[0].decode()
        if not entry:
            continue
        mode, kind, name = entry.split(" ")
        if kind == "blob" and mode != "120000":
            return path, name
        if kind != "tree":
            raise DescriptorError(f"{address.url}: {path} is a link, and must be a file.")
    where = address.tail or "its default branch"
    raise DescriptorError(
        f"{address.url} has no {candidates[-1]} on {where}.",
        remedy="Add the path of the descriptor behind the branch or tag in slurm-config.ini.",
    )


def _read_folder(path: Path) -> tuple[bytes, str]:
    """Read the descriptor of a local folder, without following a link out of it."""
    try:
        root = path.resolve(strict=True)
        file = root
        if root.is_dir():
            file = (root / DESCRIPTOR).resolve(strict=True)
            if not file.is_relative_to(root):
                raise DescriptorError(f"{root / DESCRIPTOR} is a link that leads out of its folder.")
        if not file.is_file():
            raise DescriptorError(f"{file} is not a file.")
        with file.open("rb") as stream:
            data = stream.read(_LIMIT_BYTES + 1)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DescriptorError(f"There is no descriptor to be read at {path}: {reason}.") from error
    if len(data) > _LIMIT_BYTES:
        raise DescriptorError(f"{file} is longer than {_LIMIT_BYTES} bytes, too long for a descriptor.")
    return data, str(file)


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


def _save_copy(path: Path, found: _Found) -> None:
    record = {"ref": found.ref, "commit": found.commit, "path": found.path, "text": found.text}
    replace_file(path, json.dumps(record).encode())


def _load_copy(path: Path) -> _Found | None:
    """Load a copy; one that is missing or damaged is as good as none."""
    try:
        record = read_record(json.loads(path.read_bytes()))
        return _Found(*(read_text(record, key) for key in ("ref", "commit", "path", "text")))
    except (OSError, ValueError, RecursionError):
        return None


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:32]
