"""What a person is told at the end of a run."""

from __future__ import annotations

from worker.engine.attached import in_words


def test_what_is_in_omero_is_counted_in_the_words_of_persons() -> None:
    made = [("FileAnnotation", number, "m.csv") for number in range(1_200)]
    made += [("Image", 1, "a"), ("Dataset", 2, "d"), ("Roi", 3, "12 objects of a on Image 7"), ("Image", 4, "b")]
    assert in_words(made) == "1 dataset, 2 images, the ROIs of 1 label image, 1,200 files"
    assert in_words([("Comment", 1, "x"), ("Plate", 1, "p")]) == "1 plate, 1 Comment"
    assert in_words([]) == ""
