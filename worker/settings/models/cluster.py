"""Sections ``[SSH]`` and ``[SLURM]``: a cluster, how it is reached and what its jobs need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from worker.settings import locations, reading
from worker.settings.models.written import SWITCH, TEXT, Frozen, Written


class SshSettings(Frozen):
    """Section ``[SSH]``: how the cluster is reached. User, port and key come from the ssh configuration."""

    host: Annotated[str, Written(reading.WORD)] = Field(
        default="slurm", description="alias of the cluster in ssh_config"
    )
    inline_ssh_env: Annotated[bool, SWITCH] = Field(
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


class SlurmSettings(Frozen):
    """Section ``[SLURM]``. Paths are on the cluster, as written; relative ones start at the login's home."""

    slurm_data_path: Annotated[str, TEXT] = Field(default="my-scratch/data", description="folder of the runs' data")
    slurm_images_path: Annotated[str, TEXT] = Field(
        default="my-scratch/singularity_images/workflows",
        description="folder of the workflows' container images",
    )
    slurm_converters_path: Annotated[str, TEXT] = Field(
        default="my-scratch/singularity_images/converters",
        description="folder of the converters' container images",
    )
    slurm_script_path: Annotated[str, TEXT] = Field(default="slurm-scripts", description="folder of the job scripts")
    slurm_script_repo: Annotated[str | None, TEXT] = Field(
        default=None,
        description="git repository of job scripts; without one they are generated",
    )
    slurm_data_bind_path: Annotated[str | None, TEXT] = Field(
        default=None,
        description="paths of the cluster that containers must see; becomes APPTAINER_BINDPATH of the jobs",
    )
    slurm_conversion_partition: Annotated[str | None, TEXT] = Field(
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
    image_source: Annotated[str, Written(reading.IMAGE_SOURCE, key="slurm_image_source")] = Field(
        default="docker://",
        description="what precedes the name of an image when it is pulled; a mirror is docker://mirror.example.org/",
    )
    job_template: Annotated[Path | None, Written(reading.LOCAL_PATH, key="slurm_job_template")] = Field(
        default=None,
        description="a jinja2 template on this machine that takes the place of the built-in job script",
    )
    modules: Annotated[tuple[str, ...], Written(reading.WORDS, key="slurm_modules")] = Field(
        default=(),
        description="environment modules that jobs load before they look for the container runtime",
    )
    user_time_max_s: Annotated[int | None, Written(reading.DURATION, key="user_time_max")] = Field(
        default=None,
        description="people may choose the time limit of their jobs, up to this one",
    )
    user_memory_max_mib: Annotated[int | None, Written(reading.MEMORY, key="user_memory_max")] = Field(
        default=None,
        description="people may choose the memory of their jobs, up to this much",
    )
    user_partitions: Annotated[tuple[str, ...], Written(reading.WORDS)] = Field(
        default=(),
        description="people may choose one of these partitions for their jobs",
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


DEFAULT_CLUSTER = "default"
"""The cluster of ``[SSH]`` and ``[SLURM]``."""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """One cluster.

    Parameters
    ----------
    name : str
        Its name: ``default``, or what stands behind the colon of ``[SSH:name]`` and ``[SLURM:name]``.
    ssh : SshSettings
        How it is reached.
    slurm : SlurmSettings
        What its jobs need.
    """

    name: str
    ssh: SshSettings
    slurm: SlurmSettings
