"""What the evidence of a case means: lost, doubled, falsely told, or all is well.

*Lost*: something that should be there is not. *Doubled*: something is there more than once, or is left over.
*False*: somebody is told what is not so.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from tests.faults.faults import NEVER
from tests.soak.evidence import Verdict
from tests.soak.stage import LABELS

if TYPE_CHECKING:
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
    if evidence.status == "COMPLETED":
        verdict.doubled += [f"left over: {folder}" for folder in evidence.left]
    verdict.false += evidence.views
    return verdict


def allowed(pattern: str, reason: str) -> bool:
    """Whether a reason is one that the fault allows; no pattern allows none."""
    return bool(pattern) and re.search(pattern, reason) is not None and re.search(NEVER, reason) is None


def _judge_results(verdict: Verdict, evidence: Evidence) -> None:
    run = evidence.run_id
    verdict.expect_once("result images", [run], Counter({run: len(evidence.images)} if evidence.images else {}))
    verdict.expect_once("descriptions", [run], Counter({run: evidence.provenances} if evidence.provenances else {}))
    verdict.expect_once("logs of the job", [run], Counter({run: evidence.logs} if evidence.logs else {}))
    for name, count in Counter(evidence.rois).items():
        if count > 1:
            verdict.doubled.append(f"{count} ROIs {name}")
    if len(set(evidence.rois)) != LABELS:
        verdict.lost.append(f"{len(set(evidence.rois))} of {LABELS} objects are drawn")
    for digest in evidence.images:
        if digest != evidence.expected_image:
            verdict.false.append(f"the result image is not what the job wrote: {digest}")
    if len(evidence.recorded_jobs) != 1:
        verdict.false.append(f"the run is done, and its record names jobs {list(evidence.recorded_jobs)}")


def _judge_failed(verdict: Verdict, evidence: Evidence) -> None:
    if len(evidence.images) > 1:
        verdict.doubled.append(f"{len(evidence.images)} result images of a run that has failed")
    if len(evidence.rois) > len(set(evidence.rois)):
        verdict.doubled.append("ROIs of a run that has failed")


def _judge_jobs(verdict: Verdict, evidence: Evidence) -> None:
    if len(evidence.jobs) > 1:
        verdict.doubled.append(f"Slurm jobs {list(evidence.jobs)} of one submission, {evidence.submission}")
    if evidence.status == "COMPLETED" and not evidence.jobs:
        verdict.lost.append(f"the run is done, and Slurm knows no job of {evidence.submission or 'it'}")
    if evidence.recorded_jobs and evidence.jobs and evidence.recorded_jobs != evidence.jobs:
        verdict.false.append(f"the record says job {list(evidence.recorded_jobs)}, Slurm {list(evidence.jobs)}")
