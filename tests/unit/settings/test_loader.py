"""Reading all settings: values, variables, warnings and refusals."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worker.errors import SettingsError
from worker.settings.loader import DEFAULT_PATHS, load_settings

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Load


def test_without_any_file_the_defaults_count() -> None:
    settings = load_settings(environ={}, default_paths=())
    assert settings.ssh.host == "slurm"
    assert settings.slurm.slurm_images_path == "my-scratch/singularity_images/workflows"
    assert settings.worker.lease_s == 30
    assert settings.workflows == {}
    assert settings.warnings == ()


def test_default_paths_start_at_the_least_important() -> None:
    assert [str(path) for path in DEFAULT_PATHS] == [
        "/etc/slurm-config.ini",
        "/OMERO/slurm-config.ini",
        "~/slurm-config.ini",
    ]


def test_the_home_folder_is_that_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "slurm-config.ini").write_text("[SSH]\nhost = mine\n")
    settings = load_settings(environ={"HOME": str(tmp_path)}, default_paths=(Path("~/slurm-config.ini"),))
    assert settings.ssh.host == "mine"


def test_an_explicit_file_wins_over_all_others(tmp_path: Path) -> None:
    base, explicit = tmp_path / "base.ini", tmp_path / "explicit.ini"
    base.write_text("[SSH]\nhost = base\n")
    explicit.write_text("[SSH]\nhost = explicit\n")
    assert load_settings(explicit, environ={}, default_paths=[base]).ssh.host == "explicit"


def test_an_explicit_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"There is no file .*missing\.ini"):
        load_settings(tmp_path / "missing.ini", environ={}, default_paths=())


def test_a_folder_in_the_place_of_a_file_is_a_warning(tmp_path: Path) -> None:
    settings = load_settings(environ={}, default_paths=[tmp_path])
    assert settings.warnings == (f"{tmp_path} cannot be read: Is a directory. It is left out.",)


def test_our_own_keys_of_ssh_are_read(load: Load) -> None:
    ssh = load(
        "[SSH]\nhost=hpc\ninline_ssh_env=no\nssh_config=~/cluster\nconnect_timeout=5\ncommand_timeout=7.5\nkeepalive=0\n",
        environ={"HOME": "/home/x"},
    ).ssh
    assert (ssh.host, ssh.inline_ssh_env, ssh.ssh_config) == ("hpc", False, Path("/home/x/cluster"))
    assert (ssh.connect_timeout_s, ssh.command_timeout_s, ssh.keepalive_s) == (5.0, 7.5, 0.0)


def test_a_comment_behind_a_word_is_not_part_of_it(load: Load) -> None:
    settings = load(
        "[SSH]\nhost=localslurm  # alias\n[SLURM]\nimage_pull_cpus = 4 ; processors\ninject_gpu_flag=on # yes\n"
    )
    assert settings.ssh.host == "localslurm"
    assert settings.slurm.image_pull_cpus == 4
    assert settings.slurm.inject_gpu_flag
    assert settings.warnings == ()


def test_a_comment_behind_a_path_is_part_of_it_and_a_warning(load: Load) -> None:
    settings = load("[SLURM]\nslurm_data_path=/data # here\n")
    assert settings.slurm.slurm_data_path == "/data # here"
    assert "what follows # is part of the value" in settings.warnings[0]


@pytest.mark.parametrize("word", ["True", "1", "YES", "y", "on", "False", "0", "no", "N", "Off"])
def test_switches_take_the_usual_words(load: Load, word: str) -> None:
    expected = word in {"True", "1", "YES", "y", "on"}
    assert load(f"[SLURM]\ninject_gpu_flag = {word}\n").slurm.inject_gpu_flag is expected
    settings = load("[SLURM]\n", environ={"BIOMERO_INJECT_GPU_FLAG": word})
    assert settings.slurm.inject_gpu_flag is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[SLURM]\n\ninject_gpu_flag = maybe\n",
            r"0\.ini:3: \[SLURM\] inject_gpu_flag = 'maybe' is not allowed\. .*true",
        ),
        ("[SLURM]\nsacct_days_ago = 1.5\n", r"0\.ini:2: \[SLURM\] sacct_days_ago = '1\.5'.*whole number of at least 0"),
        ("[SLURM]\nimage_pull_cpus = 0\n", r"image_pull_cpus = '0'.*at least 1"),
        ("[SSH]\nconnect_timeout = soon\n", r"connect_timeout = 'soon'.*number of seconds"),
        ("[SSH]\nconnect_timeout = nan\n", r"connect_timeout = 'nan'"),
        ("[SSH]\nhost = two words\n", r"host = 'two words'"),
        ("[WORKER]\nexporter = other\n", r"exporter = 'other'.*one of own, omero-cli-zarr"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_its_place(load: Load, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(text)


def test_a_blank_value_is_the_default_never_nothing(load: Load) -> None:
    slurm = load("[SLURM]\nimage_pull_cpus=\nimage_pull_mem=\ninject_gpu_flag=\nslurm_zip_cmd=\ngpu_gres=\n").slurm
    assert (slurm.image_pull_cpus, slurm.image_pull_mem, slurm.inject_gpu_flag) == (8, "32G", False)
    assert slurm.slurm_zip_cmd == "$(command -v 7z || command -v 7za)"
    assert slurm.gpu_gres is None


def test_a_variable_wins_over_the_files(load: Load) -> None:
    settings = load("[SLURM]\nsacct_days_ago=3\n", environ={"BIOMERO_SACCT_START_DAYS_AGO": "7"})
    assert settings.slurm.sacct_days_ago == 7


def test_a_blank_variable_is_no_variable(load: Load) -> None:
    settings = load("[SLURM]\ngpu_partition=gpu\n", environ={"BIOMERO_GPU_PARTITION": " ", "GPU_PARTITION": ""})
    assert settings.slurm.gpu_partition == "gpu"
    assert settings.warnings == ()


def test_the_old_name_of_a_variable_counts_after_the_new_one(load: Load) -> None:
    old = {"GPU_PARTITION": "old"}
    assert load("[SLURM]\n", environ=old).slurm.gpu_partition == "old"
    assert load("[SLURM]\n", environ=old | {"BIOMERO_GPU_PARTITION": "new"}).slurm.gpu_partition == "new"


def test_a_variable_that_cannot_be_read_is_a_warning_and_the_file_counts(load: Load) -> None:
    settings = load("[SLURM]\nsacct_days_ago=3\n", environ={"BIOMERO_SACCT_START_DAYS_AGO": "soon"})
    assert settings.slurm.sacct_days_ago == 3
    (warning,) = settings.warnings
    assert "BIOMERO_SACCT_START_DAYS_AGO is 'soon'" in warning
    assert "0.ini:2 counts" in warning


def test_the_knobs_of_the_engine_can_be_set_by_file_and_variable(load: Load) -> None:
    settings = load("[WORKER]\nmax_attempts=3\nlease_s=5\n", environ={"OMERO_WORKER_LEASE_S": "9"})
    assert (settings.worker.max_attempts, settings.worker.lease_s) == (3, 9.0)


def test_gres_and_gpus_together_are_refused_even_from_two_files(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"0\.ini:2 and .*1\.ini:2: gpu_gres is 'gpu:1' and gpu_gpus is '2'"):
        load("[SLURM]\ngpu_gres=gpu:1\n", "[SLURM]\ngpu_gpus=2\n")


def test_gres_and_gpus_together_are_refused_when_one_is_a_variable(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"0\.ini:2 and the environment: gpu_gres"):
        load("[SLURM]\ngpu_gres=gpu:1\n", environ={"BIOMERO_GPU_GPUS": "2"})


def test_the_shortest_interval_may_not_be_longer_than_the_longest(load: Load) -> None:
    with pytest.raises(SettingsError, match="poll_interval_min_s"):
        load("[WORKER]\npoll_interval_min_s=90\n")


def test_sbatch_flags_are_taken_from_their_prefix(load: Load) -> None:
    settings = load("[SLURM]\nsbatch_account=lab\nsbatch_exclusive\nsbatch_qos=\n")
    assert settings.slurm.sbatch_flags == {"account": "lab", "exclusive": None}
    assert settings.warnings == ()


def test_converters_are_read_and_odd_ones_named(load: Load) -> None:
    settings = load("[CONVERTERS]\nzarr_to_tiff=org/convert:1.0\nzarr=org/x\n")
    assert settings.converters == {"zarr_to_tiff": "org/convert:1.0"}
    assert "zarr is ignored; a key reads <source>_to_<target>" in settings.warnings[0]


def test_an_unknown_key_is_a_warning_with_the_nearest_name(load: Load) -> None:
    settings = load("[SLURM]\nslurm_data_pth=/x\n")
    assert settings.warnings[0].endswith(
        "[SLURM] slurm_data_pth is not known and ignored; did you mean slurm_data_path?"
    )


def test_an_unknown_section_is_a_warning_with_the_nearest_name(load: Load) -> None:
    settings = load("[slurm]\nslurm_data_path=/x\n[changelog]\n# Config automatically updated\n")
    assert settings.slurm.slurm_data_path == "my-scratch/data"
    (warning,) = settings.warnings
    assert warning.endswith("0.ini:1: section [slurm] is not known and ignored; did you mean [SLURM]?")


def test_the_database_url_of_the_environment_wins_and_never_shows(load: Load) -> None:
    text = "[ANALYTICS]\nsqlalchemy_url=postgresql://u:first-secret@h/d%\n"
    from_file = load(text)
    from_variable = load(text, environ={"SQLALCHEMY_URL": "postgresql://u:second-secret@h/d"})
    assert from_file.analytics.sqlalchemy_url is not None
    assert from_file.analytics.sqlalchemy_url.get_secret_value() == "postgresql://u:first-secret@h/d%"
    assert from_variable.analytics.sqlalchemy_url is not None
    assert from_variable.analytics.sqlalchemy_url.get_secret_value() == "postgresql://u:second-secret@h/d"
    for settings in (from_file, from_variable):
        assert "secret@" not in f"{settings} {settings!r} {settings.model_dump_json()}"


def test_the_digest_changes_with_content_but_not_with_secrets_order_or_warnings(load: Load) -> None:
    one = load("[SLURM]\nsbatch_qos=a\nsbatch_mem=1\n[ANALYTICS]\nsqlalchemy_url=a\n")
    two = load("[ANALYTICS]\nsqlalchemy_url=b\n[SLURM]\nsbatch_mem=1\nsbatch_qos=a\nodd=1\n")
    other = load("[SLURM]\nsbatch_qos=a\nsbatch_mem=2\n")
    assert one.digest() == two.digest() != other.digest()


def test_settings_can_be_handed_to_another_process(load: Load) -> None:
    settings = load("[MODELS]\nspots=s\nspots_job_mem=1G\n[ANALYTICS]\nsqlalchemy_url=a\n")
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own bytes


def test_a_line_break_in_a_variable_gets_nowhere(load: Load) -> None:
    settings = load("[SLURM]\napptainer_tmpdir=/scratch\n", environ={"BIOMERO_APPTAINER_TMPDIR": "/tmp\nreboot"})
    assert settings.slurm.apptainer_tmpdir == "/scratch"
    assert "BIOMERO_APPTAINER_TMPDIR is '/tmp\\nreboot', but must be a path on the cluster" in settings.warnings[0]
