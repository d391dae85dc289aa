"""Secrets: from a variable, or better from the file that ``<NAME>_FILE`` names."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from pydantic import SecretStr

from worker.errors import SettingsError
from worker.settings import locations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_LIMIT_BYTES = 64 * 1024


def secret_paths(names: Iterable[str], environ: Mapping[str, str]) -> list[Path]:
    """List the files that hold secrets.

    Parameters
    ----------
    names : Iterable[str]
        The variables that hold, or whose ``<name>_FILE`` names a file that holds, a secret.
    environ : Mapping[str, str]
        The environment.

    Returns
    -------
    list[Path]
        The files that are named, be they there or not.
    """
    files = [environ.get(f"{name}_FILE", "").strip() for name in names]
    return [locations.expand(file, environ) for file in files if file]


def read_secret(name: str, environ: Mapping[str, str], warnings: list[str]) -> SecretStr | None:
    """Read a secret.

    Parameters
    ----------
    name : str
        The variable; ``<name>_FILE`` may name a file instead.
    environ : Mapping[str, str]
        The environment.
    warnings : list[str]
        Takes a warning if everybody on this machine may read the file.

    Returns
    -------
    SecretStr | None
        The secret, or None where neither variable is set; blank counts as not set.

    Raises
    ------
    SettingsError
        Both are set, or the file cannot be read or is empty.
    """
    direct = environ.get(name, "").strip()
    file = environ.get(f"{name}_FILE", "").strip()
    if direct and file:
        raise SettingsError(
            f"Both {name} and {name}_FILE are set, and only one of them can count.",
            remedy=f"Keep {name}_FILE and remove {name}.",
        )
    if not file:
        return SecretStr(direct) if direct else None
    path = locations.expand(file, environ)
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = stream.read(_LIMIT_BYTES).decode("utf-8-sig").strip("\r\n")
    except OSError as error:
        raise SettingsError(
            f"The secret file {path}, which {name}_FILE names, cannot be read: {error.strerror or error}.",
            remedy="Check that it is there, and that the user of this process may read it.",
        ) from error
    except UnicodeDecodeError:
        # Not "from" it: that error carries the secret, and would print it.
        raise SettingsError(f"The secret file {path}, which {name}_FILE names, is not text.") from None
    if not text.strip():
        raise SettingsError(f"The secret file {path}, which {name}_FILE names, is empty.")
    if mode & stat.S_IROTH:
        warnings.append(
            f"The secret file {path}, which {name}_FILE names, can be read by everybody (mode {mode:04o}); "
            "set it to 0400."
        )
    return SecretStr(text)
