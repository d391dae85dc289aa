"""What a person asked for: the request of a run, checked at the door and recorded once.

The request is the only input of a run. It is stored with the run's first event, so that any process can go on with
the run without asking the person, the dialog or the script again. It holds no secret: no password, no session key.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from worker.errors import RequestError

ParameterValue = bool | int | float | str


class WorkflowChoice(BaseModel):
    """One analysis that was ticked in the dialog, with its version and parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    """Name of the workflow in slurm-config.ini."""
    version: Annotated[str, Field(min_length=1)]
    """Tag of its container image on the cluster."""
    parameters: dict[str, ParameterValue] = Field(default_factory=dict)
    """Values by parameter id, exactly as typed."""

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

    data_type: Literal["Dataset", "Image", "Plate", "Screen"]
    """Kind of the OMERO objects that were selected."""
    ids: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)]
    """Their ids."""
    workflows: Annotated[tuple[WorkflowChoice, ...], Field(min_length=1)]
    """The analyses to run on them, each as a job of its own."""
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
