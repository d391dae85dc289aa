"""A report as an RO-Crate: the run in JSON-LD, with descriptor, metadata and the report for persons beside it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from worker.engine.report.markdown import KINDS, render_markdown
from worker.engine.report.page import render_page
from worker.results.actions import Action, Crate, CrateFile, Tool, action_of, descriptor_file, software_of
from worker.results.crate import METADATA, README, render_crate
from worker.results.metadata import metadata_name, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from worker.engine.report.model import AnalysisFacts, JobTry, RunFacts
    from worker.results.actions import Status

PREVIEW = "ro-crate-preview.html"


_STATUS: Mapping[str, Status] = {"completed": "completed", "running": "running", "paused": "running"}


def crate_files(run: RunFacts, link: Callable[[str, int], str] = lambda _kind, _id: "") -> dict[str, bytes]:
    """Make the files of the crate of a run.

    Parameters
    ----------
    run : RunFacts
        What to say.
    link : callable, optional
        Gives the web address of an object in OMERO by kind and id; empty if it has none.

    Returns
    -------
    dict of str to bytes
        Content by name: ``ro-crate-metadata.json`` first, then what it tells of. The same facts give the same bytes.
    """
    files: dict[str, bytes] = {README: render_markdown(run, link).encode(), PREVIEW: render_page(run, link).encode()}
    told = [_told(README, files[README], "The report, for persons.")]
    software: dict[str, str] = {"omero-worker": run.accepted_by}
    for each in (run, *run.batches):
        for analysis in each.analyses:
            known = analysis.provenance
            if analysis.ok is not None:
                name = metadata_name(known) if len(each.analyses) == 1 else f"{known.workflow}_{metadata_name(known)}"
                files[name] = render(known)
                told.append(_told(name, files[name], f"What is known of {known.workflow}, as keys and values."))
            if descriptor := descriptor_file(known):
                files[descriptor.path] = known.descriptor_text.encode()
            software |= {name: version for name, version in software_of(known).items() if version}
    crate = Crate(
        name=f"Run {run.run_id}",
        description=f"{run.name}: {KINDS[run.kind]}. {run.description} Status: {run.status}.",
        published=run.ended or run.changed,
        actions=tuple(action for each in (run, *run.batches) for action in _actions(each)),
        files=tuple(told),
        software=software,
        link=link,
    )
    return {METADATA: render_crate(crate), **files}


def _told(name: str, content: bytes, description: str) -> CrateFile:
    return CrateFile(name, len(content), hashlib.sha256(content).hexdigest(), description)


def _actions(run: RunFacts) -> Iterator[Action]:
    for analysis in run.analyses:
        yield from _jobs(run, analysis)
    if run.kind in ("analysis", "unknown"):
        return
    yield Action(
        key=run.run_id,
        name=f"{KINDS[run.kind]}: {run.description}",
        tool=Tool("omero-worker", run.accepted_by),
        person=run.user_name,
        group=run.group_name,
        started=run.created,
        ended=run.ended,
        status=_STATUS.get(run.status, "failed"),
        error=run.message,
        sources=run.sources,
        objects=run.objects,
        image_sha256=run.jobs[-1].image_sha256 if run.jobs else "",
    )


def _jobs(run: RunFacts, analysis: AnalysisFacts) -> Iterator[Action]:
    """Each job of an analysis, those that came to nothing too; what was imported is of the last."""
    for job in analysis.jobs[:-1]:
        yield _job(run, analysis, job)
    if analysis.jobs:
        status: Status = "running" if analysis.ok is None else "completed" if analysis.ok else "failed"
        error = analysis.message
        if status == "running" and run.status not in ("running", "paused"):
            status, error = "failed", run.message
        yield action_of(
            analysis.provenance,
            sources=run.sources,
            outputs=analysis.outputs,
            objects=analysis.objects,
            status=status,
            error=error,
            key=analysis.jobs[-1].key,
        )


def _job(run: RunFacts, analysis: AnalysisFacts, job: JobTry) -> Action:
    whole = action_of(analysis.provenance, sources=run.sources, status="failed", error=job.reason, key=job.key)
    name = f"{analysis.provenance.workflow} {analysis.provenance.version} (Slurm job {job.job_id or 'none'})"
    return replace(
        whole, name=name, description="", started=job.started, ended=job.ended, image_sha256=job.image_sha256
    )
