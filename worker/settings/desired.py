"""What a file should say: wishes read from TOML or JSON, granted in a draft, twice the same as once.

::

    [SLURM]
    slurm_data_path = "/scratch/omero"
    sbatch_exclusive = { bare = true }           # the key without "="
    slurm_conversion_partition = { absent = true }

    [WORKFLOWS.cellpose]                         # cellpose, cellpose_repo, cellpose_job_mem …
    image_folder = "cellpose"
    repo = "https://github.com/example/W_cellpose/tree/v1.2"
    job_mem = "16G"

    [WORKFLOWS.stardist]                         # nothing of it stays
    absent = true

In JSON, ``null`` means absent too. What is not named is left alone.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import SettingsError
from worker.settings import models, reading
from worker.settings.layers import WORKFLOWS
from worker.settings.workflows import members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from worker.settings.editing import Draft

_IMAGE_FOLDER = "image_folder"
_TABLES = (WORKFLOWS, "MODELS")
_SECTIONS = (*models.SECTIONS, "CONVERTERS", *_TABLES)


@dataclass(frozen=True, slots=True)
class Value:
    """A key has this value.

    Parameters
    ----------
    section : str
        The section.
    key : str
        The key.
    value : str | None
        What follows ``=``; None is a key without ``=``.
    typed : bool | float | None
        The same as it was meant, if it was no text: what is there and means the same stays as it is written.
    only_new : bool
        A value that is there stays, whatever it is.
    """

    section: str
    key: str
    value: str | None
    typed: bool | float | None = None
    only_new: bool = False

    def grant(self, draft: Draft) -> bool:
        """Write it.

        Parameters
        ----------
        draft : Draft
            The file.

        Returns
        -------
        bool
            Whether that changed anything.
        """
        entry = draft.find(self.section, self.key)
        if entry is not None and (
            self.only_new or (self.typed is not None and self._means_the_same(entry.value or ""))
        ):
            return False
        return draft.set(self.section, self.key, self.value)

    def _means_the_same(self, text: str) -> bool:
        try:
            if isinstance(self.typed, bool):
                return reading.BOOLEAN(text) == self.typed
            return float(reading.without_comment(text)) == self.typed
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Absent:
    """A key has no effect.

    Parameters
    ----------
    section : str
        The section.
    key : str
        The key.
    """

    section: str
    key: str

    def grant(self, draft: Draft) -> bool:
        """Take it out; where an earlier file sets it, take that back with a blank value.

        Parameters
        ----------
        draft : Draft
            The file.

        Returns
        -------
        bool
            Whether that changed anything.
        """
        if draft.sets_below(self.section, self.key):
            return draft.set(self.section, self.key, "")
        return draft.remove(self.section, self.key)


@dataclass(frozen=True, slots=True)
class AbsentWorkflow:
    """A workflow is not there, nor any key of it.

    Parameters
    ----------
    name : str
        Its name, in whatever case.
    """

    name: str

    def grant(self, draft: Draft) -> bool:
        """Take it out; where an earlier file has it, hide that with a blank value.

        Parameters
        ----------
        draft : Draft
            The file.

        Returns
        -------
        bool
            Whether that changed anything.
        """
        entries = {entry.key: entry for entry in draft.file.entries if entry.section in _TABLES}
        changed = [draft.remove(WORKFLOWS, key) for key in members(entries, self.name) if key != self.name.lower()]
        return Absent(WORKFLOWS, self.name).grant(draft) or any(changed)


Wish = Value | Absent | AbsentWorkflow


def grant(wishes: Iterable[Wish], draft: Draft) -> None:
    """Write all of it, what is to go first.

    Parameters
    ----------
    wishes : Iterable[Wish]
        What the file should say.
    draft : Draft
        The file.

    Raises
    ------
    SettingsError
        Something cannot be written.
    """
    for wish in sorted(wishes, key=lambda wish: isinstance(wish, Value)):
        wish.grant(draft)


def read_desired(text: str, name: str) -> tuple[Wish, ...]:
    """Read what a file should say.

    Parameters
    ----------
    text : str
        TOML, or a JSON object.
    name : str
        Where it comes from, for messages.

    Returns
    -------
    tuple[Wish, ...]
        The wishes, in their order.

    Raises
    ------
    SettingsError
        It is neither, or asks for something that a slurm-config.ini cannot say.
    """
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise SettingsError(f"{name} is neither TOML nor JSON: {error}.") from error
    wishes = tuple(_wishes(document, name))
    _refuse_two_wishes(wishes, name)
    return wishes


def known_section(section: str) -> str:
    """Spell a section as it is known.

    Parameters
    ----------
    section : str
        Its name, in whatever case; ``[SSH:name]`` and ``[SLURM:name]`` keep the case of the name.

    Returns
    -------
    str
        The section.

    Raises
    ------
    SettingsError
        There is no such section.
    """
    base, colon, rest = section.strip().partition(":")
    if base.upper() in _SECTIONS and (not colon or (base.upper() in {"SSH", "SLURM"} and rest.strip())):
        return f"{base.upper()}{colon}{rest.strip()}"
    near = difflib.get_close_matches(base.upper(), _SECTIONS, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(_SECTIONS)}."
    raise SettingsError(f"There is no section [{section}].", remedy=hint)


def _wishes(document: Mapping[str, object], name: str) -> Iterator[Wish]:
    for spelled, keys in document.items():
        section = known_section(spelled)
        if not isinstance(keys, dict):
            raise SettingsError(f"{name}: {spelled} is no section but a value.", remedy=f"Write [{section}] above it.")
        for key, value in keys.items():
            if section in _TABLES and isinstance(value, dict) and not _says(value, "bare"):
                yield from _workflow(section, key, value, name)
            else:
                yield _wish(section, key, value, name)


def _refuse_two_wishes(wishes: Iterable[Wish], name: str) -> None:
    """Refuse two wishes for one key: granting one undoes the other."""
    seen: set[tuple[str, str]] = set()
    for wish in wishes:
        section, key = (WORKFLOWS, wish.name) if isinstance(wish, AbsentWorkflow) else (wish.section, wish.key)
        place = (WORKFLOWS if section in _TABLES else section, key.lower())
        if place in seen:
            raise SettingsError(f"{name}: [{section}] {key} is there twice.", remedy="Keep one of the two.")
        seen.add(place)


def _workflow(section: str, workflow: str, keys: Mapping[str, object], name: str) -> Iterator[Wish]:
    if _says(keys, "absent"):
        yield AbsentWorkflow(workflow)
        return
    if _IMAGE_FOLDER not in keys:
        yield Value(section, workflow, workflow.lower(), only_new=True)
    for key, value in keys.items():
        yield _wish(section, workflow if key == _IMAGE_FOLDER else f"{workflow}_{key}", value, name)


def _wish(section: str, key: str, value: object, name: str) -> Wish:
    match value:
        case None:
            return Absent(section, key)
        case dict() if _says(value, "absent"):
            return Absent(section, key)
        case dict() if _says(value, "bare"):
            return Value(section, key, None)
        case str():
            return Value(section, key, value)
        case bool():
            return Value(section, key, str(value), typed=value)
        case int() | float():
            return Value(section, key, str(value), typed=value)
        case dt.date() | dt.time():
            return Value(section, key, value.isoformat())
        case list() if all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in value):
            return Value(section, key, ", ".join(str(item) for item in value))
        case _:
            raise SettingsError(
                f"{name}: [{section}] {key} is something that a slurm-config.ini cannot hold.",
                remedy="Give it a text, a number, true, false, a list of words, { bare = true } or { absent = true }.",
            )


def _says(table: Mapping[str, object], word: str) -> bool:
    return table.get(word) is True and len(table) == 1
