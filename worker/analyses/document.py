"""The text of a descriptor as plain values, and the line on which each of them stands: JSON and YAML, with limits.

A descriptor is written by a stranger, so no more is made of it than numbers, texts, switches, lists and objects, and
neither nested nor repeated (``&a`` and ``*a`` of YAML) beyond what a descriptor can need.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import yaml

from worker.errors import DescriptorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Never

LIMIT_BYTES = 1024 * 1024
"""The longest text that is read; real descriptors have up to 60 KB."""

DEPTH_LIMIT = 40
VALUES_LIMIT = 50_000
"""How deep values may be nested, and how many there may be, those of repetitions included."""

_KNOWN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "seq", "map")}
_TEXTS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"}


class Written(float):
    """A number of YAML that remembers how it was written, so that version 1.10 does not become 1.1."""

    text: str = ""


class WrittenWhole(int):
    """A whole number that remembers it too: YAML takes 010 for 8, and 12:30 for 750."""

    text: str = ""


@dataclass(frozen=True)
class Document:
    """A descriptor that has been read, but not understood yet.

    Parameters
    ----------
    source : str
        Where it comes from, for messages.
    values : Mapping[str, object]
        What it says.
    text : str
        Its text.
    """

    source: str
    values: Mapping[str, object]
    text: str

    @cached_property
    def _lines(self) -> dict[str, int]:
        try:
            return _compose(self.text)[1]
        except (yaml.YAMLError, ValueError, RecursionError):
            # JSON that YAML does not understand; then messages are without line.
            return {}

    def line(self, path: str) -> int | None:
        """Find the line on which a field stands.

        Parameters
        ----------
        path : str
            The field, such as ``inputs[3].type``.

        Returns
        -------
        int | None
            The line, counted from 1; that of the object which lacks the field if it is not there; None if not known.
        """
        while path and path not in self._lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._lines.get(path)


def load_document(data: str | bytes, *, source: str) -> Document:
    """Read the text of a descriptor.

    Parameters
    ----------
    data : str | bytes
        The text; bytes are UTF-8, with or without byte order mark.
    source : str
        Where it comes from, for messages; what ends in ``.json`` is no YAML.

    Returns
    -------
    Document
        Its values.

    Raises
    ------
    DescriptorError
        It is neither JSON nor YAML, or too much of it.
    """
    if len(data) > LIMIT_BYTES:
        raise DescriptorError(f"{source} is longer than {LIMIT_BYTES} bytes, too long for a descriptor.")
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
        values = _load(text, source)
        # Half a surrogate pair (written as an escape) cannot be written to any file of ours.
        json.dumps(values, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise DescriptorError(f"{source} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise DescriptorError(f"{source} holds no fields, and so no descriptor.")
    return Document(source, values, text)


def _load(text: str, source: str) -> object:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        braces = text.lstrip().startswith(("{", "[")) and not source.endswith((".yaml", ".yml"))
        if braces or source.endswith(".json"):
            raise DescriptorError(
                f"{source}, line {error.lineno}, column {error.colno}: this is not JSON: {error.msg}."
            ) from error
    try:
        return _compose(text)[0]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        raise DescriptorError(f"{source}{where}: this is not YAML: {error.problem or error.context}.") from error
    except yaml.YAMLError as error:
        raise DescriptorError(f"{source}: this is not YAML: {error}.") from error


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no number of JSON")


def _compose(text: str) -> tuple[object, dict[str, int]]:
    """Make values of YAML, and note the line of each by its path."""
    # Tabs between values are white space of JSON, and a mistake in YAML.
    text = text.replace("\t", " ") if text.lstrip().startswith("{") else text
    _check_depth(text)
    loader = yaml.CSafeLoader(text)
    try:
        node = loader.get_single_node()
        lines: dict[str, int] = {}
        return (None if node is None else _value(loader, node, "", lines)), lines
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    """Refuse what is nested too deeply, before something recurses into it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_LIMIT:
            raise ValueError(f"it is nested more than {DEPTH_LIMIT} deep")


def _items(node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
    for key, item in node.value:
        # Merging (<<) would multiply what is merged, and no descriptor does it.
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            raise ValueError(f"line {key.start_mark.line + 1} has a key that is not a text")
        yield str(key.value), item


def _value(loader: Any, node: yaml.Node, path: str, lines: dict[str, int]) -> object:
    """Make a value of a node. A repetition is gone through each time, so that it counts as often as it is there."""
    lines[path] = node.start_mark.line + 1
    if len(lines) > VALUES_LIMIT or path.count(".") + path.count("[") > DEPTH_LIMIT:
        raise ValueError(f"it holds more than {VALUES_LIMIT} values, or a value that holds itself")
    if node.tag not in _KNOWN | _TEXTS:
        raise ValueError(f"line {node.start_mark.line + 1} holds a value of the type {node.tag!r}")
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, f"{path}[{index}]", lines) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        prefix = f"{path}." if path else ""
        return {name: _value(loader, item, prefix + name, lines) for name, item in _items(node)}
    if node.tag in _TEXTS:
        return str(node.value)
    value: object = loader.construct_object(node)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    written = WrittenWhole(value) if isinstance(value, int) else Written(value)
    written.text = str(node.value)
    return written
