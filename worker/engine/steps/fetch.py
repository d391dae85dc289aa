"""Step ``fetch``: what the job produced, listed, streamed home and verified."""

from __future__ import annotations

import hashlib
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from worker.cluster import slurm, streams
from worker.engine import staging
from worker.engine.context import Done, Outcome
from worker.engine.endings import complete_ending
from worker.engine.jobs import output_of
from worker.engine.manifest import Manifest, take_manifest
from worker.engine.origin import job_of, origin_of
from worker.errors import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.engine.context import StepContext

SAID_S = 1.0
"""Time between two reports of progress."""


def fetch(context: StepContext) -> Outcome:
    """Fetch the outputs and the log of a job that ended; of one that failed, the log.

    Parameters
    ----------
    context : StepContext
        The step's context.

    Returns
    -------
    Done
        With what `worker.engine.manifest.manifest_of` needs, ``log`` (whether there is one), and ``notes`` about what
        was left out.
    """
    branch = context.own_branch
    job = job_of(origin_of(context))
    context.guard()
    context.tracker.start_task(branch.import_task_id)
    context.tracker.update_task_status(branch.import_task_id, "RETRIEVING")
    if context.request.finished is None:
        complete_ending(context)
    manifest = Manifest()
    if job["ok"]:
        context.report("Looking at the results on the cluster.")
        manifest = take_manifest(context, _reported(context, "Computing checksums on the cluster: {0} of {1} files."))
    stage(context, manifest)
    log = log_file(context, job["job_id"]).exists()
    return Done({**manifest.to_data(), "log": log, "notes": manifest.notes})


def stage(context: StepContext, manifest: Manifest) -> None:
    """Bring the results of this branch to the staging directory; what is there and verified is not fetched again.

    Parameters
    ----------
    context : StepContext
        The step's context.
    manifest : Manifest
        The results.

    Raises
    ------
    TransferDamaged
        If a result is not what was listed.
    LocalDiskError
        If there is no room for the results, or the directory cannot be used.
    """
    origin, job = origin_of(context), job_of(origin_of(context))
    context.guard()
    with staging.local_disk(context.staging):
        context.staging.mkdir(parents=True, exist_ok=True, mode=0o700)
        _seal(context).unlink(missing_ok=True)
    if job["ok"]:
        total = f"{len(manifest.files)} files, {{1:,.1f}} of {manifest.size_bytes / 2**20:,.1f} MiB."
        say = _reported(context, f"Fetching results: {{0}} of {total}")
        say(0, 0)
        streams.download_tree(
            context.transport,
            output_of(origin),
            manifest.files,
            context.staging / "out",
            within=origin.layout.root,
            follow=lambda files, size_bytes: say(files, size_bytes / 2**20),
        )
    try:
        log = slurm.read_log(context.transport, origin.layout, job["job_id"])
    except CommandFailed:
        log = None  # the job's own failure, or its --output, says why
    with staging.local_disk(context.staging):
        if log is not None:
            log_file(context, job["job_id"]).write_bytes(log)
        _seal(context).write_text(_sealing(manifest), encoding="ascii")


def is_staged(context: StepContext, manifest: Manifest) -> bool:
    """Say whether all results of this branch lie in the staging directory, as they were verified there.

    Parameters
    ----------
    context : StepContext
        The step's context.
    manifest : Manifest
        The results.

    Returns
    -------
    bool
        Whether they do. Not if this machine was started anew in between: nobody knows what had reached its disk.

    Raises
    ------
    LocalDiskError
        If the directory cannot be read.
    """
    with staging.local_disk(context.staging):
        try:
            if _seal(context).read_text(encoding="ascii") != _sealing(manifest):
                return False
            sizes = [(context.staging / "out" / file.path).stat().st_size for file in manifest.files]
        except (FileNotFoundError, NotADirectoryError):
            return False
    return sizes == [file.size_bytes for file in manifest.files]


def log_file(context: StepContext, job_id: int) -> Path:
    """Where the log of a job is staged."""
    return context.staging / f"omero-{job_id}.log"


def _seal(context: StepContext) -> Path:
    """Says that all has been verified."""
    return context.staging / "verified"


def _sealing(manifest: Manifest) -> str:
    """What was verified, and since which start of this machine it can be relied on."""
    digests = "".join(f"{file.sha256} {file.path!r}\n" for file in manifest.files)
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{hashlib.sha256(digests.encode()).hexdigest()} {boot.read_text(encoding='ascii') if boot.exists() else ''}"


def _reported(context: StepContext, text: str) -> Callable[[float, float], None]:
    """Look whether to go on each time, and say now and then how far it is."""
    said_at = -math.inf

    def report(*numbers: float) -> None:
        nonlocal said_at
        context.guard()
        if time.monotonic() - said_at > SAID_S:
            said_at = time.monotonic()
            context.report(text.format(*numbers))

    return report
