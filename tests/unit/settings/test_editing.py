"""Changing keys of a file, and nothing else."""

from __future__ import annotations

import configparser
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from configupdater import ConfigUpdater
from hypothesis import assume, example, given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.settings.desired import Absent, AbsentWorkflow, Value, Wish, grant, read_desired
from worker.settings.editing import Draft
from worker.settings.ini import IniFile, parse

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = Path("slurm-config.ini")
SAMPLE = Path(__file__).parents[3] / "config" / "slurm-config.ini"

# As the web plugin leaves it.
PLUGIN = """\
[SSH]
# -------------------------------------
# SSH settings
# -------------------------------------
host=slurm

[SLURM]
slurm_data_path=/data/my-scratch/data
slurm_default_partition =
sbatch_exclusive

[MODELS]
cellpose = cellpose
    # The (e.g. github) repository with the descriptor.json file
cellpose_repo = https://github.com/TorecLuik/W_NucleiSegmentation-Cellpose/tree/v1.2.7
    # The jobscript in the 'slurm_script_repo'
cellpose_job = jobs/cellpose.sh
cellpose_job_mem = 4GB
    # -------------------------------------
    # StarDist (added via web UI)
    # -------------------------------------
StarDist = stardist
stardist_repo=https://github.com/Neubias-WG5/W_NucleiSegmentation-StarDist/tree/v1.3.2
stardist_job=jobs/stardist.sh

[changelog]
# Config automatically updated by root (0) via the web UI on 2026-01-01 10:00:00
"""

_keys = st.sampled_from(["host", "sbatch_exclusive", "slurm_data_path", "new_key", "cellpose", "cellpose_repo", "ÄÖ ü"])
_sections = st.sampled_from(["SSH", "SLURM", "MODELS", "WORKFLOWS", "WORKER"])
_values = st.text(
    st.one_of(st.sampled_from("%#;=:[]'\"\\ \t$(){}"), st.characters(exclude_characters="\r\n\0", codec="utf-8")),
    max_size=20,
).filter(lambda text: text == text.strip())
_ends = st.sampled_from(["\n", "\r\n", "\r"])
_marks = [
    "[SSH]",
    "[MODELS]",
    "[WORKFLOWS]",
    "host",
    "cellpose",
    "k",
    " = v",
    "=",
    ":",
    "# note",
    "; note",
    "  ",
    "\n",
    "\n",
]
_texts = st.lists(st.sampled_from(_marks), max_size=30).map("".join)


def place(wish: Wish) -> tuple[str, str]:
    if isinstance(wish, AbsentWorkflow):
        return ("WORKFLOWS", wish.name)
    return ("WORKFLOWS" if wish.section == "MODELS" else wish.section, wish.key)


def wishes(most: int) -> st.SearchStrategy[list[Wish]]:
    values = st.builds(Value, _sections, _keys, st.one_of(st.none(), _values))
    absent = st.builds(Absent, _sections, _keys)
    workflow = st.builds(AbsentWorkflow, st.sampled_from(["cellpose", "stardist", "none"]))
    return st.lists(st.one_of(values, absent, workflow), max_size=most, unique_by=place)


def granted(data: bytes, wanted: list[Wish]) -> bytes:
    draft = Draft(data, PATH)
    grant(wanted, draft)
    return draft.data


def comments(data: bytes) -> list[str]:
    return [line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip()[:1] in {"#", ";"}]


def content(file: IniFile) -> dict[tuple[str, str], str | None]:
    return {(entry.section, entry.key): entry.value for entry in file.entries}


@given(wishes(6), _ends, st.booleans(), st.booleans())
def test_twice_is_once_and_what_is_not_touched_stays(wanted: list[Wish], end: str, bom: bool, last_end: bool) -> None:
    text = PLUGIN.replace("\n", end)
    data = (b"\xef\xbb\xbf" if bom else b"") + (text if last_end else text.rstrip()).encode()

    once = granted(data, wanted)

    assert granted(once, wanted) == once
    assert once.startswith(b"\xef\xbb\xbf") == bom
    assert comments(once) == comments(data)
    assert set(once.decode()) & {"\r", "\n"} <= set(end)
    draft = Draft(data, PATH)
    grant(wanted, draft)
    touched = {(change.section, change.key.lower()) for change in draft.changes}
    before, after = content(parse(text, PATH)), content(parse(once.decode("utf-8-sig"), PATH))
    kept = [key for key in before if key not in touched]
    assert kept == [key for key in after if key not in touched]
    assert all(after[key] == before[key] for key in kept)


@given(_sections, _keys, _values)
@example("SLURM", "slurm_data_path", "# no comment")
@example("SLURM", "slurm_data_path", "= 'x' ; \"y\" %(z)s [SSH]")
def test_what_was_set_is_read_back(section: str, key: str, value: str) -> None:
    draft = Draft(SAMPLE.read_bytes(), PATH)
    draft.set(section, key, value)
    entry = Draft(draft.data, PATH).find(section, key)
    assert entry is not None
    assert entry.value == value


@given(_texts, _sections, _keys, st.one_of(st.none(), _values))
@example("[MODELS]\n  cellpose = a\n  k = v", "MODELS", "cellpose_repo", "x")
@example("[SSH]\nhost = a\n  # note\n\n  b\nk = v\n", "SSH", "host", "c")
@example("[SSH]\n  [MODELS]\nk = v", "SSH", "host", "c")
def test_any_file_takes_a_value_or_stays_as_it_is(text: str, section: str, key: str, value: str | None) -> None:
    try:
        before = parse(text, PATH)
    except SettingsError:
        assume(False)
    draft = Draft(text.encode(), PATH)
    try:
        draft.set(section, key, value)
    except SettingsError:
        return
    after = parse(draft.data.decode(), PATH)
    entry = draft.find(section, key)
    assert entry is not None
    assert entry.value == value
    rest = {name: kept for name, kept in content(after).items() if name != (entry.section, entry.key)}
    assert rest == {name: kept for name, kept in content(before).items() if name != (entry.section, entry.key)}
    assert comments(draft.data) == comments(text.encode())


def mutations() -> st.SearchStrategy[str]:
    """Give real files that somebody has been at: lines indented, gone, uncommented, or with another end."""
    changes: list[Callable[[str], str]] = [
        lambda line: f"  {line}",
        lambda line: line[:0],
        str.lstrip,
        lambda line: line.lstrip("#"),
        lambda line: line.replace("\n", "\r\n"),
        lambda line: f"    # indented\n{line}",
    ]

    def mutate(text: str, at: list[tuple[int, int]]) -> str:
        lines = text.splitlines(keepends=True)
        for place, change in at:
            lines[place % len(lines)] = changes[change](lines[place % len(lines)])
        return "".join(lines)

    at = st.lists(st.tuples(st.integers(0, 500), st.integers(0, len(changes) - 1)), max_size=5)
    return st.builds(mutate, st.sampled_from([PLUGIN, SAMPLE.read_text(encoding="utf-8")]), at)


def read_by_the_web_plugin(text: str) -> bool:
    try:
        for section in updater(text).section_blocks():
            for option in section.option_blocks():
                option.value  # noqa: B018 - it is joined when it is asked for, and that may fail
    except (configparser.Error, TypeError):
        return False
    return True


@given(mutations(), wishes(4))
def test_a_real_file_keeps_what_it_is_whoever_has_been_at_it(text: str, wanted: list[Wish]) -> None:
    try:
        once = granted(text.encode(), wanted)
    except SettingsError:
        return
    assert granted(once, wanted) == once
    assert comments(once) == comments(text.encode())
    assert read_by_the_web_plugin(once.decode()) or not read_by_the_web_plugin(text)


@pytest.mark.parametrize("value", [" a", "a ", "a\nb", "a\r", "a\0b", "\u2028a", "\ud800"])
def test_a_value_that_would_not_be_read_back_is_refused(value: str) -> None:
    draft = Draft(PLUGIN.encode(), PATH)
    with pytest.raises(SettingsError):
        draft.set("SLURM", "slurm_data_path", value)
    assert draft.data == PLUGIN.encode()


@pytest.mark.parametrize("key", ["", "#a", ";a", "[a]", "a=b", "a:b", "a\nb"])
def test_a_key_that_would_not_be_read_back_is_refused(key: str) -> None:
    with pytest.raises(SettingsError, match="cannot be a key"):
        Draft(PLUGIN.encode(), PATH).set("SLURM", key, "x")


def test_only_the_value_of_a_line_changes() -> None:
    draft = Draft(b"[SSH]\r\n\tHost\t:  a  \r\n; end", PATH)
    assert draft.set("SSH", "host", "b")
    assert draft.data == b"[SSH]\r\n\tHost\t:  b\r\n; end"


def test_indented_comments_survive_a_new_value_above_them() -> None:
    draft = Draft(PLUGIN.encode(), PATH)
    draft.set("MODELS", "cellpose", "other")
    assert draft.data == PLUGIN.replace("cellpose = cellpose\n", "cellpose = other\n").encode()


def test_a_new_key_of_a_workflow_stands_behind_its_others_in_their_way() -> None:
    draft = Draft(PLUGIN.encode(), PATH)
    draft.set("WORKFLOWS", "cellpose_job_time", "01:00:00")
    draft.set("WORKFLOWS", "stardist_use_gpu", "true")
    expected = PLUGIN.replace("mem = 4GB\n", "mem = 4GB\ncellpose_job_time = 01:00:00\n")
    assert draft.data.decode() == expected.replace("jobs/stardist.sh\n", "jobs/stardist.sh\nstardist_use_gpu=true\n")


def test_a_new_key_stands_below_the_comment_that_shows_it() -> None:
    draft = Draft(SAMPLE.read_bytes(), PATH)
    draft.set("SLURM", "sacct_days_ago", "7")
    lines = draft.data.decode().splitlines()
    at = lines.index("sacct_days_ago = 7")
    assert lines[at - 1] == "#sacct_days_ago=30"


def test_a_new_section_stands_at_the_end() -> None:
    draft = Draft(b"[SSH]\nhost = a", PATH)
    draft.set("WORKER", "max_attempts", "3")
    assert draft.data == b"[SSH]\nhost = a\n\n[WORKER]\nmax_attempts = 3\n"


def test_a_file_can_be_begun() -> None:
    draft = Draft(b"", PATH)
    draft.set("SSH", "host", "a")
    assert draft.data == b"[SSH]\nhost = a\n"


def test_a_workflow_goes_with_its_keys_and_no_other() -> None:
    text = PLUGIN + "[WORKFLOWS]\ncellpose_repo_two = x\ncellpose_repo_two_repo = r\ncellpose_use_gpu = true\n"
    draft = Draft(text.encode(), PATH)
    assert AbsentWorkflow("CellPose").grant(draft)
    left = [entry.key for entry in draft.file.entries if entry.section in {"MODELS", "WORKFLOWS"}]
    assert left == ["stardist", "stardist_repo", "stardist_job", "cellpose_repo_two", "cellpose_repo_two_repo"]
    assert not AbsentWorkflow("cellpose").grant(draft)


def test_what_an_earlier_file_sets_is_taken_back() -> None:
    below = parse(PLUGIN, Path("/etc/slurm-config.ini"))
    draft = Draft(b"[WORKFLOWS]\ncellpose_use_gpu = true\ncellpose = other\n", PATH, below=[below])
    assert AbsentWorkflow("cellpose").grant(draft)
    assert draft.data == b"[WORKFLOWS]\ncellpose =\n"
    assert not AbsentWorkflow("cellpose").grant(draft)


def test_a_desired_state_is_read() -> None:
    wanted = read_desired(
        """
        [slurm]
        env_file_submission = true
        sacct_start_time = 2024-01-31
        sbatch_exclusive = { bare = true }
        gpu_gres = { absent = true }
        slurm_modules = ["apptainer/1.2", "cuda"]
        [WORKFLOWS.cellpose]
        repo = "https://example.org/r"
        job_cpus-per-task = 4
        [MODELS.stardist]
        absent = true
        """,
        "desired.toml",
    )
    assert wanted == (
        Value("SLURM", "env_file_submission", "True", typed=True),
        Value("SLURM", "sacct_start_time", "2024-01-31"),
        Value("SLURM", "sbatch_exclusive", None),
        Absent("SLURM", "gpu_gres"),
        Value("SLURM", "slurm_modules", "apptainer/1.2, cuda"),
        Value("WORKFLOWS", "cellpose", "cellpose", only_new=True),
        Value("WORKFLOWS", "cellpose_repo", "https://example.org/r"),
        Value("WORKFLOWS", "cellpose_job_cpus-per-task", "4", typed=4),
        AbsentWorkflow("stardist"),
    )


def test_the_desired_state_that_the_documentation_shows_is_granted() -> None:
    page = (SAMPLE.parents[1] / "docs" / "managing-configuration.md").read_text(encoding="utf-8")
    example = page.split("### The desired state")[1].split("What is not named")[0]
    wanted = read_desired(textwrap.dedent(example), "the page")
    once = granted(PLUGIN.encode(), list(wanted))
    assert b"\ncellpose_job_mem = 16G\n" in once
    assert b"\nsbatch_exclusive\n" in once
    assert b"stardist_repo" not in once
    assert granted(once, list(wanted)) == once


def test_null_in_json_means_absent() -> None:
    assert read_desired('{"SSH": {"keepalive": null}}', "-") == (Absent("SSH", "keepalive"),)


@pytest.mark.parametrize(
    ("there", "wanted", "changed"),
    [
        ("yes", True, False),
        ("yes", False, True),
        ("8 # all of them", 8, False),
        ("8.5", 8, True),
        ("maybe", True, True),
    ],
)
def test_what_means_the_same_stays_as_it_is_written(there: str, wanted: bool | int, changed: bool) -> None:
    draft = Draft(f"[SLURM]\nkey = {there}\n".encode(), PATH)
    assert Value("SLURM", "key", str(wanted), typed=wanted).grant(draft) is changed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[SLURN]\na = 1", "Did you mean SLURM"),
        ("a = 1", "a"),
        ("[SSH]\nhost = [[1]]", "cannot hold"),
        ("[SSH]\nhost = 'a'\nHost = 'b'", "there twice"),
        ("[MODELS]\nx.repo = 'a'\n[WORKFLOWS]\nx_repo = 'b'", "there twice"),
        ("[SSH", "neither TOML nor JSON"),
        ("{", "neither TOML nor JSON"),
    ],
)
def test_a_desired_state_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_desired(text, "desired.toml")


def updater(text: str) -> ConfigUpdater:
    """Open a file as the web plugin does."""
    found = ConfigUpdater(allow_no_value=True)
    found.read_string(text)
    return found


@given(wishes(4))
def test_the_web_plugin_reads_and_rewrites_what_we_have_edited(wanted: list[Wish]) -> None:
    draft = Draft(PLUGIN.encode(), PATH)
    grant(wanted, draft)
    text = draft.data.decode()
    theirs = updater(text)
    assert str(theirs) == text
    for entry in draft.file.entries:
        value = theirs[entry.section][entry.spelling].value
        # Indented comments are part of the value to it, and to nobody else.
        assert (value or "").split("\n#")[0] == (entry.value or "")
    if "host" not in theirs["SSH"]:
        return
    theirs["SSH"]["host"].value = "elsewhere"
    ours = Draft(str(theirs).encode(), PATH)
    changed = ours.find("SSH", "host")
    assert changed is not None
    assert changed.value == "elsewhere"
    ours.set("SSH", "host", "slurm")
    assert comments(ours.data) == comments(draft.data)
