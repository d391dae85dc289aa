"""One workflow of sections ``[MODELS]`` and ``[WORKFLOWS]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from worker.settings import reading
from worker.settings.models.cluster import DEFAULT_CLUSTER
from worker.settings.models.written import SWITCH, TEXT, Frozen, Written


class RetrySettings(Frozen):
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


class WorkflowSettings(Frozen):
    """One workflow of ``[MODELS]`` or ``[WORKFLOWS]``.

    ``name`` is lower-case and is its identity: parameters of scripts carry it, and the web plugin sends it so.
    ``display_name`` is spelled as in the file.
    """

    name: str = Field(description="the key, in lower case")
    display_name: str = Field(default="", description="the key as written")
    image_folder: str = Field(description="folder of its images, below slurm_images_path")
    repo: Annotated[str | None, TEXT] = Field(default=None, description="repository of its descriptor")
    job: Annotated[str | None, TEXT] = Field(default=None, description="its job script, below slurm_script_path")
    job_flags: Mapping[str, str | None] = Field(
        default_factory=dict,
        description="options of sbatch without the leading --; None is an option without a value",
    )
    use_gpu: Annotated[bool | None, SWITCH] = Field(
        default=None, description="whether it runs on a GPU; not said: as its descriptor says"
    )
    cluster: Annotated[str, Written(reading.CLUSTER)] = Field(
        default=DEFAULT_CLUSTER, description="the cluster that it runs on"
    )
    user_time_max_s: Annotated[int | None, Written(reading.DURATION, key="user_time_max")] = Field(
        default=None,
        description="people may choose the time limit of its jobs, up to this one; absent: as [SLURM] says",
    )
    user_memory_max_mib: Annotated[int | None, Written(reading.MEMORY, key="user_memory_max")] = Field(
        default=None,
        description="people may choose the memory of its jobs, up to this much; absent: as [SLURM] says",
    )
    user_partitions: Annotated[tuple[str, ...], Written(reading.WORDS)] = Field(
        default=(),
        description="people may choose one of these partitions for its jobs; absent: as [SLURM] says",
    )
    retry: RetrySettings | None = Field(
        default=None, description="how its jobs are tried again with more memory or time; None: they are not"
    )
