"""Step ``watch``: wait for the job, without asking more often than the watcher does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster import slurm
from worker.cluster.states import JobState
from worker.engine.context import Done, NotYet, Outcome, Pause
from worker.errors import CommandFailed

if TYPE_CHECKING:
    from uuid import UUID

    from worker.cluster.states import JobReport
    from worker.engine.context import StepContext

LOG_LINES = 12
"""Lines of the job's log that are shown to a person when it failed."""


def watch(context: StepContext) -> Outcome:
    """Look at the job once, through the watcher of its cluster.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        When the job has ended, well or not: ``ok``, ``state``, ``exit_code``, ``elapsed_s``, ``message``.
    NotYet
        While it has not.
    Pause
        When the cluster has not known the job for too long to wait any further without a person.
    """
    branch, watcher = context.own_branch, context.resources.watcher
    task = context.tracker.task(branch.task_id)
    job_id = task.job_ids[-1]
    watcher.add(branch.task_id, job_id, context.layout.exit_file(job_id))
    report = watcher.report(branch.task_id)
    if report is None:
        if watcher.problem:
            context.report(f"Slurm job {job_id}: the cluster does not answer at the moment ({watcher.problem}).")
        return NotYet()
    if report.state is JobState.UNKNOWN:
        if watcher.unknown_for_s(branch.task_id) < context.resources.unknown_grace_s:
            return NotYet()
        return Pause(
            f"Slurm does not know job {job_id} ({task.task_name}) any more, and it left no exit file. Ask the admin of "
            "the cluster what became of it; resume the run to look again, or cancel it."
        )
    _record_changes(context, branch.task_id, task.status, task.progress, report)
    if not report.state.terminal:
        context.report(_in_words(task.task_name, report))
        return NotYet()
    watcher.remove(branch.task_id)
    ok = report.state is JobState.COMPLETED and not report.exit_code
    message = "" if ok else _why(context, task.task_name, report)
    if ok:
        # The job ended between two looks at its log; it has done all of its work.
        context.tracker.update_task_progress(branch.task_id, "100%")
        context.tracker.complete_task(branch.task_id, f"Slurm job {job_id} completed.")
    else:
        context.tracker.fail_task(branch.task_id, message)
    return Done(
        {
            "ok": ok,
            "job_id": job_id,
            "state": report.state.value,
            "exit_code": report.exit_code,
            "elapsed_s": report.elapsed_s,
            "message": message,
        }
    )


def _record_changes(
    context: StepContext, task_id: UUID, status: str | None, progress: str | None, report: JobReport
) -> None:
    """Record state and progress where they have changed; an event per poll would drown the record."""
    if report.progress and report.progress != progress:
        context.tracker.update_task_progress(task_id, report.progress)
    if report.state.value != status:
        context.tracker.update_task_status(task_id, report.state.value)


def _in_words(workflow: str, report: JobReport) -> str:
    """One line for the person who waits."""
    progress = f", {report.progress}" if report.progress else ""
    reason = f" ({report.reason})" if report.state is JobState.PENDING and report.reason else ""
    return f"Slurm job {report.job_id} ({workflow}) is {report.state.value}{reason}{progress}."


def _why(context: StepContext, workflow: str, report: JobReport) -> str:
    """Why the job failed, with the end of its log."""
    code = f" with exit code {report.exit_code}" if report.exit_code else ""
    reason = f" {report.reason}." if report.reason and report.reason not in ("None", "NonZeroExitCode") else ""
    try:
        log = slurm.read_log(context.resources.transport, context.layout, report.job_id, tail_lines=LOG_LINES)
        tail = log.decode("utf-8", "replace").strip()
    except CommandFailed:
        tail = "(it wrote no log)"
    return (
        f"{workflow} failed: Slurm job {report.job_id} ended as {report.state.value}{code}.{reason} "
        f"Its log ends with:\n{tail}"
    )
