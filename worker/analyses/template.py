"""The command line of a biomero-schema descriptor: a template with the keys of parameters in it.

``python wrapper.py [INPUT_IMAGE] --radius [RADIUS] --output [OUTPUT_PATH]``: the program is left out, as the container
runs its own, and each key is replaced by the option of its parameter and its value; where the template gives the option
itself, by the value alone. What has no value is left out with its option. The template is taken apart into words once,
before anything is filled in, so that a value stays one word whatever it holds.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.analyses.model import Analysis, Parameter

INPUT_KEYS = ("[INFOLDER]", "[INPUT_FOLDER]", "[INPUTFOLDER]")
OUTPUT_KEYS = ("[OUTFOLDER]", "[OUTPUT_FOLDER]", "[OUTPUTFOLDER]")
TRUTH_KEYS = ("[GTFOLDER]", "[GT_FOLDER]")

_KEY = re.compile(r"\[[A-Za-z_][A-Za-z0-9_.-]*\]")
_CYTOMINE = re.compile(r"^[^A-Za-z]*cytomine", re.IGNORECASE)
_INTERPRETER = re.compile(r"(?:.*/)?(?:python[0-9.]*|bash|sh|Rscript|perl|java|julia|octave)")
_TAKES_SCRIPT = ("-m", "-jar")


def can_be_filled(analysis: Analysis) -> bool:
    """Say whether the template of an analysis tells its container all that it must know.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    bool
        Whether every key in it is known, and it names both folders unless the container knows where these are.
    """
    words = _arguments(analysis.command)
    if not words:
        return False
    keys = {key for word in words for key in _keys(word)}
    owners = _owners(analysis)
    unknown = [key for key in keys if key not in owners and key not in INPUT_KEYS + OUTPUT_KEYS + TRUTH_KEYS]
    named = {parameter.folder for key, parameter in owners.items() if any(_holds(word, key) for word in words)}
    told_input = bool(analysis.input_folder) or "input" in named or not keys.isdisjoint(INPUT_KEYS)
    told_output = bool(analysis.output_folder) or "output" in named or not keys.isdisjoint(OUTPUT_KEYS)
    return not unknown and told_input and told_output


def fill(analysis: Analysis, value_of: Callable[[Parameter], str | None], folders: Mapping[str, str]) -> list[str]:
    """Fill in the template.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    value_of : callable
        Gives the value of a parameter as the container is to see it; None if it has none.
    folders : Mapping[str, str]
        What stands for the keys of folders.

    Returns
    -------
    list[str]
        The arguments, without the program.
    """
    owners = _owners(analysis)
    filled: list[str] = []
    for word in _arguments(analysis.command):
        if _CYTOMINE.search(word):
            continue
        key = next((key for key in owners if word == key), None)
        if key is not None:
            _append(filled, owners[key], value_of(owners[key]))
            continue
        known: dict[str, str | None] = {key: folder for key, folder in folders.items() if key in word}
        known |= {key: value_of(parameter) for key, parameter in owners.items() if key.startswith("[") and key in word}
        values = {key: value for key, value in known.items() if value is not None}
        if len(values) == len(known):
            filled.append(_replaced(word, values))
    return filled


def _append(filled: list[str], parameter: Parameter, value: str | None) -> None:
    """Write a value after its option, or take the option back if the value is missing."""
    given = bool(filled) and bool(parameter.flag) and filled[-1] == parameter.flag
    if value is None:
        if given:
            filled.pop()
    elif not parameter.flag or (given and not (value.startswith("-") and parameter.flag.startswith("--"))):
        filled.append(value)
    elif given:
        # What begins with a dash would be taken for the next option.
        filled[-1] = f"{parameter.flag}={value}"
    else:
        filled.append(f"{parameter.flag}={value}")


def _replaced(word: str, values: Mapping[str, str]) -> str:
    """Put values in the place of their keys, all at once, as a value may look like a key."""
    return _KEY.sub(lambda match: values[match.group()], word)


def named(analysis: Analysis) -> set[str]:
    """List the parameters that the template names.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    set[str]
        Their ids.
    """
    words = _arguments(analysis.command)
    return {parameter.id for key, parameter in _owners(analysis).items() if any(_holds(word, key) for word in words)}


def _arguments(command: str) -> list[str]:
    """Take a template apart, and leave out the program that it begins with."""
    try:
        words = shlex.split(command)
    except ValueError:
        return []
    if not words or words[0].startswith("-") or _keys(words[0]):
        return words
    program = words.pop(0)
    if not _INTERPRETER.fullmatch(program):
        return words
    while words:
        word = words.pop(0)
        if word in _TAKES_SCRIPT:
            return words[1:]
        if not word.startswith("-"):
            break
    return words


def _owners(analysis: Analysis) -> dict[str, Parameter]:
    """List the keys that stand for parameters: as the descriptor writes them, and in brackets."""
    owners: dict[str, Parameter] = {}
    for parameter in analysis.parameters:
        plain = parameter.value_key.strip("[]") or parameter.id.upper()
        for key in (parameter.value_key, f"[{plain}]", f"[{parameter.id}]", f"@{parameter.id}"):
            if key:
                owners.setdefault(key, parameter)
    return owners


def _keys(word: str) -> list[str]:
    return [key for key in _KEY.findall(word) if not _CYTOMINE.search(key)]


def _holds(word: str, key: str) -> bool:
    return word == key or (key.startswith("[") and key in word)
