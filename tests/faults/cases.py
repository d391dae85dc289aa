"""Which cases there are: what goes wrong, and where in a run."""

from __future__ import annotations

import fnmatch
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.faults.boundary import Boundary
from tests.faults.faults import FAULTS, Fault
from tests.faults.kinds import ANALYSIS, KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tests.faults.kinds import Kind

    Places = Mapping[str, Sequence[Boundary]]
    """The places that a run without faults has passed, in their order, by the kind of the run."""


@dataclass(frozen=True, slots=True)
class Case:
    """Something that goes wrong at a place in a run.

    ``ssh-cut@after-StepIntended:export+2`` is a connection that is cut for 2 s after the export of an analysis was
    intended, ``transfer/ssh-cut@after-StepIntended:export+2`` the same in an image transfer.
    """

    fault: Fault
    boundary: Boundary
    amount: float
    """How much of it; what that means is the fault's."""
    kind: Kind = ANALYSIS
    """The kind of the run."""

    def __str__(self) -> str:
        return self.title(self.kind is not ANALYSIS)

    def title(self, of_a_kind: bool) -> str:
        """Name it with the kind of the run, or without."""
        return f"{self.kind.name + '/' if of_a_kind else ''}{self.fault.name}@{self.boundary}+{self.amount:g}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gives; without an amount it is the fault's own."""
        title, at, rest = text.partition("@")
        kind, _, name = title.rpartition("/")
        place, plus, amount = rest.rpartition("+")
        if not at or name not in FAULTS or (kind and kind not in KINDS):
            raise ValueError(
                f"{text!r} is no case; write [KIND/]FAULT@before-EVENT+AMOUNT with a fault of {', '.join(FAULTS)} "
                f"and a kind of {', '.join(KINDS)}"
            )
        fault = FAULTS[name]
        boundary = Boundary.parse(place if plus else rest)
        return cls(fault, boundary, float(amount) if plus else fault.amounts[0], KINDS[kind] if kind else ANALYSIS)


def matrix(places: Places, *, thinned: bool = True) -> list[Case]:
    """Every fault at the places where it makes a difference.

    Parameters
    ----------
    places : mapping
        The places of each kind of run.
    thinned : bool
        Whether to leave some places out, as each fault and each kind says.

    Returns
    -------
    list of Case
        The cases, those of one kind together, and in it those of one fault. Amounts take turns.
    """
    cases: list[Case] = []
    for kind in (KINDS[name] for name in places):
        for fault in FAULTS.values():
            chosen = [place for place in places[kind.name] if fault.matters(kind, place)]
            if thinned:
                chosen = _some(kind, fault, [place for place in chosen if kind.is_of_its_own(place)])
            cases += [
                Case(fault, place, fault.amounts[number % len(fault.amounts)], kind)
                for number, place in enumerate(chosen)
            ]
    return cases


def _some(kind: Kind, fault: Fault, places: list[Boundary]) -> list[Boundary]:
    """Leave places out, as kind and fault say; of those that are left the first is not always the run's first."""
    if kind is ANALYSIS:
        return places[:: fault.every]
    step = kind.killed_every if fault.name == "sigkill" else fault.every * kind.sparing
    return places[min(step // 2, max(len(places) - 1, 0)) :: step]


def drawn(places: Places, seed: int, count: int, *, among: Collection[Fault] = tuple(FAULTS.values())) -> list[Case]:
    """Cases drawn at random, the same for the same seed.

    Parameters
    ----------
    places : mapping
        The places of each kind of run.
    seed : int
        Where to begin drawing.
    count : int
        How many.
    among : collection of Fault
        What may go wrong.

    Returns
    -------
    list of Case
        The cases, those of one kind together, and in it those of one fault.
    """
    rng = random.Random(seed)
    among = [fault for fault in FAULTS.values() if fault in among]
    every = matrix(places, thinned=False)
    found: list[Case] = []
    for _ in range(count):
        kind = KINDS[rng.choice(list(places))]
        able = [fault for fault in among if any(fault.matters(kind, place) for place in places[kind.name])]
        if not able:
            continue
        fault = rng.choice(able)
        amount = round(rng.uniform(min(fault.amounts), max(fault.amounts)), 1)
        place = rng.choice([place for place in places[kind.name] if fault.matters(kind, place)])
        found.append(Case(fault, place, amount, kind))
    order = {(case.kind.name, case.fault, case.boundary): number for number, case in enumerate(every)}
    return sorted(set(found), key=lambda case: (order[case.kind.name, case.fault, case.boundary], case.amount))


def only(among: Sequence[Case], places: Places, text: str) -> list[Case]:
    """Those cases that a text names.

    Parameters
    ----------
    among : sequence of Case
        Where names are looked for first; then at all places.
    places : mapping
        The places of each kind of run.
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
    of_a_kind = name.partition("/")[0] in KINDS
    return exact or [case for case in cases if fnmatch.fnmatchcase(case.title(of_a_kind), f"{name}*")]


def named(name: str, places: Places) -> Case:
    """The case with this name, if a run comes to its place."""
    case = Case.parse(name)
    known = places.get(case.kind.name, ())
    if case.boundary not in known:
        raise ValueError(f"no run comes to {case.boundary}, only to {', '.join(map(str, known))}")
    return case
