"""Looking a configuration over: all that is wrong with it, and never a crash."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cluster import flags
from worker.settings import sbatch_options
from worker.settings.inspection import Finding, Inspection, Severity, inspect

SAMPLE = Path(__file__).parents[3] / "config" / "slurm-config.ini"

BROKEN = """\
stray = 1
[SSH]
host = a b
conect_timeout = 3
[SLURM]
gpu_gres = gpu:1
gpu_gpus = 1
sbatch_tiem = 3
sbatch_time = 1 hour
sbatch_mem = 4X
sbatch_exclusive = user
sbatch_requeue
sbatch_hold = yes
sbatch_account
env_file_submission = perhaps
slurm_data_path = x
Slurm_data_path = y
[ANALYTICS]
sqlalchemy_url = postgresql://u:p@ss@h/db
[SSH]
host = b
[SLRM]
a
  = v
[MODELS]
cellpose = x
cellpose_job_mem = 1G
cellpose_job_mem-per-cpu = 1G
cellpose_cluster = nowhere
[ANALYSES]
github_token = abc
[SSH:Bad Name]
x = 1
"""

_REAL = SAMPLE.read_bytes()
_LINES = [*SAMPLE.read_text(encoding="utf-8").splitlines(), *BROKEN.splitlines()]


def look(path: Path, content: str | bytes) -> Inspection:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o644)
    return inspect([path], {}, required=[path])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "slurm-config.ini"


def test_everything_that_is_wrong_is_told_in_one_go_by_line(path: Path) -> None:
    findings = look(path, BROKEN).findings
    told = [(finding.line, finding.severity.value) for finding in findings]
    errors = [1, 3, 6, 9, 10, 13, 14, 15, 17, 20, 21, 24, 27, 29, 31, 32]
    warnings = [4, 8, 12, 19, 22, 26]
    assert told == sorted([(line, "error") for line in errors] + [(line, "warning") for line in warnings])
    assert all(f"{path}:{finding.line}" in finding.message for finding in findings)


def test_a_finding_names_its_key_and_value_and_what_is_allowed(path: Path) -> None:
    (finding,) = look(path, "[SLURM]\nEnv_File_Submission = perhaps\n").findings
    assert finding == Finding(
        Severity.ERROR,
        f"{path}:2: [SLURM] Env_File_Submission = 'perhaps' is not allowed.",
        "It must be one of true, 1, yes, y, on, false, 0, no, n, off.",
        path,
        2,
        "SLURM",
        "Env_File_Submission",
        "perhaps",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[SLURM]\nslurm_dta_path = x\n", "did you mean slurm_data_path?"),
        ("[SLRUM]\na = x\n", "did you mean [SLURM]?"),
        ("[SLURM]\nsbatch_partion = x\n", "Did you mean --partition?"),
        ("[MODELS]\na = a\na_repo = r\na_job_tim = x\n", "Did you mean --time?"),
        ("[MODELS]\na = a\na_repo = r\na_rpo = x\n", "did you mean a_repo?"),
    ],
)
def test_a_typing_error_is_told_the_nearest_name(path: Path, text: str, message: str) -> None:
    (finding,) = look(path, text).findings
    assert finding.severity is Severity.WARNING
    assert message in f"{finding.message} {finding.remedy}"


def test_a_password_is_told_of_and_never_shown(path: Path) -> None:
    (finding,) = look(path, "[ANALYTICS]\nsqlalchemy_url = postgresql://u:p@ss/w@h/db\n").findings
    assert "can be read by everybody (mode 0644)" in finding.message
    assert "SQLALCHEMY_URL_FILE" in finding.remedy
    assert finding.value == "********"
    assert "p@ss" not in str(finding)


def test_a_password_in_an_address_that_is_refused_is_not_shown(path: Path) -> None:
    findings = look(path, "[MODELS]\na = a\na_repo = https://u:geheim@example.org/r x\n").findings
    assert [finding.severity for finding in findings] == [Severity.WARNING, Severity.ERROR]
    assert "geheim" not in str(findings)


def test_an_option_written_with_underscores_is_told_of_once(path: Path) -> None:
    (finding,) = look(path, "[SLURM]\nsbatch_cpus_per_task = 4\n").findings
    assert "Did you mean cpus-per-task?" in finding.message


def test_an_address_without_password_is_no_secret(path: Path) -> None:
    assert look(path, "[ANALYTICS]\nsqlalchemy_url = sqlite:////tmp/x.db\n").findings == ()


def test_a_gpu_that_nobody_asks_for_is_told_of(path: Path) -> None:
    text = "[MODELS]\na = a\na_repo = r\na_use_gpu = true\n"
    (finding,) = look(path, text).findings
    assert (finding.line, finding.severity) == (4, Severity.WARNING)
    assert look(path, f"{text}a_job_gres = gpu:1\n[SLURM:far]\n").findings == ()
    assert look(path, f"{text}[SLURM]\ngpu_gpus = 1\n").findings == ()


def test_a_job_template_that_is_not_there_is_told_of(path: Path) -> None:
    (finding,) = look(path, "[SLURM:far]\nslurm_job_template = /none.j2\n").findings
    assert (finding.line, finding.key, finding.severity) == (2, "slurm_job_template", Severity.WARNING)


def test_a_file_that_everybody_can_write_is_told_of(path: Path) -> None:
    path.write_bytes(b"[SSH]\n")
    path.chmod(0o666)
    (finding,) = inspect([path], {}).findings
    assert "can be written by everybody (mode 0666)" in finding.message


def test_two_variables_that_contradict_each_other_hide_no_line(path: Path) -> None:
    path.write_bytes(b"[SSH]\nhost = a b\n")
    found = inspect([path], {"SQLALCHEMY_URL": "sqlite://", "SQLALCHEMY_URL_FILE": "/none"})
    assert found.errors == 2
    assert found.settings is not None


def test_later_files_mend_earlier_ones(tmp_path: Path) -> None:
    first, second = tmp_path / "a.ini", tmp_path / "b.ini"
    first.write_bytes(b"[SLURM]\ngpu_gres = gpu:1\n")
    second.write_bytes(b"[SLURM]\ngpu_gpus = 1\n")
    (finding,) = inspect([first, second], {}).findings
    assert f"{first}:2 and {second}:2" in finding.message
    second.write_bytes(b"[SLURM]\ngpu_gpus = 1\ngpu_gres =\n")
    assert inspect([first, second], {}).findings == ()


def test_a_file_that_is_not_there_is_an_error_only_if_it_must_be(path: Path) -> None:
    assert inspect([path], {}).findings == ()
    assert inspect([path], {}, required=[path]).errors == 1


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (finding,) = inspect([tmp_path], {}, required=[tmp_path]).findings
    assert "cannot be read: Is a directory" in finding.message


def test_a_picture_is_one_error_and_not_thousands(path: Path) -> None:
    found = look(path, os.urandom(100_000) + b"\0")
    assert found.errors == 1


def test_a_long_text_of_something_else_ends_somewhere(path: Path) -> None:
    found = look(path, "some words of a novel\n" * 1000)
    assert found.errors == 51
    assert "950 more lines" in found.findings[0].message or "950 more lines" in found.findings[-1].message


def test_the_sample_is_without_fault(path: Path) -> None:
    assert look(path, _REAL).findings == ()


@pytest.mark.parametrize(
    ("option", "value", "fatal"),
    [
        ("time", "08:00:00", None),
        ("time", "2-0", None),
        ("time", "UNLIMITED", None),
        ("time", "8h", True),
        ("mem", "64G", None),
        ("mem", "0", None),
        ("mem", "64 gigabytes", True),
        ("cpus-per-task", "4", None),
        ("cpus-per-task", "four", True),
        ("cpus-per-task", None, True),
        ("nodes", "1-2", None),
        ("nodes", "one", True),
        ("gpus", "a100:2", None),
        ("gpus", "many", True),
        ("exclusive", None, None),
        ("exclusive", "user", None),
        ("contiguous", "yes", True),
        ("gres", "gpu:1", None),
        ("output", "x", False),
        ("no-such-option", "x", False),
    ],
)
def test_options_of_sbatch(option: str, value: str | None, fatal: bool | None) -> None:
    doubt = sbatch_options.doubt(option, value)
    assert (None if doubt is None else doubt.fatal) is fatal


def test_the_table_of_options_knows_those_that_have_rules() -> None:
    assert sbatch_options.RESERVED.union(*sbatch_options.EXCLUSIVE, flags.DEFAULT_FLAGS) <= sbatch_options.KNOWN


def look_anywhere(content: bytes) -> Inspection:
    with tempfile.TemporaryDirectory() as folder:
        return look(Path(folder) / "slurm-config.ini", content)


@given(st.binary(max_size=300))
def test_random_bytes_never_crash_it(content: bytes) -> None:
    look_anywhere(content)


@given(st.lists(st.tuples(st.integers(0, len(_REAL)), st.integers(0, 40), st.binary(max_size=8)), max_size=5))
def test_a_damaged_file_never_crashes_it(damages: list[tuple[int, int, bytes]]) -> None:
    content = _REAL
    for at, length, other in damages:
        content = content[:at] + other + content[at + length :]
    look_anywhere(content)


@given(st.lists(st.one_of(st.sampled_from(_LINES), st.text(max_size=20)), max_size=40))
def test_lines_in_disorder_never_crash_it_and_each_finding_has_its_place(lines: list[str]) -> None:
    for finding in look_anywhere(
        "\n".join(line.removeprefix("#") for line in lines).encode("utf-8", "replace")
    ).findings:
        assert finding.message
        assert finding.file is not None
