"""Which image a result was made from: never the wrong one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.results.matching import ALIKE, BEGINS, SAME, field_finder, match, stems
from worker.results.model import SourceFile

if TYPE_CHECKING:
    import random


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


def test_a_name_and_a_folder_that_contradict_each_other_say_nothing() -> None:
    # The first object of image 2, or a result of image 1 among the second ones?
    found = match(["2/1_mask.tif"], sources("1.tif", "2.tif"))
    assert found.sources == {}
    assert found.notes == ("2/1_mask.tif is not linked to an image: it may belong to any of the images 1, 2.",)


def test_a_folder_that_is_no_image_does_not_matter() -> None:
    assert image_of("masks/a.tif", "a.tif", "b.tif") == 1


def test_a_folder_decides_between_images_that_a_name_leaves_open() -> None:
    given_sources = [
        SourceFile(f"{plate}.zarr/A/1/0", "Plate", number, number, "field")
        for number, plate in enumerate(("p", "q"), start=1)
    ]
    assert match(["q/A01_s1.tif"], given_sources).sources["q/A01_s1.tif"].image_id == 2
    assert match(["A01_s1.tif"], given_sources).sources == {}


def test_dots_inside_names_are_kept() -> None:
    assert image_of("exp.2024.v2_mask.tif", "exp.2024.v1.tif", "exp.2024.v2.tif") == 2


def test_accents_match_however_they_are_encoded() -> None:
    assert image_of("ze\u0301ro_mask.tif", "un.tif", "z\u00e9ro.tif") == 2


@pytest.mark.parametrize(
    ("result", "paths", "image_id"),
    [
        ("Cells_Mask.tif", ("cells.zarr", "nuclei.zarr"), 1),
        ("my_cells_1_mask.tif", ("my cells (1).zarr", "other.zarr"), 1),
        ("CELLS_mask.tif", ("cells.zarr", "Cells.zarr"), None),
        ("Cells_mask.tif", ("cells.zarr", "Cells.zarr"), 2),
        # Either the first result of "cells", or one of "cells (1)" whose brackets were replaced.
        ("cells_1_mask.tif", ("cells.zarr", "cells_(1).zarr"), None),
        ("cells_(1)_mask.tif", ("cells.zarr", "cells_(1).zarr"), 2),
        ("cells_mask.tif", ("cells.zarr", "cells_(1).zarr"), 1),
        ("cells_0.tif", ("cells.zarr", "cells_(1).zarr"), 1),
    ],
)
def test_names_that_are_alike_match_only_if_no_other_image_can_be_meant(
    result: str, paths: tuple[str, ...], image_id: int | None
) -> None:
    assert image_of(result, *paths) == image_id


def test_the_rule_by_which_a_renamed_result_is_known_is_told() -> None:
    found = match(["Cells_mask.tif", "nuclei.tif", "nuclei_mask.tif"], sources("cells.zarr", "nuclei.tif"))
    assert found.rules == {"Cells_mask.tif": ALIKE, "nuclei.tif": SAME, "nuclei_mask.tif": BEGINS}
    (note,) = found.notes
    assert note == f"The analysis renamed its images. Linked, as {ALIKE}: Cells_mask.tif to image 1."


def test_what_a_result_is_besides_its_source_is_known() -> None:
    paths = ["a_mask.tif", "b_mask.ome.tif", "outlines/a.tif", "b/mask.tif", "a.tif", "sub/B-x_1.tif"]
    assert match(paths, sources("a.tif", "b.tif")).kinds == {
        "a_mask.tif": "mask",
        "b_mask.ome.tif": "mask",
        "outlines/a.tif": "outlines",
        "b/mask.tif": "mask",
        "a.tif": "",
        "sub/B-x_1.tif": "sub_x_1",
    }
    assert match(["whatever.tif"], sources("a.tif")).kinds == {"whatever.tif": "whatever"}


def plate(*fields: tuple[str, int, int], name: str = "p", plate_id: int = 9) -> list[SourceFile]:
    return [
        SourceFile(f"{name}.zarr/{row}/{column}/{field}", "Plate", plate_id, number, "field")
        for number, (row, column, field) in enumerate(fields, start=1)
    ]


@pytest.mark.parametrize("name", ["p_A01_s002", "p_A_1_1", "p_A1_1", "A01_s2", "a1-s002", "p_A1_site2", "P_A01_s2"])
@pytest.mark.parametrize("behind", [".tif", "_mask.tif", ".ome.tif", " labels.png"])
def test_a_field_is_known_by_its_well_and_site(name: str, behind: str) -> None:
    fields = plate(("A", 1, 0), ("A", 1, 1), ("A", 11, 0), ("A", 11, 1))
    found = match([name + behind], fields)
    assert found.sources[name + behind].image_id == 2
    assert found.kinds[name + behind] == behind.split(".")[0].strip("_ ")


def test_what_our_converter_calls_a_field_counts_the_fields_that_there_are() -> None:
    fields = plate(("A", 1, 1), ("A", 1, 2))
    assert match(["p_A01_s001_mask.tif"], fields).sources["p_A01_s001_mask.tif"].image_id == 1
    assert match(["p_A01_s002_mask.tif"], fields).sources["p_A01_s002_mask.tif"].image_id == 2
    # Somebody else's second site may be the field that has number 1, or the second one that there is.
    assert match(["A01_s2_mask.tif"], fields).sources == {}


def test_a_channel_is_not_taken_for_a_well() -> None:
    fields = plate(("C", 1, 0), ("C", 2, 0))
    for name in ("C01_mean.tif", "p_C1.tif", "C2.tif"):
        assert match([name], fields).sources == {}


def test_fields_that_were_exported_as_tiff_are_known_by_well_and_site() -> None:
    fields = [
        SourceFile("p_A01_s001.tif", "Plate", 9, 1, "field"),
        SourceFile("p_A01_s002.tif", "Plate", 9, 2, "field"),
    ]
    assert match(["A01_s2.tif"], fields).sources["A01_s2.tif"].image_id == 2


def test_an_image_inside_a_plate_is_that_of_the_same_field() -> None:
    fields = plate(("A", 1, 0), ("B", 2, 1))
    alone = field_finder(fields)
    assert alone("anything.zarr", (1, 1), 1) == fields[1]
    assert alone("anything.zarr", (1, 1), 0) is None
    other = plate(("A", 1, 0), name="p_2", plate_id=10)
    both = field_finder(fields + other)
    assert both("p_2_labels.zarr", (0, 0), 0) == other[0]
    assert both("p_labels.zarr", (0, 0), 0) == fields[0]
    assert both("anything.zarr", (0, 0), 0) is None


def test_an_ome_zarr_may_be_of_a_whole_plate() -> None:
    fields = plate(("A", 1, 0), ("B", 2, 1))
    found = match(["p_mask.zarr", "labels.zarr", "p_A01_s001_mask.zarr", "summary.tif"], fields)
    assert found.plates == {"p_mask.zarr": 9, "labels.zarr": 9}
    assert found.kinds == {"p_mask.zarr": "mask", "labels.zarr": "labels", "p_A01_s001_mask.zarr": "mask"}
    assert found.notes == ("summary.tif is not linked to an image: its name begins with the name of none.",)
    other = plate(("A", 1, 0), name="p_2", plate_id=10)
    found = match(["p_2_mask.zarr", "p.zarr", "labels.zarr"], fields + other)
    assert found.plates == {"p_2_mask.zarr": 10, "p.zarr": 9}
    assert found.notes == ("labels.zarr is not linked to an image: its name begins with the name of none.",)


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


paths = st.builds(
    lambda stem, ending: stem + ending,
    st.text(st.sampled_from("aAb1_.- ()é"), min_size=1, max_size=8).filter(lambda text: text not in (".", "..")),
    st.sampled_from([".zarr", ".tif", ".ome.zarr"]),
)
exports = st.lists(paths, min_size=1, max_size=6, unique=True).map(lambda found: sources(*found))
results = st.builds(
    lambda folder, stem, ending: f"{folder}{stem}{ending}",
    st.sampled_from(["", "out/", "a/", "b/"]),
    st.text(st.sampled_from("aAb1_.- ()é"), min_size=1, max_size=8).filter(lambda text: text not in (".", "..")),
    st.sampled_from(["", ".tif", "_mask.tif"]),
)


@given(exports, st.lists(results, max_size=6, unique=True), st.randoms(use_true_random=False))
def test_the_order_of_exports_and_results_does_not_matter(
    given_sources: list[SourceFile], given_results: list[str], random: random.Random
) -> None:
    found = match(given_results, given_sources)
    shuffled_sources, shuffled_results = given_sources[:], given_results[:]
    random.shuffle(shuffled_sources)
    random.shuffle(shuffled_results)
    again = match(shuffled_results, shuffled_sources)
    assert (again.sources, again.rules, again.kinds) == (found.sources, found.rules, found.kinds)
    # One result alone is matched like one among many.
    for path in given_results:
        assert match([path], given_sources).sources.get(path) == found.sources.get(path)


@given(exports)
def test_a_result_that_is_named_as_an_exported_file_is_always_its(given_sources: list[SourceFile]) -> None:
    found = match([source.path for source in given_sources], given_sources).sources
    assert all(found[source.path] == source for source in given_sources)


@given(exports, results)
def test_every_result_is_either_linked_to_one_image_or_told_of(given_sources: list[SourceFile], path: str) -> None:
    found = match([path], given_sources)
    untold = [note for note in found.notes if note.startswith(f"{path} is not linked to an image")]
    assert len(found.sources) + len(untold) == 1
    assert set(found.rules) == set(found.kinds) == set(found.sources)
    assert set(found.sources.values()) <= set(given_sources)
