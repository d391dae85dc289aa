"""The fields of one object of a descriptor: read with a type, and with errors that say where they stand."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from worker.analyses.document import Written, WrittenWhole
from worker.analyses.record import FALSE, TRUE
from worker.errors import DescriptorError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.analyses.document import Document
    from worker.analyses.model import ParameterType, Value

W = TypeVar("W", bound=str)


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one object.

    Parameters
    ----------
    document : Document
        The descriptor.
    values : Mapping[str, object]
        The object.
    path : str
        Where it stands, such as ``inputs[3]``; empty for the whole.
    """

    document: Document
    values: Mapping[str, object] = field(repr=False)
    path: str = ""

    def error(self, key: str, reason: str, *, remedy: str = "") -> DescriptorError:
        """Make the error that says what is wrong with a field, and on which line."""
        path = f"{self.path}.{key}" if self.path else key
        line = self.document.line(path)
        where = "" if line is None else f", line {line}"
        return DescriptorError(f"{self.document.source}{where}: {path}: {reason}.", remedy=remedy)

    def text(self, key: str, *, default: str | None = None) -> str:
        """Read a text; a default also stands in for null and for a blank text."""
        value = self.values.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if default is not None and (value is None or isinstance(value, str)):
            return default
        raise self.error(key, "is missing" if value in (None, "") else f"must be a text, and is {shown(value)}")

    def plain(self, key: str) -> str:
        """Read a text, a number or a switch as the text that its author wrote; empty if there is none."""
        value = self.values.get(key)
        if isinstance(value, (dict, list)):
            raise self.error(key, f"must be a text, and is {shown(value)}")
        return "" if value is None else as_text(value).strip()

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of texts, numbers and switches as texts; empty if there is none."""
        values = self.values.get(key)
        if values is None:
            return ()
        if not isinstance(values, list) or any(isinstance(item, (dict, list)) or item is None for item in values):
            raise self.error(key, "must be a list of texts or numbers")
        return tuple(as_text(item) for item in values)

    def switch(self, key: str, *, default: bool = False) -> bool:
        """Read true or false; the default stands in for null and for a blank text."""
        value = self.values.get(key)
        if value is None or value == "":
            return default
        switch = read_switch(value)
        if switch is None:
            raise self.error(key, f"must be true or false, and is {shown(value)}")
        return switch

    def word(self, key: str, allowed: Sequence[W], default: W) -> W:
        """Read one of several words, in whatever case."""
        written = self.text(key, default=default).lower()
        for word in allowed:
            if word == written:
                return word
        raise self.error(key, f"{written!r} is not one of {', '.join(allowed)}")

    def number(self, *keys: str) -> int | float | None:
        """Read a number by the first of several keys that is there."""
        for key in keys:
            value = self.values.get(key)
            if value not in (None, "", "None"):
                number = read_number(value)
                if number is None:
                    raise self.error(key, f"must be a number, and is {shown(value)}")
                return number
        return None

    def count(self, key: str) -> int | None:
        """Read a whole number."""
        number = self.number(key)
        if isinstance(number, float):
            raise self.error(key, f"must be a whole number, and is {number:g}")
        return number

    def record(self, key: str) -> Fields:
        """Read an object."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.error(key, "is missing" if value is None else f"must be an object, and is {shown(value)}")
        return Fields(self.document, value, f"{self.path}.{key}" if self.path else key)

    def optional_record(self, key: str) -> Fields:
        """Read an object that may be absent or empty."""
        if self.values.get(key) is None:
            return Fields(self.document, {}, f"{self.path}.{key}" if self.path else key)
        return self.record(key)

    def records(self, key: str, *, required: bool = True) -> list[Fields]:
        """Read a list of objects."""
        value = self.values.get(key)
        if value is None and not required:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.error(key, "is missing" if value is None else "must be a list of objects")
        path = f"{self.path}.{key}" if self.path else key
        return [Fields(self.document, item, f"{path}[{index}]") for index, item in enumerate(value)]

    def identity(self, key: str) -> str:
        """Read what a parameter is called in names of fields and files."""
        identity = self.text(key)
        if not identity.isprintable() or any(character.isspace() for character in identity):
            raise self.error(key, f"{identity!r} holds white space or control characters")
        return identity

    def image(self, key: str) -> str:
        """Read the name of a container image."""
        image = self.plain(key)
        if not image:
            raise self.error(key, "is missing")
        if any(character.isspace() for character in image) or image.startswith("-"):
            raise self.error(key, f"{image!r} is not the name of an image")
        return image

    def value(self, key: str, kind: ParameterType) -> Value | None:
        """Read a default and bring it to its type; None if there is none."""
        value = self.values.get(key)
        if value is None or (kind != "string" and isinstance(value, str) and value.strip() in ("", "None")):
            return None
        if kind == "string":
            if isinstance(value, (dict, list)):
                raise self.error(key, f"must be a text, and is {shown(value)}")
            return as_text(value)
        if kind == "boolean":
            switch = read_switch(value)
            if switch is None:
                raise self.error(key, f"must be true or false, and is {shown(value)}")
            return switch
        number = read_number(value)
        if number is None:
            raise self.error(key, f"must be a number, and is {shown(value)}")
        if kind == "float":
            return float(number)
        if int(number) != number:
            raise self.error(key, f"must be a whole number, and is {shown(value)}")
        return int(number)

    def limits(self) -> tuple[float | None, float | None]:
        """Read the smallest and the largest number allowed."""
        low, high = self.number("minimum", "min"), self.number("maximum", "max")
        if low is not None and high is not None and low > high:
            raise self.error("minimum", f"{low:g} is more than the maximum, {high:g}")
        return low, high

    def formats(self, key: str) -> tuple[str, ...]:
        """Read extensions of files, or one: in lower case, without dot, each once."""
        texts = (self.values[key],) if isinstance(self.values.get(key), str) else self.texts(key)
        written = (str(text).strip().lower().lstrip("*.") for text in texts)
        return tuple(dict.fromkeys(text for text in written if text))


def as_text(value: object) -> str:
    """Write a number or a switch as its author did, and leave a text as it is.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    str
        Its text.
    """
    return value.text if isinstance(value, (Written, WrittenWhole)) else str(value)


def read_number(value: object) -> int | float | None:
    """Read a number, also one that is written as a text.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    int | float | None
        The number; None if it is none, or not finite.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        if not math.isfinite(value):
            return None
    except OverflowError:
        return None
    return float(value) if isinstance(value, float) else int(value)


def read_switch(value: object) -> bool | None:
    """Read true or false, also written as a text or as 1 and 0.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    bool | None
        Which of them it is; None if neither.
    """
    word = str(value).strip().lower() if isinstance(value, (bool, int, str)) else ""
    return True if word in TRUE else False if word in FALSE else None


def shown(value: object) -> str:
    """Show a value in a message, shortened.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    str
        At most some 60 characters.
    """
    text = repr(value) if isinstance(value, str) else as_text(value)
    return text if len(text) <= 60 else text[:60] + "…"
