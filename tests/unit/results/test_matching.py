"""Which image a result was made from: never the wrong one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.results.matching import match, stems
from worker.results.model import SourceFile


def sources(*paths: str) -> list[SourceFile]:
    return [SourceFile(path, "Image", number, number, path) for number, path in enumerate(paths, start=1)]


def image_of(result: str, *paths: str) -> int | None:
    found = match([result], sources(*paths)).sources.get(result)
    return found.image_id if found else None


def test_a_result_belongs_to_the_input_whose_name_it_begins_with() -> None:
    assert image_of("cells_mask.tif", "nuclei.tif", "cells.tif") == 2


@pytest.mark.parametrize("result", ["a.tif", "a_mask.tif", "a-mask.png", "a mask.tif", "a.ome.tiff", "sub/a_1.csv"])
def test_a_name_ends_at_a_boundary(result: str) -> None:
    assert image_of(result, "a.tif", "ab.tif") == 1


def test_a_name_never_matches_a_longer_one() -> None:
    assert image_of("ab_mask.tif", "a.tif", "c.tif") is None


def test_the_longest_name_wins() -> None:
    assert image_of("a_outline_mask.tif", "a.tif", "a_outline.tif") == 2


def test_several_results_may_have_one_source() -> None:
    found = match(["a_mask.tif", "a_outline.tif", "b_mask.tif"], sources("a.tif", "b.tif"))
    assert {path: source.image_id for path, source in found.sources.items()} == {
        "a_mask.tif": 1,
        "a_outline.tif": 1,
        "b_mask.tif": 2,
    }
    assert found.notes == ()


def test_with_a_single_source_every_result_is_its() -> None:
    assert image_of("whatever.tif", "cells.tif") == 1


def test_two_images_of_the_same_name_are_ambiguous() -> None:
    found = match(["a_mask.tif"], sources("a.tif", "a.png"))
    assert found.sources == {}
    assert found.notes == ("a_mask.tif is not linked to an image: it may belong to any of the images 1, 2.",)


def test_the_extension_tells_images_of_the_same_stem_apart() -> None:
    assert image_of("a.png_mask.tif", "a.tif.zarr", "a.png.zarr") == 2


def test_a_result_of_no_input_is_noted() -> None:
    assert match(["summary.tif"], sources("a.tif", "b.tif")).notes == (
        "summary.tif is not linked to an image: its name begins with the name of none.",
    )


def test_the_folder_of_a_result_may_say_it() -> None:
    assert image_of("b/mask.tif", "a.tif", "b.tif") == 2


def test_the_name_of_a_result_says_more_than_its_folder() -> None:
    assert image_of("b/a_mask.tif", "a.tif", "b.tif") == 1


def test_dots_inside_names_are_kept() -> None:
    assert image_of("exp.2024.v2_mask.tif", "exp.2024.v1.tif", "exp.2024.v2.tif") == 2


def test_accents_match_however_they_are_encoded() -> None:
    assert image_of("ze\u0301ro_mask.tif", "un.tif", "z\u00e9ro.tif") == 2


def test_a_field_of_a_plate_is_known_by_its_place() -> None:
    fields = [
        SourceFile("p.zarr/A/1/0", "Plate", 9, 1, "p [A1]"),
        SourceFile("p.zarr/A/10/0", "Plate", 9, 2, "p [A10]"),
    ]
    assert match(["p_A_10_0_mask.tif"], fields).sources["p_A_10_0_mask.tif"].image_id == 2
    assert match(["p.zarr_A_1_0.tif"], fields).sources["p.zarr_A_1_0.tif"].image_id == 1


def test_an_image_that_is_called_like_its_format_keeps_its_whole_name() -> None:
    assert stems(SourceFile("cells.tif.zarr", "Image", 1, 1, "cells.tif")) == ("cells.tif.zarr", "cells.tif", "cells")
    assert stems(SourceFile(".tif", "Image", 1, 1, ".tif")) == (".tif",)
    assert stems(SourceFile("p.zarr/A/1/0", "Plate", 1, 1, "field"))[-2:] == ("p_A_1_0", "p_A1_0")


names = st.text(st.sampled_from("ab1_.- "), min_size=1, max_size=6)


@given(st.lists(names, min_size=2, max_size=6, unique=True), st.data())
def test_a_result_named_after_an_input_never_goes_to_an_input_with_another_longer_name(
    stem_list: list[str], data: st.DataObject
) -> None:
    given_sources = sources(*(f"{stem}.zarr" for stem in stem_list))
    chosen = data.draw(st.sampled_from(given_sources))
    result = chosen.path.removesuffix(".zarr") + "_mask.tif"
    found = match([result], given_sources).sources.get(result)
    if found is not None and found != chosen:
        # Only an input whose own name goes on where the chosen one's ends may claim it.
        assert any(result.startswith(stem) and len(stem) >= len(chosen.path) - 5 for stem in stems(found))
