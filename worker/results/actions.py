"""What was done, by whom, with what, and what came of it: the facts that an RO-Crate is written from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.results.model import Cited, CreatedObject, Provenance, SourceFile

Status = Literal["completed", "failed", "running"]


@dataclass(frozen=True, slots=True)
class CrateFile:
    """A file that is in the crate, or was made and is elsewhere.

    Parameters
    ----------
    path : str
        Its path; of what is in the crate, below its root.
    size_bytes : int or None
        Its size.
    sha256 : str
        Digest of its content.
    description : str
        What it is.
    """

    path: str
    size_bytes: int | None = None
    sha256: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """What was run.

    Parameters
    ----------
    name, version, description : str
        What it is.
    descriptor : CrateFile or None
        Its descriptor, if that is in the crate.
    schema : str
        The schema of that.
    source : str
        Where that was read from.
    citations : tuple of Cited
        What to cite.
    """

    name: str
    version: str = ""
    description: str = ""
    descriptor: CrateFile | None = None
    schema: str = ""
    source: str = ""
    citations: tuple[Cited, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """One execution of something.

    Parameters
    ----------
    key : str
        What it is known by.
    name, description : str
        What was done; how, such as the command.
    tool : Tool
        What did it.
    person, group : str
        Who wanted it, in which group of OMERO.
    started, ended : str
        When, ISO 8601; empty if nobody knows.
    status : {"completed", "failed", "running"}
        What became of it.
    error : str
        Why it failed.
    values : Mapping
        Its parameters.
    defaults : tuple of str
        Those of them whose value is the descriptor's own.
    environment : Mapping
        Variables that it was given.
    sources : tuple of SourceFile
        The images in OMERO that it was given.
    outputs : tuple of CrateFile
        The files that it made.
    objects : tuple of CreatedObject
        What was made of them in OMERO.
    image_source, image_sha256 : str
        The container image that it ran.
    """

    key: str
    name: str
    tool: Tool
    description: str = ""
    person: str = ""
    group: str = ""
    started: str = ""
    ended: str = ""
    status: Status = "completed"
    error: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    defaults: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[SourceFile, ...] = ()
    outputs: tuple[CrateFile, ...] = ()
    objects: tuple[CreatedObject, ...] = ()
    image_source: str = ""
    image_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Crate:
    """Everything that a crate says.

    Parameters
    ----------
    name, description : str
        What it is about.
    published : str
        When that was so, ISO 8601.
    actions : tuple of Action
        What was done.
    files : tuple of CrateFile
        What is in it, besides descriptors and outputs.
    holds_outputs : bool
        Whether the outputs of the actions are in it.
    software : Mapping
        Versions of the programs that took part, by name.
    link : callable, optional
        Gives the web address of an object in OMERO by kind and id; empty if it has none.
    """

    name: str
    description: str
    published: str
    actions: tuple[Action, ...]
    files: tuple[CrateFile, ...] = ()
    holds_outputs: bool = False
    software: Mapping[str, str] = field(default_factory=dict)
    link: Callable[[str, int], str] = lambda _kind, _id: ""


def action_of(
    provenance: Provenance,
    *,
    sources: Sequence[SourceFile] = (),
    outputs: Sequence[CrateFile] = (),
    objects: Sequence[CreatedObject] = (),
    status: Status = "completed",
    error: str = "",
    key: str = "",
) -> Action:
    """Say what the job of an analysis did.

    Parameters
    ----------
    provenance : Provenance
        Where its results come from.
    sources : Sequence of SourceFile
        What it was given.
    outputs : Sequence of CrateFile
        What it made.
    objects : Sequence of CreatedObject
        What that is in OMERO.
    status : {"completed", "failed", "running"}
        What became of it.
    error : str
        Why it failed.
    key : str
        What it is known by; by default its task.

    Returns
    -------
    Action
        The same.
    """
    name = f"{provenance.workflow} {provenance.version}".strip()
    return Action(
        key=key or provenance.task_id,
        name=f"{name} (Slurm job {provenance.job_id})" if provenance.job_id else name,
        tool=Tool(
            provenance.analysis_name or provenance.workflow,
            provenance.version,
            provenance.analysis_description,
            descriptor_file(provenance),
            provenance.descriptor_schema,
            provenance.descriptor_source,
            provenance.citations,
        ),
        description=provenance.command,
        person=provenance.user_name,
        group=provenance.group_name,
        started=provenance.job_started,
        ended=provenance.job_ended,
        status=status,
        error=error,
        values=provenance.parameters,
        defaults=provenance.defaults,
        environment=provenance.environment,
        sources=tuple(sources),
        outputs=tuple(outputs),
        objects=tuple(objects),
        image_source=provenance.image_source,
        image_sha256=provenance.image_sha256,
    )


def descriptor_file(provenance: Provenance) -> CrateFile | None:
    """Name the descriptor of an analysis for a crate.

    Parameters
    ----------
    provenance : Provenance
        Has its content.

    Returns
    -------
    CrateFile or None
        The file, named after the analysis; None if its content was not recorded.
    """
    if not provenance.descriptor_text:
        return None
    size_bytes = len(provenance.descriptor_text.encode())
    suffix = PurePosixPath(provenance.descriptor_path).suffix or ".json"
    name = f"descriptor_{provenance.workflow}{suffix}"
    return CrateFile(name, size_bytes, provenance.descriptor_sha256, "Descriptor of the analysis, as it was used.")


def software_of(provenance: Provenance) -> dict[str, str]:
    """List the programs that took part in a job, with their versions as far as they are known."""
    # As they tell it: "slurm-wlm 24.11.5", "apptainer version 1.4.5", "singularity-ce version 4.1.0".
    runtime, _, version = provenance.runtime_version.partition(" version ")
    return {
        "omero-worker": provenance.worker_version,
        "Slurm": provenance.slurm_version.rpartition(" ")[2],
        runtime or "container runtime": version,
    }
