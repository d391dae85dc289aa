"""Values that go to JSON and back unchanged, because steps of a run hand them over through the record of the run.

Standard library only, so that the dialogs of OMERO scripts can read them at no cost.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import TYPE_CHECKING, Any, Self

from worker.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping


class JsonValue:
    """JSON round trip of a frozen dataclass whose fields are scalars, mappings of strings or tuples of these."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Give the value as what :mod:`json` can write.

        Returns
        -------
        dict
            Field names to plain values; tuples become lists.
        """
        return {
            each.name: _plain(getattr(self, each.name))
            for each in dataclasses.fields(self)  # type: ignore[arg-type]  # every subclass is a dataclass
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build the value from what :meth:`to_json` gave.

        Parameters
        ----------
        data : Mapping
            Field names to plain values; missing ones take their default.

        Returns
        -------
        Self
            The value.

        Raises
        ------
        RequestError
            If a field is unknown, missing, or of another type than it must be.
        """
        hints = typing.get_type_hints(cls)
        unknown = sorted(set(data) - set(hints))
        if unknown:
            raise RequestError(
                f"{cls.__name__} has no field {', '.join(unknown)}.", remedy=f"It has: {', '.join(hints)}."
            )
        values = {name: _typed(f"{cls.__name__}.{name}", hints[name], value) for name, value in data.items()}
        try:
            return cls(**values)
        except TypeError as error:
            raise RequestError(f"{cls.__name__} is incomplete: {error}.") from error


def _plain(value: object) -> Any:
    if isinstance(value, JsonValue):
        return value.to_json()
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return dict(value)
    return value


def _typed(name: str, hint: Any, value: Any) -> Any:
    """Check ``value`` against a field's type, and turn lists back into tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        if value is None and type(None) in arguments:
            return None
        return _typed(name, next(each for each in arguments if each is not type(None)), value)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_typed(name, arguments[0], each) for each in value)
    if origin is not None and isinstance(value, dict):
        return dict(value)
    if isinstance(hint, type) and issubclass(hint, JsonValue) and isinstance(value, dict):
        return hint.from_json(value)
    if origin is None and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise RequestError(f"{name} is {value!r}.", remedy=f"It must be of type {getattr(hint, '__name__', hint)}.")
