"""Step ``watch``: wait for the job, without asking more often than the watcher does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster import conversion, slurm
from worker.cluster.states import JobState
from worker.engine.context import Done, NotYet, Outcome, Pause
from worker.engine.endings import record_ending
from worker.engine.steps.convert import attach_log
from worker.engine.steps.resubmit import another_attempt, begin_again, never_began, what_was_tried
from worker.errors import CommandFailed

if TYPE_CHECKING:
    from worker.cluster.states import JobReport
    from worker.engine.context import StepContext
    from worker.history.domain import Task

FULL_BYTES = 2**20
"""A disk with less room than this is full."""

LOG_LINES = 12
"""Lines of the job's log that are shown to a person when it failed."""


def watch(context: StepContext) -> Outcome:
    """Look at the job once, through the watcher of its cluster.

    A job that ran out of memory or time is followed by another with more of it, where the admin has allowed that; so
    is, once, a job that Slurm has lost before it began.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        When the job has ended, well or not: ``ok``, ``state``, ``exit_code``, ``elapsed_s``, ``message``; and
        ``objects`` in OMERO, which is the log of a conversion that has failed.
    NotYet
        While it has not, and when another one is going to be submitted in its place.
    Pause
        When the cluster has not known the job for too long to wait any further without a person.
    """
    branch, watcher = context.own_branch, context.watcher
    task = context.tracker.task(branch.task_id)
    submitted = context.view.step(branch.step("submit")).data
    job_id = int(submitted["job_id"])
    # First whom to wake, then what to watch: news may come at once.
    context.resources.run_of_task[branch.task_id] = context.run_id
    watcher.add(branch.task_id, job_id, context.layout.exit_file(job_id), submitted.get("key"))
    report = watcher.report(branch.task_id)
    if report is None:
        if watcher.problem:
            context.report(f"Slurm job {job_id}: the cluster does not answer at the moment ({watcher.problem}).")
        return NotYet()
    if report.state is JobState.UNKNOWN:
        return _unknown(context, task, job_id)
    _record_changes(context, task, report)
    if not report.state.terminal:
        context.report(_in_words(task.task_name, report))
        return NotYet()
    watcher.remove(branch.task_id)
    if report.usage is not None:
        context.tracker.account_job(task.id, job_id, report.usage.to_json())
    record_ending(context, task, report)
    ok = report.state is JobState.COMPLETED and not report.exit_code
    if not ok and another_attempt(context, task, report):
        return NotYet()
    message, objects = "", []
    if ok:
        # The job ended between two looks at its log; it has done all of its work.
        context.tracker.update_task_progress(branch.task_id, "100%")
        context.tracker.complete_task(branch.task_id, f"Slurm job {job_id} completed.")
    else:
        message = _why(context, task.task_name, report, tried=what_was_tried(context, task, report))
        context.tracker.fail_task(branch.task_id, message)
        if context.request.conversion is not None:
            # No other step comes after it; and never is the log wanted more.
            objects = [item.to_json() for item in attach_log(context, job_id)]
    return Done(
        {
            "ok": ok,
            "job_id": job_id,
            "state": report.state.value,
            "exit_code": report.exit_code,
            "elapsed_s": report.elapsed_s,
            "message": message,
            **({"objects": objects} if objects else {}),
        }
    )


def _unknown(context: StepContext, task: Task, job_id: int) -> Outcome:
    """Decide about a job that nobody knows: wait, submit it again, or leave it to a person."""
    watcher = context.watcher
    if watcher.problem:
        # Nobody has said that there is no such job: they have not answered.
        context.report(f"Slurm job {job_id}: the cluster does not answer at the moment ({watcher.problem}).")
        return NotYet()
    if watcher.unknown_for_s(task.id) < context.settings.worker.unknown_grace_s:
        return NotYet()
    doubt = never_began(context, task, job_id)
    if doubt is None:
        return NotYet()
    if not doubt:
        watcher.remove(task.id)
        begin_again(
            context,
            task,
            "LOST",
            task.flags,
            f"Slurm lost job {job_id} ({task.task_name}) before it began; submitting it again.",
        )
        return NotYet()
    return Pause(
        f"Slurm does not know job {job_id} ({task.task_name}) any more, and it left no exit file. {doubt} Ask the "
        "admin of the cluster what became of it; resume the run to look again, retry it from 'submit', or cancel it."
    )


def _record_changes(context: StepContext, task: Task, report: JobReport) -> None:
    """Record state and progress where they have changed; an event per poll would drown the record."""
    if report.progress and report.progress != task.progress:
        context.tracker.update_task_progress(task.id, report.progress)
    if report.state.value != task.status:
        context.tracker.update_task_status(task.id, report.state.value)


def _in_words(workflow: str, report: JobReport) -> str:
    """One line for the person who waits."""
    progress = f", {report.progress}" if report.progress else ""
    reason = f" ({report.reason})" if report.state is JobState.PENDING and report.reason else ""
    return f"Slurm job {report.job_id} ({workflow}) is {report.state.value}{reason}{progress}."


def _why(context: StepContext, workflow: str, report: JobReport, *, tried: str) -> str:
    """Why the job failed, what was tried about it, and the end of its log."""
    code = f" with exit code {report.exit_code}" if report.exit_code else ""
    said = [f"{workflow} failed: Slurm job {report.job_id} ended as {report.state.value}{code}."]
    if report.reason and report.reason not in ("None", "NonZeroExitCode"):
        said.append(f"{report.reason}.")
    if tried:
        said.append(tried)
    transport, layout = context.transport, context.layout
    try:
        if slurm.free_bytes(transport, layout.root) < FULL_BYTES:
            said.append(f"The cluster's disk is full ({layout.data_path}).")
            said.append("Make room, then retry the run from 'submit'.")
        if context.request.conversion is None:
            log = slurm.read_log(transport, layout, report.job_id, tail_lines=LOG_LINES)
        else:
            log = conversion.read_logs(transport, layout, report.job_id)
            said.append("What was to be converted is still there.")
    except CommandFailed:
        return " ".join([*said, "It wrote no log."])
    tail = "\n".join(log.decode("utf-8", "replace").strip().splitlines()[-LOG_LINES:])
    if tail:
        return " ".join(said) + f"\nIts log ends with:\n{tail}"
    # By now there may be room again, so that the disk does not tell.
    return " ".join([*said, "Its log is empty, as happens when the cluster's disk is full while the job runs."])
