"""Fetching descriptors from wherever they are, with a copy for the days on which that cannot be reached.

Repositories are read by the ``git`` program, whatever their host: it is bound by no limits of an interface for
programs, and knows each host's ways. Only single files of other web servers are fetched over https. Both ask first
whether anything is new, and download nothing if not. An origin that does not answer is left alone for some minutes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from worker.analyses import copies, https, repository
from worker.analyses.address import Address, WebFile, parse_address
from worker.analyses.copies import Copy
from worker.analyses.deadline import Deadline, wait_for
from worker.analyses.descriptor import parse_descriptor
from worker.analyses.https import Seen
from worker.analyses.tokens import Tokens
from worker.errors import DescriptorError, RepositoryUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from worker.analyses.model import Analysis
    from worker.analyses.tokens import Token

LATEST = "latest"

BOM = "\ufeff"
"""What some editors put before a text. It belongs to the bytes of a descriptor, and says nothing."""


@dataclass(frozen=True, slots=True)
class SourcedAnalysis:
    """An analysis, and where it comes from.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    version : str
        Its version: the tag of its image if the descriptor gives one, else the branch or tag of its repository;
        ``latest`` for the default branch, for local folders and for files of web servers.
    commit : str
        The commit that it was read from; empty for local folders and files of web servers.
    note : str
        What a person should know, such as that it is a copy from an earlier day; empty if all is well.
    source : str
        Where exactly it was read from, for persons.
    fetched_at : str
        When its content was fetched: ISO 8601 in UTC.
    ref : str
        The branch or tag that it was read from; empty for the default branch, and where there are none.
    path : str
        Its path in the repository; empty for local folders and files of web servers.
    sha256 : str
        Digest of its bytes.
    content : bytes
        These bytes; `worker.analyses.copies.keep_content` keeps them for the record of runs.
    """

    analysis: Analysis
    version: str
    commit: str
    note: str = ""
    source: str = ""
    fetched_at: str = ""
    ref: str = ""
    path: str = ""
    sha256: str = ""
    content: bytes = field(default=b"", repr=False)


def read_analysis(repo: str, *, cache_dir: Path, timeout_s: float = 60, tokens: Tokens | None = None) -> Analysis:
    """Read the descriptor that a repository, a web server or a local folder holds.

    Parameters
    ----------
    repo : str
        The address, in any form of `worker.analyses.address`.
    cache_dir : Path
        Where copies are kept.
    timeout_s : float
        The time for all of it, in seconds.
    tokens : Tokens | None
        What opens private repositories.

    Returns
    -------
    Analysis
        The analysis.

    Raises
    ------
    DescriptorError
        It cannot be read, and there is no copy from an earlier day.
    """
    return fetch_analysis(repo, cache_dir=cache_dir, timeout_s=timeout_s, tokens=tokens).analysis


def fetch_analysis(
    repo: str, *, cache_dir: Path, timeout_s: float = 60, tokens: Tokens | None = None, ask_now: bool = False
) -> SourcedAnalysis:
    """Read a descriptor as `read_analysis` does, and say what it is.

    Parameters
    ----------
    repo : str
        The address, in any form of `worker.analyses.address`.
    cache_dir : Path
        Where copies are kept.
    timeout_s : float
        The time for all of it, in seconds.
    tokens : Tokens | None
        What opens private repositories.
    ask_now : bool
        Whether to ask also what has not answered a short time ago.

    Returns
    -------
    SourcedAnalysis
        The analysis with its version and commit, and a note if it is a copy because its origin cannot be reached.

    Raises
    ------
    DescriptorError
        It cannot be read, and there is no copy from an earlier day.
    """
    (found,) = fetch_group(
        {"": repo}, cache_dir=cache_dir, timeout_s=timeout_s, tokens=tokens, ask_now=ask_now
    ).values()
    if isinstance(found, DescriptorError):
        raise found
    return found


def cache_dir(state_dir: Path) -> Path:
    """Say where copies of descriptors are kept.

    Parameters
    ----------
    state_dir : Path
        Folder in which the worker keeps what it must remember.

    Returns
    -------
    Path
        The folder; it need not exist.
    """
    return state_dir / "descriptors"


def by_origin(repos: Mapping[str, str]) -> list[dict[str, str]]:
    """Group addresses by the repository that they are in, so that each is asked once, and waited for once.

    Parameters
    ----------
    repos : Mapping[str, str]
        Addresses by name.

    Returns
    -------
    list[dict[str, str]]
        The same, in groups for `fetch_group`.
    """
    groups: dict[str, dict[str, str]] = {}
    for name, repo in repos.items():
        origin = repo
        with contextlib.suppress(DescriptorError):
            # What is wrong with an address is told where it is fetched.
            address = parse_address(repo)
            origin = address.url if isinstance(address, Address) else repo
        groups.setdefault(origin, {})[name] = repo
    return list(groups.values())


def fetch_group(
    repos: Mapping[str, str],
    *,
    cache_dir: Path,
    timeout_s: float = 60,
    tokens: Tokens | None = None,
    ask_now: bool = False,
) -> dict[str, SourcedAnalysis | DescriptorError]:
    """Read several descriptors of one origin, asking it once what is new.

    Parameters
    ----------
    repos : Mapping[str, str]
        Their addresses by name: a group of `by_origin`.
    cache_dir : Path
        Where copies are kept.
    timeout_s : float
        The time for all of it, in seconds.
    tokens : Tokens | None
        What opens private repositories.
    ask_now : bool
        Whether to ask also what has not answered a short time ago.

    Returns
    -------
    dict[str, SourcedAnalysis | DescriptorError]
        For each name what was found, or why nothing was.
    """
    origin = _Origin(cache_dir, Deadline.after(timeout_s), tokens or Tokens(), ask_now=ask_now)
    results: dict[str, SourcedAnalysis | DescriptorError] = {}
    for name, repo in repos.items():
        try:
            results[name] = origin.read(repo)
        except DescriptorError as error:
            results[name] = error
    return results


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
    return LATEST if not ref or ref in repository.DEFAULT_BRANCHES else ref


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


class _Origin:
    """One place that descriptors come from, asked once in its life what it has."""

    def __init__(self, cache_dir: Path, deadline: Deadline, tokens: Tokens, *, ask_now: bool) -> None:
        self._cache_dir = cache_dir
        self._deadline = deadline
        self._tokens = tokens
        self._ask_now = ask_now
        self._refs: dict[str, str] | RepositoryUnreachable | None = None

    def read(self, repo: str) -> SourcedAnalysis:
        address = parse_address(repo)
        if isinstance(address, Path):
            data, file = wait_for(partial(_read_folder, address), self._deadline, f"Reading {address}")
            return _sourced(Copy(_text(data, file), fetched_at=_now()), file)
        if isinstance(address, WebFile):
            return self._newest(partial(self._fetch_file, address), address.url)
        return self._newest(partial(self._fetch_commit, address), address.url, address.tail, address.path)

    def _newest(self, fetch: Callable[[Copy | None], Copy | None], url: str, *rest: str) -> SourcedAnalysis:
        """Ask whether there is a newer one than the copy, and fall back on that where nobody answers."""
        copies.make_private(self._cache_dir)
        path = copies.copy_path(self._cache_dir, url, *rest)
        kept = copies.load_copy(path)
        try:
            fetched = fetch(None if kept is None else kept[0])
        except RepositoryUnreachable as error:
            if kept is None:
                raise
            note = f"{url} cannot be asked, so this is the copy of {copies.shown(kept[1])}. {error}"
            return _sourced(kept[0], url, note)
        if fetched is not None:
            sourced = _sourced(fetched, url)
            # Only what can be read takes the place of what could be read.
            copies.save_copy(path, fetched)
            return sourced
        if kept is None:
            raise RepositoryUnreachable(f"{url} says that nothing has changed, but there is no copy.")
        copies.confirm_copy(path)
        return _sourced(kept[0], url)

    @contextlib.contextmanager
    def _asking(self, *key: str) -> Iterator[None]:
        """Leave alone what has not answered a short time ago, and take down whether it answers now."""
        silence = copies.silence_path(self._cache_dir, *key)
        if not self._ask_now:
            copies.check_silence(silence, key[0])
        try:
            yield
        except RepositoryUnreachable as error:
            copies.record_silence(silence, error)
            raise
        except DescriptorError:
            copies.end_silence(silence)
            raise
        copies.end_silence(silence)

    def _fetch_file(self, address: WebFile, kept: Copy | None) -> Copy | None:
        seen = Seen() if kept is None else Seen(kept.etag, kept.modified)
        with self._asking(address.url):
            answer = https.fetch_file(address.url, self._deadline, self._tokens, seen)
        if answer is None:
            return None
        data, version = answer
        return Copy(_text(data, address.url), etag=version.etag, modified=version.modified, fetched_at=_now())

    def _fetch_commit(self, address: Address, kept: Copy | None) -> Copy | None:
        url, token = address.url, self._tokens.token_for(address.url)
        target = repository.resolve(address, self._list(url, token))
        if kept is not None and kept.commit == target.commit and kept.ref == target.ref:
            return None
        folder = self._cache_dir / f"{copies.digest(url)}.git"
        # One commit may be refused, or too large, while others are not.
        with self._asking(url, address.tail, address.path):
            commit, path, data = repository.read_file(address, target, folder, self._deadline, token)
        return Copy(_text(data, f"{url}: {path}"), path, target.ref, commit, fetched_at=_now())

    def _list(self, url: str, token: Token | None) -> dict[str, str]:
        if self._refs is None:
            try:
                with self._asking(url):
                    self._refs = repository.list_refs(url, self._deadline, token)
            except RepositoryUnreachable as error:
                self._refs = error
        if isinstance(self._refs, RepositoryUnreachable):
            raise self._refs
        return self._refs


def _sourced(copy: Copy, source: str, note: str = "") -> SourcedAnalysis:
    if copy.commit:
        source = f"{source} ({copy.commit[:10]}) {copy.path}"
    analysis = parse_descriptor(copy.text.removeprefix(BOM), source=source)
    version = image_tag(analysis.image) or version_of(copy.ref)
    content = copy.text.encode()
    sha256 = hashlib.sha256(content).hexdigest()
    return SourcedAnalysis(
        analysis, version, copy.commit, note, source, copy.fetched_at, copy.ref, copy.path, sha256, content
    )


def _text(data: bytes, source: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DescriptorError(f"{source} is not written in UTF-8.") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read_folder(path: Path) -> tuple[bytes, str]:
    """Read the descriptor of a local folder, without following a link out of it."""
    try:
        root = path.resolve(strict=True)
        file = root
        if root.is_dir():
            names = [name for name in repository.NAMES if os.path.lexists(root / name)]
            file = (root / (names or repository.NAMES)[0]).resolve(strict=True)
            if not file.is_relative_to(root):
                raise DescriptorError(f"{root / names[0]} is a link that leads out of its folder.")
        if not file.is_file():
            raise DescriptorError(f"{file} is not a file.")
        with file.open("rb") as stream:
            data = stream.read(repository.LIMIT_BYTES + 1)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DescriptorError(f"There is no descriptor to be read at {path}: {reason}.") from error
    if len(data) > repository.LIMIT_BYTES:
        raise DescriptorError(f"{file} is longer than {repository.LIMIT_BYTES} bytes, too long for a descriptor.")
    return data, str(file)
