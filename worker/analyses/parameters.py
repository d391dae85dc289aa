"""From what a person entered to the command line of the container: checked, completed, and exactly as typed."""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING

from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.analyses.model import Analysis, Parameter, ParameterType, Value

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
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
        A value of the right type for every parameter, in the order of the analysis, except for those which the
        server sets and for optional ones without a value.

    Raises
    ------
    RequestError
        A parameter is not known, a value is not allowed, or one is missing; the message names the parameter, the
        value and what is allowed.
    """
    offered = {parameter.id: parameter for parameter in analysis.parameters if not parameter.set_by_server}
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


def command_line(
    analysis: Analysis,
    values: Mapping[str, object],
    *,
    infolder: str,
    outfolder: str,
    gtfolder: str,
) -> list[str]:
    """Make the arguments of the container.

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

    Returns
    -------
    list[str]
        The arguments, unquoted: each is one element, whatever it contains. Parameters are ``--flag=value``.

    Raises
    ------
    RequestError
        As from `check_values`.
    """
    checked = check_values(analysis, values)
    flags = [
        f"{parameter.flag}={checked[parameter.id]}" for parameter in analysis.parameters if parameter.id in checked
    ]
    return ["--infolder", infolder, "--gtfolder", gtfolder, "--outfolder", outfolder, *flags, "--local", "-nmc"]


def _choose(analysis: Analysis, parameter: Parameter, given: object) -> Value | None:
    """Choose between what was given and the default; None leaves an optional parameter out."""
    if given == "" and parameter.type == "string" and parameter.optional:
        return None
    if given is None or (given == "" and parameter.type != "string"):
        return _default(analysis, parameter)
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
    if not isinstance(given, (int, str)) or word not in _TRUE + _FALSE:
        raise ValueError(given)
    return word in _TRUE


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
        return "one of " + ", ".join(parameter.choices)
    low = "" if parameter.minimum is None else f" of at least {parameter.minimum:g}"
    high = "" if parameter.maximum is None else f" of at most {parameter.maximum:g}"
    return _ALLOWED[parameter.type] + " and".join(part for part in (low, high) if part)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"
