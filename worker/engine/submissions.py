"""What is recorded of a job before it is submitted, so that years later anybody can tell what was run, and with what.

Everything in it is known at that moment; what only the job can tell (which image it found, where it ran) is added when
it has ended (`worker.engine.steps.watch`). Plain JSON, as it goes into the record of the run. No secrets: the variables
and arguments of a job are its parameters, and paths on the cluster; of the variables that an admin sets by ``--export``
only the names are recorded, for their values may be anything.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from worker.analyses import parameters
from worker.cluster import images, submission
from worker.cluster.jobscript import sbatch_arguments
from worker.cluster.quoting import quote
from worker.engine.accept import release
from worker.errors import SettingsError
from worker.settings.secrecy import MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.analyses.sources import SourcedAnalysis
    from worker.cluster.jobscript import JobRequest
    from worker.engine.context import StepContext
    from worker.engine.request import WorkflowChoice

LONGEST_VALUE_BYTES = 4096
"""Of a longer variable or argument only its digest is recorded; the request has the value."""

LONGEST_DESCRIPTOR_BYTES = 64 * 1024
"""Of a longer descriptor only its digest is recorded."""


def facts_of(context: StepContext, job: JobRequest, described: SourcedAnalysis | None) -> dict[str, Any]:
    """Say what the job is that is about to be submitted.

    Parameters
    ----------
    context : StepContext
        Step ``submit`` of its branch.
    job : JobRequest
        The job.
    described : SourcedAnalysis or None
        What its descriptor says; None for a conversion.

    Returns
    -------
    dict
        ``worker`` (version of this program), ``settings_sha256``, ``cluster``, ``login`` (host as configured),
        ``command`` (of sbatch), ``options`` (of sbatch, as the job is given them), ``script_sha256``, ``run_by``
        (container, site script or site template), ``arguments`` and ``environment`` of the container, ``image`` (its
        ``file`` on the cluster and the ``reference`` that the settings pull it by), and of an analysis ``parameters``,
        ``defaults`` (those whose value is the descriptor's own), ``analysis`` (name, description, schema, citations)
        and ``descriptor`` (sha256, where it is from, its text).
    """
    script, *_ = submission.files_of(job).items()
    known = {} if described is None else _of_analysis(context, described)
    return {
        "worker": release(),
        "settings_sha256": context.settings.digest(),
        "cluster": context.request.cluster,
        "login": context.settings.cluster(context.request.cluster).ssh.host,
        "command": quote(["sbatch", *sbatch_arguments(job), str(script[0])]),
        "options": shown_options(job.flags),
        "script_sha256": hashlib.sha256(script[1]).hexdigest(),
        "run_by": "site script" if job.site_script else "site template" if job.template else "container",
        "arguments": [_short(argument) for argument in job.arguments],
        "environment": {name: _short(value) for name, value in job.environment.items()},
        "image": {"file": str(job.image), "reference": _reference(context, job, described)},
        **known,
    }


def shown_options(flags: Mapping[str, str | None]) -> dict[str, str | None]:
    """Give options of sbatch as they are recorded and shown: of ``--export`` the names of variables alone.

    Parameters
    ----------
    flags : mapping of str to str or None
        Options by name.

    Returns
    -------
    dict of str to str or None
        The same, with stars in the place of values that an admin hands to jobs.
    """
    shown = dict(flags)
    if shown.get("export"):
        # Values end at the next comma, but for those in quotes.
        shown["export"] = re.sub(r"=(?:'[^']*'|\"[^\"]*\")?[^,]*", f"={MASK}", str(shown["export"]))
    return shown


def changed_descriptor(choice: WorkflowChoice, now: str) -> str:
    """Say that a descriptor is not the one any more that the person was shown.

    Parameters
    ----------
    choice : WorkflowChoice
        What was chosen, and from which descriptor.
    now : str
        Digest of the descriptor that the job is submitted with.

    Returns
    -------
    str
        A note for the person; empty if nothing has changed, or nobody can tell.
    """
    shown = choice.descriptor_sha256
    if not shown or not now or shown == now:
        return ""
    return (
        f"The descriptor of {choice.name} has changed since the run was asked for (sha256 {shown[:12]}…, now "
        f"{now[:12]}…). The values that were chosen fit the new one, which is the one that was used."
    )


def _of_analysis(context: StepContext, described: SourcedAnalysis) -> dict[str, Any]:
    choice = context.request.workflows[context.own_branch.index]
    analysis = described.analysis
    values = {**parameters.fixed_values(analysis), **parameters.check_values(analysis, choice.parameters)}
    usual = {parameter.id: parameter.default for parameter in analysis.parameters}
    text = described.content.decode() if len(described.content) <= LONGEST_DESCRIPTOR_BYTES else ""
    return {
        "parameters": values,
        # Dialogs fill them in, so that nobody can tell whether a person has chosen them.
        "defaults": sorted(name for name, value in values.items() if value == usual[name]),
        "analysis": {
            "name": analysis.name,
            "description": analysis.description,
            "schema": analysis.schema_version,
            "citations": [asdict(citation) for citation in analysis.citations],
        },
        "descriptor": {
            "sha256": described.sha256,
            "source": described.source,
            "ref": described.ref,
            "commit": described.commit,
            "path": described.path,
            "fetched_at": described.fetched_at,
            "text": text,
        },
    }


def _reference(context: StepContext, job: JobRequest, described: SourcedAnalysis | None) -> str:
    """Say what the settings would pull; not that this is what somebody has put there."""
    converters: Mapping[str, str] = context.settings.converters
    image = described.analysis.image if described is not None else converters.get(job.workflow.removeprefix("convert_"))
    if not image:
        return ""
    try:
        return images.pull_address(context.slurm.image_source, image, job.version)
    except SettingsError:
        return image


def _short(value: str) -> str:
    data = value.encode("utf-8", "surrogateescape")
    if len(data) <= LONGEST_VALUE_BYTES:
        return data.decode("utf-8", "replace")
    return f"({len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()})"
