"""The measure of segmentation, and the sample that it is used on."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lab import samples


def squares(*corners: int, side: int = 10) -> np.ndarray:
    """An image (100, 100) with a labelled square at each place of the diagonal."""
    image = np.zeros((100, 100), dtype=np.uint16)
    for label, corner in enumerate(corners, start=1):
        image[corner : corner + side, corner : corner + side] = label
    return image


def test_the_truth_matches_itself() -> None:
    assert samples.f1_score(squares(0, 20, 40), squares(0, 20, 40)) == 1.0


def test_the_numbers_of_labels_do_not_matter() -> None:
    truth = squares(0, 20)
    assert samples.f1_score(truth * 7, truth) == 1.0


def test_a_missed_object_counts() -> None:
    # 2 found, none wrong, 1 missed: 2 * 2 / (2 * 2 + 1)
    assert samples.f1_score(squares(0, 20), squares(0, 20, 40)) == pytest.approx(4 / 5)


def test_an_object_that_overlaps_too_little_is_both_wrong_and_missed() -> None:
    assert samples.f1_score(squares(3), squares(0)) == 0.0  # 49 of 151 pixels
    assert samples.f1_score(squares(1), squares(0)) == 1.0  # 81 of 119 pixels


def test_two_objects_merged_into_one_match_one_at_most() -> None:
    truth = np.zeros((100, 100), dtype=np.uint16)
    truth[0:10, 0:10], truth[0:10, 10:20] = 1, 2
    assert samples.f1_score((truth > 0).astype(np.uint16), truth) == 0.0


def test_nothing_found_where_nothing_is_is_right() -> None:
    assert samples.f1_score(squares(), squares()) == 1.0
    assert samples.f1_score(squares(), squares(0)) == 0.0


def test_images_of_different_shapes_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="shape"):
        samples.f1_score(squares(), np.zeros((50, 50), dtype=np.uint16))


def test_a_lower_overlap_than_half_is_ambiguous() -> None:
    with pytest.raises(ValueError, match="several"):
        samples.f1_score(squares(), squares(), iou=0.3)


def test_the_sample_has_its_truth() -> None:
    image, truth = samples.nuclei_image(), samples.nuclei_truth()
    assert image.shape == truth.shape == (512, 512)
    assert len(np.unique(truth)) - 1 == 125
