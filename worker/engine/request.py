"""What a person asked for: the request of a run, checked at the door and recorded once.

The request is the only input of a run. It is stored with the run's first event, so that any process can go on with
the run without asking the person, the dialog or the script again. It holds no secret: no password, no session key.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from worker.cluster.layout import RUN_FOLDER, RunLayout
from worker.errors import RequestError, SettingsError

ParameterValue = bool | int | float | str

RunKind = Literal["analysis", "transfer", "file-transfer", "conversion", "results"]

_FOLDERS = UUID("6f0b5f2c-4f0e-5d57-9f55-4a6f6c2f7b0e")
"""Namespace of the runs that are known by the folder that they have made."""


class JobLimits(BaseModel):
    """What a person wants a job to be given, in the place of what is configured; None: as configured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_s: Annotated[int, Field(gt=0)] | None = None
    """Time, in seconds."""
    memory_mib: Annotated[int, Field(gt=0)] | None = None
    """Memory of the job on a node, in MiB."""
    partition: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")] | None = None
    """Partition of the cluster."""


class FileChoice(BaseModel):
    """A file that is attached to something in OMERO and is to be on the cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    annotation_id: Annotated[int, Field(gt=0)]
    """Its file annotation."""
    slot: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
    """Folder below ``data/in`` that it is put into."""
    formats: tuple[str, ...] = ()
    """Extensions that are allowed, without dot; none: any."""


class ConversionChoice(BaseModel):
    """What is converted into what, on the cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Annotated[str, Field(pattern=r"^[a-z0-9]+$")]
    """Format that is there, such as ``zarr``."""
    target: Annotated[str, Field(pattern=r"^[a-z0-9]+$")]
    """Format that is wanted, such as ``tiff``."""


class FinishedJob(BaseModel):
    """A job of an earlier run, whose results are brought into OMERO."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: UUID
    """The run whose job it was."""
    task_id: UUID
    """Its analysis."""
    job_id: Annotated[int, Field(gt=0)]
    """Slurm's number of the job."""


class WorkflowChoice(BaseModel):
    """One analysis that was ticked in the dialog, with its version and parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    """Name of the workflow in slurm-config.ini."""
    version: Annotated[str, Field(min_length=1)]
    """Tag of its container image on the cluster."""
    parameters: dict[str, ParameterValue] = Field(default_factory=dict)
    """Values by parameter id, exactly as typed."""
    files: dict[str, tuple[Annotated[int, Field(gt=0)], ...]] = Field(default_factory=dict)
    """Ids of file annotations, by the id of the parameter that they are given to."""
    limits: JobLimits = JobLimits()
    """What the job is to be given."""
    use_gpu: bool | None = None
    """Whether it is to run on a GPU; None: as configured."""
    descriptor_sha256: str = ""
    """Digest of the descriptor that was shown to the person; empty if nobody knows."""

    @field_validator("parameters", mode="before")
    @classmethod
    def _keep_types(cls, value: object) -> object:
        """Refuse values that JSON cannot give back unchanged (NaN and infinities)."""
        if isinstance(value, dict):
            for name, item in value.items():
                if isinstance(item, float) and item - item != 0:
                    raise ValueError(f"parameter {name!r} is {item}: give a finite number")
        return value


class BatchChoice(BaseModel):
    """How a selection is split into batches, each of which becomes a run of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Annotated[int, Field(ge=1)]
    """Images (or plates) in a batch."""
    parallel: Annotated[int, Field(ge=1)] | None = None
    """Batches that may be at work at the same time; None: as many as the admin allows, which is never exceeded."""


class ParentRun(BaseModel):
    """Which batch of which parent a run is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: UUID
    """The parent."""
    index: Annotated[int, Field(ge=1)]
    """Number of the batch, from 1."""
    total: Annotated[int, Field(ge=1)]
    """Number of all batches."""

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.index > self.total:
            raise ValueError(f"there is no batch {self.index} of {self.total}")
        return self


class RunRequest(BaseModel):
    """Everything that a run needs to know about what was asked for, and by whom.

    Raises
    ------
    pydantic.ValidationError
        If a value does not fit; `parse_request` turns it into a `RequestError`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: RunKind = "analysis"
    """Whether images are analysed, or only exported to the cluster, or files are, or images are converted there, or the
    results of a job that has ended are imported."""
    data_type: Literal["Dataset", "Image", "Plate", "Screen"] = "Image"
    """Kind of the OMERO objects that were selected."""
    ids: tuple[Annotated[int, Field(gt=0)], ...] = ()
    """Their ids; none where the request is about a folder on the cluster."""
    workflows: tuple[WorkflowChoice, ...] = ()
    """The analyses to run on them, each as a job of its own."""
    cluster: str = "default"
    """The cluster, by its name in slurm-config.ini; `worker.engine.accept` sets it."""
    data_path: str | None = None
    """Folder of the runs' data on that cluster when the run was accepted; None: as configured now."""
    folder: str | None = None
    """Folder of the run below `data_path`, if it is not named after the run."""
    pixels: dict[str, object] | None = None
    """What of the images is exported: the fields of `worker.pixels.choice.PixelChoice`; None: all."""
    files: tuple[FileChoice, ...] = ()
    """Files to put beside the images."""
    conversion: ConversionChoice | None = None
    """What to convert, for a request of that kind."""
    finished: FinishedJob | None = None
    """Whose results to import, for a request of that kind."""
    in_place: bool = False
    """Whether results are imported in place by the importer; otherwise through OMERO's API."""
    use_zarr: bool = False
    """Whether the analyses read OME-Zarr (otherwise they are given OME-TIFF)."""
    ome_zarr_version: Literal["0.4", "0.5"] = "0.4"
    """Version of OME-Zarr to write."""
    output: dict[str, object] = Field(default_factory=dict)
    """Where the results go: the fields of `worker.results.model.ImportOptions`."""
    email: str | None = None
    """Address for Slurm's mail, or None for no mail."""
    cleanup: bool = True
    """Whether the data on the cluster are removed once the results are safely in OMERO."""
    batch: BatchChoice | None = None
    """How to split the selection into batches; None: not at all."""
    parent: ParentRun | None = None
    """The run whose batch this one is; None: nobody's."""
    user_id: int
    user_name: str
    group_id: int
    group_name: str

    @field_validator("workflows")
    @classmethod
    def _no_workflow_twice(cls, value: tuple[WorkflowChoice, ...]) -> tuple[WorkflowChoice, ...]:
        names = [choice.name for choice in value]
        if len(set(names)) != len(names):
            raise ValueError(f"a workflow is chosen more than once: {', '.join(names)}")
        return value

    @field_validator("folder")
    @classmethod
    def _is_a_folder(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                RunLayout("data", UUID(int=0), value)
            except SettingsError as error:
                raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _says_what_its_kind_needs(self) -> Self:
        needed = {
            "analysis": ("ids", "workflows"),
            "transfer": ("ids", "folder"),
            "file-transfer": ("files", "folder"),
            "conversion": ("conversion", "folder"),
            "results": ("finished", "output"),
        }[self.kind]
        for name in needed:
            if not getattr(self, name):
                raise ValueError(f"{name} is missing, for a request of kind {self.kind!r}")
        return self

    @model_validator(mode="after")
    def _no_batches_of_batches(self) -> Self:
        if self.batch is not None and self.parent is not None:
            raise ValueError("a batch cannot be split into batches")
        return self

    @property
    def export_format(self) -> Literal["zarr-0.4", "zarr-0.5", "tiff"]:
        """Format in which the analyses are given the pixels."""
        if not self.use_zarr:
            return "tiff"
        return "zarr-0.5" if self.ome_zarr_version == "0.5" else "zarr-0.4"


def folder_run(cluster: str, folder: str) -> UUID:
    """Name the run that has made, or would make, a folder on a cluster, so that no two runs do.

    Parameters
    ----------
    cluster : str
        The cluster.
    folder : str
        The folder below ``slurm_data_path``.

    Returns
    -------
    UUID
        The run.
    """
    if RUN_FOLDER.fullmatch(folder):
        return UUID(folder.removeprefix("biomero_"))
    return uuid5(_FOLDERS, f"{cluster}/{folder}")


def parse_request(data: dict[str, object]) -> RunRequest:
    """Check a request at the door.

    Parameters
    ----------
    data : dict
        The fields of `RunRequest`.

    Returns
    -------
    RunRequest
        The checked request.

    Raises
    ------
    RequestError
        Naming every field that does not fit, its value and what is allowed.
    """
    try:
        return RunRequest.model_validate(data)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'request'}: {problem['msg']} "
            f"(given: {problem['input']!r})"
            for problem in error.errors(include_url=False)
        )
        raise RequestError(
            f"The request cannot be accepted: {problems}.", remedy="Correct it and run again."
        ) from error
