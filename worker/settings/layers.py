"""Merging files: a later file wins key by key, and a blank value in it takes back what an earlier one set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.settings.ini import Entry, IniFile

WORKFLOWS = "WORKFLOWS"
_MODELS = "MODELS"


@dataclass(frozen=True, slots=True)
class Layers:
    """The keys of all files, merged.

    Parameters
    ----------
    sections : Mapping[str, Mapping[str, Entry]]
        From section and lower-case key to the entry that counts. ``[MODELS]`` and ``[WORKFLOWS]`` are one section,
        under the name of the latter.
    warnings : tuple[str, ...]
        What was left out.
    headers : Mapping[str, str]
        From each section that a file has, be it empty, to the last place where it begins.
    history : Mapping[tuple[str, str], tuple[Entry, ...]]
        From section and lower-case key to every entry that sets it, the one that counts last.
    """

    sections: Mapping[str, Mapping[str, Entry]]
    warnings: tuple[str, ...]
    headers: Mapping[str, str]
    history: Mapping[tuple[str, str], tuple[Entry, ...]]


def merge(files: Iterable[IniFile]) -> Layers:
    """Merge files.

    Within one file ``[WORKFLOWS]`` wins over ``[MODELS]``; between files the later one wins, whichever of the two
    sections it uses, so that what the web plugin writes to ``[MODELS]`` always has an effect.

    Parameters
    ----------
    files : Iterable[IniFile]
        The files, the most important one last.

    Returns
    -------
    Layers
        Their keys, merged.
    """
    history: dict[tuple[str, str], list[Entry]] = {}
    headers: dict[str, str] = {}
    warnings: list[str] = []
    for file in files:
        headers |= {name: f"{file.path}:{line}" for name, line in file.sections}
        for entry in sorted(file.entries, key=lambda entry: entry.section == WORKFLOWS):
            name = WORKFLOWS if entry.section == _MODELS else entry.section
            history.setdefault((name, entry.key), []).append(_one_line(entry, warnings))
    sections: dict[str, dict[str, Entry]] = {}
    for (name, key), entries in history.items():
        sections.setdefault(name, {})[key] = entries[-1]
    return Layers(sections, tuple(warnings), headers, {place: tuple(entries) for place, entries in history.items()})


def _one_line(entry: Entry, warnings: list[str]) -> Entry:
    """Keep the first line of a value; no key here has a use for more."""
    if entry.value is None or "\n" not in entry.value:
        return entry
    first, *rest = [line for line in entry.value.split("\n") if line] or [""]
    if rest:
        warnings.append(
            f"{entry.where}: [{entry.section}] {entry.spelling}: the indented lines below it are ignored. "
            "If they are keys, remove the white space before them."
        )
    return replace(entry, value=first)
