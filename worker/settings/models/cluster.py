"""Sections ``[SSH]`` and ``[SLURM]``: a cluster, how it is reached and what its jobs need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from worker.settings import locations, reading
from worker.settings.models.written import Frozen, Written

DEFAULT_CLUSTER = "default"
"""The cluster of ``[SSH]`` and ``[SLURM]``."""


class SshSettings(Frozen):
    """Section ``[SSH]``: how the cluster is reached."""

    host: Annotated[str, Written(reading.SSH_HOST)] = Field(
        default="slurm",
        description="The alias of the cluster in the ssh configuration, which also has its user, port and key.",
    )
    ssh_config: Annotated[Path, Written(reading.LOCAL_PATH)] = Field(
        default_factory=lambda: locations.expand("~/.ssh/config"),
        description="The ssh configuration that knows the alias, a file on this machine.",
    )
    connect_timeout_s: Annotated[float, Written(reading.seconds(0.1), key="connect_timeout")] = Field(
        default=20.0,
        description="Seconds until an attempt to connect is given up.",
    )
    command_timeout_s: Annotated[float, Written(reading.seconds(0.1), key="command_timeout")] = Field(
        default=60.0,
        description="Seconds until a command on the cluster that says nothing is given up.",
    )
    keepalive_s: Annotated[float, Written(reading.seconds(0), key="keepalive")] = Field(
        default=30.0,
        description="Seconds between signs of life on an idle connection, so that firewalls keep it open; "
        "0 sends none.",
    )
    inline_ssh_env: Annotated[bool, Written(reading.BOOLEAN)] = Field(
        default=True,
        description="Has no effect, and is accepted as files have it: variables of jobs are never sent through the "
        "ssh connection, so that no server has to accept them (AcceptEnv).",
    )


class SlurmSettings(Frozen):
    """Section ``[SLURM]``: where things are on the cluster, and what its jobs need."""

    slurm_data_path: Annotated[str, Written(reading.CLUSTER_PATH, group="Folders on the cluster")] = Field(
        default="my-scratch/data",
        description="The folder of the runs' data. Nodes must see it under the same path as the login node.",
    )
    slurm_images_path: Annotated[str, Written(reading.CLUSTER_PATH)] = Field(
        default="my-scratch/singularity_images/workflows",
        description="The folder of the workflows' container images.",
    )
    slurm_converters_path: Annotated[str, Written(reading.CLUSTER_PATH)] = Field(
        default="my-scratch/singularity_images/converters",
        description="The folder of the converters' container images.",
    )
    slurm_script_path: Annotated[str, Written(reading.CLUSTER_PATH)] = Field(
        default="slurm-scripts",
        description="The folder of job scripts.",
    )
    slurm_data_bind_path: Annotated[
        str | None,
        Written(
            reading.BIND_PATH,
            unset="containers see the folders of their run, and what the cluster binds by itself",
            example="/data/shared",
        ),
    ] = Field(
        default=None,
        description="Paths of the cluster that containers must see besides the data of their run, as "
        "APPTAINER_BINDPATH takes them.",
    )
    slurm_script_repo: Annotated[
        str | None,
        Written(
            reading.ADDRESS,
            unset="job scripts are generated for every run",
            example="https://github.com/example/slurm-scripts",
            group="Job scripts",
        ),
    ] = Field(default=None, description="A git repository of job scripts, which is cloned to slurm_script_path.")
    job_template: Annotated[
        Path | None,
        Written(
            reading.LOCAL_PATH,
            key="slurm_job_template",
            unset="the built-in job script",
            example="/etc/omero-worker/job.sh.j2",
        ),
    ] = Field(
        default=None,
        description="A jinja2 template, a file on this machine, that takes the place of the built-in job script.",
    )
    modules: Annotated[
        tuple[str, ...],
        Written(
            reading.WORDS,
            key="slurm_modules",
            unset="singularity, then apptainer, where jobs find no container runtime without",
            example="apptainer/1.2, cuda",
        ),
    ] = Field(
        default=(),
        description="Environment modules that jobs load before they look for the container runtime.",
    )
    env_file_submission: Annotated[bool, Written(reading.BOOLEAN, variables=("BIOMERO_ENV_FILE_SUBMISSION",))] = Field(
        default=False,
        description="Pass variables to jobs in a file, for clusters on which sbatch does not hand them on.",
    )
    slurm_default_partition: Annotated[
        str | None,
        Written(
            reading.PARTITION,
            variables=("BIOMERO_DEFAULT_PARTITION",),
            unset="Slurm chooses",
            example="cpu-short",
            group="Partitions and options of jobs",
        ),
    ] = Field(default=None, description="The partition of jobs that name none.")
    slurm_conversion_partition: Annotated[
        str | None, Written(reading.PARTITION, unset="as for other jobs", example="cpu-short")
    ] = Field(default=None, description="The partition of jobs that convert data.")
    sbatch_flags: Mapping[str, str | None] = Field(
        default_factory=dict,
        description="Options of sbatch for every job: sbatch_<option>=<value>, and without = for an option that has no "
        "value. sbatch_<option>= with nothing behind it is no option.",
    )
    gpu_partition: Annotated[
        str | None,
        Written(
            reading.PARTITION,
            variables=("BIOMERO_GPU_PARTITION", "GPU_PARTITION"),
            unset="as for other jobs",
            example="gpu-short",
            group="GPUs",
        ),
    ] = Field(default=None, description="The partition of jobs that run on a GPU.")
    gpu_gres: Annotated[
        str | None,
        Written(reading.WORD, variables=("BIOMERO_GPU_GRES", "GPU_GRES"), unset="--gres is not given", example="gpu:1"),
    ] = Field(
        default=None,
        description="What jobs on a GPU ask for with --gres. Not together with gpu_gpus, of which sbatch takes one.",
    )
    gpu_gpus: Annotated[
        str | None,
        Written(reading.WORD, variables=("BIOMERO_GPU_GPUS", "GPU_GPUS"), unset="--gpus is not given", example="1"),
    ] = Field(
        default=None,
        description="What jobs on a GPU ask for with --gpus. Not together with gpu_gres, of which sbatch takes one.",
    )
    inject_gpu_flag: Annotated[bool, Written(reading.BOOLEAN, variables=("BIOMERO_INJECT_GPU_FLAG",))] = Field(
        default=False,
        description="Let people choose for each run whether it is on a GPU, and give --nv to the containers of GPU "
        "jobs only. Otherwise <workflow>_use_gpu decides, and all containers get --nv.",
    )
    user_time_max_s: Annotated[
        int | None,
        Written(
            reading.DURATION,
            key="user_time_max",
            unset="they cannot choose it",
            example="08:00:00",
            group="What people may choose in the dialog",
        ),
    ] = Field(default=None, description="People may choose the time limit of their jobs, up to this one.")
    user_memory_max_mib: Annotated[
        int | None, Written(reading.MEMORY, key="user_memory_max", unset="they cannot choose it", example="64G")
    ] = Field(default=None, description="People may choose the memory of their jobs, up to this much.")
    user_partitions: Annotated[
        tuple[str, ...], Written(reading.WORDS, unset="they cannot choose it", example="cpu, gpu")
    ] = Field(default=(), description="People may choose one of these partitions for their jobs.")
    image_source: Annotated[
        str, Written(reading.IMAGE_SOURCE, key="slurm_image_source", group="Pulling container images")
    ] = Field(
        default="docker://",
        description="What precedes the name of an image when it is pulled. For a mirror of registries: "
        "docker://mirror.example.org/",
    )
    slurm_image_pull_via_sbatch: Annotated[
        bool, Written(reading.BOOLEAN, variables=("BIOMERO_IMAGE_PULL_VIA_SBATCH",))
    ] = Field(default=False, description="Pull images in a job, and not on the login node.")
    image_pull_cpus: Annotated[int, Written(reading.integer(1), variables=("BIOMERO_PULL_CPUS",))] = Field(
        default=8,
        description="Processors of such a job.",
    )
    image_pull_mem: Annotated[str, Written(reading.MEMORY_TEXT, variables=("BIOMERO_PULL_MEM",))] = Field(
        default="32G",
        description="Memory of such a job.",
    )
    apptainer_tmpdir: Annotated[
        str | None,
        Written(
            reading.CLUSTER_PATH,
            variables=("BIOMERO_APPTAINER_TMPDIR",),
            unset="as the container runtime has it, often /tmp",
            example="/scratch/tmp",
        ),
    ] = Field(default=None, description="The temporary folder of pulls; it needs room for a whole image, unpacked.")
    apptainer_cachedir: Annotated[
        str | None,
        Written(
            reading.CLUSTER_PATH,
            variables=("BIOMERO_APPTAINER_CACHEDIR",),
            unset="as the container runtime has it, often below the home folder",
            example="/scratch/apptainer",
        ),
    ] = Field(default=None, description="The cache folder of pulls.")
    sacct_start_time: Annotated[
        str, Written(reading.SACCT_TIME, variables=("BIOMERO_SACCT_START_TIME",), group="What other workers needed")
    ] = Field(
        default="2023-01-01",
        description="Has no effect, and is accepted as files have it: nothing here lists old jobs, and those of "
        "runs are asked for by number.",
    )
    sacct_days_ago: Annotated[
        int | None,
        Written(
            reading.integer(0),
            variables=("BIOMERO_SACCT_START_DAYS_AGO",),
            unset="as sacct_start_time says",
            example="30",
        ),
    ] = Field(default=None, description="Has no effect, like sacct_start_time, but in days.")
    slurm_zip_cmd: Annotated[str, Written(reading.COMMAND, variables=("BIOMERO_SLURM_ZIP_CMD",))] = Field(
        default="$(command -v 7z || command -v 7za)",
        description="Has no effect, and is accepted as files have it: data travel as streams, and nothing is packed "
        "on the cluster.",
    )


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
