"""Step ``fetch``: what the job produced, listed, streamed home and verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cluster import slurm, streams
from worker.engine import staging
from worker.engine.context import Done, Outcome
from worker.engine.jobs import output_of
from worker.engine.origin import job_of, origin_of
from worker.errors import CommandFailed

if TYPE_CHECKING:
    from pathlib import Path

    from worker.engine.context import StepContext


def fetch(context: StepContext) -> Outcome:
    """Fetch the outputs and the log of a job that ended; of one that failed, the log.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With ``files`` (path, size and sha256 of each output) and ``log`` (whether there is one).
    """
    branch = context.own_branch
    job = job_of(origin_of(context))
    context.tracker.start_task(branch.import_task_id)
    context.tracker.update_task_status(branch.import_task_id, "RETRIEVING")
    listed = stage(context)
    return Done(
        {
            "files": [{"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256} for file in listed],
            "log": log_file(context, job["job_id"]).exists(),
        }
    )


def stage(context: StepContext) -> tuple[streams.RemoteFile, ...]:
    """Bring the results of this branch to the staging directory, from scratch.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    tuple of RemoteFile
        What was brought.
    """
    origin, transport = origin_of(context), context.transport
    job = job_of(origin)
    context.guard()
    staging.remove(context.staging)
    with staging.local_disk(context.staging):
        (context.staging / "out").mkdir(parents=True, mode=0o700)
    listed: tuple[streams.RemoteFile, ...] = ()
    if job["ok"]:
        root = output_of(origin)
        listed = streams.list_tree(transport, root)
        size_mib = sum(file.size_bytes for file in listed) / 2**20
        context.report(f"Fetching {len(listed)} result files ({size_mib:.1f} MiB).")
        context.guard()
        streams.download_tree(transport, root, listed, context.staging / "out")
    try:
        log = slurm.read_log(transport, origin.layout, job["job_id"])
    except CommandFailed:
        return listed  # no log: the job's own failure, or its --output, says why
    with staging.local_disk(context.staging):
        log_file(context, job["job_id"]).write_bytes(log)
    return listed


def log_file(context: StepContext, job_id: int) -> Path:
    """Where the log of a job is staged."""
    return context.staging / f"omero-{job_id}.log"
