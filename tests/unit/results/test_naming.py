"""Names of imported images."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import RequestError
from worker.results.naming import check_pattern, distinct, fitting, flat_names, rename, split_name


def test_without_a_pattern_the_name_of_the_file_stays() -> None:
    assert rename(None, "out/cells_mask.tif", "cells.nd2") == "cells_mask.tif"


def test_every_variable_stands_for_its_part() -> None:
    pattern = "{original_file}|{original_ext}|{file}|{ext}"
    assert rename(pattern, "out/cells_mask.ome.tiff", "cells.nd2") == "cells|nd2|cells_mask|ome.tiff"


def test_the_original_is_the_analysed_image_and_not_the_result() -> None:
    assert rename("{original_file}NucleiLabels.{ext}", "a_mask.tif", "a.nd2") == "aNucleiLabels.tif"


def test_without_a_known_original_the_result_itself_stands_for_it() -> None:
    assert rename("{original_file}_IMPORTED.{ext}", "a_mask.tif", None) == "a_mask_IMPORTED.tif"


def test_a_pattern_cannot_reach_into_objects() -> None:
    with pytest.raises(RequestError, match="unknown variable"):
        check_pattern("{file.__class__}")


@pytest.mark.parametrize("pattern", ["", "  ", "{name}", "{}", "{0}"])
def test_a_pattern_with_unknown_variables_is_refused_with_the_known_ones(pattern: str) -> None:
    with pytest.raises(RequestError, match=r"\{original_file\}, \{original_ext\}, \{file\}, \{ext\}"):
        check_pattern(pattern)


def test_single_braces_are_text() -> None:
    check_pattern("a}b{c")
    assert rename("a}b{c", "x.tif", None) == "a}b{c"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("some.ome.tif", ("some", "ome.tif")),
        ("genome.ome.TIFF", ("genome", "ome.TIFF")),
        ("cells.tif", ("cells", "tif")),
        ("cells", ("cells", "")),
        (".hidden", (".hidden", "")),
        ("Exp. 12 final", ("Exp. 12 final", "")),
        ("a.b.c.png", ("a.b.c", "png")),
    ],
)
def test_names_split_into_stem_and_extension(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts


def test_equal_names_become_distinct_before_the_extension() -> None:
    taken: set[str] = set()
    assert [distinct("a.ome.tif", taken) for _ in range(3)] == ["a.ome.tif", "a_2.ome.tif", "a_3.ome.tif"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\r\nSet-Cookie: x.txt", "a__Set-Cookie: x.txt"),
        ("\x1b[31mred\x85.log", "_[31mred_.log"),
        ("invoice\u202etxt.exe", "invoice_txt.exe"),
        ("細胞\u3000µm²\u00a0👩\u200d🔬.csv", "細胞\u3000µm²\u00a0👩\u200d🔬.csv"),
    ],
)
def test_what_cannot_be_shown_or_sent_as_a_name_is_replaced(name: str, shown: str) -> None:
    assert fitting(name) == shown


def test_a_name_that_is_too_long_for_omero_keeps_its_beginning_its_end_and_its_extension() -> None:
    short = fitting("a" * 300 + "_end.ome.tiff")
    assert len(short) == 255
    assert short.startswith("aaa")
    assert short.endswith("_end.ome.tiff")
    assert fitting("b" * 255) == "b" * 255


def test_names_that_differ_in_the_middle_still_do_when_they_are_shortened() -> None:
    assert fitting(f"{'a' * 200}1{'a' * 200}") != fitting(f"{'a' * 200}2{'a' * 200}")


def test_a_name_that_is_no_text_can_be_written() -> None:
    assert fitting("a\udcff.txt") == "a?.txt"


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    assert flat_names(["a/m.txt", "b/m.txt", "b/n.txt", "a_m.txt"]) == {
        "a/m.txt": "a_m_2.txt",
        "b/m.txt": "b_m.txt",
        "b/n.txt": "n.txt",
        "a_m.txt": "a_m.txt",
    }


def test_distinct_names_fit_into_omero_and_stay_distinct() -> None:
    taken: set[str] = set()
    names = [distinct("a" * 300 + ".ome.tif", taken) for _ in range(3)]
    assert len(set(names)) == 3
    assert all(len(name) <= 255 and name.endswith(".ome.tif") for name in names)


def test_a_pattern_that_comes_to_nothing_keeps_the_name_of_the_file() -> None:
    assert rename("{original_ext}", "mask", "cells") == "mask"


@given(
    st.lists(st.text(st.sampled_from("ab._2"), max_size=260).map("a{}".format), max_size=8),
    st.sampled_from([None, "{original_file}.{ext}", "{file}_IMPORTED.{ext}", "x"]),
)
def test_images_never_get_the_same_name_whatever_the_pattern(files: list[str], pattern: str | None) -> None:
    taken: set[str] = set()
    names = [distinct(rename(pattern, file, "cells.nd2"), taken) for file in files]
    assert len(set(names)) == len(names)
    assert all(0 < len(name) <= 255 for name in names)
