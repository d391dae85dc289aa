"""From what a person entered to the command line of the container: checked, completed, and exactly as typed."""

from __future__ import annotations

import difflib
import math
import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from worker.analyses import template
from worker.analyses.record import FALSE, TRUE
from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.analyses.model import Analysis, Parameter, ParameterType, Value

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_ALIASES = {
    "tif": ("tif", "tiff"),
    "tiff": ("tif", "tiff"),
    "ometiff": ("ome.tif", "ome.tiff"),
    "jpg": ("jpg", "jpeg"),
    "jpeg": ("jpg", "jpeg"),
    "yaml": ("yaml", "yml"),
    "yml": ("yaml", "yml"),
}
"""Extensions of one format."""

_ALLOWED: Mapping[ParameterType, str] = {
    "integer": "a whole number",
    "float": "a number",
    "boolean": "true or false",
    "string": "a text",
}


def check_values(analysis: Analysis, values: Mapping[str, object]) -> dict[str, Value]:
    """Check the values that a person chose, and fill in defaults.

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    values : Mapping[str, object]
        Values by parameter id; None counts as not given. Numbers may be given as text.

    Returns
    -------
    dict[str, int | float | bool | str]
        A value of the right type for every parameter that persons are asked for, in the order of the analysis, except
        for optional ones without a value. Where a label was given for one of its choices, the choice.

    Raises
    ------
    RequestError
        A parameter is not known, a value is not allowed, or one is missing; the message names the parameter, the
        value and what is allowed.
    """
    offered = {parameter.id: parameter for parameter in analysis.parameters if parameter.asked}
    for name, given in values.items():
        if name not in offered and given is not None:
            near = difflib.get_close_matches(name, offered, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(offered) or 'none'}."
            raise RequestError(f"{analysis.name} has no parameter {name!r} (given: {_shown(given)}).", remedy=hint)
    checked: dict[str, Value] = {}
    for parameter in offered.values():
        value = _choose(analysis, parameter, values.get(parameter.id))
        if value is not None:
            checked[parameter.id] = value
    return checked


def fixed_values(analysis: Analysis) -> dict[str, Value]:
    """List the values that the descriptor itself gives to parameters that nobody is asked for.

    Parameters
    ----------
    analysis : Analysis
        The analysis.

    Returns
    -------
    dict[str, int | float | bool | str]
        Values by parameter id.

    Raises
    ------
    RequestError
        One of them has no value, and is not optional.
    """
    fixed = {parameter.id: _default(analysis, parameter) for parameter in analysis.parameters if parameter.hidden}
    return {identity: value for identity, value in fixed.items() if value is not None}


def extensions(parameter: Parameter) -> tuple[str, ...]:
    """List the extensions that the files of a parameter may have, ``tiff`` with ``tif`` and the like.

    Parameters
    ----------
    parameter : Parameter
        The parameter.

    Returns
    -------
    tuple[str, ...]
        The extensions, in lower case and without dot; empty if any.
    """
    return tuple(dict.fromkeys(known for text in parameter.formats for known in _ALIASES.get(text, (text,))))


def command_line(
    analysis: Analysis,
    values: Mapping[str, object],
    *,
    infolder: str,
    outfolder: str,
    gtfolder: str,
    files: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[str]:
    """Make the arguments of the container.

    =============  ======================================================================================
    style          arguments
    =============  ======================================================================================
    ``biaflows``   ``--infolder … --gtfolder … --outfolder … --flag=value … --local -nmc``
    ``bilayers``   ``--flag=value …``: folders, parameters and hidden arguments by their ``cli_order``
    ``biomero``    the template of the descriptor, filled in; what it does not name follows after it
    =============  ======================================================================================

    Parameters
    ----------
    analysis : Analysis
        The analysis.
    values : Mapping[str, object]
        Values by parameter id, as for `check_values`.
    infolder : str
        Where the container finds the images.
    outfolder : str
        Where it puts its results.
    gtfolder : str
        Where it finds the ground truth.
    files : Mapping[str, Sequence[str]]
        Where the files of each parameter are, by its id: the folder that holds them and nothing else. That folder is
        what the container is given, whether it takes one file or several.

    Returns
    -------
    list[str]
        The arguments, unquoted: each is one element, whatever it contains.

    Raises
    ------
    RequestError
        As from `check_values`; or a parameter takes no files, or needs one.
    """
    checked = check_values(analysis, values)
    _check_files(analysis, files)
    slots, fixed = {"input": infolder, "output": outfolder}, fixed_values(analysis)

    def value_of(parameter: Parameter) -> Value | None:
        if parameter.folder:
            return slots[parameter.folder]
        if parameter.file_attachment:
            return next(iter(files.get(parameter.id, ())), None)
        return fixed.get(parameter.id, checked.get(parameter.id))

    if analysis.style == "bilayers":
        return _in_order(analysis, value_of)
    if analysis.style == "biomero":
        return _in_template(analysis, value_of, slots, gtfolder)
    folders = ["--infolder", infolder, "--gtfolder", gtfolder, "--outfolder", outfolder]
    flags = [
        f"{parameter.flag}={value}"
        for parameter in analysis.parameters
        if not parameter.folder and (value := value_of(parameter)) is not None
    ]
    return [*folders, *flags, "--local", "-nmc"]


def _check_files(analysis: Analysis, files: Mapping[str, Sequence[str]]) -> None:
    taking = {parameter.id: parameter for parameter in analysis.files}
    for identity, given in files.items():
        if identity not in taking and given:
            hint = f"Files can be given for: {', '.join(taking) or 'none of its parameters'}."
            raise RequestError(f"{analysis.name} takes no file for {identity!r}.", remedy=hint)
    for parameter in taking.values():
        if not files.get(parameter.id) and not parameter.optional:
            kinds = " or ".join(extensions(parameter)) or "any"
            raise RequestError(
                f"{analysis.name} needs a file for {parameter.id}.",
                remedy=f"Choose an attachment of the format {kinds}.",
            )


def _in_order(analysis: Analysis, value_of: Callable[[Parameter], Value | None]) -> list[str]:
    """Write arguments as bilayers does: those with a positive place, those without, those counted from the end."""
    placed: list[tuple[int | None, list[str]]] = []
    for parameter in analysis.parameters:
        value = value_of(parameter)
        # "None" is how an option of a list says that nothing is to be given.
        nothing = value == "" == parameter.default or (value == "None" and "None" in parameter.choices)
        placed.append((parameter.cli_order, [] if nothing else _words(parameter, value)))
    for hidden in analysis.hidden_arguments:
        alone = [hidden.flag] if hidden.value.lower() in TRUE else []
        placed.append((hidden.cli_order, _join(hidden.flag, hidden.value) if hidden.append_value else alone))
    placed.sort(key=lambda item: _place(item[0]))
    return [word for _, words in placed for word in words]


def _place(cli_order: int | None) -> tuple[int, int]:
    order = cli_order or 0
    return (0, order) if order > 0 else (1, 0) if order == 0 else (2, order)


def _in_template(
    analysis: Analysis, value_of: Callable[[Parameter], Value | None], slots: Mapping[str, str], gtfolder: str
) -> list[str]:
    """Fill in the template, and add what it does not name, so that nothing that a person chose is lost."""
    folders = dict.fromkeys(template.INPUT_KEYS, slots["input"])
    folders |= dict.fromkeys(template.OUTPUT_KEYS, slots["output"]) | dict.fromkeys(template.TRUTH_KEYS, gtfolder)

    def text_of(parameter: Parameter) -> str | None:
        value = value_of(parameter)
        return None if value is None else str(value)

    named = template.named(analysis)
    rest = [parameter for parameter in analysis.parameters if parameter.id not in named and not parameter.folder]
    filled = template.fill(analysis, text_of, folders)
    return filled + [word for parameter in rest for word in _words(parameter, value_of(parameter))]


def _words(parameter: Parameter, value: Value | None) -> list[str]:
    """Write one parameter."""
    if value is None:
        return []
    if not parameter.append_value:
        return [parameter.flag] if value is True else []
    return _join(parameter.flag, str(value))


def _join(flag: str, value: str) -> list[str]:
    """Write an option and its value: ``--flag=value``, and ``-f value`` for short ones, which seldom know the other."""
    if not flag:
        return [value]
    if flag.endswith("="):
        return [flag + value]
    if flag.startswith("--"):
        return [f"{flag}={value}"]
    # What begins with a dash would be taken for the next option.
    return [flag + value] if len(flag) == 2 and value.startswith("-") else [flag, value]


def _choose(analysis: Analysis, parameter: Parameter, given: object) -> Value | None:
    """Choose between what was given and the default; None leaves an optional parameter out."""
    if given == "" and parameter.type == "string" and parameter.optional:
        return None
    if given is None or (given == "" and parameter.type != "string"):
        return _default(analysis, parameter)
    if isinstance(given, str) and given in parameter.choice_labels and given not in parameter.choices:
        given = parameter.choices[parameter.choice_labels.index(given)]
    try:
        value = _READ[parameter.type](given)
    except (ValueError, OverflowError) as error:
        raise _not_allowed(analysis, parameter, given) from error
    # A descriptor may give a default that its own choices leave out; it was good enough for its author.
    if value != parameter.default and not _within(parameter, value):
        raise _not_allowed(analysis, parameter, given)
    return value


def _default(analysis: Analysis, parameter: Parameter) -> Value | None:
    if parameter.optional:
        return parameter.default if parameter.default != "" else None
    if parameter.default is None:
        raise RequestError(
            f"{analysis.name} needs a value for {parameter.id}.", remedy=f"It must be {_allowed(parameter)}."
        )
    return parameter.default


def _not_allowed(analysis: Analysis, parameter: Parameter, given: object) -> RequestError:
    return RequestError(
        f"{_shown(given)} is not allowed for {parameter.id} of {analysis.name}.",
        remedy=f"It must be {_allowed(parameter)}.",
    )


def _within(parameter: Parameter, value: Value) -> bool:
    if parameter.choices and str(value) not in parameter.choices and not _numeric_choice(parameter, value):
        return False
    if isinstance(value, (bool, str)):
        return True
    above = parameter.minimum is None or value >= parameter.minimum
    return above and (parameter.maximum is None or value <= parameter.maximum)


def _numeric_choice(parameter: Parameter, value: Value) -> bool:
    """Compare as numbers, so that 1 is the choice "1.0"."""
    if isinstance(value, (bool, str)):
        return False
    return any(_NUMBER.fullmatch(choice) and float(choice) == value for choice in parameter.choices)


def _read_integer(given: object) -> int:
    if isinstance(given, str) and _INTEGER.fullmatch(given.strip()):
        return int(given)
    number = _read_float(given)
    if not number.is_integer():
        raise ValueError(given)
    return given if isinstance(given, int) else int(number)


def _read_float(given: object) -> float:
    if isinstance(given, str) and not _NUMBER.fullmatch(given.strip()):
        raise ValueError(given)
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        raise ValueError(given)  # noqa: TRY004 - one kind of error for whatever cannot be read
    number = float(given)
    if not math.isfinite(number):
        raise ValueError(given)
    return number


def _read_boolean(given: object) -> bool:
    if isinstance(given, bool):
        return given
    word = str(given).strip().lower()
    if not isinstance(given, (int, str)) or word not in TRUE + FALSE:
        raise ValueError(given)
    return word in TRUE


def _read_string(given: object) -> str:
    if not isinstance(given, (str, int, float)):
        raise ValueError(given)  # noqa: TRY004 - one kind of error for whatever cannot be read
    text = str(given)
    # An argument of a program can hold neither NUL nor half a surrogate pair.
    if "\0" in text:
        raise ValueError(given)
    text.encode()
    return text


_READ: Mapping[ParameterType, Callable[[object], Value]] = {
    "integer": _read_integer,
    "float": _read_float,
    "boolean": _read_boolean,
    "string": _read_string,
}


def _allowed(parameter: Parameter) -> str:
    if parameter.choices:
        labels = parameter.choice_labels or parameter.choices
        both = zip(parameter.choices, labels, strict=True)
        return "one of " + ", ".join(choice if choice == label else f"{choice} ({label})" for choice, label in both)
    low = "" if parameter.minimum is None else f" of at least {parameter.minimum:g}"
    high = "" if parameter.maximum is None else f" of at most {parameter.maximum:g}"
    return _ALLOWED[parameter.type] + " and".join(part for part in (low, high) if part)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"
