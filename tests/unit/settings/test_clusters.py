"""More than one cluster."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from worker.errors import SettingsError
from worker.settings.models import ClusterSettings, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.settings.conftest import Load

TWO = """
[SSH]
host = login
command_timeout = 5
[SLURM]
slurm_data_path = /data
slurm_default_partition = cpu
sbatch_account = lab
sbatch_qos = normal
[SSH:gpu]
connect_timeout = 3
[SLURM:gpu]
slurm_data_path = /fast
slurm_default_partition =
sbatch_qos =
sbatch_constraint = a100
"""


def test_there_is_always_the_default_cluster(load: Load) -> None:
    for settings in (Settings(), load("[SSH]\nhost=a\n")):
        (cluster,) = settings.clusters.values()
        assert cluster.name == "default"
        assert cluster is not None
        assert cluster.ssh is settings.ssh
        assert cluster.slurm is settings.slurm
        assert settings.cluster("default") == ClusterSettings("default", settings.ssh, settings.slurm)


def test_what_a_cluster_does_not_say_is_as_the_default_one_says(load: Load) -> None:
    settings = load(TWO)
    gpu = settings.cluster("gpu")
    assert list(settings.clusters) == ["default", "gpu"]
    assert (gpu.ssh.command_timeout_s, gpu.ssh.connect_timeout_s) == (5, 3)
    assert gpu.slurm.slurm_data_path == "/fast"
    assert settings.slurm.slurm_data_path == "/data"
    assert settings.warnings == ()


def test_a_blank_value_takes_back_what_the_default_cluster_says(load: Load) -> None:
    gpu = load(TWO).cluster("gpu").slurm
    assert gpu.slurm_default_partition is None
    assert gpu.sbatch_flags == {"account": "lab", "constraint": "a100"}


def test_the_host_is_the_name_and_never_that_of_another_cluster(load: Load) -> None:
    assert load(TWO).cluster("gpu").ssh.host == "gpu"
    assert load("[SSH]\nhost=a\n[SSH:gpu]\nhost=\n").cluster("gpu").ssh.host == "gpu"
    assert load("[SSH]\nhost=a\n[SSH:gpu]\nhost=login.gpu\n").cluster("gpu").ssh.host == "login.gpu"


@pytest.mark.parametrize("section", ["[SSH:b]", "[SLURM:b]"])
def test_one_of_the_two_sections_is_enough_even_without_keys(load: Load, section: str) -> None:
    settings = load(f"[SLURM]\nslurm_data_path=/d\n{section}\n")
    assert settings.cluster("b").ssh.host == "b"
    assert settings.cluster("b").slurm == settings.slurm


def test_a_variable_counts_for_all_clusters_that_do_not_say_otherwise(load: Load) -> None:
    settings = load(
        "[SLURM]\ngpu_partition=file\n[SSH:b]\n[SLURM:c]\ngpu_partition=own\n", environ={"GPU_PARTITION": "variable"}
    )
    found = {name: cluster.slurm.gpu_partition for name, cluster in settings.clusters.items()}
    assert found == {"default": "variable", "b": "variable", "c": "own"}


def test_a_later_file_wins_key_by_key_for_each_cluster(load: Load) -> None:
    settings = load(
        "[SLURM:b]\nslurm_data_path=/one\nslurm_script_path=/s\n",
        "[SLURM]\nslurm_script_path=/other\n[SLURM:b]\nslurm_data_path=/two\n",
    )
    assert settings.cluster("b").slurm.slurm_data_path == "/two"
    assert settings.cluster("b").slurm.slurm_script_path == "/s"


def test_a_workflow_names_its_cluster(load: Load) -> None:
    settings = load("[SSH:gpu]\n[MODELS]\nspots=s\nspots_cluster=gpu\ndots=d\n")
    assert settings.workflow("spots").cluster == "gpu"
    assert settings.workflow("dots").cluster == "default"


def test_a_workflow_of_an_unknown_cluster_is_refused_with_the_nearest(load: Load) -> None:
    with pytest.raises(
        SettingsError, match=r"0\.ini:4: \[MODELS\] spots_cluster = 'gpuu': there is no such.*Did you mean gpu\?"
    ):
        load("[SSH:gpu]\n[MODELS]\nspots=s\nspots_cluster=gpuu\n")


def test_asking_for_a_cluster_that_is_not_there_names_the_nearest(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"no cluster 'gpus'.*Did you mean gpu\?"):
        load("[SSH:gpu]\n").cluster("gpus")


@pytest.mark.parametrize("name", ["GPU", " gpu", "a b", "1st", "gpü", "", "a/b", "a;b"])
def test_the_name_of_a_cluster_is_a_word_in_lower_case(load: Load, name: str) -> None:
    with pytest.raises(SettingsError, match=r"0\.ini:2: .*cannot be the name of a cluster"):
        load(f"[SSH]\n[SLURM:{name}]\n")


def test_the_name_default_is_taken(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"0\.ini:1: section \[SSH:default\].*Write \[SSH\]"):
        load("[SSH:default]\n")


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("SLRUM:gpu", "did you mean [SLURM:gpu]?"),
        ("slurm:GPU", "did you mean [SLURM:gpu]?"),
        ("SSH gpu", "did you mean [SSH:gpu]?"),
        ("SLURM.gpu", "did you mean [SLURM:gpu]?"),
        ("WORKER:gpu", "[WORKER] is the same for all clusters"),
        ("SLRUM", "did you mean [SLURM]?"),
        ("WORKFLOW", "did you mean [WORKFLOWS]?"),
        ("analysis", "did you mean [ANALYSES]?"),
    ],
)
def test_a_misspelt_section_is_a_warning_with_the_nearest(load: Load, written: str, hint: str) -> None:
    settings = load(f"[{written}]\n")
    (warning,) = settings.warnings
    assert f"0.ini:1: section [{written}] is not known and ignored; {hint}" in warning
    assert list(settings.clusters) == ["default"]


def test_a_misspelt_key_of_a_cluster_is_a_warning_with_its_section(load: Load) -> None:
    (warning,) = load("[SLURM:gpu]\nslurm_data_pth=/x\n").warnings
    assert warning.endswith(
        "0.ini:2: [SLURM:gpu] slurm_data_pth is not known and ignored; did you mean slurm_data_path?"
    )


def test_gres_and_gpus_are_refused_for_each_cluster_and_the_way_out_works(load: Load) -> None:
    text = "[SLURM]\ngpu_gres=gpu:1\n[SLURM:b]\ngpu_gpus=1\n"
    with pytest.raises(
        SettingsError, match=r"\[SLURM:b\] in .*0\.ini:2 and .*0\.ini:4: gpu_gres .* blank one in \[SLURM:b\]"
    ):
        load(text)
    settings = load(text + "gpu_gres=\n")
    assert (settings.slurm.gpu_gres, settings.cluster("b").slurm.gpu_gpus) == ("gpu:1", "1")


def test_the_digest_covers_all_clusters(load: Load) -> None:
    assert load(TWO).digest() != load(TWO.replace("/fast", "/faster")).digest()


def test_settings_of_many_clusters_can_be_handed_to_another_process(load: Load) -> None:
    settings = load(TWO)
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own bytes


def test_people_may_choose_what_their_cluster_allows_and_the_workflow_does_not_say_otherwise(load: Load) -> None:
    settings = load(
        "[SLURM]\nuser_time_max=08:00:00\nuser_memory_max=64G\nuser_partitions=cpu, gpu\n"
        "[SLURM:b]\nuser_time_max=1-00:00:00\nuser_partitions=\n"
        "[WORKFLOWS]\nspots=s\nspots_user_memory_max=8G\ndots=d\ndots_cluster=b\n"
        "dots_user_memory_max=\nfixed=f\nfixed_user_partitions=\nfixed_user_time_max=\nfixed_user_memory_max=\n"
    )
    found = {
        name: (workflow.user_time_max_s, workflow.user_memory_max_mib, workflow.user_partitions)
        for name, workflow in settings.workflows.items()
    }
    assert found == {
        "spots": (28800, 8192, ("cpu", "gpu")),
        "dots": (86400, None, ()),
        "fixed": (None, None, ()),
    }
    assert settings.warnings == ()


def test_without_a_word_people_may_choose_nothing(load: Load) -> None:
    spots = load("[WORKFLOWS]\nspots=s\n").workflow("spots")
    assert (spots.user_time_max_s, spots.user_memory_max_mib, spots.user_partitions) == (None, None, ())


def test_a_key_of_a_limit_may_be_a_workflow_of_its_own(load: Load) -> None:
    settings = load("[MODELS]\nspots=s\nspots_cluster=c\nspots_cluster_repo=r\nspots_cluster_job=j\n")
    assert list(settings.workflows) == ["spots", "spots_cluster"]
    assert settings.warnings == ()


def test_a_relative_path_of_this_machine_starts_at_the_folder_of_its_file(load: Load, tmp_path: Path) -> None:
    settings = load("[SLURM]\nslurm_job_template=job.sh.j2\n[SLURM:b]\nslurm_job_template=/etc/b.j2\n")
    assert settings.slurm.job_template == tmp_path / "job.sh.j2"
    assert str(settings.cluster("b").slurm.job_template) == "/etc/b.j2"


def test_jobs_get_modules_template_and_source_of_images(load: Load) -> None:
    slurm = load(
        "[SLURM]\nslurm_modules = apptainer/1.2,cuda # both\nslurm_job_template=~/job.sh.j2\n"
        "slurm_image_source=docker://mirror.example.org/\n",
        environ={"HOME": "/home/x"},
    ).slurm
    assert slurm.modules == ("apptainer/1.2", "cuda")
    assert str(slurm.job_template) == "/home/x/job.sh.j2"
    assert slurm.image_source == "docker://mirror.example.org/"
    defaults = Settings().slurm
    assert (defaults.modules, defaults.job_template, defaults.image_source) == ((), None, "docker://")
