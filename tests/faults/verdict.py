"""What the evidence of a case means: lost, doubled, falsely told, or all is well.

*Lost*: something that should be there is not. *Doubled*: something is there more than once, or is left over.
*False*: somebody is told what is not so.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from tests.faults.faults import CANCELLED, NEVER
from tests.soak.evidence import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.faults.evidence import Evidence
    from tests.faults.faults import Fault


def judge(fault: Fault, evidence: Evidence) -> Verdict:
    """Judge a case.

    Parameters
    ----------
    fault : Fault
        What went wrong.
    evidence : Evidence
        What is there.

    Returns
    -------
    Verdict
        What is not as it should be.
    """
    verdict = Verdict(1)
    for reason in evidence.pauses:
        if not allowed(fault.pauses, reason):
            verdict.false.append(f"paused for a reason that is not true: {reason}")
    if evidence.status == "COMPLETED":
        _judge_results(verdict, evidence)
        _judge_in_place(verdict, fault, evidence)
        _judge_files(verdict, evidence)
    elif evidence.status == "FAILED":
        if not allowed(fault.fails, evidence.message):
            verdict.false.append(f"said to have failed, for a reason that is not true: {evidence.message}")
        _judge_failed(verdict, evidence)
    else:
        verdict.lost.append(f"the run is {evidence.status}: {evidence.message or 'it has not ended'}")
    _judge_jobs(verdict, evidence)
    verdict.doubled += [f"a job of another submission: {job}" for job in evidence.other_jobs]
    verdict.doubled += [f"still in the queue: {line}" for line in evidence.queued]
    verdict.doubled += [f"the lease of run {run} has not expired" for run in evidence.leases]
    verdict.doubled += [f"order {order} was placed {times} times" for order, times in _more_than_once(evidence.orders)]
    verdict.false += evidence.views
    return verdict


def allowed(pattern: str, reason: str) -> bool:
    """Whether a reason is one that the fault allows; no pattern allows none."""
    return bool(pattern) and re.search(pattern, reason) is not None and re.search(NEVER, reason) is None


def _more_than_once(found: Iterable[str]) -> list[tuple[str, int]]:
    return [(name, times) for name, times in Counter(found).items() if times > 1]


def _judge_results(verdict: Verdict, evidence: Evidence) -> None:
    expected = evidence.expected
    for what, wanted, found in (
        ("result images", expected.images, len(evidence.images)),
        ("descriptions", expected.descriptions, len(evidence.descriptions)),
        ("logs of the job", expected.logs, len(evidence.logs)),
    ):
        _expect(verdict, what, wanted, found)
    # Where there are several, one twice must not make up for another that is not there.
    for what, names in (
        ("descriptions of run", evidence.descriptions),
        ("logs", evidence.logs),
        ("ROIs", evidence.rois),
    ):
        verdict.doubled += [f"{times} {what} {name}" for name, times in _more_than_once(names)]
    if len(set(evidence.rois)) != expected.rois:
        verdict.lost.append(f"{len(set(evidence.rois))} of {expected.rois} objects are drawn")
    for digest in evidence.images:
        if digest != evidence.expected_image:
            verdict.false.append(f"the result image is not what the job wrote: {digest}")
    if len(evidence.recorded_jobs) != expected.jobs:
        verdict.false.append(f"the run is done, and its record names jobs {list(evidence.recorded_jobs)}")
    verdict.doubled += [f"left over: {folder}" for folder in evidence.left]


def _expect(verdict: Verdict, what: str, wanted: int, found: int) -> None:
    if found < wanted:
        verdict.lost.append(f"{what}: {found or 'none'} of {wanted}")
    elif found > wanted:
        verdict.doubled.append(f"{what}: {found} in the place of {wanted}")


def _judge_in_place(verdict: Verdict, fault: Fault, evidence: Evidence) -> None:
    wanted = evidence.expected.orders
    _expect(verdict, "images that the importer has made", wanted, evidence.registered)
    _expect(verdict, "folders of results that stay", wanted, len(evidence.archives))
    orders = len(set(evidence.orders))
    # What an importer that was killed has not done is ordered anew, once.
    most = 2 * wanted if fault.name in ("importer", "postgres") else wanted
    if not wanted <= orders <= most:
        (verdict.lost if orders < wanted else verdict.doubled).append(f"{orders} orders to the importer")


def _judge_files(verdict: Verdict, evidence: Evidence) -> None:
    wanted, found = evidence.expected_files, evidence.files
    verdict.lost += [f"not on the cluster: {name}" for name in wanted if name not in found]
    verdict.doubled += [f"left over on the cluster: {name}" for name in found if name not in wanted]
    verdict.false += [
        f"another file than without faults: {name}" for name in wanted if found.get(name, wanted[name]) != wanted[name]
    ]


def _judge_failed(verdict: Verdict, evidence: Evidence) -> None:
    _judge_at_most(verdict, evidence)
    if not re.search(CANCELLED, evidence.message):
        return
    # Nobody wants any of it any more; what a person wanted to keep is in a folder that has a name.
    verdict.doubled += [f"left over: {folder}" for folder in evidence.left]
    if evidence.registered or evidence.orders:
        verdict.false += [
            f"nobody is told that the importer has order {order}"
            for order in dict.fromkeys(evidence.orders)
            if order not in evidence.message and len(evidence.images) < evidence.expected.images
        ]


def _judge_at_most(verdict: Verdict, evidence: Evidence) -> None:
    """What has failed need not be there, but not twice either."""
    expected = evidence.expected
    for what, most, found in (
        ("result images", expected.images, len(evidence.images)),
        ("images that the importer has made", expected.orders, evidence.registered),
    ):
        if found > most:
            verdict.doubled.append(f"{found} {what} of a run that has failed")
    if _more_than_once(evidence.rois):
        verdict.doubled.append("ROIs of a run that has failed")


def _judge_jobs(verdict: Verdict, evidence: Evidence) -> None:
    if len(evidence.jobs) > len(evidence.submissions):
        names = ", ".join(evidence.submissions)
        verdict.doubled.append(f"Slurm jobs {list(evidence.jobs)} of one submission, {names}")
    if evidence.status == "COMPLETED" and len(evidence.jobs) < evidence.expected.jobs:
        verdict.lost.append(f"the run is done, and Slurm knows no job of {', '.join(evidence.submissions) or 'it'}")
    recorded = tuple(sorted(evidence.recorded_jobs))
    if recorded and evidence.jobs and recorded != evidence.jobs:
        verdict.false.append(f"the record says job {list(recorded)}, Slurm {list(evidence.jobs)}")
