"""Which values are nobody's business, and how they are shown instead."""

from __future__ import annotations

import re
import typing

from pydantic import SecretStr

from worker.settings import models

MASK = "********"

_SECRET_KEY = re.compile(r"(?:^|_)(?:password|passwd|token|secret)$", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)(?:[^\s/:@]*:[^\s/]*|(?<=https://)[^\s/]+|(?<=http://)[^\s/]+)(?=@)")
_ASSIGNMENT = re.compile(
    r"(?P<head>\s*[#;]?\s*(?P<key>[^\s=:#;]+)\s*[=:]\s*)(?P<value>\S.*?)(?P<end>[\r\n]*)", re.DOTALL
)


def is_secret(key: str) -> bool:
    """Say whether the value of a key is secret as a whole.

    Parameters
    ----------
    key : str
        A key, in whatever case.

    Returns
    -------
    bool
        Whether it is one that the models keep secret, or is named like a password.
    """
    return key.lower() in _secret_fields() or _SECRET_KEY.search(key) is not None


def masked(key: str, value: str | None) -> str | None:
    """Make a value fit to be shown.

    Parameters
    ----------
    key : str
        Its key.
    value : str | None
        The value; None where there is none.

    Returns
    -------
    str | None
        The value, or stars in the place of what is secret in it.
    """
    if not value or not value.strip():
        return value
    return MASK if is_secret(key) else mask_credentials(value)


def mask_credentials(text: str) -> str:
    """Put stars in the place of the credentials in addresses (``scheme://user:password@host``, ``https://token@host``).

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The same, without them.
    """
    return _CREDENTIALS.sub(MASK, text)


def mask_line(line: str, note: str = "") -> str:
    """Make a line of a file fit to be shown, one that is commented out included.

    Parameters
    ----------
    line : str
        The line, with or without its end.
    note : str
        What is written behind the stars of a value that is secret as a whole.

    Returns
    -------
    str
        The line, with stars in the place of what is secret in it.
    """
    match = _ASSIGNMENT.fullmatch(line)
    if match is not None and is_secret(match["key"]):
        return f"{match['head']}{MASK}{note}{match['end']}"
    return mask_credentials(line)


def _secret_fields() -> frozenset[str]:
    """List keys of secret fields, and of those that may stand in no file at all."""
    return frozenset(models.TOKEN_VARIABLES) | frozenset(
        key
        for model in models.SECTIONS.values()
        for key, (name, _) in models.written_fields(model).items()
        if SecretStr in (hint := model.model_fields[name].annotation, *typing.get_args(hint))
    )
