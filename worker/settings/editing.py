r"""Changing one key of a slurm-config.ini and not one byte around it.

Lines are changed where they stand, by the line numbers that `worker.settings.ini` reads: comments, order, blank
lines, ends of lines and the byte order mark stay, since nothing else is ever written anew (indented comments below a
key that is taken out move to the start of their lines, and nothing else moves). An edit that does not read back as
exactly what was asked for is refused.

``[MODELS]`` and ``[WORKFLOWS]`` count as one section: a key is changed where it stands, whichever of the two is named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import SettingsError
from worker.settings.ini import decode, parse
from worker.settings.layers import WORKFLOWS, merge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from worker.settings.ini import Entry, IniFile

_BOM = b"\xef\xbb\xbf"
_MODELS = "MODELS"
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_ASSIGNMENT = re.compile(r"(?P<head>[^=:]*)(?:(?P<delimiter>[=:])(?P<space>\s*)(?P<value>.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Change:
    """What an edit does to one key.

    Parameters
    ----------
    section : str
        The section in which it stands.
    key : str
        The key as written.
    before : str | None
        What followed ``=``; None if the key was not there, or had no ``=``.
    after : str | None
        What follows ``=`` now; None if the key is not there now, or has no ``=``.
    action : str
        ``added``, ``changed`` or ``removed``.
    """

    section: str
    key: str
    before: str | None
    after: str | None
    action: str


class Draft:
    """The content of a file while it is edited.

    Parameters
    ----------
    data : bytes
        The content; empty for a file that is not there yet.
    path : Path
        The file, for messages.
    below : Sequence[IniFile]
        The files that are read before it, whose keys it can take back.

    Raises
    ------
    SettingsError
        It cannot be read, and so cannot be edited either.
    """

    def __init__(self, data: bytes, path: Path, below: Sequence[IniFile] = ()) -> None:
        self.path = path
        self._below = merge(below).sections
        self.changes: list[Change] = []
        self._bom = _BOM if data.startswith(_BOM) else b""
        self._lines = _LINE.findall(decode(data, path))
        self._file = parse("".join(self._lines), path)
        endings = [line[len(line.rstrip("\r\n")) :] for line in self._lines]
        self._newline = next((ending for ending in endings if ending), "\n")

    @property
    def data(self) -> bytes:
        """The content as it is now."""
        return self._bom + "".join(self._lines).encode()

    @property
    def file(self) -> IniFile:
        """What it says now."""
        return self._file

    def find(self, section: str, key: str) -> Entry | None:
        """Find a key.

        Parameters
        ----------
        section : str
            The section.
        key : str
            The key, in whatever case.

        Returns
        -------
        Entry | None
            The entry that counts, or None if there is none.
        """
        found = [entry for entry in self._file.entries if entry.key == key.lower() and entry.section in _names(section)]
        return max(found, key=lambda entry: entry.section == WORKFLOWS, default=None)

    def sets_below(self, section: str, key: str) -> bool:
        """Say whether a file that is read before this one sets a key.

        Parameters
        ----------
        section : str
            The section.
        key : str
            The key, in whatever case.

        Returns
        -------
        bool
            Whether it has a value there.
        """
        entry = self._below.get(_names(section)[0], {}).get(key.lower())
        return entry is not None and (entry.value is None or not entry.blank)

    def set(self, section: str, key: str, value: str | None) -> bool:
        """Give a key a value.

        Parameters
        ----------
        section : str
            The section, which is made if it is not there.
        key : str
            The key; one that is there keeps its spelling.
        value : str | None
            What is to follow ``=``; None writes the key without ``=``.

        Returns
        -------
        bool
            Whether anything had to be changed.

        Raises
        ------
        SettingsError
            That cannot be written in a file of this kind.
        """
        section, key = section.strip(), key.strip()
        _refuse_unwritable(section, key, value)
        entry = self.find(section, key)
        if entry is not None and entry.value == value:
            return False
        expected = self._content()
        if entry is None:
            section = self._insert(section, key, value)
            change = Change(section, key, None, value, "added")
        else:
            section = entry.section
            self._replace(entry, value)
            change = Change(section, entry.spelling, entry.value, value, "changed")
        expected.setdefault(section, {})[key.lower()] = value
        self._accept(expected, change)
        return True

    def remove(self, section: str, key: str) -> bool:
        """Take a key out; its comments stay.

        Parameters
        ----------
        section : str
            The section.
        key : str
            The key, in whatever case.

        Returns
        -------
        bool
            Whether it was there.

        Raises
        ------
        SettingsError
            What stands below it would mean something else without it.
        """
        removed = False
        while (entry := self.find(section.strip(), key.strip())) is not None:
            expected = self._content()
            del expected[entry.section][entry.key]
            self._lines[entry.line - 1 : entry.last_line] = self._comments(entry)
            self._free_comments(entry.line - 1)
            self._accept(expected, Change(entry.section, entry.spelling, entry.value, None, "removed"))
            removed = True
        return removed

    def _content(self) -> dict[str, dict[str, str | None]]:
        content: dict[str, dict[str, str | None]] = {name: {} for name, _ in self._file.sections}
        for entry in self._file.entries:
            content[entry.section][entry.key] = entry.value
        return content

    def _accept(self, expected: dict[str, dict[str, str | None]], change: Change) -> None:
        """Read what was written, and refuse it if it is not what was meant."""
        place = f"{self.path}: [{change.section}] {change.key}"
        remedy = "Change the file in an editor: keys and sections begin at the start of a line."
        try:
            self._file = parse("".join(self._lines), self.path)
        except SettingsError as error:
            raise SettingsError(f"{place} cannot be changed here: {error.message}", remedy=remedy) from error
        if self._content() != expected:
            raise SettingsError(
                f"{place} cannot be changed without changing the meaning of lines around it.", remedy=remedy
            )
        self.changes.append(change)

    def _replace(self, entry: Entry, value: str | None) -> None:
        """Write a value where one stands; comments between its lines stay behind it."""
        line = self._lines[entry.line - 1]
        text = line.rstrip("\r\n")
        match = _ASSIGNMENT.fullmatch(text)
        if match is None:
            raise SettingsError(f"{entry.where}: this line cannot be changed here.", remedy="Change it in an editor.")
        head = match["head"]
        if value is None:
            written = head.rstrip()
        elif match["delimiter"]:
            space = match["space"] if match["value"] or not value else self._spaces(entry.line - 1)[1]
            written = f"{head}{match['delimiter']}{space}{value}"
        else:
            before, after = self._spaces(entry.line - 1)
            written = f"{head.rstrip()}{before}={after}{value}"
        self._lines[entry.line - 1 : entry.last_line] = [written.rstrip() + line[len(text) :], *self._comments(entry)]
        if value is None:
            self._free_comments(entry.line)

    def _comments(self, entry: Entry) -> list[str]:
        """Give the comments and blank lines between the lines of a value."""
        inner = self._lines[entry.line : entry.last_line]
        return [line for line in inner if line.strip()[:1] in {"", "#", ";"}]

    def _insert(self, section: str, key: str, value: str | None) -> str:
        """Write a key that is not there, and say in which section it is now."""
        at, section, neighbour = self._place(section, key)
        indent = ""
        if neighbour is not None:
            line = self._lines[neighbour]
            indent = line[: len(line) - len(line.lstrip())]
        before, after = self._spaces(neighbour)
        text = key if value is None else f"{key}{before}={after}{value}".rstrip()
        if at and not self._lines[at - 1].endswith(("\r", "\n")):
            self._lines[at - 1] += self._newline
        self._lines.insert(at, f"{indent}{text}{self._newline}")
        if value is None:
            self._free_comments(at + 1)
        return section

    def _free_comments(self, at: int) -> None:
        """Move indented comments to the start of their lines, where no value stands above them any more.

        The web plugin indents its comments, and its library takes them for lines of the value above; without one it
        takes them for keys, and refuses the file.
        """
        for number in range(at, len(self._lines)):
            content = self._lines[number].lstrip()
            if content and content[0] not in "#;":
                break
            if content:
                self._lines[number] = content

    def _place(self, section: str, key: str) -> tuple[int, str, int | None]:
        """Say before which line a new key goes, in which section, and the line of a key to be like."""
        there = dict(self._file.sections)
        entries = [entry for entry in self._file.entries if entry.section in _names(section)]
        # What belongs to a workflow stands behind it: older readers need <wf>_job before <wf>_job_<flag>.
        kin = [entry for entry in entries if _kin(entry.key, key.lower(), entries)] if len(_names(section)) > 1 else []
        if kin:
            last = max(kin, key=lambda entry: entry.line)
            return last.last_line, last.section, last.line - 1
        name = next((name for name in (section, *_names(section)) if name in there), None)
        if name is None:
            return self._append_section(section), section, None
        own = [entry for entry in entries if entry.section == name]
        sample = self._commented_out(name, key, own)
        last_entry = max(own, key=lambda entry: entry.line, default=None)
        if sample is not None:
            near = max((entry for entry in own if entry.line <= sample), key=lambda entry: entry.line, default=None)
            return sample, name, None if near is None else near.line - 1
        if last_entry is None:
            return there[name], name, None
        return last_entry.last_line, name, last_entry.line - 1

    def _append_section(self, section: str) -> int:
        """Write the header of a new section at the end."""
        if self._lines and not self._lines[-1].endswith(("\r", "\n")):
            self._lines[-1] += self._newline
        if self._lines and self._lines[-1].strip():
            self._lines.append(self._newline)
        self._lines.append(f"[{section}]{self._newline}")
        return len(self._lines)

    def _commented_out(self, section: str, key: str, entries: list[Entry]) -> int | None:
        """Find the line, counted from 1, that shows a key of a section commented out, outside any value."""
        there = dict(self._file.sections)
        first = there[section]
        end = min((line for line in there.values() if line > first), default=len(self._lines) + 1)
        sample = re.compile(rf"\s*[#;]\s*{re.escape(key)}\s*[=:]", re.IGNORECASE)
        for number in range(first + 1, end):
            inside = any(entry.line <= number < entry.last_line for entry in entries)
            if sample.match(self._lines[number - 1]) and not inside:
                return number
        return None

    def _spaces(self, neighbour: int | None) -> tuple[str, str]:
        """Say how the file writes ``=``: as the neighbour, or else as its first key that has a value."""
        lines = [] if neighbour is None else [neighbour]
        lines += [entry.line - 1 for entry in self._file.entries if entry.value]
        for number in lines:
            match = _ASSIGNMENT.fullmatch(self._lines[number].rstrip("\r\n"))
            if match is not None and match["value"]:
                return match["head"][len(match["head"].rstrip()) :], match["space"]
        return " ", " "


def _names(section: str) -> tuple[str, ...]:
    return (WORKFLOWS, _MODELS) if section in {WORKFLOWS, _MODELS} else (section,)


def _kin(there: str, key: str, entries: list[Entry]) -> bool:
    """Whether a key that is there belongs to the same workflow as a new one."""
    names = [entry.key for entry in entries if key.startswith(f"{entry.key}_")]
    name = min(names, key=len, default=None)
    return name is not None and (there == name or there.startswith(f"{name}_"))


def _refuse_unwritable(section: str, key: str, value: str | None) -> None:
    """Refuse what no file of this kind can hold."""
    written = f"[{section}] {key}"
    if not section or any(character in section for character in "[]\r\n\0"):
        raise SettingsError(f"{section!r} cannot be the name of a section.")
    if not key or key[0] in "#;[" or any(character in key for character in "=:\r\n\0"):
        raise SettingsError(
            f"{written!r}: {key!r} cannot be a key.", remedy="A key holds neither = nor : nor line ends."
        )
    if value is None:
        return
    if any(character in value for character in "\r\n\0"):
        raise SettingsError(f"{written}: the value has more than one line, or a NUL.", remedy="Write it in one line.")
    if value != value.strip():
        raise SettingsError(
            f"{written}: the value begins or ends with white space, which no reader of this file would see.",
            remedy="Leave the white space out.",
        )
    try:
        f"{section}{key}{value}".encode()
    except UnicodeEncodeError as error:
        raise SettingsError(f"{written}: this cannot be written in UTF-8.") from error
