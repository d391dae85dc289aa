"""Tokens for private repositories, each for one host and no other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pydantic import SecretStr

    from worker.settings.models import AnalysesSettings

_HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Token:
    """What opens the private repositories of one host.

    Parameters
    ----------
    host : str
        The only host that may see it, with a port unless that is 443.
    user : str
        The name that goes with it where git asks for one.
    secret : SecretStr
        The token.
    """

    host: str
    user: str
    secret: SecretStr = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """All tokens of a deployment.

    Parameters
    ----------
    known : tuple[Token, ...]
        The tokens.
    """

    known: tuple[Token, ...] = ()

    @classmethod
    def of(cls, settings: AnalysesSettings) -> Tokens:
        """Take them from the settings.

        Parameters
        ----------
        settings : AnalysesSettings
            Section ``[ANALYSES]``.

        Returns
        -------
        Tokens
            One for GitHub and one for GitLab, as far as they are set.
        """
        # GitHub takes any name with a token, and GitLab this one with each kind of token.
        offered = (
            (settings.github_host, "x-access-token", settings.github_token),
            (settings.gitlab_host, "oauth2", settings.gitlab_token),
        )
        return cls(tuple(Token(host.lower(), user, secret) for host, user, secret in offered if secret is not None))

    def token_for(self, url: str) -> Token | None:
        """Find the token of the host that a URL names.

        Parameters
        ----------
        url : str
            The URL.

        Returns
        -------
        Token | None
            The token; None for other hosts, and for all that is not ``https://``.
        """
        if urlsplit(url).scheme != "https":
            return None
        host = host_of(url)
        return next((token for token in self.known if token.host == host), None)


def host_of(url: str) -> str:
    """Read the host from a URL.

    Parameters
    ----------
    url : str
        The URL, without user name.

    Returns
    -------
    str
        The host in lower case, with a port unless that is 443.
    """
    parts = urlsplit(url)
    name = parts.hostname or ""
    name = f"[{name}]" if ":" in name else name
    return name if parts.port in {None, _HTTPS_PORT} else f"{name}:{parts.port}"
