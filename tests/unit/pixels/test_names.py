"""File names out of the names that people gave."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pixels.names import MAX_BYTES, Names, safe_stem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cells", "cells"),
        ("Zellen – Größe µm", "Zellen – Größe µm"),
        ("細胞.tif", "細胞.tif"),
        ("plate/A1\\x", "plate_A1_x"),
        ("a\nb\x00c\x7f", "a_b_c_"),
        ("exe\u202egpj.tif", "exe_gpj.tif"),
        ("..", "_."),
        (".", "_"),
        ("", "_"),
        ("   ", "_"),
        (" padded ", "padded"),
        ("--help", "_-help"),
        (".hidden", "_hidden"),
        ("cafe\u0301", "café"),
    ],
)
def test_a_name_keeps_what_a_file_system_bears(name: str, expected: str) -> None:
    assert safe_stem(name) == expected


@given(st.lists(st.text(), max_size=20))
def test_any_names_become_distinct_safe_file_names(wanted: list[str]) -> None:
    names = Names(".zarr")
    taken = [names.take(name) for name in wanted]
    assert len(set(taken)) == len(wanted)
    for name in taken:
        assert len(name.encode()) <= MAX_BYTES
        assert name.endswith(".zarr")
        assert not name.startswith((".", "-"))
        assert "/" not in name
        assert not any(unicodedata.category(character) == "Cc" for character in name)


def test_a_taken_name_gets_a_number_in_the_order_of_asking() -> None:
    names = Names(".zarr")
    assert [names.take("cells") for _ in range(3)] == ["cells.zarr", "cells_(1).zarr", "cells_(2).zarr"]


def test_a_number_does_not_meet_a_name_that_looks_like_it() -> None:
    names = Names(".zarr")
    assert [names.take(name) for name in ("a", "a_(1)", "a")] == ["a.zarr", "a_(1).zarr", "a_(2).zarr"]


def test_names_that_are_only_different_when_written_become_distinct() -> None:
    names = Names(".zarr")
    assert [names.take("a/b"), names.take("a_b")] == ["a_b.zarr", "a_b_(1).zarr"]


def test_an_extension_is_not_doubled() -> None:
    names = Names(".tif", drop=(".ome.tif", ".tif"))
    assert [names.take(name) for name in ("a.tif", "b.ome.TIF", "c.lif", ".tif")] == [
        "a.tif",
        "b.tif",
        "c.lif.tif",
        "_tif.tif",
    ]


def test_a_long_name_is_cut_between_characters_and_keeps_extension_and_number() -> None:
    names = Names(".zarr")
    first, second = names.take("ö" * 300), names.take("ö" * 300)
    assert first == "ö" * 97 + ".zarr"
    assert second.endswith("_(1).zarr")
    assert len(second.encode()) <= MAX_BYTES
