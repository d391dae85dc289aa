"""Looking a configuration over: everything that is wrong with it in one go, and not only the first error.

Loading stops at the first error. Here what an error names is left out, and loading tried again, until it succeeds; what
could be loaded then is looked over for what can be read but cannot work.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from worker.errors import SettingsError
from worker.settings import models
from worker.settings.build import build, unknown_sections
from worker.settings.ini import IniFile, decode, parse
from worker.settings.layers import merge
from worker.settings.misgivings import misgivings
from worker.settings.secrecy import is_secret, mask_credentials, masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from worker.settings.ini import Entry
    from worker.settings.layers import Layers
    from worker.settings.sbatch_options import Doubt

    Further = Callable[[models.Settings, Layers], Iterable[Doubt]]

_ERRORS_MAX = 50
"""A file with more errors than that is no slurm-config.ini."""


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Parameters
    ----------
    severity : Severity
        An error keeps the configuration from being used, or a job from ever being submitted.
    message : str
        What is wrong, beginning with file and line where it has a place.
    remedy : str
        What to do about it.
    file : Path | None
        The file.
    line : int | None
        The line, counted from 1.
    section : str | None
        The section.
    key : str | None
        The key as written.
    value : str | None
        The value, stars in the place of secrets.
    """

    severity: Severity
    message: str
    remedy: str = ""
    file: Path | None = None
    line: int | None = None
    section: str | None = None
    key: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """What came of looking over.

    Parameters
    ----------
    files : tuple[Path, ...]
        The files that were read.
    findings : tuple[Finding, ...]
        What is wrong, in the order of the files and their lines.
    settings : Settings | None
        What could be loaded; whole only if there is no error.
    """

    files: tuple[Path, ...]
    findings: tuple[Finding, ...]
    settings: models.Settings | None

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return sum(finding.severity is Severity.ERROR for finding in self.findings)


def inspect(
    paths: Sequence[Path],
    environ: Mapping[str, str],
    *,
    required: Iterable[Path] = (),
    further: Further | None = None,
) -> Inspection:
    """Look over files that are merged, a later one winning key by key.

    Parameters
    ----------
    paths : Sequence[Path]
        The files.
    environ : Mapping[str, str]
        The environment that wins over them.
    required : Iterable[Path]
        Those that must be there; others are left out where they are not.
    further : Callable[[Settings, Layers], Iterable[Doubt]], optional
        Looks over what could be loaded, for what only other rooms know.

    Returns
    -------
    Inspection
        Everything that is wrong.
    """
    return _Inspector(environ).run(paths, frozenset(required), further)


class _Inspector:
    """The findings of one pass over some files."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = dict(environ)
        self.files: list[IniFile] = []
        self.findings: list[Finding] = []

    def run(self, paths: Sequence[Path], required: frozenset[Path], further: Further | None) -> Inspection:
        read = [path for path in dict.fromkeys(paths) if self._read(path, required=path in required)]
        settings = self._load()
        for warning in (*unknown_sections(self.files), *(settings.warnings if settings else ())):
            self._add(Severity.WARNING, warning)
        if settings is not None:
            layers = merge(self.files)
            for doubt in (*misgivings(settings, layers), *(further(settings, layers) if further else ())):
                severity = Severity.ERROR if doubt.fatal else Severity.WARNING
                self._add(severity, doubt.message, doubt.remedy)
        rank: dict[Path | None, int] = {path: number for number, path in enumerate(read)}
        ordered = sorted(
            dict.fromkeys(self.findings), key=lambda finding: (rank.get(finding.file, len(rank)), finding.line or 0)
        )
        return Inspection(tuple(read), tuple(ordered), settings)

    def _read(self, path: Path, *, required: bool) -> bool:
        try:
            data = path.read_bytes()
            mode = stat.S_IMODE(path.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            if required:
                self._add(Severity.ERROR, f"There is no file {path}.", "Check the path.", file=path)
            return False
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            severity = Severity.ERROR if required else Severity.WARNING
            self._add(severity, f"{path} cannot be read: {reason}.", "Check what this user may do.", file=path)
            return False
        self._look_at_mode(path, mode)
        self._parse(path, data, mode)
        return True

    def _look_at_mode(self, path: Path, mode: int) -> None:
        if mode & stat.S_IWOTH:
            self._add(
                Severity.WARNING,
                f"{path} can be written by everybody (mode {mode:04o}), who could then run what they like.",
                f"chmod o-w {path}",
                file=path,
            )

    def _parse(self, path: Path, data: bytes, mode: int) -> None:
        try:
            text = decode(data, path)
        except SettingsError as error:
            self._add(Severity.ERROR, error.message, error.remedy, file=path)
            if b"\0" in data:
                return
            text = data.decode("utf-8-sig", errors="replace")
        errors: list[SettingsError] = []
        self.files.append(parse(text, path, errors.append))
        for wrong in errors[:_ERRORS_MAX]:
            self._add(Severity.ERROR, wrong.message, wrong.remedy, file=path)
        if len(errors) > _ERRORS_MAX:
            more = len(errors) - _ERRORS_MAX
            self._add(Severity.ERROR, f"{path} has {more} more lines that cannot be read.", file=path)
        for entry in self.files[-1].entries:
            self._look_for_secrets(entry, mode)

    def _look_for_secrets(self, entry: Entry, mode: int) -> None:
        value = entry.value or ""
        whole = is_secret(entry.key) and entry.key != "sqlalchemy_url"
        if entry.blank or entry.key in models.TOKEN_VARIABLES or (not whole and mask_credentials(value) == value):
            return
        others = f", and the file can be read by everybody (mode {mode:04o})" if mode & stat.S_IROTH else ""
        remedy = "Move it into a file of its own that only the worker can read, and take it out of this one."
        if entry.key == "sqlalchemy_url":
            remedy = (
                "Write the address to a file that only the worker can read, name that file with the variable "
                "SQLALCHEMY_URL_FILE, and take sqlalchemy_url out of this one."
            )
        self._add(
            Severity.WARNING,
            f"{entry.where}: [{entry.section}] {entry.spelling} holds a secret, which the web interface shows{others}.",
            remedy,
        )

    def _load(self) -> models.Settings | None:
        """Load, leaving out what an error names, until there is none."""
        files, environ = tuple(self.files), self.environ
        while True:
            try:
                return build(merge(files), environ)
            except SettingsError as error:
                self._add(Severity.ERROR, error.message, error.remedy)
                before = (files, environ)
                files = tuple(_without_lines(file, error.message) for file in files)
                if files == before[0]:
                    environ = _without_variables(environ, error.message)
                if (files, environ) == before:
                    return None

    def _add(self, severity: Severity, message: str, remedy: str = "", *, file: Path | None = None) -> None:
        place = self._place(message)
        if place.file is None and file is not None:
            line = _named(file).search(message)
            place = replace(place, file=file, line=int(line[1]) if line else None)
        shown = mask_credentials(message)
        self.findings.append(replace(place, severity=severity, message=shown, remedy=remedy))

    def _place(self, message: str) -> Finding:
        """Find the first line that a message names."""
        places = [
            (match.start(), file, int(match[1]))
            for file in self.files
            for match in [_named(file.path).search(message)]
            if match
        ]
        nothing = Finding(Severity.WARNING, "")
        if not places:
            return nothing
        _, file, line = min(places, key=lambda place: place[0])
        for entry in file.entries:
            if entry.line == line:
                shown = masked(entry.key, entry.value)
                return replace(
                    nothing, file=file.path, line=line, section=entry.section, key=entry.spelling, value=shown
                )
        section = next((name for name, number in file.sections if number == line), None)
        return replace(nothing, file=file.path, line=line, section=section)


def _named(path: Path) -> re.Pattern[str]:
    """Match a line of a file where a message names one."""
    return re.compile(rf"(?<![\w./-]){re.escape(str(path))}:(\d+)")


def _without_lines(file: IniFile, message: str) -> IniFile:
    """Leave out of a file the keys, and the sections, that a message names by their lines."""
    lines = {int(number) for number in _named(file.path).findall(message)}
    sections = tuple((name, line) for name, line in file.sections if line not in lines)
    left = {name for name, _ in sections}
    entries = tuple(entry for entry in file.entries if entry.line not in lines and entry.section in left)
    return replace(file, sections=sections, entries=entries)


def _without_variables(environ: Mapping[str, str], message: str) -> dict[str, str]:
    """Leave out the variables that a message names."""
    return {name: value for name, value in environ.items() if not re.search(rf"\b{re.escape(name)}\b", message)}
