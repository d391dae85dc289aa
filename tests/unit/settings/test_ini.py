"""Reading the text of one file."""

from __future__ import annotations

import configparser
import contextlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.settings.ini import decode, parse

PATH = Path("slurm-config.ini")

_MARKS = ["[SLURM]", "[MODELS]", "[", "]", "a", "B", "key", "é", "value", "=v", " = w", "=", ":", "#", ";", "%"]
_SPACES = [" ", "    ", "\t", "\x0b", "\x1c", "\x85", "\u2028", "\ufeff", "\n", "\n", "\n", "\r\n", "\r"]
texts = st.lists(st.sampled_from(_MARKS + _SPACES), max_size=40).map("".join)


def standard_library(text: str) -> dict[str, dict[str, str | None]] | None:
    """Read as ConfigParser does; None where it refuses."""
    parser = configparser.ConfigParser(allow_no_value=True, interpolation=None, default_section="\n")
    try:
        # Universal newlines, as open() has them.
        parser.read_string(text.replace("\r\n", "\n").replace("\r", "\n"))
    except (configparser.Error, AttributeError):
        # AttributeError: an indented line below a key without a value makes it crash.
        return None
    return {name: dict(parser[name]) for name in parser.sections()}


@given(texts)
@example("[SLURM]\na\n  b\n")
@example("[SLURM]\na =\n\n  b\n\n\nc: d # e\n")
@example("[SLURM]\n[SLURM]\n")
@example("[SLURM] rest\n  indented = first\n")
@example("[a]b]\nx=1")
def test_every_text_reads_as_the_standard_library_reads_it(text: str) -> None:
    expected = standard_library(text)
    if expected is None:
        with pytest.raises(SettingsError):
            parse(text, PATH)
        return
    file = parse(text, PATH)
    found: dict[str, dict[str, str | None]] = {name: {} for name, _ in file.sections}
    for entry in file.entries:
        found[entry.section][entry.key] = entry.value
    assert found == expected


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_but_never_crash(data: bytes) -> None:
    with contextlib.suppress(SettingsError):
        parse(decode(data, PATH), PATH)


def test_a_key_keeps_its_spelling_and_its_line() -> None:
    (entry,) = parse("# comment\n[MODELS]\n\nCellPose = x\n", PATH).entries
    assert (entry.key, entry.spelling, entry.value, entry.where) == ("cellpose", "CellPose", "x", f"{PATH}:4")


def test_a_percent_sign_is_only_a_percent_sign() -> None:
    (entry,) = parse("[ANALYTICS]\nsqlalchemy_url = postgresql://u:p%40ss@h/%(db)s\n", PATH).entries
    assert entry.value == "postgresql://u:p%40ss@h/%(db)s"


def test_a_value_may_hold_further_equal_signs() -> None:
    (entry,) = parse("[SLURM]\nsbatch_export = A=1,B=2\n", PATH).entries
    assert entry.value == "A=1,B=2"


def test_nothing_after_the_equal_sign_is_not_the_same_as_no_equal_sign() -> None:
    blank, bare = parse("[MODELS]\na =\nb\n", PATH).entries
    assert (blank.value, bare.value) == ("", None)
    assert blank.blank
    assert bare.blank


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf[SSH]\r\nhost = a\r\n", b"[SSH]\rhost = a", b"[SSH]\nhost = a\n"])
def test_byte_order_marks_and_all_ends_of_lines_are_fine(data: bytes) -> None:
    (entry,) = parse(decode(data, PATH), PATH).entries
    assert (entry.section, entry.key, entry.value, entry.line) == ("SSH", "host", "a", 2)


def test_indented_comments_of_the_web_plugin_are_comments() -> None:
    text = "[MODELS]\ncellpose = cellpose\n    # ---\n    # Cellpose (added via web UI)\ncellpose_repo = r\n"
    assert [entry.value for entry in parse(text, PATH).entries] == ["cellpose", "r"]


def test_a_key_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(SettingsError, match=r"ini:4: \[MODELS\] Cellpose is there already, on line 2"):
        parse("[MODELS]\ncellpose = a\n\nCellpose = b\n", PATH)


def test_a_section_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(SettingsError, match=r"ini:3: section \[SSH\] is there already, on line 1"):
        parse("[SSH]\nhost = a\n[SSH]\n", PATH)


def test_a_line_before_the_first_section_is_refused_without_showing_its_value() -> None:
    with pytest.raises(SettingsError, match=r"ini:1: 'sqlalchemy_url' stands before the first section") as caught:
        parse("sqlalchemy_url = postgresql://u:secret@h/d\n", PATH)
    assert "secret" not in str(caught.value)


def test_a_line_without_key_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"ini:2: '' in section \[SSH\] has no key"):
        parse("[SSH]\n= b\n", PATH)


def test_utf_16_is_named() -> None:
    with pytest.raises(SettingsError, match=r"UTF-16.*Save it as UTF-8"):
        decode("[SSH]\n".encode("utf-16"), PATH)


def test_the_line_that_is_not_utf_8_is_named() -> None:
    with pytest.raises(SettingsError, match=r"ini:3: .*not written in UTF-8"):
        decode(b"[SSH]\nhost = a\n# caf\xe9\n", PATH)


def test_a_hole_of_zeros_in_a_file_is_damage() -> None:
    with pytest.raises(SettingsError, match=r"ini:2: .*NUL"):
        decode(b"[SSH]\nho\0\0\0\n", PATH)
