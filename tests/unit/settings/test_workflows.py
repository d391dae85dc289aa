"""Telling workflows from the keys that belong to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.errors import RequestError, SettingsError
from worker.settings.models import RetrySettings

if TYPE_CHECKING:
    from tests.unit.settings.conftest import Load


def test_a_workflow_has_folder_repository_script_and_options(load: Load) -> None:
    settings = load(
        "[MODELS]\ncellpose=cellpose\ncellpose_repo=https://github.com/o/r/tree/v1.2.9\ncellpose_job=jobs/cellpose.sh\n"
        "cellpose_job_gres=gpu:1g.10gb:1\ncellpose_job_mem=15GB\ncellpose_use_gpu=True\n"
    )
    workflow = settings.workflow("cellpose")
    assert workflow.image_folder == "cellpose"
    assert workflow.repo == "https://github.com/o/r/tree/v1.2.9"
    assert workflow.job == "jobs/cellpose.sh"
    assert workflow.job_flags == {"gres": "gpu:1g.10gb:1", "mem": "15GB"}
    assert workflow.use_gpu
    assert settings.warnings == ()


def test_options_may_stand_before_the_workflow_that_they_belong_to(load: Load) -> None:
    settings = load("[MODELS]\nspots_job_mem=1G\nspots_job=j.sh\nspots_repo=r\nspots=s\n")
    assert settings.workflow("spots").job_flags == {"mem": "1G"}


def test_an_option_without_value_has_none_and_a_blank_one_is_no_option(load: Load) -> None:
    settings = load("[MODELS]\nspots=s\nspots_job_exclusive\nspots_job_mem=\n")
    assert settings.workflow("spots").job_flags == {"exclusive": None}


@pytest.mark.parametrize("name", ["nuclei_report", "nuclei_job_counter", "my_repository", "spot_job", "batch_repo"])
def test_names_may_look_like_keys(load: Load, name: str) -> None:
    settings = load(f"[MODELS]\n{name}=folder\n{name}_repo=r\n{name}_job=j.sh\n{name}_job_mem=1G\n")
    (workflow,) = settings.workflows.values()
    assert (workflow.name, workflow.repo, workflow.job, workflow.job_flags) == (name, "r", "j.sh", {"mem": "1G"})
    assert settings.warnings == ()


def test_a_key_belongs_to_the_longest_workflow_that_it_fits(load: Load) -> None:
    settings = load(
        "[MODELS]\nnuclei=a\nnuclei_report=b\nnuclei_report_repo=r\nnuclei_report_job_mem=1G\nnuclei_job_mem=2G\n"
    )
    assert settings.workflow("nuclei").job_flags == {"mem": "2G"}
    assert settings.workflow("nuclei_report").job_flags == {"mem": "1G"}


def test_a_workflow_may_be_named_like_an_option_of_another(load: Load) -> None:
    settings = load(
        "[MODELS]\nnuclei=a\nnuclei_job=a.sh\nnuclei_job_mem=1G\nnuclei_job_counter=b\nnuclei_job_counter_repo=r\n"
        "nuclei_job_counter_job_mem=2G\n"
    )
    assert list(settings.workflows) == ["nuclei", "nuclei_job_counter"]
    assert settings.workflow("nuclei").job_flags == {"mem": "1G"}
    assert settings.workflow("nuclei_job_counter").repo == "r"
    assert settings.workflow("nuclei_job_counter").job_flags == {"mem": "2G"}


def test_case_is_kept_for_display_and_ignored_in_matching(load: Load) -> None:
    settings = load("[MODELS]\nStarDist=folder\nstardist_repo=r\n")
    assert list(settings.workflows) == ["stardist"]
    assert settings.workflow("STARDIST").display_name == "StarDist"
    assert settings.workflow("StarDist").repo == "r"


def test_a_blank_folder_in_a_later_file_hides_the_workflow_and_all_its_keys(load: Load) -> None:
    settings = load("[MODELS]\nspots=s\nspots_repo=r\nspots_job_mem=1G\n", "[MODELS]\nspots =\n")
    assert settings.workflows == {}
    assert settings.warnings == ()


def test_an_unknown_key_of_a_workflow_is_a_warning_and_no_workflow(load: Load) -> None:
    settings = load("[MODELS]\ncellpose=c\ncellpose_repo=r\ncellpose_image=org/cellpose\n")
    assert list(settings.workflows) == ["cellpose"]
    (warning,) = settings.warnings
    assert "0.ini:4: cellpose_image is not known and ignored" in warning


def test_a_misspelt_owner_is_a_warning_with_the_nearest_key(load: Load) -> None:
    settings = load("[MODELS]\ncellpose=c\ncelpose_repo=r\n")
    (warning,) = settings.warnings
    assert "there is no workflow celpose; did you mean cellpose_repo?" in warning


def test_a_key_of_another_section_is_sent_there(load: Load) -> None:
    settings = load("[MODELS]\nslurm_data_path=/data\n")
    assert settings.workflows == {}
    assert "it belongs in [SLURM]" in settings.warnings[0]


def test_a_gpu_switch_that_is_none_is_refused_with_its_line(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"0\.ini:3: \[MODELS\] spots_use_gpu = 'maybe'.*one of true, 1"):
        load("[MODELS]\nspots=s\nspots_use_gpu=maybe\n")


def test_what_cannot_be_an_option_of_sbatch_is_left_out(load: Load) -> None:
    settings = load("[SLURM]\nsbatch_mem per = 1\n[MODELS]\nspots=s\nspots_job_; rm = 1\n")
    assert settings.slurm.sbatch_flags == {}
    assert settings.workflow("spots").job_flags == {}
    assert len(settings.warnings) == 2


def test_an_option_with_an_underscore_gets_a_hint(load: Load) -> None:
    settings = load("[MODELS]\nspots=s\nspots_job_cpus_per_task=4\n")
    assert "Did you mean cpus-per-task?" in settings.warnings[0]


def test_asking_for_a_workflow_that_is_not_there_names_the_nearest(load: Load) -> None:
    settings = load("[MODELS]\ncellpose=c\n")
    with pytest.raises(RequestError, match=r"no workflow 'celpose'.*Did you mean cellpose\?"):
        settings.workflow("celpose")


def test_a_job_is_not_tried_again_unless_that_is_set(load: Load) -> None:
    assert load("[MODELS]\nspots=s\n").workflow("spots").retry is None
    assert load("[MODELS]\nspots=s\nspots_retry_max=0\n").workflow("spots").retry is None


def test_a_job_is_tried_again_with_twice_as_much_unless_told_otherwise(load: Load) -> None:
    settings = load("[MODELS]\nspots=s\nspots_retry_max=2\n")
    assert settings.workflow("spots").retry == RetrySettings(
        max=2, memory_factor=2.0, memory_max_mib=None, time_factor=2.0, time_max_s=None
    )
    assert settings.warnings == ()


def test_memory_and_time_are_bounded_as_sbatch_writes_them(load: Load) -> None:
    settings = load(
        "[MODELS]\nspots=s\nspots_retry_max=3\nspots_retry_memory_factor=1.5\nspots_retry_memory_max=64G\n"
        "spots_retry_time_factor=4\nspots_retry_time_max=1-08:00:00\n"
    )
    assert settings.workflow("spots").retry == RetrySettings(
        max=3, memory_factor=1.5, memory_max_mib=65536, time_factor=4.0, time_max_s=115200
    )


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("retry_max", "9", "from 0 to 8"),
        ("retry_max", "often", "from 0 to 8"),
        ("retry_memory_factor", "1", "greater than 1"),
        ("retry_memory_factor", "nan", "greater than 1"),
        ("retry_memory_max", "much", "an amount of memory"),
        ("retry_time_max", "UNLIMITED", "a time as sbatch takes it"),
    ],
)
def test_what_cannot_be_retried_with_is_refused_with_its_line(load: Load, key: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError, match=rf"0\.ini:3: \[MODELS\] spots_{key} = '{value}'.*{allowed}"):
        load(f"[MODELS]\nspots=s\nspots_{key}={value}\n")


def test_a_misspelt_retry_key_is_a_warning_with_the_nearest(load: Load) -> None:
    settings = load("[MODELS]\nspots=s\nspots_retry_max=1\nspots_retry_memory_faktor=2\n")
    (warning,) = settings.warnings
    assert "spots_retry_memory_faktor is not known and ignored; did you mean spots_retry_memory_factor?" in warning


def test_a_retry_key_without_a_number_of_times_has_no_effect_and_says_so(load: Load) -> None:
    settings = load("[MODELS]\nspots=s\nspots_retry_memory_max=64G\n")
    (warning,) = settings.warnings
    assert "0.ini:3: spots_retry_memory_max has no effect without spots_retry_max" in warning


def test_a_retry_key_of_no_workflow_is_a_warning(load: Load) -> None:
    (warning,) = load("[MODELS]\nspots=s\nspot_retry_max=1\n").warnings
    assert "there is no workflow spot; did you mean spots_retry_max?" in warning


def test_a_workflow_may_be_named_like_a_retry_key(load: Load) -> None:
    settings = load("[MODELS]\nspots=s\nspots_retry_max=folder\nspots_retry_max_repo=r\n")
    assert list(settings.workflows) == ["spots", "spots_retry_max"]
