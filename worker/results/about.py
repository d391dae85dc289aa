"""What lies beside the results of a job and says where they come from: to persons a table, to programs an RO-Crate."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from worker.results.actions import Crate, CrateFile, action_of, descriptor_file, software_of
from worker.results.crate import METADATA, render_crate
from worker.results.metadata import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.results.model import Provenance, SourceFile


def describe_results(
    provenance: Provenance, sources: Sequence[SourceFile], outputs: Sequence[CrateFile], table: str
) -> dict[str, bytes]:
    """Write the files that describe a folder, or zip, of results.

    Parameters
    ----------
    provenance : Provenance
        Where the results come from.
    sources : Sequence of SourceFile
        What was analysed.
    outputs : Sequence of CrateFile
        The results, with their paths there.
    table : str
        How the table for persons is called.

    Returns
    -------
    dict
        Name to content: the table; and, unless the results have files of these names themselves, the crate with the
        descriptor of the analysis.
    """
    metadata = render(provenance)
    files = {table: metadata}
    there = {each.path for each in outputs}
    descriptor = descriptor_file(provenance)
    if METADATA in there or (descriptor and descriptor.path in there):
        # The analysis says so itself.
        return files
    crate = Crate(
        name=f"Results of {provenance.workflow} {provenance.version}".strip(),
        description=describe_result(provenance),
        published=provenance.job_ended or provenance.modified,
        actions=(action_of(provenance, sources=sources, outputs=outputs),),
        files=(CrateFile(table, len(metadata), hashlib.sha256(metadata).hexdigest(), "Where it comes from."),),
        holds_outputs=True,
        software=software_of(provenance),
    )
    if descriptor:
        files[descriptor.path] = provenance.descriptor_text.encode()
    return {**files, METADATA: render_crate(crate)}


def describe_result(provenance: Provenance, source: SourceFile | None = None) -> str:
    """Describe something that was made of a result in a sentence.

    Parameters
    ----------
    provenance : Provenance
        Where it comes from.
    source : SourceFile, optional
        The one image that it was made from, if that is known.

    Returns
    -------
    str
        Job, run, analysis, and the image.
    """
    text = f"Result from job {provenance.job_id} (Workflow {provenance.run_id}) | analysis {provenance.workflow}"
    if provenance.version:
        text += f" {provenance.version}"
    return f"{text} | source: {source.name} (id: {source.image_id})" if source else text
