"""Merging files, and the laws of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from worker.settings.build import build
from worker.settings.ini import IniFile, parse
from worker.settings.layers import merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.settings.conftest import Load
    from worker.settings.models import Settings

_NAMES = ["slurm_data_path", "sbatch_account", "slurm_zip_cmd", "slurm_data_bind_path", "slurm_dat_path"]
_WORKFLOWS = ["nuclei", "nuclei_repo", "nuclei_job", "nuclei_job_mem", "nuclei_report", "nuclei_report_repo", "spots"]
_VALUES = st.sampled_from(["a", "b", "", "50%", "x=y"])
_SECTIONS = st.fixed_dictionaries(
    {
        "SLURM": st.dictionaries(st.sampled_from(_NAMES), _VALUES),
        "MODELS": st.dictionaries(st.sampled_from(_WORKFLOWS), _VALUES),
        "WORKFLOWS": st.dictionaries(st.sampled_from(_WORKFLOWS), _VALUES),
    }
)
layers = st.lists(_SECTIONS, min_size=1, max_size=3)


def as_file(sections: dict[str, dict[str, str]], *, backwards: bool = False) -> IniFile:
    lines = []
    for name, keys in sections.items():
        items = list(keys.items())
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in (reversed(items) if backwards else items))]
    return parse("\n".join(lines), Path("x.ini"))


def settings_of(files: Sequence[IniFile]) -> Settings:
    return build(merge(files), {}).model_copy(update={"warnings": ()})


@given(layers)
def test_the_order_of_keys_in_a_file_does_not_matter(files: list[dict[str, dict[str, str]]]) -> None:
    forwards = settings_of([as_file(file) for file in files])
    assert forwards == settings_of([as_file(file, backwards=True) for file in files])
    assert forwards.digest() == settings_of([as_file(file, backwards=True) for file in files]).digest()


@given(layers)
def test_reading_the_last_file_twice_changes_nothing(files: list[dict[str, dict[str, str]]]) -> None:
    once = [as_file(file) for file in files]
    assert settings_of(once) == settings_of([*once, once[-1]])


@given(layers)
def test_a_file_without_keys_changes_nothing(files: list[dict[str, dict[str, str]]]) -> None:
    full = [as_file(file) for file in files]
    empty = parse("[SLURM]\n# nothing\n", Path("empty.ini"))
    assert settings_of(full) == settings_of([empty, *full]) == settings_of([*full, empty])


@given(layers)
def test_whatever_the_last_file_says_counts(files: list[dict[str, dict[str, str]]]) -> None:
    settings = settings_of([as_file(file) for file in files])
    last = files[-1]
    if last["SLURM"].get("sbatch_account"):
        assert settings.slurm.sbatch_flags["account"] == last["SLURM"]["sbatch_account"]
    folder = last["WORKFLOWS"].get("spots", last["MODELS"].get("spots"))
    if folder is not None:
        assert ("spots" in settings.workflows) == bool(folder)


@given(layers)
def test_no_workflow_is_invented(files: list[dict[str, dict[str, str]]]) -> None:
    assert settings_of([as_file(file) for file in files]).workflows.keys() <= {"nuclei", "nuclei_report", "spots"}


def test_a_later_file_wins_key_by_key(load: Load) -> None:
    settings = load(
        "[SLURM]\nslurm_data_path = /base\nslurm_script_path = /scripts\n",
        "[SLURM]\nslurm_data_path = /override\n",
    )
    assert (settings.slurm.slurm_data_path, settings.slurm.slurm_script_path) == ("/override", "/scripts")


def test_a_blank_value_takes_back_what_an_earlier_file_set(load: Load) -> None:
    settings = load(
        "[SLURM]\nslurm_data_path = /base\nsbatch_account = a\n", "[SLURM]\nslurm_data_path=\nsbatch_account=\n"
    )
    assert settings.slurm.slurm_data_path == "my-scratch/data"
    assert settings.slurm.sbatch_flags == {}


def test_within_a_file_workflows_win_over_models(load: Load) -> None:
    settings = load("[WORKFLOWS]\nspots = new\n[MODELS]\nspots = old\nspots_repo = r\n")
    assert settings.workflow("spots").image_folder == "new"
    assert settings.workflow("spots").repo == "r"


def test_what_the_web_plugin_writes_to_models_wins_over_workflows_of_an_earlier_file(load: Load) -> None:
    settings = load("[WORKFLOWS]\nspots = base\ndots = base\n", "[MODELS]\nspots = edited\ndots =\n")
    assert settings.workflow("spots").image_folder == "edited"
    assert "dots" not in settings.workflows


def test_indented_keys_do_not_become_part_of_a_path_in_silence(load: Load) -> None:
    settings = load("[MODELS]\nspots = folder\n    spots_repo = r\n")
    assert settings.workflow("spots").image_folder == "folder"
    (warning,) = settings.warnings
    assert "0.ini:2" in warning
    assert "indented" in warning
