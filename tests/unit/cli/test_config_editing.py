"""``omero-worker config set|present|absent|apply``."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from worker.cli.main import app
from worker.errors import RequestError, SettingsError
from worker.settings.loader import SettingsSource

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "# mine\n[SSH]\nhost = a\n\n[MODELS]\ncellpose = cp\ncellpose_repo = r\n"

DESIRED = """
[SLURM]
slurm_data_path = "/scratch"
[WORKFLOWS.cellpose]
use_gpu = true
[WORKFLOWS.stardist]
repo = "https://example.org/stardist"
job_mem = "8G"
"""


def command(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(app, ["config", *arguments], input=text)


@pytest.fixture
def file(lone: Path) -> Path:
    path = lone / "override.ini"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_set_changes_the_file_that_counts_most_and_then_nothing(lone: Path, file: Path) -> None:
    (lone / "base.ini").write_text("[SSH]\nhost = base\n", encoding="utf-8")
    first = command("set", "ssh", "host", "b")
    assert (first.exit_code, first.output) == (0, f"{file}: [SSH] host changed = b\n")
    assert file.read_text(encoding="utf-8") == TEXT.replace("host = a", "host = b")
    before = file.stat()
    second = command("set", "ssh", "host", "b")
    assert (second.exit_code, second.output) == (0, f"{file}: unchanged\n")
    assert file.stat() == before


def test_check_writes_nothing_and_says_by_its_status_whether_it_would(file: Path) -> None:
    result = command("set", "SSH", "host", "b", "--check")
    assert (result.exit_code, result.output) == (2, f"{file}: [SSH] host would be changed = b\n")
    assert file.read_text(encoding="utf-8") == TEXT
    assert command("set", "SSH", "host", "a", "--check").exit_code == 0


def test_json_says_what_ansible_asks_for(file: Path) -> None:
    said = json.loads(command("set", "SSH", "host", "b", "--json").output)
    assert said == {
        "changed": True,
        "check": False,
        "file": str(file),
        "written": "renamed",
        "changes": [{"section": "SSH", "key": "host", "before": "a", "after": "b", "action": "changed"}],
        "warnings": [],
    }
    said = json.loads(command("set", "SSH", "host", "b", "--json").output)
    assert (said["changed"], said["changes"], said["written"]) == (False, [], None)


def test_present_leaves_a_value_alone(file: Path) -> None:
    assert "unchanged" in command("present", "SSH", "host", "b").output
    assert "added" in command("present", "SSH", "keepalive", "10").output
    assert "added" in command("present", "SLURM", "sbatch_exclusive").output
    assert file.read_text(encoding="utf-8") == TEXT.replace("host = a", "host = a\nkeepalive = 10") + (
        "\n[SLURM]\nsbatch_exclusive\n"
    )


def test_absent_takes_out_a_key_or_a_workflow(file: Path) -> None:
    assert "removed" in command("absent", "SSH", "host").output
    assert "removed" in command("absent", "--workflow", "CellPose").output
    assert file.read_text(encoding="utf-8") == "# mine\n[SSH]\n\n[MODELS]\n"
    assert "unchanged" in command("absent", "--workflow", "cellpose").output


def test_absent_takes_back_what_an_earlier_file_sets(lone: Path, file: Path) -> None:
    (lone / "base.ini").write_text("[MODELS]\nstardist = s\nstardist_repo = r\n", encoding="utf-8")
    command("absent", "--workflow", "stardist")
    assert "stardist =\n" in file.read_text(encoding="utf-8")
    assert "stardist" not in command("diff").output
    assert "unchanged" in command("absent", "--workflow", "stardist").output


@pytest.mark.parametrize("arguments", [[], ["SSH"], ["SSH", "host", "--workflow", "x"]])
def test_absent_wants_to_know_what(file: Path, arguments: list[str]) -> None:
    assert isinstance(command("absent", *arguments).exception, RequestError)


def test_apply_makes_the_file_say_what_is_desired_and_twice_is_once(lone: Path, file: Path) -> None:
    desired = lone / "desired.toml"
    desired.write_text(DESIRED, encoding="utf-8")
    assert command("apply", str(desired), "--check").exit_code == 2
    assert file.read_text(encoding="utf-8") == TEXT
    result = command("apply", str(desired), "--diff")
    assert result.exit_code == 0
    assert "+stardist_job_mem = 8G" in result.output
    once = file.read_bytes()
    assert once.decode().startswith("# mine\n[SSH]\nhost = a\n\n[MODELS]\ncellpose = cp\ncellpose_repo = r\n")
    again = command("apply", str(desired), "--check", "--json")
    assert again.exit_code == 0
    assert json.loads(again.output)["changed"] is False
    assert file.read_bytes() == once


def test_apply_reads_json_from_standard_input(file: Path) -> None:
    command("apply", "-", text='{"SSH": {"host": null, "keepalive": 5}}')
    assert file.read_text(encoding="utf-8") == TEXT.replace("host = a\n\n", "keepalive = 5\n\n").replace(
        "[SSH]\n\n", "[SSH]\n"
    )


def test_what_could_not_be_loaded_is_not_written(file: Path) -> None:
    result = command("set", "SLURM", "env_file_submission", "perhaps")
    assert isinstance(result.exception, SettingsError)
    assert "stays as it is" in result.exception.message
    assert "[SLURM] env_file_submission = 'perhaps' is not allowed" in result.exception.message
    assert file.read_text(encoding="utf-8") == TEXT


def test_what_contradicts_another_file_is_not_written(lone: Path, file: Path) -> None:
    (lone / "base.ini").write_text("[SLURM]\ngpu_gres = g\n", encoding="utf-8")
    assert isinstance(command("set", "SLURM", "gpu_gpus", "1").exception, SettingsError)
    assert command("apply", "-", text='{"SLURM": {"gpu_gpus": 1, "gpu_gres": null}}').exit_code == 0
    assert "gpu_gres =\n" in file.read_text(encoding="utf-8")


def test_a_file_elsewhere_is_judged_by_itself(lone: Path, file: Path) -> None:
    file.write_text("[SLURM]\ngpu_gres = g\n", encoding="utf-8")
    elsewhere = lone / "elsewhere.ini"
    result = command("set", "SLURM", "gpu_gpus", "1", "--file", str(elsewhere))
    assert result.exit_code == 0
    assert elsewhere.read_text(encoding="utf-8") == "[SLURM]\ngpu_gpus = 1\n"


def test_what_is_odd_about_the_new_value_is_told_and_nothing_else(file: Path) -> None:
    file.write_text(TEXT + "[SLURM]\nodd = 1\n", encoding="utf-8")
    result = command("set", "SLURM", "slurm_dta_path", "x", "--json")
    (warning,) = json.loads(result.stdout)["warnings"]
    assert "did you mean slurm_data_path?" in warning
    assert json.loads(command("set", "SSH", "keepalive", "5", "--json").stdout)["warnings"] == []


def test_secrets_are_never_printed(file: Path) -> None:
    file.write_text(TEXT + "[ANALYTICS]\nsqlalchemy_url = postgresql://u:geheim@h/d\n", encoding="utf-8")
    for arguments in (["--diff", "--check"], ["--diff", "--json"]):
        output = command("set", "ANALYTICS", "sqlalchemy_url", "postgresql://u:streng@h/d", *arguments).output
        assert "sqlalchemy_url = ******** (another one)" in output
        assert "geheim" not in output
        assert "streng" not in output


def test_a_process_that_goes_on_follows(file: Path) -> None:
    source = SettingsSource(default_paths=[file], environ={})
    assert source.current().ssh.host == "a"
    for arguments in (["set", "SSH", "host", "b"], ["absent", "--workflow", "cellpose"]):
        command(*arguments)
        then = time.time() - 60  # Nobody is writing to it any more.
        os.utime(file, (then, then))
    assert (source.current().ssh.host, source.current().workflows, source.current().warnings) == ("b", {}, ())


def test_a_section_that_is_not_known_is_refused_with_the_nearest(file: Path) -> None:
    error = command("set", "SLRM", "a", "b").exception
    assert isinstance(error, SettingsError)
    assert error.remedy == "Did you mean SLURM?"


def test_without_any_file_one_has_to_be_named(lone: Path) -> None:
    assert isinstance(command("set", "SSH", "host", "b").exception, RequestError)
    assert command("set", "SSH", "host", "b", "--file", str(lone / "base.ini")).exit_code == 0
    assert (lone / "base.ini").read_text(encoding="utf-8") == "[SSH]\nhost = b\n"


def test_the_file_that_the_environment_names_counts_most(
    lone: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explicit = lone / "explicit.ini"
    monkeypatch.setenv("OMERO_WORKER_CONFIG_FILE", str(explicit))
    command("set", "SSH", "host", "b")
    assert explicit.read_text(encoding="utf-8") == "[SSH]\nhost = b\n"
