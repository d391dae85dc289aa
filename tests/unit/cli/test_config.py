"""``omero-worker config check|show|diff``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from worker.cli.main import app

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

BASE = "[SSH]\nhost = a\n\n[SLURM]\nslurm_data_path = /base\n[MODELS]\ncellpose = cp\ncellpose_repo = https://example.org/r\n"
OVERRIDE = "[SLURM]\nslurm_data_path = /override\nsbatch_exclusive\n"


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["config", *arguments])


def write(folder: Path, base: str = BASE, override: str = OVERRIDE) -> tuple[Path, Path]:
    (folder / "base.ini").write_text(base, encoding="utf-8")
    (folder / "override.ini").write_text(override, encoding="utf-8")
    return folder / "base.ini", folder / "override.ini"


def test_check_looks_at_what_the_worker_reads(lone: Path) -> None:
    base, override = write(lone)
    result = command("check")
    assert (result.exit_code, result.output) == (0, f"{base}, {override}: 0 errors, 0 warnings.\n")


def test_check_says_file_line_and_remedy_and_fails(lone: Path) -> None:
    _, override = write(lone, override="[SLURM]\nenv_file_submission = perhaps\n")
    result = command("check")
    assert result.exit_code == 1
    assert result.output.startswith(
        f"error: {override}:2: [SLURM] env_file_submission = 'perhaps' is not allowed.\n    It must be one of true,"
    )
    assert result.output.endswith("1 error, 0 warnings.\n")


def test_check_is_strict_if_told_so(lone: Path) -> None:
    write(lone, override="[SLURM]\nslurm_dta_path = x\n")
    assert command("check").exit_code == 0
    assert command("check", "--strict").exit_code == 1


def test_check_is_json(lone: Path) -> None:
    base, override = write(lone, override="[ANALYTICS]\nsqlalchemy_url = postgresql://u:geheim@h/d\n")
    result = command("check", "--json")
    said = json.loads(result.output)
    assert (said["files"], said["errors"], said["warnings"]) == ([str(base), str(override)], 0, 1)
    (finding,) = said["findings"]
    assert {key: finding[key] for key in ("severity", "file", "line", "section", "key", "value")} == {
        "severity": "warning",
        "file": str(override),
        "line": 2,
        "section": "ANALYTICS",
        "key": "sqlalchemy_url",
        "value": "********",
    }
    assert "geheim" not in result.output


def test_check_of_files_takes_each_by_itself_or_all_together(lone: Path) -> None:
    one, other = write(lone, base="[SLURM]\ngpu_gres = g\n", override="[SLURM]\ngpu_gpus = 1\n")
    assert command("check", str(one), str(other)).exit_code == 0
    assert command("check", "--merge", str(one), str(other)).exit_code == 1


def test_check_of_a_file_that_is_not_there_fails(lone: Path) -> None:
    assert command("check", str(lone / "none.ini")).exit_code == 1


def test_check_tries_the_templates_of_job_scripts(lone: Path) -> None:
    (lone / "job.j2").write_text("#!/bin/bash\necho {{ imgae }}\n", encoding="utf-8")
    text = f"[SLURM]\nslurm_job_template = {lone}/job.j2\n[SLURM:other]\nslurm_job_template = {lone}/none.j2\n"
    base, _ = write(lone, base=text, override="")
    result = command("check", str(base))
    assert result.exit_code == 1
    first = (
        f"error: {base}:2: [SLURM] slurm_job_template: Line 2 of the job template {lone}/job.j2 uses what there is not"
    )
    assert result.output.startswith(f"{first}: 'imgae' is undefined.")
    assert f"warning: {base}:4: [SLURM:other] slurm_job_template: there is no such file" in result.output


def test_check_looks_at_addresses(lone: Path) -> None:
    base, _ = write(
        lone,
        base="[MODELS]\na = a\na_repo = example.org/a\nb = b\nb_repo = https://example.org/b\nc = c\nc_repo = /none\n"
        "d = d\nd_repo = https://u:geheim@example.org/d\n[CONVERTERS]\nzarr_to_tiff = UPPER Case\n",
        override="",
    )
    result = command("check", str(base), "--json")
    findings = json.loads(result.output)["findings"]
    assert [(finding["line"], finding["severity"]) for finding in findings] == [
        (3, "error"),
        (7, "warning"),
        (9, "warning"),
        (9, "error"),
        (11, "error"),
    ]
    assert "geheim" not in result.output


@given(st.binary(max_size=100), st.lists(st.tuples(st.integers(0, len(BASE)), st.binary(max_size=6)), max_size=4))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_check_never_crashes(lone: Path, noise: bytes, damages: list[tuple[int, bytes]]) -> None:
    damaged = BASE.encode()
    for at, other in damages:
        damaged = damaged[:at] + other + damaged[at + len(other) :]
    (lone / "base.ini").write_bytes(noise)
    (lone / "override.ini").write_bytes(damaged)
    for arguments in ([], ["--json"], [str(lone / "base.ini")]):
        result = command("check", *arguments)
        assert isinstance(result.exception, SystemExit | None)
        assert result.exit_code in {0, 1}


def test_check_looks_at_the_environment(lone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lone)
    monkeypatch.setenv("OMERO_PORT", "many")
    monkeypatch.setenv("BIOMERO_ENV_FILE_SUBMISSION", "perhaps")
    monkeypatch.setenv("BIOMERO_DEFAULT_PARTITON", "gpu")
    monkeypatch.setenv("BIOMERO_OF_SOMEBODY_ELSE", "x")
    result = command("check")
    assert result.exit_code == 1
    assert "error: OMERO_PORT is 'many'" in result.output
    assert "warning: The variable BIOMERO_ENV_FILE_SUBMISSION is 'perhaps'" in result.output
    assert "BIOMERO_DEFAULT_PARTITON is not known and ignored; did you mean BIOMERO_DEFAULT_PARTITION?" in result.output
    assert "SOMEBODY_ELSE" not in result.output


def test_check_without_any_file_says_where_one_would_be_read(lone: Path) -> None:
    result = command("check")
    assert result.exit_code == 0
    assert f"There is no slurm-config.ini: none of {lone / 'base.ini'}, {lone / 'override.ini'}" in result.output


def test_show_is_what_counts(lone: Path) -> None:
    write(lone)
    result = command("show", "--section", "slurm")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[:2] == ["[SLURM]", "slurm_data_path = /override"]
    assert "sbatch_exclusive" in lines
    assert "gpu_gres =" in lines


def test_show_says_where_values_come_from_and_what_they_win_over(lone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, override = write(lone)
    monkeypatch.setenv("BIOMERO_DEFAULT_PARTITION", "gpu")
    output = command("show", "--origin").output
    (path,) = [line for line in output.splitlines() if line.startswith("slurm_data_path")]
    assert path.split("#")[1].strip() == f"{override}:2; over '/base' of {base}:5"
    (partition,) = [line for line in output.splitlines() if line.startswith("slurm_default_partition")]
    assert partition.split("#")[1].strip() == "variable BIOMERO_DEFAULT_PARTITION"
    (host,) = [line for line in output.splitlines() if line.startswith("connect_timeout")]
    assert host.split("#")[1].strip() == "default"


def test_show_is_json(lone: Path) -> None:
    base, override = write(lone)
    said = json.loads(command("show", "--json").output)
    assert said["SLURM"]["slurm_data_path"] == "/override"
    assert said["WORKFLOWS"] == {"cellpose": "cp", "cellpose_repo": "https://example.org/r"}
    said = json.loads(command("show", "--json", "--origin").output)
    assert said["SLURM"]["slurm_data_path"] == {
        "value": "/override",
        "where": f"{override}:2",
        "overridden": [{"value": "/base", "where": f"{base}:5", "overridden": []}],
    }


def test_show_never_shows_a_secret(lone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lone, override="[ANALYTICS]\nsqlalchemy_url = postgresql://u:geheim@h/d\n")
    monkeypatch.setenv("GITHUB_TOKEN", "geheim")
    for arguments in (["--origin"], ["--origin", "--json"], []):
        output = command("show", *arguments).output
        assert "********" in output
        assert "geheim" not in output


def test_diff_of_two_files_is_about_what_they_mean(lone: Path) -> None:
    one, other = write(
        lone,
        base="[SLURM]\ninject_gpu_flag = yes\n[MODELS]\nA = x\na_repo = r\n",
        override="[WORKFLOWS]\na_repo=r\n# comment\na=x\na_job_mem=4G\n[SLURM]\nInject_GPU_flag=1\nsbatch_exclusive\n",
    )
    result = command("diff", str(one), str(other))
    assert result.output.splitlines() == [
        "[SLURM] sbatch_exclusive: not set -> ''",
        "[WORKFLOWS] a_job_mem: not set -> '4G'",
    ]
    assert result.exit_code == 0
    assert command("diff", str(one), str(other), "--exit-code").exit_code == 2
    same = command("diff", str(one), str(one), "--exit-code")
    assert (same.exit_code, same.output) == (0, "No difference.\n")


def test_diff_without_files_is_against_the_defaults(lone: Path) -> None:
    write(lone)
    said = json.loads(command("diff", "--json").output)
    assert {"section": "SSH", "key": "host", "before": "slurm", "after": "a"} in said
    assert {row["section"] for row in said} == {"SSH", "SLURM", "WORKFLOWS"}


def test_diff_of_a_file_is_against_what_is_in_use_or_against_the_defaults(lone: Path) -> None:
    write(lone)
    new = lone / "new.ini"
    new.write_text(BASE, encoding="utf-8")
    assert command("diff", str(new)).output.splitlines() == [
        "[SLURM] slurm_data_path: '/override' -> '/base'",
        "[SLURM] sbatch_exclusive: '' -> not set",
    ]
    assert "[SSH] host: 'slurm' -> 'a'" in command("diff", str(new), "--defaults").output


def test_the_sample_is_without_fault_and_changes_nothing(lone: Path) -> None:
    path = lone / "base.ini"
    path.write_text(command("sample").output, encoding="utf-8")
    assert command("check").output == f"{path}: 0 errors, 0 warnings.\n"
    assert command("diff").output == "No difference.\n"


def test_diff_never_shows_a_secret(lone: Path) -> None:
    one, other = write(
        lone,
        base="[ANALYTICS]\nsqlalchemy_url = postgresql://u:geheim@h/d\n",
        override="[ANALYTICS]\nsqlalchemy_url = postgresql://u:streng@h/d\n",
    )
    output = command("diff", str(one), str(other)).output
    assert output == "[ANALYTICS] sqlalchemy_url: '********' -> '********'\n"
