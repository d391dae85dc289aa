"""Where a descriptor is: the value of ``<wf>_repo`` taken apart into clone URL, revision and path.

=====================================================  =====================================================
form                                                   example
=====================================================  =====================================================
GitHub, and hosts with the same pages                  ``https://github.com/o/r[/tree/<ref>[/<path>]]``
GitLab, and hosts with the same pages                  ``https://host/g/s/r[/-/tree/<ref>[/<path>]]``
any URL that git takes, with ``#<ref>[:<path>]``       ``ssh://git@host/r.git#v1.0:sub/descriptor.json``
a URL that ends in ``.git``, then ``/tree/``           ``file:///srv/r.git/tree/v1.0``
one file, by its ending json, yaml or yml              ``https://host/workflows/nuclei.yaml``
a local folder or file                                 ``/opt/workflows/nuclei``, ``file:///opt/workflows/nuclei``
=====================================================  =====================================================

``blob`` and ``raw`` stand for ``tree`` as well, so that a file may be named in whatever way its page was found. A
revision may contain slashes, so it is told from the path only by what the repository has: `Address.tail` holds both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

from worker.analyses.git import PROTOCOLS
from worker.errors import DescriptorError

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_SCP = re.compile(r"(?P<user>[A-Za-z0-9_][A-Za-z0-9._-]*)@(?P<host>[^:/@]+):(?P<path>[^:].*)")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_PAGES = frozenset({"tree", "blob", "raw"})
_PAGE = re.compile(r"(?:(?<=\.git)|/-)/(?:tree|blob|raw)(?:/|$)")
_FILE = re.compile(r"https://[^/]+/.*[^/]\.(?:json|ya?ml)", re.IGNORECASE)
_RAW_HOST = "raw.githubusercontent.com"
_SECRET = re.compile(r"token|secret|passw|signature|api_?key|credential", re.IGNORECASE)
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)|(?:^|/)\.|/$|\.$")


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file that a web server hands out.

    Parameters
    ----------
    url : str
        Where: ``https://`` only.
    """

    url: str


@dataclass(frozen=True, slots=True)
class Address:
    """A place in a git repository.

    Parameters
    ----------
    url : str
        What git clones from.
    tail : str
        Revision and path, joined by a slash; empty for the repository's own choice of branch.
    path : str
        The path, where the form keeps it apart from the revision; else empty.
    """

    url: str
    tail: str = ""
    path: str = ""


def parse_address(repo: str) -> Address | WebFile | Path:
    """Take the value of ``<wf>_repo`` apart.

    Parameters
    ----------
    repo : str
        The value.

    Returns
    -------
    Address | WebFile | Path
        A place in a git repository, a file of a web server, or a local folder or file.

    Raises
    ------
    DescriptorError
        It has none of the forms above, speaks a protocol that is not allowed, or carries a password.
    """
    repo = repo.strip()
    if not repo or not repo.isprintable():
        raise DescriptorError(f"{repo!r} is no address of a repository.")
    scheme = _SCHEME.match(repo)
    if scheme is None:
        return _without_scheme(repo)
    if scheme["scheme"].lower() not in PROTOCOLS:
        raise DescriptorError(
            f"A repository cannot be read over {scheme['scheme']}://.",
            remedy=f"Use one of {', '.join(f'{name}://' for name in PROTOCOLS)}.",
        )
    kind = scheme["scheme"].lower()
    url, _, fragment = repo.partition("#")
    _check_authority(url)
    query = ""
    if kind == "https":
        # Pages have queries such as ?ref_type=heads, which say nothing that the rest does not say.
        url, _, query = url.partition("?")
        _check_query(query)
    clone, tail = _split_page(url)
    if kind == "https" and clone == url and not fragment and _FILE.fullmatch(url):
        check_path(unquote(urlsplit(url).path))
        return WebFile(f"{url}?{query}" if query else url)
    if fragment and tail:
        raise DescriptorError(f"{repo!r} names a revision twice: after /tree/ and after #.")
    if fragment:
        tail, _, path = fragment.partition(":")
        return Address(clone, check_ref(tail) if tail else "", check_path(path) if path else "")
    if not tail and kind == "file" and (folder := _plain_folder(clone)) is not None:
        return folder
    return Address(clone, check_path(tail) if tail else "")


def check_ref(ref: str) -> str:
    """Refuse what cannot be the name of a branch or tag, or a commit (git-check-ref-format(1)).

    Parameters
    ----------
    ref : str
        The name.

    Returns
    -------
    str
        The same.

    Raises
    ------
    DescriptorError
        It cannot be one, or could be taken for an option.
    """
    if not ref or ref.startswith(("-", "/")) or _REF_FORBIDDEN.search(ref):
        raise DescriptorError(f"{ref!r} cannot be the name of a branch, a tag or a commit.")
    return ref


def check_path(path: str) -> str:
    """Refuse a path that leaves its repository.

    Parameters
    ----------
    path : str
        The path, relative to the root of the repository.

    Returns
    -------
    str
        The same, without slashes around it and without empty steps.

    Raises
    ------
    DescriptorError
        It goes up, or holds characters that no path should have.
    """
    parts = PurePosixPath(path.strip("/")).parts
    if not parts or ".." in parts or parts[0].startswith("-") or not path.isprintable():
        raise DescriptorError(f"{path!r} is no path inside a repository.")
    return "/".join(parts)


def _without_scheme(repo: str) -> Address | Path:
    scp = _SCP.fullmatch(repo)
    if scp is not None:
        location, _, fragment = scp["path"].partition("#")
        if not _HOST.fullmatch(scp["host"]) or location.startswith("-"):
            raise DescriptorError(f"{repo!r} is no address of a repository.")
        ref, _, path = fragment.partition(":")
        url = f"{scp['user']}@{scp['host']}:{location}"
        return Address(url, check_ref(ref) if ref else "", check_path(path) if path else "")
    if repo.startswith(("/", "~/")):
        return Path(repo).expanduser()
    raise DescriptorError(
        f"{repo!r} is no address of a repository.",
        remedy="Give a URL such as https://github.com/owner/name/tree/v1.0, or the absolute path of a folder.",
    )


def _check_authority(url: str) -> None:
    """Refuse passwords, which would stand in process lists, and hosts that ssh could take for an option."""
    try:
        parts = urlsplit(url)
        scheme, user, password, host = parts.scheme, parts.username, parts.password, parts.netloc.rpartition("@")[2]
        port = parts.port
    except ValueError as error:
        raise DescriptorError(f"The address of a repository is not a URL: {error}.") from error
    if password is not None or (user is not None and scheme != "ssh"):
        raise DescriptorError(
            "The address of a repository carries a user name, token or password.",
            remedy="Take it out of the URL, and give it by GITHUB_TOKEN_FILE or GITLAB_TOKEN_FILE, or by ~/.netrc.",
        )
    if user is not None and not _USER.fullmatch(user):
        raise DescriptorError("The address of a repository has a user name that ssh could misread.")
    if scheme == "file":
        if host not in {"", "localhost"}:
            raise DescriptorError(f"{url!r} has a host, and a file:// URL has none: file:///absolute/path.")
        return
    name = host.removesuffix(f":{port}") if port is not None else host
    if not _HOST.fullmatch(name):
        raise DescriptorError(f"{url!r} has no valid host.")


def _split_page(url: str) -> tuple[str, str]:
    """Split the address of a page into the URL to clone from, and revision with path."""
    page = _PAGE.search(url)
    if page is not None:
        return url[: page.start()], unquote(url[page.end() :])
    parts = urlsplit(url)
    steps = parts.path.strip("/").split("/")
    if parts.scheme == "https" and len(steps) > 3 and parts.netloc.lower() == _RAW_HOST:
        return f"https://github.com/{steps[0]}/{steps[1]}", unquote("/".join(steps[2:]))
    # Elsewhere, raw may be a folder like any other.
    pages = _PAGES if parts.netloc.lower() == "github.com" else _PAGES - {"raw"}
    if parts.scheme == "https" and len(steps) > 2 and steps[2] in pages:
        clone = parts._replace(path="/" + "/".join(steps[:2])).geturl()
        return clone, unquote("/".join(steps[3:]))
    return url if parts.scheme == "file" else url.rstrip("/"), ""


def _check_query(query: str) -> None:
    """Refuse secrets in the query of a URL: it stands in logs, here and at every proxy."""
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if _SECRET.search(name):
            raise DescriptorError(
                f"The address of a descriptor carries a secret ({name}=…).",
                remedy="Take it out of the URL, and give it by GITHUB_TOKEN_FILE or GITLAB_TOKEN_FILE, or by ~/.netrc.",
            )


def _plain_folder(url: str) -> Path | None:
    """Tell a folder or file of this machine from a git repository that is one."""
    path = Path(unquote(urlsplit(url).path))
    try:
        return path if path.exists() and not ((path / ".git").exists() or (path / "HEAD").exists()) else None
    except (OSError, ValueError):
        return None
