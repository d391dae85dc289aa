"""Sections ``[ANALYTICS]``, ``[ANALYSES]`` and ``[WORKER]``: what this worker records, reads and does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr

from worker.settings import reading
from worker.settings.models.written import SWITCH, TEXT, Frozen, Written

if TYPE_CHECKING:
    from collections.abc import Mapping


def _knob(reader: reading.Reader, name: str) -> Written:
    return Written(reader, variables=(f"OMERO_WORKER_{name.upper()}",))


class AnalyticsSettings(Frozen):
    """Section ``[ANALYTICS]``: what is recorded, and where."""

    track_workflows: Annotated[bool, SWITCH] = Field(default=True, description="record runs")
    enable_job_accounting: Annotated[bool, SWITCH] = Field(default=True, description="keep biomero_job_view")
    enable_job_progress: Annotated[bool, SWITCH] = Field(
        default=True,
        description="keep biomero_job_progress_view and biomero_workflow_progress_view",
    )
    enable_workflow_analytics: Annotated[bool, SWITCH] = Field(default=True, description="keep biomero_task_execution")
    sqlalchemy_url: Annotated[SecretStr | None, TEXT] = Field(
        default=None,
        description="the database; better given as SQLALCHEMY_URL_FILE, as it holds a password",
    )
    analytics_rebuild_start_time: Annotated[
        str | None, Written(reading.TEXT, variables=("BIOMERO_ANALYTICS_REBUILD_START_TIME",))
    ] = Field(default=None, description="a rebuild of the views leaves out what is older")
    analytics_rebuild_days_ago: Annotated[
        int | None, Written(reading.integer(0), variables=("BIOMERO_ANALYTICS_REBUILD_DAYS_AGO",))
    ] = Field(default=None, description="the same in days; wins over analytics_rebuild_start_time")


class AnalysesSettings(Frozen):
    """Section ``[ANALYSES]``: how the descriptors of workflows are fetched.

    The tokens come from the environment only; see `TOKEN_VARIABLES`.
    """

    github_token: SecretStr | None = Field(
        default=None,
        description="a token for repositories on github_host that are not public",
    )
    gitlab_token: SecretStr | None = Field(
        default=None,
        description="a token for repositories on gitlab_host that are not public",
    )
    github_host: Annotated[str, Written(reading.HOST)] = Field(
        default="github.com",
        description="the GitHub server that the token is for, the only one that it is sent to",
    )
    gitlab_host: Annotated[str, Written(reading.HOST)] = Field(
        default="gitlab.com",
        description="the GitLab server that the token is for, the only one that it is sent to",
    )
    refresh_minutes: Annotated[int, Written(reading.integer(1))] = Field(
        default=5,
        description="minutes between two looks at the repositories and images of all workflows",
    )
    timeout_s: Annotated[float, Written(reading.seconds(1))] = Field(
        default=60.0,
        description="seconds until an attempt to read one repository is given up",
    )


TOKEN_VARIABLES: Mapping[str, str] = {"github_token": "GITHUB_TOKEN", "gitlab_token": "GITLAB_TOKEN"}
"""From a field of `AnalysesSettings` to the variable that holds it; ``<variable>_FILE`` names a file that does."""


class WorkerKnobs(Frozen):
    """Section ``[WORKER]``: how the engine works. Each also as variable ``OMERO_WORKER_<NAME>``."""

    poll_interval_min_s: Annotated[float, _knob(reading.seconds(0.01), "poll_interval_min_s")] = Field(
        default=2.0,
        description="seconds between two questions to Slurm while jobs change",
    )
    poll_interval_max_s: Annotated[float, _knob(reading.seconds(0.01), "poll_interval_max_s")] = Field(
        default=60.0,
        description="seconds between two questions to Slurm while nothing changes",
    )
    max_attempts: Annotated[int, _knob(reading.integer(1), "max_attempts")] = Field(
        default=8,
        description="attempts of one step, after which the run is paused",
    )
    lease_s: Annotated[float, _knob(reading.seconds(0.1), "lease_s")] = Field(
        default=30.0,
        description="seconds after which the runs of a silent engine are taken over",
    )
    unknown_grace_s: Annotated[float, _knob(reading.seconds(0), "unknown_grace_s")] = Field(
        default=120.0,
        description="seconds for which a job that Slurm does not list is waited for",
    )
    batch_parallel_max: Annotated[int, _knob(reading.integer(1), "batch_parallel_max")] = Field(
        default=4,
        description="batches of one run that may be at work at the same time",
    )
    exporter: Annotated[
        Literal["own", "omero-cli-zarr"], _knob(reading.one_of("own", "omero-cli-zarr"), "exporter")
    ] = Field(default="own", description="what writes OME-Zarr")
