"""The names of the configuration: files, sections, keys, defaults and variables that existing deployments rely on.

They are written out here on purpose: a name that is changed in the code must fail here.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.settings import models
from worker.settings.environment import FORWARDED_NAMES
from worker.settings.loader import DEFAULT_PATHS, load_settings

SAMPLE = Path(__file__).parents[2] / "config" / "slurm-config.ini"

# Section, key, a value to write, the value to read, the default.
KEYS: list[tuple[str, str, str, object, object]] = [
    ("SSH", "host", "localslurm", "localslurm", "slurm"),
    ("SSH", "inline_ssh_env", "False", False, True),
    ("SLURM", "slurm_data_path", "/d", "/d", "my-scratch/data"),
    ("SLURM", "slurm_images_path", "/i", "/i", "my-scratch/singularity_images/workflows"),
    ("SLURM", "slurm_converters_path", "/c", "/c", "my-scratch/singularity_images/converters"),
    ("SLURM", "slurm_script_path", "/s", "/s", "slurm-scripts"),
    ("SLURM", "slurm_script_repo", "https://github.com/o/r", "https://github.com/o/r", None),
    ("SLURM", "slurm_data_bind_path", "/b", "/b", None),
    ("SLURM", "slurm_conversion_partition", "p", "p", None),
    ("SLURM", "slurm_default_partition", "p", "p", None),
    ("SLURM", "sacct_start_time", "2024-05-01", "2024-05-01", "2023-01-01"),
    ("SLURM", "sacct_days_ago", "30", 30, None),
    ("SLURM", "env_file_submission", "yes", True, False),
    ("SLURM", "inject_gpu_flag", "on", True, False),
    ("SLURM", "gpu_partition", "gpu", "gpu", None),
    ("SLURM", "gpu_gres", "gpu:1", "gpu:1", None),
    ("SLURM", "gpu_gpus", "1", "1", None),
    ("SLURM", "slurm_image_pull_via_sbatch", "1", True, False),
    ("SLURM", "image_pull_cpus", "4", 4, 8),
    ("SLURM", "image_pull_mem", "16G", "16G", "32G"),
    ("SLURM", "apptainer_tmpdir", "/t", "/t", None),
    ("SLURM", "apptainer_cachedir", "/a", "/a", None),
    ("SLURM", "slurm_zip_cmd", "7zz", "7zz", "$(command -v 7z || command -v 7za)"),
    ("ANALYTICS", "track_workflows", "no", False, True),
    ("ANALYTICS", "enable_job_accounting", "no", False, True),
    ("ANALYTICS", "enable_job_progress", "no", False, True),
    ("ANALYTICS", "enable_workflow_analytics", "no", False, True),
    ("ANALYTICS", "analytics_rebuild_start_time", "2024-05-01", "2024-05-01", None),
    ("ANALYTICS", "analytics_rebuild_days_ago", "9", 9, None),
]

# Variable, the section and key that it wins over, a value to give, the value to read.
VARIABLES: list[tuple[str, str, str, str, object]] = [
    ("BIOMERO_DEFAULT_PARTITION", "SLURM", "slurm_default_partition", "p", "p"),
    ("BIOMERO_SACCT_START_TIME", "SLURM", "sacct_start_time", "2024-05-01", "2024-05-01"),
    ("BIOMERO_SACCT_START_DAYS_AGO", "SLURM", "sacct_days_ago", "5", 5),
    ("BIOMERO_ENV_FILE_SUBMISSION", "SLURM", "env_file_submission", "y", True),
    ("BIOMERO_INJECT_GPU_FLAG", "SLURM", "inject_gpu_flag", "true", True),
    ("BIOMERO_GPU_PARTITION", "SLURM", "gpu_partition", "g", "g"),
    ("BIOMERO_GPU_GRES", "SLURM", "gpu_gres", "gpu:2", "gpu:2"),
    ("BIOMERO_GPU_GPUS", "SLURM", "gpu_gpus", "2", "2"),
    ("GPU_PARTITION", "SLURM", "gpu_partition", "g", "g"),
    ("GPU_GRES", "SLURM", "gpu_gres", "gpu:2", "gpu:2"),
    ("GPU_GPUS", "SLURM", "gpu_gpus", "2", "2"),
    ("BIOMERO_IMAGE_PULL_VIA_SBATCH", "SLURM", "slurm_image_pull_via_sbatch", "1", True),
    ("BIOMERO_PULL_CPUS", "SLURM", "image_pull_cpus", "2", 2),
    ("BIOMERO_PULL_MEM", "SLURM", "image_pull_mem", "8G", "8G"),
    ("BIOMERO_APPTAINER_TMPDIR", "SLURM", "apptainer_tmpdir", "/t", "/t"),
    ("BIOMERO_APPTAINER_CACHEDIR", "SLURM", "apptainer_cachedir", "/c", "/c"),
    ("BIOMERO_SLURM_ZIP_CMD", "SLURM", "slurm_zip_cmd", "7zz", "7zz"),
    ("BIOMERO_ANALYTICS_REBUILD_START_TIME", "ANALYTICS", "analytics_rebuild_start_time", "2024", "2024"),
    ("BIOMERO_ANALYTICS_REBUILD_DAYS_AGO", "ANALYTICS", "analytics_rebuild_days_ago", "3", 3),
]


def read(path: Path, section: str, key: str, environ: dict[str, str] | None = None) -> object:
    settings = load_settings(path, environ=environ or {}, default_paths=())
    assert settings.warnings == ()
    return getattr(getattr(settings, section.lower()), key)


@pytest.mark.parametrize(("section", "key", "written", "expected", "default"), KEYS)
def test_a_key_keeps_its_name_and_type(
    tmp_path: Path, section: str, key: str, written: str, expected: object, default: object
) -> None:
    path = tmp_path / "slurm-config.ini"
    path.write_text(f"[{section}]\n{key.upper()} = {written}\n")
    assert read(path, section, key) == expected
    path.write_text(f"[{section}]\n")
    assert read(path, section, key) == default


@pytest.mark.parametrize(("variable", "section", "key", "given", "expected"), VARIABLES)
def test_a_variable_keeps_its_name_and_wins(
    tmp_path: Path, variable: str, section: str, key: str, given: str, expected: object
) -> None:
    path = tmp_path / "slurm-config.ini"
    path.write_text(f"[{section}]\n")
    assert read(path, section, key, {variable: given}) == expected
    assert variable in FORWARDED_NAMES


def test_the_files_keep_their_places_and_order() -> None:
    assert [str(path) for path in DEFAULT_PATHS] == [
        "/etc/slurm-config.ini",
        "/OMERO/slurm-config.ini",
        "~/slurm-config.ini",
    ]


def test_the_variables_of_a_deployment_reach_scripts() -> None:
    assert {
        "PERSISTENCE_MODULE", "IMPORTER_ENABLED", "IMPORTER_CONFIG_PATH", "OMERO_BIOMERO_CONFIG_FILE",
        "OMERO_BIOMERO_GROUP_MAPPINGS_FILE", "OMERO_WORKER_NAME", "CONFIG_omero_master_host", "SQLALCHEMY_URL_FILE",
        "INGEST_TRACKING_DB_URL_FILE", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY",
        "ftp_proxy", "NO_PROXY", "no_proxy",
    } <= set(FORWARDED_NAMES)  # fmt: skip


def test_the_configuration_of_an_existing_deployment_loads_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "slurm-config.ini"
    path.write_text(
        "[SSH]\nhost=localslurm\n\n[SLURM]\nslurm_data_path=/data/my-scratch/data\n"
        "slurm_images_path=/data/my-scratch/singularity_images/workflows\n"
        "slurm_converters_path=/data/my-scratch/singularity_images/converters\n"
        "slurm_script_path=/data/my-scratch/slurm-scripts\nslurm_script_repo=\nimage_pull_cpus=\nimage_pull_mem=\n"
        "\n[ANALYTICS]\ntrack_workflows=True\nenable_job_accounting=True\nenable_job_progress=True\n"
        "enable_workflow_analytics=True\n\n[CONVERTERS]\nzarr_to_tiff=cellularimagingcf/convert_zarr_to_tiff:1.14.0\n"
        "\n[MODELS]\n# ---\n# CELLPOSE\n# ---\ncellpose=cellpose\n"
        "cellpose_repo=https://github.com/TorecLuik/W_NucleiSegmentation-Cellpose/tree/v1.2.9\n"
        "cellpose_job=jobs/cellpose.sh\ncellpose_job_mem=4GB\n"
        "    # -------------------------------------\n    # Spots (added via web UI)\n"
        "    # -------------------------------------\n    # The path to store the container on the slurm_images_path\n"
        "spots = spots\n    # The (e.g. github) repository with the descriptor.json file\n"
        "spots_repo = https://github.com/TorecLuik/W_SpotCounting-CellProfiler/tree/v1.0.1\n"
        "    # The jobscript in the 'slurm_script_repo'\nspots_job = jobs/spots.sh\n"
        "\n[changelog]\n# Config automatically updated by root (0) via the web UI on 2025-01-01 00:00:00\n"
    )
    settings = load_settings(path, environ={}, default_paths=())
    assert settings.warnings == ()
    assert list(settings.workflows) == ["cellpose", "spots"]
    assert settings.workflow("cellpose").job_flags == {"mem": "4GB"}
    assert settings.slurm.image_pull_cpus == 8


def test_the_sample_is_the_default_settings() -> None:
    sample = load_settings(SAMPLE, environ={}, default_paths=())
    assert sample == load_settings(environ={}, default_paths=())


def test_the_sample_names_every_key_and_variable_and_shows_true_defaults(tmp_path: Path) -> None:
    text = SAMPLE.read_text()
    path = tmp_path / "slurm-config.ini"
    # All but one of the two that exclude each other.
    path.write_text(re.sub(r"^#(?!gpu_gpus)(?=[a-z0-9_]+(=|$))", "", text, flags=re.MULTILINE))
    full = load_settings(path, environ={}, default_paths=())
    assert full.warnings == ()
    assert full.workflow("cellpose").use_gpu
    assert full.workflow("cellpose").job_flags == {"exclusive": None, "mem": "15GB"}
    assert full.converters
    for section, model in models.SECTIONS.items():
        for key, (field, written) in models.written_fields(model).items():
            assert re.search(rf"^#{key}=", text, re.MULTILINE), key
            default = model.model_fields[field].get_default(call_default_factory=True)
            if default not in {None, ()}:
                assert getattr(getattr(full, section.lower()), field) == default, key
            assert all(variable in text for variable in written.variables)
