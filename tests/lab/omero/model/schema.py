"""The classes of the OMERO model and their fields, read out of the code that omero-py ships.

Neither .ice files nor Hibernate mappings are part of omero-py, but the text that slice2py generated names the type
of every member, which is all that is needed.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import omero
import omero.all

Kind = Literal["scalar", "unit", "reference", "collection", "named_values", "plain"]

_CLASS = re.compile(
    r"_t_\w+ = IcePy\.defineClass\('::omero::model::(\w+)', \w+, -?\d+, \(\), \w+, \w+, ([\w.]+), "
    r"\(.*?\), \((.*?)\)\)\n"
    r"    \w+\._ice_type",
    re.DOTALL,
)
_MEMBER = re.compile(r"\('(_?\w+)', \(\), ([\w.]+), \w+, \d+\)")
LISTS = {
    "WellSample": ("well", "wellSamples"),
    "Channel": ("pixels", "channels"),
    "Shape": ("roi", "shapes"),
    "Pixels": ("image", "pixels"),
}
"""Classes whose objects have a place in a list of another object: by what they point at it, and what the list is."""

_SEQUENCE = re.compile(r"_t_(\w+) = IcePy\.defineSequence\('::omero::(?:model|api)::\w+', \(\), ([\w.]+)\)")

_UNITS = frozenset({"ElectricPotential", "Frequency", "Length", "Power", "Pressure", "Temperature", "Time"})
_VALUE_TYPES = frozenset({"string", "int", "long", "bool", "double", "float"})


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a model class.

    Parameters
    ----------
    name : str
        Its name in queries.
    kind : str
        What it holds: ``scalar``, ``unit`` (a number with a unit), ``reference`` (to one object), ``collection``,
        ``named_values`` (pairs of strings) or ``plain`` (bytes, lists of strings).
    type : str
        Name of its class, element class, unit class or RType.
    member : str
        Name of the member of the Python class that holds it.
    """

    name: str
    kind: Kind
    type: str
    member: str


def generated_modules() -> list[Path]:
    """Return the modules that slice2py generated for OMERO."""
    return sorted(Path(omero.__file__).parent.parent.glob("omero_*_ice.py"))


class Schema:
    """All classes that are stored, by name without package (``Image``)."""

    def __init__(self) -> None:
        self._bases: dict[str, str | None] = {}
        self._members: dict[str, list[tuple[str, str]]] = {}
        self._sequences: dict[str, str] = {}
        for path in generated_modules():
            text = path.read_text(encoding="utf-8")
            for name, element in _SEQUENCE.findall(text):
                self._sequences[name] = _bare(element)
            for name, base, members in _CLASS.findall(text):
                self._bases[name] = _bare(base) if "._t_" in base else None
                self._members[name] = _MEMBER.findall(members)
        self.classes = frozenset(name for name in self._bases if self.is_a(name, "IObject"))
        self.fields: dict[str, dict[str, Field]] = {name: self._fields_of(name) for name in self.classes}
        self._by_lower_case = {name.lower(): name for name in self.classes}

    def is_a(self, name: str | None, base: str) -> bool:
        """Whether a class is another one or derives from it."""
        while name is not None:
            if name == base:
                return True
            name = self._bases.get(name)
        return False

    def base(self, name: str) -> str | None:
        """Return the class from which a class derives."""
        return self._bases.get(name)

    @functools.cache  # noqa: B019  # there is one schema, and it lives as long as the process
    def root(self, name: str) -> str:
        """Return the class below ``IObject`` from which a class derives: the one whose ids it shares."""
        while (base := self._bases.get(name)) not in (None, "IObject"):
            name = str(base)
        return name

    @functools.cache  # noqa: B019  # as above
    def descendants(self, name: str) -> tuple[str, ...]:
        """Return a class and everything that derives from it."""
        return tuple(sorted(other for other in self.classes if self.is_a(other, name)))

    def _fields_of(self, name: str) -> dict[str, Field]:
        chain: list[str] = []
        current: str | None = name
        while current and current != "IObject":
            chain.insert(0, current)
            current = self._bases.get(current)
        fields = (self._field(*member) for ancestor in chain for member in self._members[ancestor])
        return {field.name: field for field in fields if field is not None}

    def _field(self, member: str, type_name: str) -> Field | None:
        if member == "_version" or member.endswith(("Loaded", "CountPerOwner")):
            return None
        kind, name, bare = self._kind(_bare(type_name)), member.lstrip("_"), _bare(type_name)
        if kind == "collection":
            return Field(name.removesuffix("Seq"), kind, self._sequences[bare], member)
        return Field(name, kind, bare, member)

    def _kind(self, type_name: str) -> Kind:
        if self.is_a(self._sequences.get(type_name), "IObject"):
            return "collection"
        if type_name in _UNITS:
            return "unit"
        if self.is_a(type_name, "IObject"):
            return "reference"
        if type_name.startswith("R") or type_name in _VALUE_TYPES:
            return "scalar"
        return "named_values" if type_name == "NamedValueList" else "plain"

    @functools.cache  # noqa: B019  # as above
    def inverse(self, name: str, collection: str) -> tuple[str, str]:
        """Return what a collection consists of.

        Parameters
        ----------
        name : str
            A class.
        collection : str
            One of its collections.

        Returns
        -------
        tuple of str
            Class of the elements, and their field that points back.
        """
        element = self.fields[name][collection].type
        candidates = [
            field.name
            for field in self.fields[element].values()
            if field.kind == "reference" and (self.is_a(name, field.type) or self.is_a(field.type, name))
        ]
        if len(candidates) > 1:
            if {"parent", "child"} <= set(candidates):
                # Links between objects of one class, such as annotations of annotations: the annotated side.
                return element, "parent" if collection == "annotationLinks" else "child"
            candidates.sort(key=lambda candidate: candidate.lower() != name.lower())
        return element, candidates[0]

    def find(self, text: str) -> str | None:
        """Return the class that an API argument means.

        ``Image``, ``ImageI``, ``image``, ``omero.model.ImageI``, ``::omero::model::Image`` and
        ``ome.model.core.Image`` are all the same.
        """
        bare = re.split(r"[.:]", text)[-1]
        if bare in self.classes:
            return bare
        if bare.endswith("I") and bare[:-1] in self.classes:
            return bare[:-1]
        return self._by_lower_case.get(bare.lower())


def _bare(type_name: str) -> str:
    return type_name.rsplit("._t_", 1)[-1]


SCHEMA = Schema()
"""The schema of the installed omero-py."""
