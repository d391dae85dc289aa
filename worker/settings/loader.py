"""Finding and reading slurm-config.ini: `load_settings` once, `SettingsSource` for processes that go on.

The web plugin rewrites a file in place, with nothing that would mark the end: whoever reads meanwhile sees an empty
file or the first part of it. So who has settings already keeps them until nobody has written for a moment, and who has
none reads a file that has just changed until it stays the same.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import SettingsError
from worker.settings import locations
from worker.settings.build import build, unknown_sections
from worker.settings.ini import decode, parse
from worker.settings.layers import merge
from worker.settings.models import TOKEN_VARIABLES
from worker.settings.secret_files import secret_paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from worker.settings.layers import Layers
    from worker.settings.models import Settings

_SECRETS = ("SQLALCHEMY_URL", *TOKEN_VARIABLES.values())
DEFAULT_PATHS = locations.DEFAULT_PATHS
_ROUNDS = 3
_ATTEMPTS = 4
_PAUSE_S = 0.05
_QUIET_S = 0.5
"""So long nobody must have written before a change counts: a writer does not rest so long half-way."""
_SETTLED_S = 2.0
"""A file whose time stamp is older than this is not being written; time stamps may be coarse and clocks differ."""


@dataclass(frozen=True, slots=True)
class _Content:
    """One file as it was found; ``fresh`` if it has been written to just now."""

    path: Path
    data: bytes
    fresh: bool


@dataclass(frozen=True, slots=True)
class _Found:
    """All files as they were found."""

    contents: tuple[_Content, ...]
    warnings: tuple[str, ...]
    secrets: tuple[object, ...]

    @property
    def fresh(self) -> bool:
        return any(content.fresh for content in self.contents)

    @property
    def data(self) -> dict[Path, bytes]:
        return {content.path: content.data for content in self.contents}

    def same_as(self, other: _Found) -> bool:
        return (self.data, self.warnings, self.secrets) == (other.data, other.warnings, other.secrets)


def load_settings(
    explicit: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    default_paths: Sequence[Path] = DEFAULT_PATHS,
) -> Settings:
    """Read the settings.

    Parameters
    ----------
    explicit : Path | None
        A file that must exist, and wins over the others.
    environ : Mapping[str, str] | None
        The environment, which wins over all files; None is that of this process.
    default_paths : Sequence[Path]
        Files that are read where they exist; a later one wins key by key.

    Returns
    -------
    Settings
        The settings. Whatever is odd but could be used is in their ``warnings``.

    Raises
    ------
    SettingsError
        A file cannot be read, or a value is not allowed; the message names file, line, section, key and value.
    """
    return SettingsSource(explicit, environ=environ, default_paths=default_paths).current()


def load_layers(
    explicit: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    default_paths: Sequence[Path] = DEFAULT_PATHS,
) -> Layers:
    """Read the files that `load_settings` reads, to see which of them says what.

    Parameters
    ----------
    explicit : Path | None
        A file that must exist, and wins over the others.
    environ : Mapping[str, str] | None
        The environment; None is that of this process.
    default_paths : Sequence[Path]
        Files that are read where they exist; a later one wins key by key.

    Returns
    -------
    Layers
        The keys of all files, merged.

    Raises
    ------
    SettingsError
        As `load_settings` does.
    """
    return SettingsSource(explicit, environ=environ, default_paths=default_paths).layers()


class SettingsSource:
    """The settings of a process that goes on: read again whenever a file, or a secret file, has changed.

    Once they could be read, `current` never raises: as long as the files are damaged, half-written or emptied, the
    last good settings stay, with a warning. Threads may share it, and may ask as often as they like: while nothing
    changes, an answer costs a look at the time stamps, and is the same object as before.

    Parameters
    ----------
    explicit : Path | None
        A file that must exist, and wins over the others.
    environ : Mapping[str, str] | None
        The environment, which wins over all files; None is that of this process, as it is now.
    default_paths : Sequence[Path]
        Files that are read where they exist; a later one wins key by key.
    pause_s : float
        The first pause before a file is read again, in seconds; each next one is twice as long.
    quiet_s : float
        So long nobody must have written before a change counts, in seconds.
    """

    def __init__(
        self,
        explicit: Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        default_paths: Sequence[Path] = DEFAULT_PATHS,
        pause_s: float = _PAUSE_S,
        quiet_s: float = _QUIET_S,
    ) -> None:
        self._environ = dict(os.environ if environ is None else environ)
        self._paths = tuple(locations.expand(path, self._environ) for path in default_paths)
        self._explicit = None if explicit is None else locations.expand(explicit, self._environ)
        self._secret_paths = tuple(secret_paths(_SECRETS, self._environ))
        self._pause_s = pause_s
        self._quiet_s = quiet_s
        self._lock = threading.Lock()
        self._good: tuple[_Found, Settings] | None = None
        self._layers = merge(())
        self._current: Settings | None = None
        self._seen: tuple[object, ...] | None = None

    def current(self) -> Settings:
        """Give the settings as they are now.

        Returns
        -------
        Settings
            Read again if a file has changed, and else the same object as before.

        Raises
        ------
        SettingsError
            They cannot be read, and never could.
        """
        with self._lock:
            seen = tuple(_signature(path) for path in (*self._all_paths(), *self._secret_paths))
            if self._current is None or (seen != self._seen and not self._is_being_written()):
                self._current, fresh = self._read()
                # A file that is still warm may change again within one tick of its time stamp.
                self._seen = None if fresh else seen
            return self._current

    def layers(self) -> Layers:
        """Give the keys of all files from which the settings that count now were read.

        Returns
        -------
        Layers
            The keys, merged.

        Raises
        ------
        SettingsError
            They cannot be read, and never could.
        """
        self.current()
        with self._lock:
            return self._layers

    def _all_paths(self) -> tuple[Path, ...]:
        return self._paths if self._explicit is None else (*self._paths, self._explicit)

    def _is_being_written(self) -> bool:
        """Whether somebody may not have come to the end yet; no matter as long as there is nothing to fall back on."""
        return self._good is not None and any(_age_s(path) < self._quiet_s for path in self._all_paths())

    def _read(self) -> tuple[Settings, bool]:
        """Read, more than once while a file is being written; else fall back on the last good settings.

        Returns the settings, and whether a file has been written to just now.
        """
        fresh = False
        for round_ in range(_ROUNDS):
            pause_s = self._pause_s * 2**round_
            try:
                found = self._settle(pause_s)
                fresh = found.fresh
                if self._current is not None and self._is_being_written():
                    return self._current, True
                self._refuse_torn(found)
                return self._build(found), fresh
            except SettingsError as error:
                problem = error
            if not fresh:
                break
            time.sleep(pause_s)
        if self._good is None:
            raise problem
        settings = self._good[1]
        warning = f"The settings could not be read again, and the last good ones stay: {problem}"
        return settings.model_copy(update={"warnings": (*settings.warnings, warning)}), fresh

    def _settle(self, pause_s: float) -> _Found:
        """Read all files until they stay the same, unless none has been written to or taken away just now.

        Who has settings to fall back on looks at the time stamps instead, before and after.
        """
        known = {} if self._good is None else self._good[0].data
        found = self._find()
        for _ in range(_ATTEMPTS):
            if (self._good is not None or not found.fresh) and known.keys() <= found.data.keys():
                return found
            time.sleep(pause_s)
            again = self._find()
            if again.data == found.data:
                return again
            found = again
        raise SettingsError("The files keep changing while they are read.")

    def _refuse_torn(self, found: _Found) -> None:
        """Refuse what looks as if a writer had not come to the end, measured by the last good content."""
        before = {} if self._good is None else self._good[0].data
        for content in found.contents:
            old = before.get(content.path, b"")
            if old.strip() and not content.data.strip():
                raise SettingsError(
                    f"{content.path} is empty, and was not before.",
                    remedy="If that is meant, delete the file, or leave a comment in it.",
                )
            # Once the file has settled, this is what somebody wanted: the end was deleted.
            if content.fresh and len(content.data) < len(old) and old.startswith(content.data):
                raise SettingsError(f"{content.path} holds only the first part of what it held before.")
            if content.fresh and _last_header(old) not in content.data:
                raise SettingsError(f"{content.path} has lost its end: {_last_header(old).decode(errors='replace')}.")

    def _build(self, found: _Found) -> Settings:
        if self._good is not None and self._good[0].same_as(found):
            return self._good[1]
        files = [parse(decode(content.data, content.path), content.path) for content in found.contents]
        layers = merge(files)
        settings = build(layers, self._environ)
        warnings = (*found.warnings, *unknown_sections(files), *settings.warnings)
        settings = settings.model_copy(update={"warnings": warnings})
        self._good = (found, settings)
        self._layers = layers
        return settings

    def _find(self) -> _Found:
        contents: list[_Content] = []
        warnings: list[str] = []
        for path in dict.fromkeys(self._all_paths()):
            try:
                content = _read_file(path)
            except (FileNotFoundError, NotADirectoryError) as error:
                if path == self._explicit:
                    raise SettingsError(f"There is no file {path}.", remedy="Check the path.") from error
            except (PermissionError, IsADirectoryError) as error:
                message = f"{path} cannot be read: {error.strerror or error}."
                if path == self._explicit:
                    raise SettingsError(message) from error
                warnings.append(f"{message} It is left out.")
            except OSError as error:
                raise SettingsError(f"{path} cannot be read: {error.strerror or error}.") from error
            else:
                contents.append(content)
        return _Found(tuple(contents), tuple(warnings), tuple(map(_signature, self._secret_paths)))


def _read_file(path: Path) -> _Content:
    with path.open("rb") as stream:
        data = stream.read()
        changed = os.fstat(stream.fileno()).st_mtime
    return _Content(path, data, fresh=abs(time.time() - changed) < _SETTLED_S)


def _last_header(data: bytes) -> bytes:
    """Find the last section of a file; who rewrites it keeps its sections."""
    headers = re.findall(rb"^\[[^\]\n]+\]", data, re.MULTILINE)
    return headers[-1] if headers else b""


def _age_s(path: Path) -> float:
    try:
        return abs(time.time() - path.stat().st_mtime)
    except OSError:
        return math.inf


def _signature(path: Path) -> object:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)
