"""Which of the images in a result become images in OMERO, and what they are called there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.results.wellnames import letters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.results.model import ImportOptions
    from worker.results.readers.model import FileImage


def wanted_images(images: Sequence[FileImage], options: ImportOptions) -> list[tuple[int, FileImage]]:
    """Choose, among the images of one result, those that shall be images in OMERO.

    Parameters
    ----------
    images : Sequence of FileImage
        Everything in it, each image followed by its labels.
    options : ImportOptions
        What the person chose: label images or not, the image around them or not.

    Returns
    -------
    list of tuple of int and FileImage
        Those wanted, each with its place among all.
    """
    chosen = []
    for index, image in enumerate(images):
        labelled = not image.label and index + 1 < len(images) and images[index + 1].label
        if options.label_zarrs and options.only_labels and labelled:
            continue
        if options.label_zarrs or not image.label:
            chosen.append((index, image))
    return chosen


def name_inside(image: FileImage, images: Sequence[FileImage]) -> str:
    """Say what tells an image from the others in its file: the name of a label, of a series; well and field of a plate.

    Parameters
    ----------
    image : FileImage
        The image.
    images : Sequence of FileImage
        Everything in the file.

    Returns
    -------
    str
        Its name in the file; empty for an image that has none there, or that is the only one beside its labels.
    """
    if image.well is not None:
        row, column = image.well
        field = f"{letters(row)}{column + 1}, field {(image.field or 0) + 1}"
        return f"{field}, {image.name}" if image.label else field
    alone = sum(not each.label for each in images) <= 1
    return "" if alone and not image.label else image.name
