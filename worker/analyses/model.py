"""What an analysis is: its container image and its parameters, whatever schema described them.

Only the standard library, as script dialogs read these on every opening of the menu.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

ParameterType = Literal["integer", "float", "boolean", "string"]
Value = int | float | bool | str

PARAMETER_TYPES: tuple[ParameterType, ...] = get_args(ParameterType)
_PYTHON_TYPES: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "float": (float, int),
    "boolean": (bool,),
    "string": (str,),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an analysis.

    Parameters
    ----------
    id : str
        Its name in the descriptor, unique within the analysis.
    name : str
        Its name for persons.
    type : {"integer", "float", "boolean", "string"}
        The type of its values.
    default : int | float | bool | str | None
        The value that counts where none is given; None where there is none.
    optional : bool
        Whether it may be left out of the command line.
    flag : str
        Its option on the command line, such as ``--diameter``.
    value_key : str
        Where its value stands in the descriptor's own command line; kept for the record.
    description : str
        What it does, for persons.
    choices : tuple[str, ...]
        The only values allowed, as text; empty if any value is.
    set_by_server : bool
        Whether it is hidden from persons.
    minimum : float | None
        The smallest number allowed, inclusive; None if there is no limit.
    maximum : float | None
        The largest number allowed, inclusive; None if there is no limit.
    """

    id: str
    name: str
    type: ParameterType
    default: Value | None
    optional: bool
    flag: str
    value_key: str = ""
    description: str = ""
    choices: tuple[str, ...] = ()
    set_by_server: bool = False
    minimum: float | None = None
    maximum: float | None = None

    def to_json(self) -> dict[str, object]:
        """Express it in JSON types.

        Returns
        -------
        dict[str, object]
            One item per field.
        """
        return {
            "id": self.id,
            "name": self.name,
            "type": self.type,
            "default": self.default,
            "optional": self.optional,
            "flag": self.flag,
            "value_key": self.value_key,
            "description": self.description,
            "choices": list(self.choices),
            "set_by_server": self.set_by_server,
            "minimum": self.minimum,
            "maximum": self.maximum,
        }

    @classmethod
    def from_json(cls, data: object) -> Parameter:
        """Read what `to_json` gave.

        Parameters
        ----------
        data : object
            The JSON value.

        Returns
        -------
        Parameter
            The parameter.

        Raises
        ------
        ValueError
            It is not what `to_json` gives.
        """
        record = read_record(data)
        kind = read_text(record, "type")
        if kind not in PARAMETER_TYPES:
            raise ValueError(f"type is {kind!r}")
        default = record.get("default")
        if default is not None and not is_value(default, kind):
            raise ValueError(f"default is {default!r}, and the type is {kind}")
        return cls(
            id=read_text(record, "id"),
            name=read_text(record, "name"),
            type=kind,
            default=cast("Value | None", default),
            optional=_read_switch(record, "optional"),
            flag=read_text(record, "flag"),
            value_key=read_text(record, "value_key"),
            description=read_text(record, "description"),
            choices=read_texts(record, "choices"),
            set_by_server=_read_switch(record, "set_by_server"),
            minimum=_read_limit(record, "minimum"),
            maximum=_read_limit(record, "maximum"),
        )


@dataclass(frozen=True, slots=True)
class Analysis:
    """One analysis, as its descriptor describes it.

    Parameters
    ----------
    name : str
        Its name.
    description : str
        What it does, for persons.
    image : str
        Its container image, such as ``org/w_nuclei``, with a tag if the descriptor gives one.
    schema_version : str
        The schema of the descriptor, such as ``cytomine-0.1``.
    parameters : tuple[Parameter, ...]
        Its parameters, in the order of the descriptor.
    """

    name: str
    description: str
    image: str
    schema_version: str
    parameters: tuple[Parameter, ...]

    def to_json(self) -> dict[str, object]:
        """Express it in JSON types.

        Returns
        -------
        dict[str, object]
            One item per field.
        """
        return {
            "name": self.name,
            "description": self.description,
            "image": self.image,
            "schema_version": self.schema_version,
            "parameters": [parameter.to_json() for parameter in self.parameters],
        }

    @classmethod
    def from_json(cls, data: object) -> Analysis:
        """Read what `to_json` gave.

        Parameters
        ----------
        data : object
            The JSON value.

        Returns
        -------
        Analysis
            The analysis.

        Raises
        ------
        ValueError
            It is not what `to_json` gives.
        """
        record = read_record(data)
        return cls(
            name=read_text(record, "name"),
            description=read_text(record, "description"),
            image=read_text(record, "image"),
            schema_version=read_text(record, "schema_version"),
            parameters=tuple(Parameter.from_json(item) for item in read_list(record, "parameters")),
        )


def is_value(value: object, kind: ParameterType) -> bool:
    """Say whether a value has the type of a parameter; true and false are no numbers, and numbers are finite.

    Parameters
    ----------
    value : object
        The value.
    kind : {"integer", "float", "boolean", "string"}
        The type of the parameter.

    Returns
    -------
    bool
        Whether it may be used as it is.
    """
    if isinstance(value, bool) != (kind == "boolean") or not isinstance(value, _PYTHON_TYPES[kind]):
        return False
    return not isinstance(value, float) or math.isfinite(value)


def read_record(data: object) -> dict[str, object]:
    """Read a JSON object.

    Parameters
    ----------
    data : object
        The JSON value.

    Returns
    -------
    dict[str, object]
        The same.

    Raises
    ------
    ValueError
        It is something else.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{type(data).__name__} instead of an object")  # noqa: TRY004 - wrong data, not a wrong call
    return data


def read_list(record: Mapping[str, object], key: str) -> list[object]:
    """Read a list from a JSON object.

    Parameters
    ----------
    record : Mapping[str, object]
        The object.
    key : str
        The key of the list.

    Returns
    -------
    list[object]
        The list.

    Raises
    ------
    ValueError
        It is not there, or something else.
    """
    value = record.get(key)
    if not isinstance(value, list):
        raise ValueError(f"{key} is not a list")  # noqa: TRY004 - wrong data, not a wrong call
    return value


def read_text(record: Mapping[str, object], key: str) -> str:
    """Read a text from a JSON object.

    Parameters
    ----------
    record : Mapping[str, object]
        The object.
    key : str
        The key of the text.

    Returns
    -------
    str
        The text.

    Raises
    ------
    ValueError
        It is not there, or something else.
    """
    value = record.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a text")  # noqa: TRY004 - wrong data, not a wrong call
    return value


def read_texts(record: Mapping[str, object], key: str) -> tuple[str, ...]:
    """Read a list of texts from a JSON object.

    Parameters
    ----------
    record : Mapping[str, object]
        The object.
    key : str
        The key of the list.

    Returns
    -------
    tuple[str, ...]
        The texts.

    Raises
    ------
    ValueError
        It is not there, or something else.
    """
    values = read_list(record, key)
    texts = tuple(value for value in values if isinstance(value, str))
    if len(texts) != len(values):
        raise ValueError(f"{key} holds something other than texts")
    return texts


def _read_switch(record: Mapping[str, object], key: str) -> bool:
    value = record.get(key)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is neither true nor false")  # noqa: TRY004 - wrong data, not a wrong call
    return value


def _read_limit(record: Mapping[str, object], key: str) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{key} is not a number")
    return value
