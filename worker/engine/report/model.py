"""What a report of a run says, as plain, frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.results.actions import CrateFile
    from worker.results.model import CreatedObject, Provenance, SourceFile


@dataclass(frozen=True, slots=True)
class JobTry:
    """One job of an analysis, whatever became of it.

    Parameters
    ----------
    number : int
        Which of them, from 1.
    key : str
        The key that it has in Slurm.
    job_id : int or None
        Slurm's number; None if it never had one.
    state : str
        What became of it; empty while nobody knows.
    exit_code : int or None
        Its exit code.
    reason : str
        Why it ended so, or why another one took its place.
    hosts : tuple of str
        Where it ran.
    started, ended : str
        When, ISO 8601.
    image_sha256 : str
        The image that it ran.
    usage : Mapping
        What it has used, as accounting says.
    """

    number: int
    key: str
    job_id: int | None
    state: str = ""
    exit_code: int | None = None
    reason: str = ""
    hosts: tuple[str, ...] = ()
    started: str = ""
    ended: str = ""
    image_sha256: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnalysisFacts:
    """One analysis of a run.

    Parameters
    ----------
    provenance : Provenance
        What was run, where, with what.
    ok : bool or None
        Whether its job ended well; None while it has not ended.
    message : str
        Why not.
    run_by : str
        What ran the image: ``container`` (we), ``site script``, ``site template``; empty if nobody knows.
    image_file, image_reference : str
        The image on the cluster, and what the settings pull it from.
    script_sha256 : str
        Digest of the job script.
    arguments : tuple of str
        Arguments of the container.
    jobs : tuple of JobTry
        All of its jobs, the present one last.
    outputs : tuple of CrateFile
        What it wrote.
    output_count : int
        How many files that are, also where they are not listed one by one.
    output_bytes : int
        Their size.
    manifest_sha256 : str
        Digest of the list of these files, where that is not in the record itself.
    objects : tuple of CreatedObject
        What is of it in OMERO.
    imported : bool
        Whether the import has ended.
    """

    provenance: Provenance
    ok: bool | None
    message: str = ""
    run_by: str = ""
    image_file: str = ""
    image_reference: str = ""
    script_sha256: str = ""
    arguments: tuple[str, ...] = ()
    jobs: tuple[JobTry, ...] = ()
    outputs: tuple[CrateFile, ...] = ()
    output_count: int = 0
    output_bytes: int = 0
    manifest_sha256: str = ""
    objects: tuple[CreatedObject, ...] = ()
    imported: bool = False


@dataclass(frozen=True, slots=True)
class StepFacts:
    """One step of a run.

    Parameters
    ----------
    name : str
        The step.
    state : str
        ``done``, ``failed``, ``intended`` (begun) or ``open``.
    attempts : int
        Attempts that have failed.
    began, ended : str
        When, ISO 8601; empty if it has not.
    message : str
        Why it failed, or waits.
    """

    name: str
    state: str
    attempts: int = 0
    began: str = ""
    ended: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Everything that a report of a run says.

    Parameters
    ----------
    run_id, kind, name, description : str
        Which run; ``analysis``, ``transfer``, ``file-transfer``, ``conversion``, ``results``, or ``unknown`` for one of
        another tool.
    status : str
        ``completed``, ``failed``, ``cancelled``, ``paused`` or ``running``.
    message : str
        Why.
    user_id, group_id : int
        Whose it is.
    user_name, group_name : str
        Their names; empty if they were not recorded.
    created, changed : str
        When it was asked for, and when it last changed: ISO 8601.
    ended : str
        When it ended; empty if it has not.
    accepted_by, reported_by : str
        Version of the worker that took it on, and of that which makes the report.
    cluster, folder : str
        Where it ran.
    data_type : str
        What was selected.
    ids : tuple of int
        Their ids.
    sources : tuple of SourceFile
        The images, and the files that they became on the cluster.
    taken : Mapping
        Which planes a file was made from, where that is not all of them.
    analyses : tuple of AnalysisFacts
        What was run on them.
    steps : tuple of StepFacts
        How it went.
    objects : tuple of CreatedObject
        What it has brought into OMERO.
    notes : tuple of str
        What the person was told.
    gaps : tuple of str
        What nobody knows.
    jobs : tuple of JobTry
        Of a conversion, its jobs.
    finished_run : str
        Of a run that imports the results of an earlier one: that run.
    finished_job : int
        Its job.
    parent : str
        The run whose batch it is; empty if it is none.
    batch_index, batch_total : int
        Which one.
    batches : tuple of RunFacts
        The runs that its batches have become.
    batch_count : int
        How many batches there are to be.
    """

    run_id: str
    kind: str
    name: str
    description: str
    status: str
    message: str
    user_id: int
    group_id: int
    created: str
    changed: str
    ended: str = ""
    user_name: str = ""
    group_name: str = ""
    accepted_by: str = ""
    reported_by: str = ""
    cluster: str = ""
    folder: str = ""
    data_type: str = ""
    ids: tuple[int, ...] = ()
    sources: tuple[SourceFile, ...] = ()
    taken: Mapping[str, Any] = field(default_factory=dict)
    analyses: tuple[AnalysisFacts, ...] = ()
    steps: tuple[StepFacts, ...] = ()
    objects: tuple[CreatedObject, ...] = ()
    notes: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    jobs: tuple[JobTry, ...] = ()
    finished_run: str = ""
    finished_job: int = 0
    parent: str = ""
    batch_index: int = 0
    batch_total: int = 0
    batches: tuple[RunFacts, ...] = ()
    batch_count: int = 0
