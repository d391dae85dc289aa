"""What is true about a job, of what squeue, sacct and exit files say about it and about each task of an array."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.cluster.states import JobReport, JobState, aggregate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.cluster.answers import Accounting, Tasks

_NO_ACCOUNTING: Mapping[Accounting, str] = {
    "silent": "does not answer",
    "disabled": "is disabled",
    "not asked": "has not answered lately",
}


def judge(
    job_id: int,
    live: Tasks,
    accounted: Tasks,
    left: Tasks,
    *,
    tasks: int | None = None,
    queue_answered: bool,
    accounting: Accounting = "answered",
) -> JobReport:
    """Decide what is true about a job or an array.

    Each task of an array is decided about for itself, because squeue forgets them one by one, and one that was killed
    left no exit file.

    Parameters
    ----------
    job_id : int
        The job.
    live, accounted, left : Tasks
        What squeue, sacct and exit files say.
    tasks : int, optional
        Of how many tasks the array is; None if it is none, or nobody knows yet.
    queue_answered : bool
        Whether squeue has answered at all.
    accounting : str
        Whether sacct has.

    Returns
    -------
    JobReport
        The report.
    """
    if tasks is None or not all(report.state.terminal for report in live.values()):
        return combine(
            job_id,
            aggregate(job_id, list(live.values())) if live else None,
            aggregate(job_id, list(accounted.values())) if accounted else None,
            aggregate(job_id, list(left.values())) if left else None,
            queue_answered=queue_answered,
            accounting=accounting,
        )
    reports = [
        combine(
            job_id,
            _task(live, job_id, number),
            _task(accounted, job_id, number),
            left.get(f"{job_id}_{number}"),
            queue_answered=queue_answered,
            accounting=accounting,
        )
        for number in range(1, tasks + 1)
    ]
    whole = aggregate(job_id, reports)
    failed = [n for n, report in enumerate(reports, 1) if report.state.terminal and not _good(report)]
    if whole.state.terminal and failed:
        first = reports[failed[0] - 1]
        why = first.reason or first.state.value
        return replace(whole, reason=f"{len(failed)} of {tasks} tasks failed, the first is task {failed[0]}: {why}")
    return replace(whole, lost=all(report.lost for report in reports))


def _good(report: JobReport) -> bool:
    return report.state is JobState.COMPLETED and not report.exit_code


def _task(found: Tasks, job_id: int, number: int) -> JobReport | None:
    """Find what is said about a task, by itself or together with others that share its fate (``12_[3-9]``)."""
    own = found.get(f"{job_id}_{number}")
    return own or next((report for name, report in found.items() if "[" in name or "_" not in name), None)


def combine(
    job_id: int,
    live: JobReport | None,
    accounted: JobReport | None,
    left: JobReport | None,
    *,
    queue_answered: bool,
    accounting: Accounting = "answered",
) -> JobReport:
    """Decide what is true about a job.

    squeue speaks for what has not ended. What has ended needs a witness: a terminal state, or the exit file that the
    job itself wrote. That nobody lists a job is no witness.

    Parameters
    ----------
    job_id : int
        The job.
    live, accounted, left : JobReport or None
        What squeue, sacct and the exit file say.
    queue_answered : bool
        Whether squeue has answered at all.
    accounting : str
        Whether sacct has.

    Returns
    -------
    JobReport
        The report; UNKNOWN if there is no witness, with the reason, and whether the job is lost.
    """
    if live is not None and not live.state.terminal:
        return live
    witnesses = [report for report in (accounted, live, left) if report is not None and report.state.terminal]
    if witnesses:
        # squeue forgets the tasks of an array one by one, and accounting may not have heard of all yet: of the two,
        # whoever has seen one that failed is right.
        failed = (report for report in witnesses if report is not left and report.state is not JobState.COMPLETED)
        ended = next(failed, witnesses[0])
        if left is None:
            return ended
        # The exit file knows exactly what Slurm knows roughly, and why.
        reason = left.reason or ended.reason
        code = left.exit_code if ended.exit_code in (None, 0) else ended.exit_code
        used = ended.usage or left.usage
        usage = replace(used, exit_code=code) if used else None
        elapsed_s = ended.elapsed_s or left.elapsed_s
        return replace(ended, exit_code=code, reason=reason, elapsed_s=elapsed_s, usage=usage)
    if not queue_answered:
        return accounted or JobReport(job_id, JobState.UNKNOWN, reason="the controller does not answer")
    answered = accounting == "answered"
    if accounted is not None:
        # Either accounting lags by some seconds, or the controller has lost the job and accounting never hears of it.
        reason = f"accounting says {accounted.state.value}, but the controller does not list the job"
    elif answered:
        reason = "neither the controller nor accounting knows the job"
    else:
        reason = f"the controller does not know the job, and accounting {_NO_ACCOUNTING[accounting]}"
    lost = answered and (accounted is None or accounted.state is JobState.PENDING)
    return JobReport(job_id, JobState.UNKNOWN, reason=reason, lost=lost)
