"""The names of the configuration: files, sections, keys, defaults and variables that existing deployments rely on.

They are written out here on purpose: a name that is changed in the code must fail here.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from worker.errors import SettingsError
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
    ("BIOMERO_ANALYTICS_REBUILD_START_TIME", "ANALYTICS", "analytics_rebuild_start_time", "2024-06-01", "2024-06-01"),
    ("BIOMERO_ANALYTICS_REBUILD_DAYS_AGO", "ANALYTICS", "analytics_rebuild_days_ago", "3", 3),
]

# What stands in [MODELS] (or, after ---, in [WORKFLOWS] of a later file), and what comes of it: by name the folder,
# repository, script, options of sbatch, and whether it runs on a GPU. The quirks are those of files in the wild.
WORKFLOWS: dict[str, tuple[str, dict[str, tuple[object, ...]]]] = {
    "all of it": (
        "cellpose=cellpose\ncellpose_repo=https://github.com/o/r\ncellpose_job=c.sh\ncellpose_job_mem=15GB\ncellpose_use_gpu=1\n",
        {"cellpose": ("cellpose", "https://github.com/o/r", "c.sh", {"mem": "15GB"}, True)},
    ),
    "an option before its script": (
        "a_job_mem=1G\na_job=a.sh\na_repo=r\na=a\n",
        {"a": ("a", "r", "a.sh", {"mem": "1G"}, None)},
    ),
    "an option without a script": (
        "a=a\na_repo=r\na_job_mem=1G\n",
        {"a": ("a", "r", None, {"mem": "1G"}, None)},
    ),
    "an option without a value": (
        "a=a\na_repo=r\na_job=a.sh\na_job_exclusive\n",
        {"a": ("a", "r", "a.sh", {"exclusive": None}, None)},
    ),
    "a blank option": ("a=a\na_repo=r\na_job_mem=\n", {"a": ("a", "r", None, {}, None)}),
    "a blank script and a blank switch": (
        "a=a\na_repo=r\na_job=\na_use_gpu=\n",
        {"a": ("a", "r", None, {}, None)},
    ),
    "a value with further equal signs, percent signs and colons": (
        "a=a\na_repo=https://h/o/r?x=1%20y\na_job_export=A=1,B=2\na_job_gres=gpu:1g.10gb:1\n",
        {"a": ("a", "https://h/o/r?x=1%20y", None, {"export": "A=1,B=2", "gres": "gpu:1g.10gb:1"}, None)},
    ),
    "a name in upper case": ("StarDist=StarDist\nSTARDIST_repo=r\n", {"stardist": ("StarDist", "r", None, {}, None)}),
    "a name that holds _repo": (
        "nuclei_report=n\nnuclei_report_repo=r\n",
        {"nuclei_report": ("n", "r", None, {}, None)},
    ),
    "a name that ends in _repo": ("my_repo=m\nmy_repo_repo=r\n", {"my_repo": ("m", "r", None, {}, None)}),
    "a name that holds _job_": (
        "spot_job_counter=s\nspot_job_counter_repo=r\nspot_job_counter_job=s.sh\nspot_job_counter_job_mem=1G\n",
        {"spot_job_counter": ("s", "r", "s.sh", {"mem": "1G"}, None)},
    ),
    "a name that holds _cluster, which is older than that key": (
        "cell=c\ncell_repo=q\ncell_cluster=d\ncell_cluster_repo=r\n",
        {"cell": ("c", "q", None, {}, None), "cell_cluster": ("d", "r", None, {}, None)},
    ),
    "a name with - and digits": (
        "fractal-cellpose-2=f\nfractal-cellpose-2_repo=r\nfractal-cellpose-2_job_cpus-per-task=4\n",
        {"fractal-cellpose-2": ("f", "r", None, {"cpus-per-task": "4"}, None)},
    ),
    "a name that begins like another": (
        "cell=c\ncell_repo=q\ncell_expansion=e\ncell_expansion_repo=r\ncell_job_mem=1G\n",
        {"cell": ("c", "q", None, {"mem": "1G"}, None), "cell_expansion": ("e", "r", None, {}, None)},
    ),
    "[WORKFLOWS] wins key by key": (
        "a=old\na_repo=q\na_job_mem=1G\n---a=new\na_job_mem=2G\n",
        {"a": ("new", "q", None, {"mem": "2G"}, None)},
    ),
    "an override without the workflow itself": (
        "a=a\na_repo=r\n---a_job_time=01:00:00\n",
        {"a": ("a", "r", None, {"time": "01:00:00"}, None)},
    ),
    "an override hides a workflow": (
        "a=a\na_repo=r\na_job_mem=1G\nb=b\nb_repo=r\n---a =\n",
        {"b": ("b", "r", None, {}, None)},
    ),
    "an override hides a workflow without =": ("a=a\na_repo=r\n---a\n", {}),
    "an override takes back an option": (
        "a=a\na_repo=r\na_job_mem=1G\na_use_gpu=yes\n---a_job_mem=\na_use_gpu=\n",
        {"a": ("a", "r", None, {}, None)},
    ),
}


def put(path: Path, text: str) -> None:
    """Write a file that looks as if it had been there for a while: one that has just changed is read with care."""
    path.write_text(text)
    then = time.time() - 60
    os.utime(path, (then, then))


def read(path: Path, section: str, key: str, environ: dict[str, str] | None = None) -> object:
    settings = load_settings(path, environ=environ or {}, default_paths=())
    assert settings.warnings == ()
    return getattr(getattr(settings, section.lower()), key)


@pytest.mark.parametrize(("section", "key", "written", "expected", "default"), KEYS)
def test_a_key_keeps_its_name_and_type(
    tmp_path: Path, section: str, key: str, written: str, expected: object, default: object
) -> None:
    path = tmp_path / "slurm-config.ini"
    put(path, f"[{section}]\n{key.upper()} = {written}\n")
    assert read(path, section, key) == expected
    put(path, f"[{section}]\n")
    assert read(path, section, key) == default


@pytest.mark.parametrize(("section", "key", "written", "expected", "default"), KEYS)
@pytest.mark.parametrize("blank", ["{key}", "{key} =", "{key}=   ", "{key}:"])
def test_a_blank_key_is_the_default_and_takes_back_what_was_set(
    tmp_path: Path, section: str, key: str, written: str, expected: object, default: object, blank: str
) -> None:
    base, override = tmp_path / "base.ini", tmp_path / "override.ini"
    put(base, f"[{section}]\n{key} = {written}\n")
    put(override, f"[{section}]\n{blank.format(key=key)}\n")
    settings = load_settings(environ={}, default_paths=(base, override))
    assert getattr(getattr(settings, section.lower()), key) == default
    assert settings.warnings == ()


@pytest.mark.parametrize(("variable", "section", "key", "given", "expected"), VARIABLES)
def test_a_blank_variable_counts_as_none_and_a_set_one_wins_over_the_file(
    tmp_path: Path, variable: str, section: str, key: str, given: str, expected: object
) -> None:
    written, in_file = next((row[2], row[3]) for row in KEYS if row[:2] == (section, key))
    path = tmp_path / "slurm-config.ini"
    put(path, f"[{section}]\n{key} = {written}\n")
    assert read(path, section, key, {variable: "  "}) == in_file
    assert read(path, section, key, {variable: given}) == expected


@pytest.mark.parametrize("in_file", ["True", "False", ""])
@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *((word, True) for word in ("true", "1", "yes", "y", "on", "TRUE", "Yes", "ON")),
        *((word, False) for word in ("false", "0", "no", "n", "off", "FALSE", "No")),
        *((word, None) for word in ("maybe", "2", "ja", "tru", "")),
    ],
)
def test_a_switch_in_a_variable_takes_the_usual_words_and_leaves_the_file_alone_for_others(
    tmp_path: Path, in_file: str, word: str, expected: bool | None
) -> None:
    path = tmp_path / "slurm-config.ini"
    put(path, f"[SLURM]\ninject_gpu_flag = {in_file}\n")
    settings = load_settings(path, environ={"BIOMERO_INJECT_GPU_FLAG": word}, default_paths=())
    assert settings.slurm.inject_gpu_flag == ((in_file == "True") if expected is None else expected)
    assert bool(settings.warnings) == (expected is None and bool(word))


@pytest.mark.parametrize(
    ("variable", "key", "default"),
    [
        ("BIOMERO_SACCT_START_DAYS_AGO", "sacct_days_ago", None),
        ("BIOMERO_PULL_CPUS", "image_pull_cpus", 8),
        ("BIOMERO_ANALYTICS_REBUILD_DAYS_AGO", "analytics_rebuild_days_ago", None),
    ],
)
@pytest.mark.parametrize("given", ["soon", "1.5", "-1", "0x10"])
def test_a_number_in_a_variable_that_is_none_leaves_the_file_alone(
    tmp_path: Path, variable: str, key: str, default: object, given: str
) -> None:
    section = "ANALYTICS" if key.startswith("analytics") else "SLURM"
    path = tmp_path / "slurm-config.ini"
    for written, expected in (("3", 3), ("", default)):
        put(path, f"[{section}]\n{key} = {written}\n")
        settings = load_settings(path, environ={variable: given}, default_paths=())
        assert getattr(getattr(settings, section.lower()), key) == expected
        assert variable in settings.warnings[0]


@pytest.mark.parametrize(
    ("new", "old"), [(f"BIOMERO_{name}", name) for name in ("GPU_PARTITION", "GPU_GRES", "GPU_GPUS")]
)
def test_the_old_variable_of_a_gpu_counts_where_the_new_one_does_not(tmp_path: Path, new: str, old: str) -> None:
    path = tmp_path / "slurm-config.ini"
    put(path, f"[SLURM]\n{old.lower()} = file\n")
    assert read(path, "SLURM", old.lower(), {old: "old"}) == "old"
    assert read(path, "SLURM", old.lower(), {old: "old", new: ""}) == "old"
    assert read(path, "SLURM", old.lower(), {old: "old", new: "new"}) == "new"


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("gpu_gres=gpu:1\ngpu_gpus=1\n", {}),
        ("gpu_gres=gpu:1\n", {"BIOMERO_GPU_GPUS": "1"}),
        ("gpu_gpus=1\n", {"GPU_GRES": "gpu:1"}),
        ("", {"GPU_GPUS": "1", "BIOMERO_GPU_GRES": "gpu:1"}),
    ],
)
def test_gres_and_gpus_exclude_each_other_wherever_they_come_from(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    path = tmp_path / "slurm-config.ini"
    put(path, f"[SLURM]\n{text}")
    with pytest.raises(SettingsError, match="sbatch takes only one of them"):
        load_settings(path, environ=environ, default_paths=())


@pytest.mark.parametrize(("text", "expected"), WORKFLOWS.values(), ids=WORKFLOWS)
def test_workflows_are_read_as_files_in_the_wild_mean_them(
    tmp_path: Path, text: str, expected: dict[str, tuple[object, ...]]
) -> None:
    base, override = tmp_path / "base.ini", tmp_path / "override.ini"
    first, _, second = text.partition("---")
    put(base, f"[MODELS]\n{first}")
    put(override, f"[WORKFLOWS]\n{second}")
    settings = load_settings(environ={}, default_paths=(base, override))
    assert {
        name: (workflow.image_folder, workflow.repo, workflow.job, workflow.job_flags, workflow.use_gpu)
        for name, workflow in settings.workflows.items()
    } == expected
    assert settings.warnings == ()


def test_options_for_all_jobs_are_read_and_a_blank_one_is_none(tmp_path: Path) -> None:
    base, override = tmp_path / "base.ini", tmp_path / "override.ini"
    put(base, "[SLURM]\nsbatch_account=lab\nsbatch_cpus-per-task=4\nsbatch_exclusive\nsbatch_nice=\nSBATCH_QOS=low\n")
    put(override, "[SLURM]\nsbatch_qos=\nsbatch_account=other\n")
    settings = load_settings(environ={}, default_paths=(base, override))
    assert settings.slurm.sbatch_flags == {"account": "other", "cpus-per-task": "4", "exclusive": None}
    assert settings.warnings == ()


def test_converters_are_images_and_comments_behind_them_are_not(tmp_path: Path) -> None:
    path = tmp_path / "slurm-config.ini"
    put(path, "[CONVERTERS]\nzarr_to_tiff=cellularimagingcf/convert_zarr_to_tiff:1.14.0 # pinned\nTIFF_to_zarr=\n")
    settings = load_settings(path, environ={}, default_paths=())
    assert settings.converters == {"zarr_to_tiff": "cellularimagingcf/convert_zarr_to_tiff:1.14.0"}
    assert settings.warnings == ()


def test_the_variable_of_the_database_always_wins(tmp_path: Path) -> None:
    path = tmp_path / "slurm-config.ini"
    put(path, "[ANALYTICS]\nsqlalchemy_url = postgresql+psycopg2://u:p%40@h/file\n")
    for environ, expected in (
        ({}, "postgresql+psycopg2://u:p%40@h/file"),
        ({"SQLALCHEMY_URL": ""}, "postgresql+psycopg2://u:p%40@h/file"),
        ({"SQLALCHEMY_URL": "postgresql://h/variable"}, "postgresql://h/variable"),
    ):
        url = load_settings(path, environ=environ, default_paths=()).analytics.sqlalchemy_url
        assert url is not None
        assert url.get_secret_value() == expected


def test_each_place_wins_over_those_before_it_key_by_key(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("etc", "OMERO", "home", "explicit")]
    keys = ("slurm_data_path", "slurm_images_path", "slurm_script_path", "gpu_partition")
    for number, path in enumerate(places):
        put(path, "[SLURM]\n" + "".join(f"{key} = {path.name}\n" for key in keys[number:]))
    slurm = load_settings(
        places[-1], environ={"BIOMERO_DEFAULT_PARTITION": "variable"}, default_paths=places[:-1]
    ).slurm
    assert (slurm.slurm_data_path, slurm.slurm_images_path, slurm.slurm_script_path) == ("etc", "OMERO", "home")
    assert (slurm.gpu_partition, slurm.slurm_default_partition) == ("explicit", "variable")
    assert slurm.slurm_converters_path == "my-scratch/singularity_images/converters"


@pytest.mark.parametrize(("variable", "section", "key", "given", "expected"), VARIABLES)
def test_a_variable_keeps_its_name_and_wins(
    tmp_path: Path, variable: str, section: str, key: str, given: str, expected: object
) -> None:
    path = tmp_path / "slurm-config.ini"
    put(path, f"[{section}]\n")
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
    put(
        path,
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
        "\n[changelog]\n# Config automatically updated by root (0) via the web UI on 2025-01-01 00:00:00\n",
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
    put(path, re.sub(r"^#(?!gpu_gpus)(?=[a-z0-9_]+(=|$))", "", text, flags=re.MULTILINE))
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
