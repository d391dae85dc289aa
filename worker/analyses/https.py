"""Single files from web servers, asked for only if they have changed.

A server that gives its files an ETag or a date answers 304 as long as we have the newest (RFC 9110, section 13). Each
redirect is followed by hand, so that every host is looked at anew: only https, and a token for its own host alone.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests
from requests.auth import AuthBase

from worker.analyses.deadline import Deadline, wait_for
from worker.analyses.repository import LIMIT_BYTES
from worker.analyses.tokens import host_of
from worker.errors import DescriptorError, RepositoryUnreachable

if TYPE_CHECKING:
    from worker.analyses.tokens import Token, Tokens

_MAX_HOPS = 5
_CONNECT_S = 10.0
_PATIENCE_MAX_S = 3600.0
"""A server that asks for more patience is asked after an hour all the same."""

_OK, _NOT_MODIFIED = 200, 304
_MOVED = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
_NO_ENTRY = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server says about a version of a file, and how it is asked whether there is a newer one.

    Parameters
    ----------
    etag : str
        Its ``ETag``; empty if there is none.
    modified : str
        Its ``Last-Modified``; empty if there is none.
    """

    etag: str = ""
    modified: str = ""


def fetch_file(url: str, deadline: Deadline, tokens: Tokens, seen: Seen) -> tuple[bytes, Seen] | None:
    """Fetch a file, unless it is the one that we have.

    Parameters
    ----------
    url : str
        Where it is.
    deadline : Deadline
        When it must have arrived.
    tokens : Tokens
        Tokens of hosts.
    seen : Seen
        The version that we have; empty if there is none.

    Returns
    -------
    tuple[bytes, Seen] | None
        Its content and version; None if we have it.

    Raises
    ------
    RepositoryUnreachable
        The server does not answer, not in time, or not now.
    DescriptorError
        The server has no such file, or one that is too long.
    """
    return wait_for(partial(_follow, url, deadline, tokens, seen), deadline, f"Fetching {url}")


def _follow(url: str, deadline: Deadline, tokens: Tokens, seen: Seen) -> tuple[bytes, Seen] | None:
    here = url
    with requests.Session() as session:
        session.headers.update({"User-Agent": "omero-worker", "Accept-Encoding": "identity"})
        if seen.etag:
            session.headers["If-None-Match"] = seen.etag
        if seen.modified:
            session.headers["If-Modified-Since"] = seen.modified
        for _ in range(_MAX_HOPS):
            try:
                with _get(session, here, deadline, tokens) as response:
                    if response.status_code not in _MOVED:
                        return _read(url, response, deadline)
                    here = _next_hop(url, here, response.headers.get("Location", ""))
            except (requests.RequestException, ValueError) as error:
                raise RepositoryUnreachable(f"{url} could not be fetched: {_reason(error)}.") from error
    raise RepositoryUnreachable(f"{url} could not be fetched: it led to another address {_MAX_HOPS} times.")


class _Bearer(AuthBase):
    """Sends a token; without one, requests looks into ~/.netrc for the host."""

    def __init__(self, token: Token) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token.secret.get_secret_value()}"
        return request


def _get(session: requests.Session, url: str, deadline: Deadline, tokens: Tokens) -> requests.Response:
    token = tokens.token_for(url)
    left_s = max(0.1, deadline.left_s)
    return session.get(
        url,
        auth=None if token is None else _Bearer(token),
        allow_redirects=False,
        stream=True,
        timeout=(min(_CONNECT_S, left_s), left_s),
        verify=_authorities(),
    )


def _authorities() -> str | bool:
    """Whom to trust: what the environment names, in the order of requests and then of OpenSSL; else certifi's list."""
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    return next((value for name in names if (value := os.environ.get(name))), True)


def _next_hop(url: str, here: str, location: str) -> str:
    there = urljoin(here, location)
    parts = urlsplit(there)
    if not location or parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        # What follows the host may be a secret of the server's.
        raise RepositoryUnreachable(
            f"{url} leads to {parts.scheme or 'nowhere'}://{parts.hostname or ''}, and only https:// is followed."
        )
    return there


def _read(url: str, response: requests.Response, deadline: Deadline) -> tuple[bytes, Seen] | None:
    status, answered_by = response.status_code, host_of(response.url)
    if status == _NOT_MODIFIED:
        return None
    if status in _GONE:
        raise DescriptorError(
            f"{url}: {answered_by} has no such file (status {status}).",
            remedy="Check the address in slurm-config.ini; a private file needs a token.",
        )
    if status != _OK:
        said = f"{answered_by} answered with status {status} {response.reason or ''}".rstrip()
        raise RepositoryUnreachable(
            f"{url} could not be fetched: {said}.",
            remedy="It needs a token, or an entry in ~/.netrc, that may read it." if status in _NO_ENTRY else "",
            retry_after_s=_retry_after_s(response.headers.get("Retry-After", "")),
        )
    data = bytearray()
    for piece in response.iter_content(64 * 1024):
        data += piece
        if len(data) > LIMIT_BYTES:
            raise DescriptorError(f"{url} is longer than {LIMIT_BYTES} bytes, too long for a descriptor.")
        if not deadline.left_s:
            raise RepositoryUnreachable(f"Fetching {url} took more than {deadline.timeout_s:g} s.")
    return bytes(data), Seen(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))


def _retry_after_s(value: str) -> float | None:
    """Read ``Retry-After``: seconds, or a date."""
    try:
        wait_s = float(value) if value.strip().isdigit() else (parsedate_to_datetime(value) - _now()).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait_s, 0.0), _PATIENCE_MAX_S)


def _now() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC)


def _reason(error: Exception) -> str:
    """Say why in the words of whoever knows: at the end of a chain of wrappers."""
    cause: BaseException = error
    for _ in range(10):
        inner = (getattr(cause, "reason", None), cause.__cause__, *reversed(cause.args))
        known = next((one for one in inner if isinstance(one, BaseException) and one is not cause), None)
        if known is None:
            break
        cause = known
    words = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return str(words).rstrip(".")[:300]
