"""Dataclasses as JSON values, and back: what does not have the shape that it ought to have is a `ValueError`.

Only the standard library, as script dialogs read the catalogue of workflows with it.
"""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

W = TypeVar("W", bound=str)

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
"""Words for true and false, in lower case, where a person or a descriptor writes them as text."""


def fields_of(record: object) -> dict[str, object]:
    """Express a dataclass in JSON types.

    Parameters
    ----------
    record : object
        The dataclass; its fields hold scalars, dataclasses and tuples of these.

    Returns
    -------
    dict[str, object]
        One item per field.
    """
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}  # type: ignore[arg-type] # any


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return fields_of(value) if is_dataclass(value) else value


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


def read_switch(record: Mapping[str, object], key: str) -> bool:
    """Read true or false from a JSON object.

    Parameters
    ----------
    record : Mapping[str, object]
        The object.
    key : str
        The key of the value.

    Returns
    -------
    bool
        The value.

    Raises
    ------
    ValueError
        It is not there, or something else.
    """
    value = record.get(key)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is neither true nor false")  # noqa: TRY004 - wrong data, not a wrong call
    return value


def read_number(record: Mapping[str, object], key: str) -> float | None:
    """Read a number from a JSON object.

    Parameters
    ----------
    record : Mapping[str, object]
        The object.
    key : str
        The key of the number.

    Returns
    -------
    float | None
        The number, whole or not; None if it is null or not there.

    Raises
    ------
    ValueError
        It is something else.
    """
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{key} is not a number")
    return value


def read_count(record: Mapping[str, object], key: str) -> int | None:
    """Read a whole number from a JSON object.

    Parameters
    ----------
    record : Mapping[str, object]
        The object.
    key : str
        The key of the number.

    Returns
    -------
    int | None
        The number; None if it is null or not there.

    Raises
    ------
    ValueError
        It is something else.
    """
    value = record.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"{key} is not a whole number")
    return value


def read_word(record: Mapping[str, object], key: str, allowed: Sequence[W]) -> W:
    """Read one of several words from a JSON object.

    Parameters
    ----------
    record : Mapping[str, object]
        The object.
    key : str
        The key of the word.
    allowed : Sequence[str]
        The words.

    Returns
    -------
    str
        The word.

    Raises
    ------
    ValueError
        It is not there, or none of them.
    """
    value = read_text(record, key)
    for word in allowed:
        if value == word:
            return word
    raise ValueError(f"{key} is {value!r}")
