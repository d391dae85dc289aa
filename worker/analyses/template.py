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
    from collections.abc import Callable, Mapping, Sequence

    from worker.analyses.model import Analysis, Parameter

INPUT_KEYS = ("[INFOLDER]", "[INPUT_FOLDER]", "[INPUTFOLDER]")
OUTPUT_KEYS = ("[OUTFOLDER]", "[OUTPUT_FOLDER]", "[OUTPUTFOLDER]")
TRUTH_KEYS = ("[GTFOLDER]", "[GT_FOLDER]")

_KEY = re.compile(r"\[[A-Za-z_][A-Za-z0-9_.-]*\]")
_CYTOMINE = re.compile(r"^[^A-Za-z]*cytomine|\[cytomine[^\]]*\]", re.IGNORECASE)
_OPTION = re.compile(r"--?[^=\s-][^=\s]*")
_INTERPRETER = re.compile(r"(?:.*/)?(?:python[0-9.]*|bash|sh|Rscript|perl|java|julia|octave)")
_ALONE = ("--local", "-nmc")
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
    words, owners = _arguments(analysis.command), _owners(analysis)
    keys = {key for word in words for key in _KEY.findall(word)}
    unknown = keys - owners.keys() - {*INPUT_KEYS, *OUTPUT_KEYS, *TRUTH_KEYS}
    folders = {parameter.folder for key, parameter in owners.items() if any(_holds(word, key) for word in words)}
    told_input = analysis.input_folder or "input" in folders or not keys.isdisjoint(INPUT_KEYS)
    told_output = analysis.output_folder or "output" in folders or not keys.isdisjoint(OUTPUT_KEYS)
    return bool(words and not unknown and told_input and told_output)


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
    words = _arguments(analysis.command)
    for before, word in zip(["", *words], words, strict=False):
        option, _, key = word.partition("=")
        if word in owners:
            _append(filled, owners[word], value_of(owners[word]), before)
        elif key in owners:
            value = value_of(owners[key])
            filled += [] if value is None else [f"{option}={value}"]
        else:
            known = {key: folders[key] if key in folders else value_of(owners[key]) for key in _KEY.findall(word)}
            values = {key: value for key, value in known.items() if value is not None}
            filled += [_replaced(word, values)] if len(values) == len(known) else []
    return filled


def _append(filled: list[str], parameter: Parameter, value: str | None, before: str) -> None:
    """Write a value after its option, or take the option back if the value is missing."""
    given = before == parameter.flag or (
        # An option of another name, unless it is one that stands alone.
        parameter.type != "boolean" and before not in _ALONE and _OPTION.fullmatch(before) is not None
    )
    if value is None:
        if given and before:
            filled.pop()
    elif given and before.startswith("--") and value.startswith("-"):
        # What begins with a dash would be taken for the next option.
        filled[-1] = f"{before}={value}"
    elif given or not parameter.flag:
        filled.append(value)
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
    """Take a template apart, without the program that it begins with, and without what is meant for Cytomine."""
    try:
        words = shlex.split(command)
    except ValueError:
        return []
    kept: list[str] = []
    for word in words[_program_length(words) :]:
        if not _CYTOMINE.search(word):
            kept.append(word)
        elif kept and _OPTION.fullmatch(kept[-1]) and _KEY.fullmatch(word):
            # Its option, of whatever name.
            kept.pop()
    return kept


def _program_length(words: Sequence[str]) -> int:
    """Count the words of the program: ``tool``, ``python -u wrapper.py``, ``env X=1 conda run python -m package``."""
    first_key = next((index for index, word in enumerate(words) if _KEY.search(word)), len(words))
    starts = [index for index, word in enumerate(words[:first_key]) if _INTERPRETER.fullmatch(word)]
    if not starts:
        return 1 if words and first_key and not words[0].startswith("-") else 0
    for index in range(starts[-1] + 1, first_key):
        if words[index] in _TAKES_SCRIPT:
            return index + 2
        if not words[index].startswith("-"):
            return index + 1
    return starts[-1] + 1


def _owners(analysis: Analysis) -> dict[str, Parameter]:
    """List the keys that stand for parameters: as the descriptor writes them, and in brackets."""
    owners: dict[str, Parameter] = {}
    for parameter in analysis.parameters:
        plain = parameter.value_key.strip("[]") or parameter.id.upper()
        for key in (parameter.value_key, f"[{plain}]", f"[{parameter.id}]", f"@{parameter.id}"):
            if key:
                owners.setdefault(key, parameter)
    return owners


def _holds(word: str, key: str) -> bool:
    return key in (word, word.partition("=")[2]) or (key.startswith("[") and key in word)
