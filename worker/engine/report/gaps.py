"""What a report cannot say: an auditor must see that something is not known, not find out that it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.engine.report.model import AnalysisFacts, RunFacts


def gaps_of(run: RunFacts) -> tuple[str, ...]:
    """List what is not known of a run.

    Parameters
    ----------
    run : RunFacts
        What is known.

    Returns
    -------
    tuple of str
        A sentence for each gap; none if everything is known that there is to know by now.
    """
    return tuple(dict.fromkeys(_gaps(run)))


def _gaps(run: RunFacts) -> Iterator[str]:
    if run.kind == "unknown":
        yield "Another tool has made this run: what was asked for, with which images and values, is not in the record."
        return
    if run.status in ("running", "paused"):
        yield "The run has not ended: this report says how it is at the moment."
    if run.ids and not run.sources and run.kind in ("analysis", "transfer") and not run.batch_count:
        yield "No images were exported: which ones the selection holds is not in the record."
    for analysis in run.analyses:
        yield from _of_analysis(run, analysis)
    if run.batch_count and len(run.batches) < run.batch_count:
        yield f"{run.batch_count - len(run.batches)} of {run.batch_count} batches have not been started."
    for batch in run.batches:
        yield from (f"Batch {batch.batch_index}: {gap}" for gap in batch.gaps)


def _of_analysis(run: RunFacts, analysis: AnalysisFacts) -> Iterator[str]:
    known, name = analysis.provenance, analysis.provenance.workflow
    if not analysis.jobs:
        yield f"{name}: no job was submitted."
        return
    if not known.command:
        yield (
            f"{name}: what the job is was not recorded yet when it was submitted: command, descriptor, settings, and "
            "which values are defaults, are not known."
        )
    elif not known.descriptor_sha256:
        yield f"{name}: the digest of the descriptor is not known; the list of workflows was made before it was kept."
    elif not known.descriptor_text:
        yield f"{name}: the descriptor is known by its digest only; its text was too long, or not kept any more."
    if analysis.ok is None:
        yield f"{name}: its job has not ended, or nobody has seen how."
        return
    if not known.image_sha256:
        yield (
            f"{name}: which container image the job ran was not verified: it was killed before it could tell, the "
            "image was replaced meanwhile, or is no single file."
        )
    elif analysis.run_by.startswith("site"):
        yield f"{name}: a {analysis.run_by} ran the job; that it ran the image that it was given is not verified."
    elif not known.image_source:
        yield f"{name}: where the image was pulled from is not known: nobody pulled it with this worker."
    if not known.slurm_version:
        yield f"{name}: the version of Slurm is not known."
    if not known.runtime_version and not analysis.run_by.startswith("site"):
        yield f"{name}: the version of the container runtime is not known."
    if not any(job.usage for job in analysis.jobs[-1:]):
        yield f"{name}: what the job has used is not known; accounting has not said so."
    if analysis.manifest_sha256:
        yield (
            f"{name}: its {analysis.output_count} result files are too many to be listed here; the digest of their "
            f"list is {analysis.manifest_sha256}."
        )
    if analysis.ok and not analysis.imported and run.status not in ("running", "paused"):
        yield f"{name}: its results are not in OMERO, or not all of them."
