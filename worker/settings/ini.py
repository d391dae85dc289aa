"""Reading the text of one slurm-config.ini: sections, keys, values and the lines on which they stand.

The grammar is that of the standard library's ``ConfigParser(allow_no_value=True, interpolation=None)``, which the
web plugin writes for and existing files rely on; a property test holds the two together. It is read here because
messages need line numbers and keys their own spelling, both of which ConfigParser drops.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Report = Callable[[SettingsError], None]

_SECTION = re.compile(r"\[(?P<header>.+)\]")
_OPTION = re.compile(r"(?P<option>.*?)\s*(?:(?P<delimiter>=|:)\s*(?P<value>.*))?$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of one file.

    Parameters
    ----------
    section : str
        The section it stands in.
    key : str
        The key in lower case, which is its identity.
    spelling : str
        The key as written.
    value : str | None
        What follows ``=``, without white space around it; None where there is no ``=``. Indented lines below are
        part of it, joined by newlines.
    path : Path
        The file.
    line : int
        The line of the key, counted from 1.
    last_line : int
        The last line of its value; 0 where it does not come from the text of a file.
    """

    section: str
    key: str
    spelling: str
    value: str | None
    path: Path
    line: int
    last_line: int = 0

    @property
    def where(self) -> str:
        """File and line, as messages show them."""
        return f"{self.path}:{self.line}"

    @property
    def blank(self) -> bool:
        """Whether nothing is set: no ``=``, or nothing after it."""
        return not (self.value or "").strip()


@dataclass(frozen=True, slots=True)
class IniFile:
    """One file, read.

    Parameters
    ----------
    path : Path
        Where it is.
    sections : tuple[tuple[str, int], ...]
        Name and line of every section, in the order of the file.
    entries : tuple[Entry, ...]
        Every key, in the order of the file.
    """

    path: Path
    sections: tuple[tuple[str, int], ...]
    entries: tuple[Entry, ...]


def decode(data: bytes, path: Path) -> str:
    """Decode the content of a file: UTF-8, with or without byte order mark.

    Parameters
    ----------
    data : bytes
        The content.
    path : Path
        The file, for messages.

    Returns
    -------
    str
        Its text.

    Raises
    ------
    SettingsError
        It is not UTF-8, or holds NUL.
    """
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"} or _is_utf_16(data):
        raise SettingsError(f"{path} is written in UTF-16.", remedy="Save it as UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}:{line}: this line is not written in UTF-8.", remedy="Save it as UTF-8.") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise SettingsError(f"{path}:{line}: this line holds a NUL character: the file is damaged.")
    return text


def _is_utf_16(data: bytes) -> bool:
    """Whether every other byte is a zero, as in Latin text that an editor of Windows saved as "Unicode"."""
    start = data[:64]
    return len(start) >= 4 and any(not any(start[first::2]) and all(start[1 - first :: 2]) for first in (0, 1))


def parse(text: str, path: Path, report: Report | None = None) -> IniFile:
    r"""Read the text of a file.

    Parameters
    ----------
    text : str
        The text; lines end in ``\n``, ``\r\n`` or ``\r``.
    path : Path
        The file, for messages.
    report : Callable[[SettingsError], None], optional
        Takes each error instead of its being raised; the line is then left out, and the rest is read. What stands
        in a section that is there twice is read for its errors alone.

    Returns
    -------
    IniFile
        What it says.

    Raises
    ------
    SettingsError
        A line can be read in no way, or something stands there twice.
    """
    return _Parse(path, report).run(text)


@dataclass(slots=True)
class _Pending:
    """An entry whose value may still go on in the next lines."""

    section: str
    spelling: str
    line: int
    value: list[str] | None
    last_line: int

    def finish(self, path: Path) -> Entry:
        value = None if self.value is None else "\n".join(self.value).rstrip()
        return Entry(self.section, self.spelling.lower(), self.spelling, value, path, self.line, self.last_line)


class _Parse:
    """The state of one pass over the lines of a file."""

    def __init__(self, path: Path, report: Report | None) -> None:
        self.path = path
        self.report = report
        self.sections: dict[str, int] = {}
        self.keys: dict[tuple[str, str], int] = {}
        self.entries: list[_Pending] = []
        self.section: str | None = None
        self.repeated = False
        self.open: _Pending | None = None
        self.indent = 0

    def run(self, text: str) -> IniFile:
        for number, line in enumerate(io.StringIO(text, newline=None), start=1):
            content = line.strip()
            if not content:
                if self.open is not None and self.open.value is not None:
                    self.open.value.append("")
            elif not content.startswith(("#", ";")):
                self._line(number, line, content)
        entries = tuple(entry.finish(self.path) for entry in self.entries)
        return IniFile(self.path, tuple(self.sections.items()), entries)

    def _line(self, number: int, line: str, content: str) -> None:
        indent = len(line) - len(line.lstrip())
        if self.open is not None and indent > self.indent:
            self._continue(number, content)
            return
        self.indent = indent
        header = _SECTION.match(content)
        if header:
            self._begin_section(number, header["header"])
        elif self.section is None:
            self._refuse(
                f"{self.path}:{number}: {_short(content)} stands before the first section.",
                "Put a line like [SLURM] above it.",
            )
        else:
            self._begin_entry(number, content, self.section)

    def _continue(self, number: int, content: str) -> None:
        entry = self.open
        if entry is None or entry.value is None:
            name = entry.spelling if entry else ""
            self._refuse(
                f"{self.path}:{number}: {_short(content)} is indented, and so belongs to {name!r} above, "
                "which has no value.",
                "Remove the white space at the start of the line.",
            )
            return
        entry.value.append(content)
        entry.last_line = number

    def _begin_section(self, number: int, name: str) -> None:
        self.repeated = name in self.sections
        if self.repeated:
            self._refuse(
                f"{self.path}:{number}: section [{name}] is there already, on line {self.sections[name]}.",
                "Move the keys of both into one.",
            )
        else:
            self.sections[name] = number
        self.section = name
        self.open = None

    def _begin_entry(self, number: int, content: str, section: str) -> None:
        match = _OPTION.match(content)
        spelling = match["option"].rstrip() if match else ""
        if match is None or not spelling:
            self._refuse(
                f"{self.path}:{number}: {_short(content)} in section [{section}] has no key.",
                "A line reads: key = value. Comments start with #.",
            )
            self.open = None
            return
        value = match["value"]
        self.open = _Pending(section, spelling, number, None if value is None else [value.strip()], number)
        first = self.keys.setdefault((section, spelling.lower()), number)
        if first != number:
            self._refuse(
                f"{self.path}:{number}: [{section}] {spelling} is there already, on line {first}.",
                "Keep one of the two.",
            )
        elif not self.repeated:
            self.entries.append(self.open)

    def _refuse(self, message: str, remedy: str) -> None:
        error = SettingsError(message, remedy=remedy)
        if self.report is None:
            raise error
        self.report(error)


def _short(content: str) -> str:
    """Show the start of a line, and never what follows ``=``, which may be secret."""
    key = re.split("[=:]", content, maxsplit=1)[0].rstrip()
    return repr(key if len(key) <= 40 else key[:40] + "…")
