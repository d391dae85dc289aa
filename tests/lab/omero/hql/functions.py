"""The functions that queries may call."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tests.lab.omero.model.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AGGREGATES = frozenset({"count", "sum", "min", "max", "avg", "minindex", "maxindex"})


def _substring(text: str, start: int, length: int | None = None) -> str:
    return text[start - 1 :] if length is None else text[start - 1 : start - 1 + length]


def _type(value: Row | str) -> str:
    return f"ome.model.annotations.{value.cls if isinstance(value, Row) else value}"


_STRICT: dict[str, Callable[..., Any]] = {
    "lower": lambda text: str(text).lower(),
    "upper": lambda text: str(text).upper(),
    "length": lambda text: len(str(text)),
    "trim": lambda text: str(text).strip(),
    "str": str,
    "cast_string": str,
    "cast_text": str,
    "cast_double": float,
    "cast_float": float,
    "cast_int": int,
    "cast_integer": int,
    "cast_long": int,
    "abs": abs,
    "mod": lambda number, divisor: number % divisor,
    "concat": lambda *parts: "".join(str(part) for part in parts),
    "substring": _substring,
    "extract_epoch": lambda time_ms: time_ms / 1000.0,
    "type": _type,
    "elements": lambda items: items,
}

_LENIENT: dict[str, Callable[..., Any]] = {
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
    "size": lambda items: len(items or []),
    "nullif": lambda value, other: None if value == other else value,
    "now": lambda: int(time.time() * 1000),
    "current_timestamp": lambda: int(time.time() * 1000),
}

FUNCTIONS: Mapping[str, tuple[Callable[..., Any], bool]] = MappingProxyType(
    {name: (function, True) for name, function in _STRICT.items()}
    | {name: (function, False) for name, function in _LENIENT.items()}
    # The position of an element in its list needs the store: see Evaluation.
    | {"index": (lambda position: position, True)}
)
"""Functions by name, each with whether it is null as soon as one of its arguments is."""
