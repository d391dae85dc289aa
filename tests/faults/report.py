"""What is shown and written about the cases that were tried."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.faults.faults import FAULTS
from tests.faults.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.faults.trying import Outcome

HEADER = ("cases", "done at once", "done after a pause", "failed truly", "not met", "not well", "median s", "most s")


def line(outcomes: Sequence[Outcome]) -> str:
    """Everything in one line."""
    lost, doubled, false = (
        (
            sum(len(sentences) for sentences in kinds)
            for kinds in zip(*((o.verdict.lost, o.verdict.doubled, o.verdict.false) for o in outcomes), strict=True)
        )
        if outcomes
        else (0, 0, 0)
    )
    return f"cases {len(outcomes)}, lost {lost}, doubled {doubled}, false {false}"


def clean(outcomes: Sequence[Outcome]) -> bool:
    """Whether every case is well."""
    return bool(outcomes) and all(outcome.verdict.clean for outcome in outcomes)


def repeat(outcome: Outcome) -> str:
    """The command that tries a case again."""
    return f"make faults ONLY='{outcome.name}'"


def sentences(outcome: Outcome) -> list[str]:
    """What is not well about a case."""
    verdict = outcome.verdict
    kinds = (("lost", verdict.lost), ("doubled", verdict.doubled), ("false", verdict.false))
    return [f"{kind}: {sentence}" for kind, found in kinds for sentence in found]


def rows(outcomes: Sequence[Outcome], name: Callable[[Outcome], str]) -> Mapping[str, tuple[str, ...]]:
    """Counts by a name of cases, in the order of `HEADER`."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[name(outcome)].append(outcome)
    return {name: _counts(group) for name, group in groups.items()}


def _counts(group: Sequence[Outcome]) -> tuple[str, ...]:
    seen = [outcome.evidence for outcome in group if outcome.evidence is not None]
    seconds = [outcome.seconds for outcome in group]
    return (
        str(len(group)),
        str(sum(one.status == "COMPLETED" and not one.pauses for one in seen)),
        str(sum(one.status == "COMPLETED" and bool(one.pauses) for one in seen)),
        str(sum(one.status == "FAILED" for one in seen)),
        str(sum(not outcome.struck for outcome in group)),
        str(sum(not outcome.verdict.clean for outcome in group)),
        f"{statistics.median(seconds):.1f}",
        f"{max(seconds):.1f}",
    )


def write(path: Path, outcomes: Sequence[Outcome], facts: Mapping[str, object]) -> None:
    """Write everything as a page.

    Parameters
    ----------
    path : Path
        The file.
    outcomes : sequence of Outcome
        What came of the cases.
    facts : mapping
        Where, when and with what.
    """
    lines = ["# Faults", "", line(outcomes), ""]
    bad = [outcome for outcome in outcomes if not outcome.verdict.clean]
    if bad:
        lines += ["## Not well", ""]
        for outcome in bad:
            lines += [f"### {outcome.name}", "", f"`{repeat(outcome)}`", ""]
            lines += [*(f"- {sentence}" for sentence in sentences(outcome)), ""]
    lines += ["## By kind", "", *_table("kind", rows(outcomes, lambda outcome: outcome.case.kind.name)), ""]
    lines += [f"- {kind.name}: {kind.what}" for kind in KINDS.values()]
    lines += ["", "## By fault", "", *_table("fault", rows(outcomes, lambda outcome: outcome.case.fault.name)), ""]
    lines += [f"- {fault.name}: {fault.what}" for fault in FAULTS.values()]
    lines += ["", "## By boundary", "", *_table("boundary", rows(outcomes, _place)), ""]
    reasons = sorted({(_title(o), reason) for o in outcomes if o.evidence for reason in o.evidence.pauses})
    reasons += sorted(
        {(_title(o), o.evidence.message) for o in outcomes if o.evidence and o.evidence.status == "FAILED"}
    )
    if reasons:
        lines += [
            "## Reasons that were told",
            "",
            *(f"- {name}: {' '.join(text.split())}" for name, text in reasons),
            "",
        ]
    lines += ["## Every case", "", "| case | end | pauses | s |", "|---|---|---|---|"]
    lines += [
        f"| {o.name}{'' if o.struck else ' (not met)'} | {o.evidence.status if o.evidence else 'not tried'} "
        f"| {len(o.evidence.pauses) if o.evidence else ''} | {o.seconds:.1f} |"
        for o in outcomes
    ]
    lines += ["", "## Where and with what", "", *(f"- {name}: {value}" for name, value in facts.items()), ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def _title(outcome: Outcome) -> str:
    return outcome.name.partition("@")[0]


def _place(outcome: Outcome) -> str:
    return f"{outcome.case.kind.name}: {outcome.case.boundary}"


def _table(what: str, counts: Mapping[str, tuple[str, ...]]) -> list[str]:
    header = (what, *HEADER)
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join((name, *values))} |" for name, values in counts.items()),
    ]
