"""The sample file and the manual are what the models say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from worker.settings import environment, models
from worker.settings.environment import WorkerEnvironment, read_environment
from worker.settings.sample import main, manual, sample, sections, workflow_keys

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tests.unit.settings.conftest import Load

WORKER = Path(environment.__file__).parents[1]


def test_the_files_in_the_tree_are_what_the_models_say() -> None:
    assert main(["--check"]) == 0


def test_a_file_that_differs_or_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("config", "docs"):
        (tmp_path / folder).mkdir()
    assert main(["--write", "--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0
    (tmp_path / "docs" / "configuration.md").write_text("edited by hand")
    (tmp_path / "config" / "slurm-config.ini").unlink()
    assert main(["--check", "--root", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "configuration.md is not what the models say" in said
    assert "slurm-config.ini is not what the models say" in said


def test_the_sample_changes_nothing_and_brings_no_workflow(load: Load) -> None:
    assert load(sample()) == models.Settings()


def test_every_key_says_what_it_is_for_and_what_holds_without_it() -> None:
    keys = [key for section in sections() for group in section.groups for key in group.keys]
    for key in (*keys, *workflow_keys()):
        assert re.fullmatch(r"[A-Z].{15,}[./]", key.description, re.DOTALL), key.name
        assert bool(key.default) != bool(key.unset), key.name
        assert all(example for example in key.examples) or key.name == "<workflow>"


def test_every_example_is_one(load: Load) -> None:
    for section in sections():
        for group in section.groups:
            for key in group.keys:
                for example in key.examples:
                    settings = load(f"[{section.name}]\n{example}\n")
                    assert settings.warnings == (), example
                    assert (settings == models.Settings()) == (key.default is not None), example


def test_the_manual_names_every_key_variable_and_section() -> None:
    text = manual()
    for section, model in models.SECTIONS.items():
        assert f"## `[{section}]`" in text
        for key in models.written_fields(model):
            assert re.search(rf"^\| `{key}` \|", text, re.MULTILINE), key
    for own in workflow_keys():
        assert f"| `{own.name}` |" in text
    for variable in (*models.variables(), *environment.FORWARDED_NAMES):
        assert f"`{variable}`" in text


def attributes_used() -> set[str]:
    """List everything behind a dot in code outside the settings."""
    paths = [path for path in WORKER.rglob("*.py") if path.relative_to(WORKER).parts[0] != "settings"]
    return {name for path in paths for name in re.findall(r"\.(\w+)", path.read_text(encoding="utf-8"))}


def test_every_key_either_counts_or_says_that_it_has_no_effect() -> None:
    used = attributes_used()
    tables: list[type[BaseModel]] = [*models.SECTIONS.values(), models.WorkflowSettings, models.RetrySettings]
    wrong = [
        (model.__name__, field)
        for model in tables
        for field, info in model.model_fields.items()
        if (field in used) == (info.description or "").startswith("Has no effect")
    ]
    assert wrong == []


def test_every_table_of_the_manual_has_rows_as_wide_as_its_head() -> None:
    widths = [len(re.split(r"(?<!\\)\|", line)) - 2 for line in manual().splitlines() if line.startswith("|")]
    assert set(widths) == {5, 2}


def test_the_manual_swallows_no_placeholder() -> None:
    outside = re.sub(r"`[^`]*`|^    .*$|^<!--.*-->$", "", manual(), flags=re.MULTILINE)
    assert not re.findall(r"<\w+>", outside)


@pytest.mark.parametrize("block", re.findall(r"^    \[(?:.*\n    |.*\n\n    )*.*", manual(), re.MULTILINE))
def test_the_examples_of_the_manual_load_without_a_warning(load: Load, block: str) -> None:
    settings = load(re.sub(r"^    ", "", block, flags=re.MULTILINE))
    assert settings.warnings == ()
    assert settings.workflows or settings.slurm != models.Settings().slurm


def test_every_variable_of_the_environment_is_in_the_table_and_read(tmp_path: Path) -> None:
    assert set(environment.VARIABLES) == set(WorkerEnvironment.model_fields) - {"warnings"}
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    secret.chmod(0o400)
    nothing = read_environment({"HOME": "/home/x"})
    for field, names in environment.VARIABLES.items():
        for name in names:
            given = {"OMERO_PORT": "4065", "IMPORTER_ENABLED": "yes"}.get(name, str(secret))
            assert getattr(read_environment({name: given, "HOME": "/home/x"}), field) != getattr(nothing, field), name
