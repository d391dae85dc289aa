"""One edit of one file, from the lock to the disk: what cannot be loaded afterwards is not written."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import SettingsError
from worker.settings.build import build, unknown_sections
from worker.settings.desired import grant
from worker.settings.editing import Draft
from worker.settings.file_replacement import locked, read_settled, replace
from worker.settings.ini import IniFile, decode, parse
from worker.settings.layers import merge
from worker.settings.misgivings import misgivings
from worker.settings.secrecy import mask_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from worker.settings.desired import Wish
    from worker.settings.editing import Change

_LINE = re.compile(r"(?<=:)\d+(?=[: ,)])")


@dataclass(frozen=True, slots=True)
class Edition:
    """What an edit has done, or would do.

    Parameters
    ----------
    path : Path
        The file.
    changes : tuple[Change, ...]
        What is new, key by key; empty if the file said all of it already.
    written : str
        ``renamed`` or ``in place``; empty if nothing was written.
    warnings : tuple[str, ...]
        What is odd about the result, and was not before.
    before : bytes
        The content as it was.
    after : bytes
        The content as it is now, or would be.
    """

    path: Path
    changes: tuple[Change, ...]
    written: str
    warnings: tuple[str, ...]
    before: bytes
    after: bytes

    @property
    def changed(self) -> bool:
        """Whether the file is, or would be, another one."""
        return self.before != self.after

    def difference(self) -> Iterator[str]:
        """Show what is new as ``diff -u`` does, stars in the place of secrets.

        Yields
        ------
        str
            A line.
        """
        before, after = (data.decode("utf-8-sig").splitlines() for data in (self.before, self.after))
        old, new = set(before), set(after)
        return difflib.unified_diff(
            [mask_line(line, "" if line in new else " (as it was)") for line in before],
            [mask_line(line, "" if line in old else " (another one)") for line in after],
            str(self.path),
            str(self.path),
            lineterm="",
        )


def edit(
    path: Path, wishes: Sequence[Wish], *, files: Sequence[Path], environ: Mapping[str, str], check: bool = False
) -> Edition:
    """Make a file say something.

    Parameters
    ----------
    path : Path
        The file, which is made if it is not there.
    wishes : Sequence[Wish]
        What it is to say.
    files : Sequence[Path]
        The files from which the settings are read, the most important one last. If the edited one is among them, it
        must load together with them and the environment, and else by itself.
    environ : Mapping[str, str]
        The environment.
    check : bool
        Whether to write nothing.

    Returns
    -------
    Edition
        What has changed.

    Raises
    ------
    SettingsError
        The file cannot be read or written, or the result could not be loaded.
    """
    with locked(path):
        before = read_settled(path)
        below, above = _others(path, files)
        draft = Draft(before, path, below)
        old = draft.file
        grant(wishes, draft)
        warnings: tuple[str, ...] = ()
        if draft.data != before:
            environ = environ if path in files else {}
            warnings = _warnings([*below, draft.file, *above], environ, path)
            known = _known_warnings([*below, old, *above], environ)
            warnings = tuple(warning for warning in warnings if _without_line(warning) not in known)
        written = "" if check or draft.data == before else replace(path, draft.data, before)
    changes = tuple(draft.changes) if draft.data != before else ()
    return Edition(path, changes, written, warnings, before, draft.data)


def _others(path: Path, files: Sequence[Path]) -> tuple[list[IniFile], list[IniFile]]:
    """Read the files that count less than the edited one, and those that count more."""
    if path not in files:
        return [], []
    at = files.index(path)
    return list(_read(files[:at])), list(_read(files[at + 1 :]))


def _read(paths: Iterable[Path]) -> Iterator[IniFile]:
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError:
            continue  # The loader leaves it out too.
        yield parse(decode(data, path), path)


def _warnings(files: Sequence[IniFile], environ: Mapping[str, str], path: Path) -> tuple[str, ...]:
    try:
        return _look(files, environ)
    except SettingsError as error:
        raise SettingsError(
            f"{path} stays as it is, since the result could not be loaded: {error.message}", remedy=error.remedy
        ) from error


def _known_warnings(files: Sequence[IniFile], environ: Mapping[str, str]) -> set[str]:
    try:
        return {_without_line(warning) for warning in _look(files, environ)}
    except SettingsError:
        return set()  # It could not be loaded before, so that all warnings are new.


def _look(files: Sequence[IniFile], environ: Mapping[str, str]) -> tuple[str, ...]:
    layers = merge(files)
    settings = build(layers, environ)
    doubts = (f"{doubt.message} {doubt.remedy}" for doubt in misgivings(settings, layers))
    return (*unknown_sections(files), *settings.warnings, *doubts)


def _without_line(warning: str) -> str:
    """Lines move when others are added above them."""
    return _LINE.sub("", warning)
