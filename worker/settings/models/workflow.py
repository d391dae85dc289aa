"""One workflow of sections ``[MODELS]`` and ``[WORKFLOWS]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from worker.settings import reading
from worker.settings.models.cluster import DEFAULT_CLUSTER
from worker.settings.models.written import Frozen, Written


class RetrySettings(Frozen):
    """Keys ``<workflow>_retry_…``: whether a job that ran out of memory or time is tried again with more of it."""

    max: Annotated[int, Written(reading.integer(0, 8))] = Field(
        default=0,
        description="How often a job that ran out of memory or time is tried again with more of it; 0: never.",
    )
    memory_factor: Annotated[float, Written(reading.FACTOR)] = Field(
        default=2.0, description="A job that ran out of memory gets so many times what it had."
    )
    memory_max_mib: Annotated[
        int | None, Written(reading.MEMORY, key="memory_max", unset="without a limit", example="64G")
    ] = Field(default=None, description="It never gets more memory than this.")
    time_factor: Annotated[float, Written(reading.FACTOR)] = Field(
        default=2.0, description="A job that ran out of time gets so many times what it had."
    )
    time_max_s: Annotated[
        int | None, Written(reading.DURATION, key="time_max", unset="without a limit", example="08:00:00")
    ] = Field(default=None, description="It never gets more time than this.")


class WorkflowSettings(Frozen):
    """One workflow of ``[MODELS]`` or ``[WORKFLOWS]``.

    ``name`` is lower-case and is its identity: parameters of scripts carry it, and the web plugin sends it so.
    ``display_name`` is spelled as in the file.
    """

    name: str = Field(description="The key, in lower case.")
    display_name: str = Field(default="", description="The key as written.")
    image_folder: str = Field(
        description="The folder of its container images, below slurm_images_path. This key makes it a workflow."
    )
    repo: Annotated[
        str | None,
        Written(
            reading.ADDRESS,
            unset="it cannot be run, as nothing says what it is",
            example="https://github.com/TorecLuik/W_NucleiSegmentation-Cellpose/tree/v1.2.9",
        ),
    ] = Field(
        default=None,
        description="The repository of its descriptor: a branch, tag or commit after /tree/, then a path where the "
        "descriptor is not at the top. Any address that git takes is fine, and so is a folder of this machine.",
    )
    job: Annotated[
        str | None, Written(reading.SCRIPT, unset="its job script is generated", example="jobs/cellpose.sh")
    ] = Field(
        default=None,
        description="Its job script, below slurm_script_path; it counts where slurm_script_repo is set.",
    )
    job_flags: Mapping[str, str | None] = Field(
        default_factory=dict,
        description="An option of sbatch for its jobs: --<option>=<value>, and without = an option that has no value. "
        "It wins over all that the cluster says.",
    )
    use_gpu: Annotated[
        bool | None, Written(reading.BOOLEAN, unset="as its descriptor says, and else not", example="True")
    ] = Field(default=None, description="Whether its jobs run on a GPU, if nobody says otherwise.")
    cluster: Annotated[str, Written(reading.CLUSTER)] = Field(
        default=DEFAULT_CLUSTER,
        description="The cluster that it runs on: the name of [SSH:name] and [SLURM:name], or that of [SSH] and "
        "[SLURM], which is called default.",
    )
    user_time_max_s: Annotated[
        int | None,
        Written(reading.DURATION, key="user_time_max", unset="as its cluster says in [SLURM]", example="08:00:00"),
    ] = Field(default=None, description="People may choose the time limit of its jobs, up to this one.")
    user_memory_max_mib: Annotated[
        int | None,
        Written(reading.MEMORY, key="user_memory_max", unset="as its cluster says in [SLURM]", example="64G"),
    ] = Field(default=None, description="People may choose the memory of its jobs, up to this much.")
    user_partitions: Annotated[
        tuple[str, ...],
        Written(reading.WORDS, unset="as its cluster says in [SLURM]", example="cpu, gpu"),
    ] = Field(default=(), description="People may choose one of these partitions for its jobs.")
    retry: RetrySettings | None = Field(
        default=None, description="How its jobs are tried again with more memory or time; None: they are not."
    )
