"""Which cases there are: what goes wrong, and where in a run."""

from __future__ import annotations

import fnmatch
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.faults.boundary import Boundary
from tests.faults.faults import FAULTS, Fault

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


@dataclass(frozen=True, slots=True)
class Case:
    """Something that goes wrong at a place in a run.

    ``ssh-cut@after-StepIntended:export+2`` is a connection that is cut for 2 s after the export was intended.
    """

    fault: Fault
    boundary: Boundary
    amount: float
    """How much of it; what that means is the fault's."""

    def __str__(self) -> str:
        return f"{self.fault.name}@{self.boundary}+{self.amount:g}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gives; without an amount it is the fault's own."""
        name, at, rest = text.partition("@")
        place, plus, amount = rest.rpartition("+")
        if not at or name not in FAULTS:
            raise ValueError(
                f"{text!r} is no case; write FAULT@before-EVENT+AMOUNT with a fault of {', '.join(FAULTS)}"
            )
        fault = FAULTS[name]
        return cls(fault, Boundary.parse(place if plus else rest), float(amount) if plus else fault.amounts[0])


def matrix(places: Sequence[Boundary], *, thinned: bool = True) -> list[Case]:
    """Every fault at the places where it makes a difference.

    Parameters
    ----------
    places : sequence of Boundary
        The places that a run without faults has passed, in their order.
    thinned : bool
        Whether to leave some places out, as each fault says.

    Returns
    -------
    list of Case
        The cases, those of one fault together. Amounts take turns.
    """
    cases: list[Case] = []
    for fault in FAULTS.values():
        chosen = [place for place in places if fault.matters_at(place)]
        chosen = chosen[:: fault.every] if thinned else chosen
        cases += [Case(fault, place, fault.amounts[number % len(fault.amounts)]) for number, place in enumerate(chosen)]
    return cases


def drawn(
    places: Sequence[Boundary], seed: int, count: int, *, among: Collection[Fault] = tuple(FAULTS.values())
) -> list[Case]:
    """Cases drawn at random, the same for the same seed.

    Parameters
    ----------
    places : sequence of Boundary
        The places of a run.
    seed : int
        Where to begin drawing.
    count : int
        How many.
    among : collection of Fault
        What may go wrong.

    Returns
    -------
    list of Case
        The cases, those of one fault together.
    """
    rng = random.Random(seed)
    faults = [fault for fault in FAULTS.values() if fault in among]
    found: list[Case] = []
    for _ in range(count):
        fault = rng.choice(faults)
        amount = round(rng.uniform(min(fault.amounts), max(fault.amounts)), 1)
        found.append(Case(fault, rng.choice([place for place in places if fault.matters_at(place)]), amount))
    return sorted(set(found), key=lambda case: (faults.index(case.fault), places.index(case.boundary), case.amount))


def only(among: Sequence[Case], places: Sequence[Boundary], text: str) -> list[Case]:
    """Those cases that a text names.

    Parameters
    ----------
    among : sequence of Case
        Where names are looked for first; then at all places.
    places : sequence of Boundary
        The places of a run.
    text : str
        Names of cases, separated by commas or white space; each may be a pattern with ``*``, or begin a name.

    Returns
    -------
    list of Case
        The cases; one that is named in full need not be in the matrix.

    Raises
    ------
    ValueError
        If a name fits nothing.
    """
    found: list[Case] = []
    for name in text.replace(",", " ").split():
        cases = _fitting(among, name) or _fitting(matrix(places, thinned=False), name)
        found += cases or [named(name, places)]
    return list(dict.fromkeys(found))


def _fitting(cases: Sequence[Case], name: str) -> list[Case]:
    exact = [case for case in cases if str(case) == name]
    return exact or [case for case in cases if fnmatch.fnmatchcase(str(case), f"{name}*")]


def named(name: str, places: Sequence[Boundary]) -> Case:
    """The case with this name, if a run comes to its place."""
    case = Case.parse(name)
    if case.boundary not in places:
        known = ", ".join(map(str, places))
        raise ValueError(f"no run comes to {case.boundary}, only to {known}")
    return case
