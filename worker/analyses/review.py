"""What is allowed in a descriptor, but will surprise somebody; ``omero-worker analyses check`` tells its author."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from typing import TYPE_CHECKING

from worker.analyses.parameters import command_line
from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.analyses.model import Analysis, Parameter, Value

_USUAL_FLAG = re.compile(r"--[A-Za-z0-9][A-Za-z0-9_.-]*=?|-[A-Za-z0-9]")
_OURS = frozenset({"--infolder", "--gtfolder", "--outfolder", "--local", "-nmc"})
_WIDEST = 2**31
"""The dialogs of OMERO show whole numbers of 32 bits."""


def remarks(analysis: Analysis) -> tuple[str, ...]:
    """Say what an author of a descriptor should look at again.

    Parameters
    ----------
    analysis : Analysis
        What the descriptor says.

    Returns
    -------
    tuple[str, ...]
        Sentences; empty if there is nothing to say.
    """
    found = [*_about_the_whole(analysis)]
    for parameter in analysis.parameters:
        found += [f"{parameter.id}: {remark}" for remark in _about(parameter)]
    found += _about_flags(analysis)
    try:
        example(analysis)
    except RequestError as error:
        found.append(f"No command line can be written for it: {error.message}")
    return tuple(found)


def example(analysis: Analysis) -> str:
    """Write the arguments that the container would get, for the defaults and for something where there is none.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    str
        The arguments, as one would type them in a shell.

    Raises
    ------
    RequestError
        No value is allowed for one of its parameters.
    """
    needed = [one for one in analysis.parameters if one.asked and one.default is None and not one.optional]
    words = command_line(
        analysis,
        {parameter.id: _something(parameter) for parameter in needed},
        infolder=analysis.input_folder or "/data/in",
        outfolder=analysis.output_folder or "/data/out",
        gtfolder="/data/gt",
        files={parameter.id: (f"/data/in/{parameter.id}",) for parameter in analysis.files},
    )
    return shlex.join(words)


def _something(parameter: Parameter) -> Value:
    """Think of a value where the descriptor gives none."""
    if parameter.choices:
        return parameter.choices[0]
    number = max(parameter.minimum or 0, min(1, parameter.maximum if parameter.maximum is not None else 1))
    values: dict[str, Value] = {"integer": int(number), "float": float(number), "boolean": False}
    return values.get(parameter.type, "text")


def _about_the_whole(analysis: Analysis) -> Iterator[str]:
    # The schema of BIAFLOWS has no place for citations.
    if not analysis.citations and not analysis.schema_version.startswith("cytomine"):
        yield "It names nothing to cite (citations), so that nobody who publishes results knows whom to thank."
    if analysis.description == analysis.name:
        yield "It has no description, so that the dialog shows its name alone."
    if analysis.image.partition("@")[0].endswith(":latest"):
        yield "The tag of its image is latest, which is another image tomorrow; name a version."
    if analysis.schema_version.startswith(("biomero", "1.")) and analysis.command and analysis.style == "biaflows":
        yield (
            "Its command-line cannot be filled in from what it describes, so that the container is called as those of "
            "BIAFLOWS are: --infolder, --outfolder, then the parameters."
        )


def _about(parameter: Parameter) -> Iterator[str]:
    if "_|_" in parameter.id:
        yield "the id contains _|_, which dialogs use to tell a workflow from its parameter."
    if parameter.flag and not _USUAL_FLAG.fullmatch(parameter.flag):
        yield f"{parameter.flag!r} is an unusual option; most programs read --name or -n."
    if not parameter.flag and parameter.asked:
        yield "it has no option, so that its value stands alone on the command line."
    if parameter.asked and parameter.default is None and not parameter.optional:
        yield "it has no default and is not optional, so that each person has to give a value."
    default = parameter.default
    if default is not None and parameter.choices and str(default) not in parameter.choices:
        yield f"the default {default!r} is none of its choices."
    if isinstance(default, (int, float)) and not isinstance(default, bool):
        low, high = parameter.minimum, parameter.maximum
        if (low is not None and default < low) or (high is not None and default > high):
            yield f"the default {default!r} is outside of its limits."
    if parameter.type == "integer":
        fractions = [one for one in (parameter.minimum, parameter.maximum) if one is not None and one != int(one)]
        if fractions:
            yield f"it takes whole numbers, but a limit is {fractions[0]:g}; write its default with a point, like 1.0."
        if isinstance(default, int) and not -_WIDEST <= default < _WIDEST:
            yield f"the default {default} is too large to be shown in a dialog."


def _about_flags(analysis: Analysis) -> Iterator[str]:
    shown = [parameter for parameter in analysis.parameters if parameter.flag and not parameter.folder]
    for flag, count in Counter(parameter.flag for parameter in shown).items():
        if count > 1:
            names = ", ".join(parameter.id for parameter in shown if parameter.flag == flag)
            yield f"{names} have the same option, {flag}."
    if analysis.style == "biaflows":
        for parameter in shown:
            if parameter.flag in _OURS:
                yield f"{parameter.id}: {parameter.flag} is given to each container anyway."
