"""The settings, as frozen models; each field also says how it is written in slurm-config.ini and in the environment.

The models are the one table of names: the loader, the warnings about unknown keys and the list of variables that
are forwarded to scripts are all derived from them.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from worker.errors import RequestError
from worker.settings import locations, reading


@dataclass(frozen=True, slots=True)
class Written:
    """How a field is written.

    Parameters
    ----------
    reader : reading.Reader
        How its text is read.
    key : str
        Its key in slurm-config.ini, where that is not the name of the field.
    variables : tuple[str, ...]
        The environment variables that win over the files, the first that is set and not blank counts.
    """

    reader: reading.Reader
    key: str = ""
    variables: tuple[str, ...] = ()


_TEXT = Written(reading.TEXT)
_SWITCH = Written(reading.BOOLEAN)


def _knob(reader: reading.Reader, name: str) -> Written:
    return Written(reader, variables=(f"OMERO_WORKER_{name.upper()}",))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SshSettings(_Frozen):
    """Section ``[SSH]``: how the cluster is reached. User, port and key come from the ssh configuration."""

    host: Annotated[str, Written(reading.WORD)] = Field(
        default="slurm", description="alias of the cluster in ssh_config"
    )
    inline_ssh_env: Annotated[bool, _SWITCH] = Field(
        default=True,
        description="send variables inside the command, for servers without AcceptEnv",
    )
    ssh_config: Annotated[Path, Written(reading.LOCAL_PATH)] = Field(
        default_factory=lambda: locations.expand("~/.ssh/config"),
        description="the ssh configuration that knows the alias",
    )
    connect_timeout_s: Annotated[float, Written(reading.seconds(0.1), key="connect_timeout")] = Field(
        default=20.0,
        description="seconds until an attempt to connect is given up",
    )
    command_timeout_s: Annotated[float, Written(reading.seconds(0.1), key="command_timeout")] = Field(
        default=60.0,
        description="seconds until a command on the cluster is given up",
    )
    keepalive_s: Annotated[float, Written(reading.seconds(0), key="keepalive")] = Field(
        default=30.0,
        description="seconds between signs of life on an idle connection; 0 sends none",
    )


class SlurmSettings(_Frozen):
    """Section ``[SLURM]``. Paths are on the cluster, as written; relative ones start at the login's home."""

    slurm_data_path: Annotated[str, _TEXT] = Field(default="my-scratch/data", description="folder of the runs' data")
    slurm_images_path: Annotated[str, _TEXT] = Field(
        default="my-scratch/singularity_images/workflows",
        description="folder of the workflows' container images",
    )
    slurm_converters_path: Annotated[str, _TEXT] = Field(
        default="my-scratch/singularity_images/converters",
        description="folder of the converters' container images",
    )
    slurm_script_path: Annotated[str, _TEXT] = Field(default="slurm-scripts", description="folder of the job scripts")
    slurm_script_repo: Annotated[str | None, _TEXT] = Field(
        default=None,
        description="git repository of job scripts; without one they are generated",
    )
    slurm_data_bind_path: Annotated[str | None, _TEXT] = Field(
        default=None,
        description="paths of the cluster that containers must see; becomes APPTAINER_BINDPATH of the jobs",
    )
    slurm_conversion_partition: Annotated[str | None, _TEXT] = Field(
        default=None,
        description="partition of conversion jobs",
    )
    slurm_default_partition: Annotated[str | None, Written(reading.TEXT, variables=("BIOMERO_DEFAULT_PARTITION",))] = (
        Field(default=None, description="partition of jobs that name none")
    )
    sacct_start_time: Annotated[str, Written(reading.TEXT, variables=("BIOMERO_SACCT_START_TIME",))] = Field(
        default="2023-01-01",
        description="jobs before this day are not asked for",
    )
    sacct_days_ago: Annotated[int | None, Written(reading.integer(0), variables=("BIOMERO_SACCT_START_DAYS_AGO",))] = (
        Field(default=None, description="only jobs of so many days are asked for; wins over sacct_start_time")
    )
    env_file_submission: Annotated[bool, Written(reading.BOOLEAN, variables=("BIOMERO_ENV_FILE_SUBMISSION",))] = Field(
        default=False, description="pass variables to jobs in a file, for clusters that forbid --export"
    )
    inject_gpu_flag: Annotated[bool, Written(reading.BOOLEAN, variables=("BIOMERO_INJECT_GPU_FLAG",))] = Field(
        default=False,
        description="give --nv to containers of GPU workflows only, and not to all",
    )
    gpu_partition: Annotated[
        str | None, Written(reading.TEXT, variables=("BIOMERO_GPU_PARTITION", "GPU_PARTITION"))
    ] = Field(default=None, description="partition of GPU workflows")
    gpu_gres: Annotated[str | None, Written(reading.TEXT, variables=("BIOMERO_GPU_GRES", "GPU_GRES"))] = Field(
        default=None,
        description="--gres of GPU workflows; not together with gpu_gpus",
    )
    gpu_gpus: Annotated[str | None, Written(reading.TEXT, variables=("BIOMERO_GPU_GPUS", "GPU_GPUS"))] = Field(
        default=None,
        description="--gpus of GPU workflows; not together with gpu_gres",
    )
    sbatch_flags: Mapping[str, str | None] = Field(
        default_factory=dict,
        description="sbatch_<flag>: --<flag>[=value] for every job",
    )
    slurm_image_pull_via_sbatch: Annotated[
        bool, Written(reading.BOOLEAN, variables=("BIOMERO_IMAGE_PULL_VIA_SBATCH",))
    ] = Field(default=False, description="pull container images in a job, and not on the login node")
    image_pull_cpus: Annotated[int, Written(reading.integer(1), variables=("BIOMERO_PULL_CPUS",))] = Field(
        default=8,
        description="processors of such a job",
    )
    image_pull_mem: Annotated[str, Written(reading.WORD, variables=("BIOMERO_PULL_MEM",))] = Field(
        default="32G",
        description="memory of such a job",
    )
    apptainer_tmpdir: Annotated[str | None, Written(reading.TEXT, variables=("BIOMERO_APPTAINER_TMPDIR",))] = Field(
        default=None, description="temporary folder of image pulls on the cluster"
    )
    apptainer_cachedir: Annotated[str | None, Written(reading.TEXT, variables=("BIOMERO_APPTAINER_CACHEDIR",))] = Field(
        default=None, description="cache folder of image pulls on the cluster"
    )
    slurm_zip_cmd: Annotated[str, Written(reading.TEXT, variables=("BIOMERO_SLURM_ZIP_CMD",))] = Field(
        default="$(command -v 7z || command -v 7za)",
        description="the 7-Zip command of the cluster",
    )


class AnalyticsSettings(_Frozen):
    """Section ``[ANALYTICS]``: what is recorded, and where."""

    track_workflows: Annotated[bool, _SWITCH] = Field(default=True, description="record runs")
    enable_job_accounting: Annotated[bool, _SWITCH] = Field(default=True, description="keep biomero_job_view")
    enable_job_progress: Annotated[bool, _SWITCH] = Field(
        default=True,
        description="keep biomero_job_progress_view and biomero_workflow_progress_view",
    )
    enable_workflow_analytics: Annotated[bool, _SWITCH] = Field(default=True, description="keep biomero_task_execution")
    sqlalchemy_url: Annotated[SecretStr | None, _TEXT] = Field(
        default=None,
        description="the database; better given as SQLALCHEMY_URL_FILE, as it holds a password",
    )
    analytics_rebuild_start_time: Annotated[
        str | None, Written(reading.TEXT, variables=("BIOMERO_ANALYTICS_REBUILD_START_TIME",))
    ] = Field(default=None, description="a rebuild of the views leaves out what is older")
    analytics_rebuild_days_ago: Annotated[
        int | None, Written(reading.integer(0), variables=("BIOMERO_ANALYTICS_REBUILD_DAYS_AGO",))
    ] = Field(default=None, description="the same in days; wins over analytics_rebuild_start_time")


class WorkerKnobs(_Frozen):
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


class RetrySettings(_Frozen):
    """Keys ``<workflow>_retry_…``: whether a job that ran out of memory or time is tried again with more of it."""

    max: Annotated[int, Written(reading.integer(0, 8))] = Field(
        default=0, description="how often it is tried again after the first time; 0: never"
    )
    memory_factor: Annotated[float, Written(reading.FACTOR)] = Field(
        default=2.0, description="so many times the memory it had, if it ran out of memory"
    )
    memory_max_mib: Annotated[int | None, Written(reading.MEMORY, key="memory_max")] = Field(
        default=None, description="never more memory than this"
    )
    time_factor: Annotated[float, Written(reading.FACTOR)] = Field(
        default=2.0, description="so many times the time it had, if it ran out of time"
    )
    time_max_s: Annotated[int | None, Written(reading.DURATION, key="time_max")] = Field(
        default=None, description="never more time than this"
    )


class WorkflowSettings(_Frozen):
    """One workflow of ``[MODELS]`` or ``[WORKFLOWS]``.

    ``name`` is lower-case and is its identity: parameters of scripts carry it, and the web plugin sends it so.
    ``display_name`` is spelled as in the file.
    """

    name: str = Field(description="the key, in lower case")
    display_name: str = Field(default="", description="the key as written")
    image_folder: str = Field(description="folder of its images, below slurm_images_path")
    repo: str | None = Field(default=None, description="repository of its descriptor")
    job: str | None = Field(default=None, description="its job script, below slurm_script_path")
    job_flags: Mapping[str, str | None] = Field(
        default_factory=dict,
        description="options of sbatch without the leading --; None is an option without a value",
    )
    use_gpu: bool = Field(default=False, description="whether it runs on a GPU unless told otherwise")
    retry: RetrySettings | None = Field(
        default=None, description="how its jobs are tried again with more memory or time; None: they are not"
    )


class Settings(_Frozen):
    """Everything that an admin can set, merged from all files and the environment."""

    ssh: SshSettings = Field(default_factory=SshSettings)
    slurm: SlurmSettings = Field(default_factory=SlurmSettings)
    analytics: AnalyticsSettings = Field(default_factory=AnalyticsSettings)
    worker: WorkerKnobs = Field(default_factory=WorkerKnobs)
    converters: Mapping[str, str] = Field(default_factory=dict, description="<src>_to_<dst>: container image")
    workflows: Mapping[str, WorkflowSettings] = Field(default_factory=dict, description="by lower-case name")
    warnings: tuple[str, ...] = Field(default=(), description="what an admin should look at, though it could be used")

    def workflow(self, name: str) -> WorkflowSettings:
        """Find a workflow by its name, in whatever case.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        WorkflowSettings
            Its settings.

        Raises
        ------
        RequestError
            There is no such workflow.
        """
        found = self.workflows.get(name.lower())
        if found is not None:
            return found
        near = difflib.get_close_matches(name.lower(), self.workflows, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(self.workflows) or 'none'}."
        raise RequestError(f"There is no workflow {name!r} in slurm-config.ini.", remedy=hint)

    def digest(self) -> str:
        """Fingerprint the content without secrets and warnings, to see whether settings have changed.

        Returns
        -------
        str
            A sha256, in hexadecimal; it does not depend on the order of keys in the files.
        """
        content = self.model_dump(mode="json", exclude={"warnings": True, "analytics": {"sqlalchemy_url"}})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


SECTIONS: Mapping[str, type[BaseModel]] = {
    "SSH": SshSettings,
    "SLURM": SlurmSettings,
    "ANALYTICS": AnalyticsSettings,
    "WORKER": WorkerKnobs,
}
"""The sections whose keys are fields of a model."""


def written_fields(model: type[BaseModel]) -> dict[str, tuple[str, Written]]:
    """List the fields of a model that can be written in a file.

    Parameters
    ----------
    model : type[BaseModel]
        One of `SECTIONS`.

    Returns
    -------
    dict[str, tuple[str, Written]]
        From the key in the file to the name of the field and how it is written.
    """
    fields: dict[str, tuple[str, Written]] = {}
    for name, field in model.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Written):
                fields[mark.key or name] = (name, mark)
    return fields


def variables() -> tuple[str, ...]:
    """List every environment variable that wins over slurm-config.ini.

    Returns
    -------
    tuple[str, ...]
        Their names, in the order of the models.
    """
    return tuple(
        variable
        for model in SECTIONS.values()
        for _, mark in written_fields(model).values()
        for variable in mark.variables
    )
