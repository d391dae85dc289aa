"""Configurations in the style of real sites load without loss: all that they say, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from worker.settings.build import build
from worker.settings.ini import decode, parse
from worker.settings.inspection import Severity, inspect
from worker.settings.layers import merge
from worker.settings.models import (
    DEFAULT_CLUSTER,
    RetrySettings,
    Settings,
    SlurmSettings,
    SshSettings,
    WorkflowSettings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

SITES = Path(__file__).parent / "sites"


def load_site(*names: str, environ: Mapping[str, str] | None = None) -> Settings:
    files = [parse(decode((SITES / name).read_bytes(), Path(name)), Path(name)) for name in names]
    return build(merge(files), environ or {})


def said(model: BaseModel, otherwise: BaseModel) -> dict[str, Any]:
    """Give what a model says that is not as it would be otherwise."""
    return {name: value for name, value in model if value != getattr(otherwise, name)}


def flat(settings: Settings) -> dict[str, dict[str, Any]]:
    """Give everything that is not a default; of a further cluster, what is not as on the default one."""
    found = {
        section: said(getattr(settings, section), getattr(Settings(), section))
        for section in ("ssh", "slurm", "analytics", "analyses", "worker")
    }
    found["converters"] = dict(settings.converters)
    for name, cluster in settings.clusters.items():
        if name != DEFAULT_CLUSTER:
            found[f"ssh:{name}"] = said(cluster.ssh, settings.ssh)
            found[f"slurm:{name}"] = said(cluster.slurm, settings.slurm)
    for name, workflow in settings.workflows.items():
        found[name] = said(workflow, WorkflowSettings(name=name, image_folder=""))
    return {section: values for section, values in found.items() if values}


def workflow(folder: str, repo: str, job: str | None = None, *, shown: str = "", **rest: Any) -> dict[str, Any]:
    values = {"image_folder": folder, "display_name": shown or folder, "repo": repo, "job": job, **rest}
    return {key: value for key, value in values.items() if value is not None}


HOSPITAL = {
    "ssh": {"host": "hpc-login"},
    "slurm": {
        "slurm_data_path": "/research/imaging/omero/my-scratch/data",
        "slurm_images_path": "/research/imaging/omero/my-scratch/singularity_images/workflows",
        "slurm_converters_path": "/research/imaging/omero/my-scratch/singularity_images/converters",
        "slurm_script_path": "/research/imaging/omero/my-scratch/slurm-scripts",
        "slurm_data_bind_path": "/research/imaging/omero/my-scratch/data",
    },
    "cellpose": workflow(
        "cellpose",
        "https://github.com/example-umc/W_NucleiSegmentation-Cellpose/tree/v1.4.0",
        "jobs/cellpose.sh",
        job_flags={"mem": "4GB", "gres": "gpu:1g.10gb:1"},
    ),
    "aggregates_measurements": workflow(
        "aggregates_measurements",
        "https://github.com/example-umc/W_Measurements-CellProfiler/tree/v1.1.1",
        "jobs/aggregates_measurements.sh",
    ),
    "nuclei_report": workflow(
        "nuclei_report",
        "https://github.com/example-umc/W_NucleiReport/tree/v0.3",
        "jobs/nuclei_report.sh",
        job_flags={"time": "1-12:00:00"},
    ),
    "fractal-cellpose-sam": workflow(
        "fractal-cellpose-sam",
        "https://github.com/example-umc/fractal-tasks/tree/v0.2.5/cellpose/descriptor.json",
        "jobs/fractal-cellpose-sam.sh",
        job_flags={"cpus-per-task": "8"},
    ),
}

CORE_FACILITY = {
    "ssh": {"host": "cluster.bio", "connect_timeout_s": 45.0, "keepalive_s": 15.0},
    "slurm": {
        "slurm_data_path": "omero/data",
        "slurm_images_path": "omero/images",
        "slurm_script_repo": "git@gitlab.example.org:bio/slurm-scripts.git",
        "slurm_script_path": "omero/scripts",
        "job_template": Path("/etc/omero-worker/job.sh.j2"),
        "modules": ("apptainer/1.3",),
        "slurm_default_partition": "short",
        "slurm_conversion_partition": "short,long",
        "sbatch_flags": {"account": "p_bio", "qos": "normal", "export": "NONE,LANG=C.UTF-8", "requeue": None},
        "sacct_days_ago": 14,
        "user_time_max_s": 8 * 3600,
        "user_memory_max_mib": 128 * 1024,
        "user_partitions": ("short", "long", "himem"),
        "image_source": "docker://mirror.example.org:5000/",
        "slurm_image_pull_via_sbatch": True,
        "apptainer_tmpdir": "/scratch/tmp",
        "apptainer_cachedir": "/scratch/apptainer-cache",
        "slurm_zip_cmd": "7zz -mmt=4",
    },
    "analytics": {"analytics_rebuild_days_ago": 365},
    "analyses": {"gitlab_host": "gitlab.example.org", "refresh_minutes": 60, "timeout_s": 20.0},
    "worker": {"poll_interval_max_s": 30.0, "batch_parallel_max": 8, "exporter": "omero-cli-zarr"},
    "converters": {
        "zarr_to_tiff": "cellularimagingcf/convert_zarr_to_tiff:2.0.0",
        "tiff_to_zarr": "registry.example.org/bio/tiff2zarr:0.4",
    },
    "stardist": workflow(
        "stardist",
        "https://gitlab.example.org/bio/analyses/-/tree/v2.1/stardist",
        shown="StarDist",
        job_flags={"mem": "16G", "exclusive": None},
        retry=RetrySettings(max=2, memory_max_mib=128 * 1024),
        user_time_max_s=8 * 3600,
        user_memory_max_mib=128 * 1024,
        user_partitions=("short", "long", "himem"),
    ),
    "cell_job_tracker": workflow(
        "trackers/cells",
        "/srv/analyses/cell-tracker",
        shown="cell_job_tracker",
        job_flags={"time": "2-00:00:00"},
        user_memory_max_mib=128 * 1024,
        user_partitions=("long",),
    ),
}

GPU_CENTRE: dict[str, dict[str, Any]] = {
    "ssh": {"host": "gpu-gateway", "inline_ssh_env": False},
    "slurm": {
        "slurm_data_path": "/lustre/omero/data",
        "slurm_images_path": "/lustre/omero/sif",
        "slurm_script_path": "/lustre/omero/scripts",
        "slurm_data_bind_path": "/lustre/omero,/lustre/models:/models:ro",
        "env_file_submission": True,
        "inject_gpu_flag": True,
        "gpu_partition": "gpu",
        "gpu_gres": "gpu:a100:1",
        "slurm_default_partition": "cpu",
        "sbatch_flags": {"reservation": "omero", "constraint": '"intel&ib"'},
        "image_pull_mem": "64G",
    },
    "ssh:alps": {"host": "alps.example.org", "connect_timeout_s": 60.0},
    "slurm:alps": {
        "slurm_data_path": "/capstor/omero",
        "gpu_gres": None,
        "gpu_gpus": "4",
        "gpu_partition": "normal",
        "slurm_default_partition": None,
        "sbatch_flags": {"account": "g123", "constraint": '"intel&ib"'},
    },
    "cellpose": workflow(
        "cellpose",
        "https://github.com/example-gpu/W_Cellpose/tree/v3",
        "jobs/cellpose.sh",
        use_gpu=True,
        job_flags={"gres": "gpu:h100:1", "partition": "gpu-big", "mem": "96G"},
    ),
    "unet": workflow(
        "unet",
        "https://github.com/example-gpu/W_UNet/tree/main/docker/descriptor.json",
        use_gpu=True,
        cluster="alps",
        job_flags={"gpus": "2", "time": "06:00:00"},
    ),
    "measure": workflow("measure", "https://github.com/example-gpu/W_Measure", use_gpu=False),
}

FIRST_RELEASE = {
    "slurm": {
        "slurm_script_path": "my-scratch/slurm-scripts",
        "slurm_data_bind_path": "my-scratch/data",
        "slurm_conversion_partition": "cpu-short",
    },
    "cellpose": workflow(
        "cellpose",
        "https://github.com/TorecLuik/W_NucleiSegmentation-Cellpose/tree/v1.2.7",
        "jobs/cellpose.sh",
        job_flags={"gres": "gpu:1g.10gb:1"},
    ),
    "cellprofiler": workflow(
        "cellprofiler",
        "https://github.com/Neubias-WG5/W_NucleiSegmentation-CellProfiler/tree/v1.6.4",
        "jobs/cellprofiler.sh",
    ),
    "cellprofiler_spot": workflow(
        "cellprofiler_spot",
        "https://github.com/TorecLuik/W_SpotCounting-CellProfiler/tree/v1.0.1",
        "jobs/cellprofiler_spot.sh",
    ),
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hospital.ini", HOSPITAL),
        ("core-facility.ini", CORE_FACILITY),
        ("gpu-centre.ini", GPU_CENTRE),
        ("first-release.ini", FIRST_RELEASE),
    ],
)
def test_a_site_is_read_value_by_value_and_nothing_is_added(name: str, expected: dict[str, dict[str, Any]]) -> None:
    settings = load_site(name)
    assert settings.warnings == ()
    found = flat(settings)
    url = found.get("analytics", {}).pop("sqlalchemy_url", None)
    assert found == expected
    assert (url is not None) == (name == "core-facility.ini")
    if url is not None:
        assert url.get_secret_value() == (
            "postgresql+psycopg2://biomero:s%3Acr%40t@db.example.org:5432/biomero?sslmode=require"
        )


@pytest.mark.parametrize("name", ["hospital.ini", "gpu-centre.ini", "first-release.ini"])
def test_a_look_at_a_site_finds_nothing_that_is_wrong(name: str) -> None:
    findings = inspect([SITES / name], {}, required=[SITES / name]).findings
    assert [finding for finding in findings if finding.severity is Severity.ERROR] == []


def test_the_environment_of_a_site_wins_on_both_clusters_where_the_second_does_not_say_otherwise() -> None:
    environ = {
        "BIOMERO_ENV_FILE_SUBMISSION": "no",
        "GPU_PARTITION": "legacy",
        "BIOMERO_DEFAULT_PARTITION": "day",
        "BIOMERO_PULL_CPUS": "2",
        "BIOMERO_INJECT_GPU_FLAG": "",
    }
    settings = load_site("gpu-centre.ini", environ=environ)
    alps = settings.cluster("alps").slurm
    assert (settings.slurm.env_file_submission, alps.env_file_submission) == (False, False)
    assert (settings.slurm.gpu_partition, alps.gpu_partition) == ("legacy", "normal")
    assert (settings.slurm.slurm_default_partition, alps.slurm_default_partition) == ("day", None)
    assert (settings.slurm.image_pull_cpus, alps.image_pull_cpus) == (2, 2)
    assert settings.slurm.inject_gpu_flag


def test_an_override_changes_what_it_names_and_no_more() -> None:
    before, after = flat(load_site("gpu-centre.ini")), flat(load_site("gpu-centre.ini", "gpu-centre-override.ini"))
    slurm = before["slurm"] | {"gpu_partition": "gpu-night", "sbatch_flags": {"constraint": '"intel&ib"'}}
    unet = before["unet"] | {"job_flags": {"time": "06:00:00"}}
    expected = before | {"slurm": slurm, "unet": unet}
    del expected["measure"]
    assert after == expected


def test_a_second_cluster_has_all_that_a_cluster_needs() -> None:
    alps = load_site("gpu-centre.ini").cluster("alps")
    assert isinstance(alps.ssh, SshSettings)
    assert isinstance(alps.slurm, SlurmSettings)
    assert alps.slurm.slurm_images_path == "/lustre/omero/sif"
