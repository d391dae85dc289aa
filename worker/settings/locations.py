"""Where things lie on this machine. Only the standard library, so that script dialogs can ask at no cost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PATHS: tuple[Path, ...] = (
    Path("/etc/slurm-config.ini"),
    Path("/OMERO/slurm-config.ini"),
    Path("~/slurm-config.ini"),
)
"""The files that are read where they exist; a later one wins key by key."""


def expand(path: str | Path, environ: Mapping[str, str] | None = None) -> Path:
    """Expand a leading ``~`` to the home folder.

    Parameters
    ----------
    path : str | Path
        A path on this machine.
    environ : Mapping[str, str] | None
        The environment whose ``HOME`` counts; None is that of this process.

    Returns
    -------
    Path
        The path without ``~``; left as it is where no home folder is known.
    """
    path = Path(path)
    home = (environ or {}).get("HOME")
    if home and path.parts[:1] == ("~",):
        return Path(home, *path.parts[1:])
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def config_file(environ: Mapping[str, str]) -> Path | None:
    """Say which explicit file the environment names.

    Parameters
    ----------
    environ : Mapping[str, str]
        The environment.

    Returns
    -------
    Path | None
        ``OMERO_WORKER_CONFIG_FILE``, or None where that is not set.
    """
    named = environ.get("OMERO_WORKER_CONFIG_FILE", "").strip()
    return expand(named, environ) if named else None


def config_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """List the files from which the settings of this environment are read, where they exist.

    Parameters
    ----------
    environ : Mapping[str, str]
        The environment.

    Returns
    -------
    tuple[Path, ...]
        The files; a later one wins key by key.
    """
    explicit = config_file(environ)
    paths = [expand(path, environ) for path in DEFAULT_PATHS]
    return tuple(dict.fromkeys(paths if explicit is None else [*paths, explicit]))


def state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Say where this worker keeps what it must remember: its catalogue, caches, and SQLite history if it has one.

    Parameters
    ----------
    environ : Mapping[str, str] | None
        The environment; None is that of this process.

    Returns
    -------
    Path
        ``OMERO_WORKER_STATE_DIR``, or ``~/.local/state/omero-worker``. It need not exist.
    """
    environ = os.environ if environ is None else environ
    return expand(environ.get("OMERO_WORKER_STATE_DIR", "").strip() or "~/.local/state/omero-worker", environ)


def log_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Say where the engine service keeps its log files, and where admins may read them in a dialog.

    Parameters
    ----------
    environ : Mapping[str, str] | None
        The environment; None is that of this process.

    Returns
    -------
    Path
        ``OMERO_WORKER_LOG_DIR``, or ``logs`` in `state_dir`. It need not exist.
    """
    environ = os.environ if environ is None else environ
    given = environ.get("OMERO_WORKER_LOG_DIR", "").strip()
    return expand(given, environ) if given else state_dir(environ) / "logs"
