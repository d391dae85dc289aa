"""Sections ``[ANALYTICS]``, ``[ANALYSES]`` and ``[WORKER]``: what this worker records, reads and does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr

from worker.settings import reading
from worker.settings.models.written import Frozen, Written

if TYPE_CHECKING:
    from collections.abc import Mapping


def _knob(reader: reading.Reader, name: str) -> Written:
    return Written(reader, variables=(f"OMERO_WORKER_{name.upper()}",))


class AnalyticsSettings(Frozen):
    """Section ``[ANALYTICS]``: the record of runs, and the tables that dashboards read."""

    sqlalchemy_url: Annotated[
        SecretStr | None,
        Written(
            reading.DATABASE_URL,
            unset="a SQLite file in the state folder of this worker",
            example="postgresql+psycopg2://user:password@database:5432/biomero",
        ),
    ] = Field(
        default=None,
        description="The database of the record. It holds a password: better put it into a file of its own, and name "
        "that file with the variable SQLALCHEMY_URL_FILE. The variable SQLALCHEMY_URL, or that file, wins over this.",
    )
    track_workflows: Annotated[bool, Written(reading.BOOLEAN)] = Field(
        default=True,
        description="Whether notebooks are given the record (docs/notebooks.md). It is kept in any case: it is what "
        "runs live from.",
    )
    enable_job_accounting: Annotated[bool, Written(reading.BOOLEAN)] = Field(
        default=True,
        description="Whether the table biomero_job_view is kept. When it is switched on again, `omero-worker history "
        "rebuild` fills in what was left out.",
    )
    enable_job_progress: Annotated[bool, Written(reading.BOOLEAN)] = Field(
        default=True,
        description="Whether the tables biomero_job_progress_view and biomero_workflow_progress_view are kept.",
    )
    enable_workflow_analytics: Annotated[bool, Written(reading.BOOLEAN)] = Field(
        default=True,
        description="Whether the table biomero_task_execution is kept.",
    )
    analytics_rebuild_start_time: Annotated[
        str | None,
        Written(
            reading.DATE,
            variables=("BIOMERO_ANALYTICS_REBUILD_START_TIME",),
            unset="all of it comes back",
            example="2024-01-01",
        ),
    ] = Field(
        default=None,
        description="A rebuild of these tables leaves out runs that began before this day.",
    )
    analytics_rebuild_days_ago: Annotated[
        int | None,
        Written(
            reading.integer(0),
            variables=("BIOMERO_ANALYTICS_REBUILD_DAYS_AGO",),
            unset="all of it comes back",
            example="365",
        ),
    ] = Field(default=None, description="The same in days before the rebuild; wins over analytics_rebuild_start_time.")


class AnalysesSettings(Frozen):
    """Section ``[ANALYSES]``: how the descriptors of workflows are fetched.

    The tokens come from the environment only; see `TOKEN_VARIABLES`.
    """

    github_token: SecretStr | None = Field(
        default=None,
        description="A token for repositories on github_host that are not public.",
    )
    gitlab_token: SecretStr | None = Field(
        default=None,
        description="A token for repositories on gitlab_host that are not public.",
    )
    github_host: Annotated[str, Written(reading.HOST)] = Field(
        default="github.com",
        description="The GitHub server that the token of GITHUB_TOKEN_FILE is for, the only one that it is sent to.",
    )
    gitlab_host: Annotated[str, Written(reading.HOST)] = Field(
        default="gitlab.com",
        description="The GitLab server that the token of GITLAB_TOKEN_FILE is for, the only one that it is sent to.",
    )
    refresh_minutes: Annotated[int, Written(reading.integer(1))] = Field(
        default=5,
        description="Minutes between two looks at the repositories and container images of all workflows.",
    )
    timeout_s: Annotated[float, Written(reading.seconds(1))] = Field(
        default=60.0,
        description="Seconds until an attempt to read one repository is given up.",
    )


TOKEN_VARIABLES: Mapping[str, str] = {"github_token": "GITHUB_TOKEN", "gitlab_token": "GITLAB_TOKEN"}
"""From a field of `AnalysesSettings` to the variable that holds it; ``<variable>_FILE`` names a file that does."""


class WorkerKnobs(Frozen):
    """Section ``[WORKER]``: how the engine works. Each key also as variable ``OMERO_WORKER_<KEY>``."""

    poll_interval_min_s: Annotated[float, _knob(reading.seconds(0.01), "poll_interval_min_s")] = Field(
        default=2.0,
        description="Seconds between two questions to Slurm while jobs change.",
    )
    poll_interval_max_s: Annotated[float, _knob(reading.seconds(0.01), "poll_interval_max_s")] = Field(
        default=60.0,
        description="Seconds between two questions to Slurm while nothing changes.",
    )
    max_attempts: Annotated[int, _knob(reading.integer(1), "max_attempts")] = Field(
        default=8,
        description="Attempts of one step, after which the run is paused. What cannot be reached does not count.",
    )
    lease_s: Annotated[float, _knob(reading.seconds(0.1), "lease_s")] = Field(
        default=30.0,
        description="Seconds after which the runs of an engine that gives no sign of life are taken over by another.",
    )
    unknown_grace_s: Annotated[float, _knob(reading.seconds(0), "unknown_grace_s")] = Field(
        default=120.0,
        description="Seconds for which a job that Slurm does not list is waited for, before its run is paused.",
    )
    batch_parallel_max: Annotated[int, _knob(reading.integer(1), "batch_parallel_max")] = Field(
        default=4,
        description='Batches of one run of "Slurm Workflow (Batched)" that may be at work at the same time.',
    )
    importer_timeout_s: Annotated[float, _knob(reading.seconds(1), "importer_timeout_s")] = Field(
        default=3600.0,
        description="Seconds without news of an import in place, after which it is given up. Each stage that the "
        "importer reports is news, and so is each image that arrives.",
    )
    keep_failed_days: Annotated[int, _knob(reading.integer(0), "keep_failed_days")] = Field(
        default=30,
        description="Days for which the data of a run that has failed stay on the cluster, so that it can be retried; "
        "then the engine service removes them (docs/storage.md).",
    )
    keep_results_days: Annotated[
        int | None,
        Written(
            reading.integer(0),
            variables=("OMERO_WORKER_KEEP_RESULTS_DAYS",),
            unset="they are kept for ever",
            example="90",
        ),
    ] = Field(
        default=None,
        description="The same for the data of a run that has completed, where the person wished to keep them.",
    )
    exporter: Annotated[
        Literal["own", "omero-cli-zarr"], _knob(reading.one_of("own", "omero-cli-zarr"), "exporter")
    ] = Field(default="own", description="What writes OME-Zarr: this worker itself, or omero-cli-zarr.")
    omero_web_url: Annotated[
        str | None,
        Written(
            reading.WEB_URL,
            variables=("OMERO_WORKER_OMERO_WEB_URL",),
            unset="reports have no links",
            example="https://omero.example.org",
        ),
    ] = Field(
        default=None,
        description="Address of OMERO.web, for the links in reports of runs.",
    )
